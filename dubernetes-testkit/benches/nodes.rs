//! What the orchestrator itself costs for many replicas on many nodes: passes, memory, and the loss
//! of a node. The engines are in memory and the time is virtual, so processor time is that of the
//! controller, and calls take as long as `cluster` says. Run it with
//! `cargo bench -p dubernetes-testkit --bench nodes`, and with `-- --full` for 10,000 replicas,
//! which takes a quarter of an hour: nearly all of it their first start.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the measurement")]
#![expect(clippy::print_stdout, reason = "the results are its output")]

#[path = "nodes/cluster.rs"]
mod cluster;
#[path = "nodes/store.rs"]
mod store;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dubernetes_controller::{Handle, Measurement, Meter, Orchestrator};
use dubernetes_core::app::InstanceName;
use dubernetes_core::plan::Phase;
use dubernetes_core::reconcile;
use dubernetes_core::store::{EventQuery, Store as _};
use dubernetes_testkit::build::app;
use dubernetes_testkit::{FakeIngress, MemoryStore, TokioClock};
use rustix::time::{ClockId, clock_gettime};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use cluster::Cluster;

/// Replicas per app: the most that an app may have.
const PER_APP: u16 = 250;
/// Time limit, virtual, for all replicas to be ready.
const LIMIT: Duration = Duration::from_secs(4 * 3600);

fn main() {
    let small = [(3, 200, 6), (3, 200, 100)];
    let large = [(10, PER_APP, 100), (40, PER_APP, 100)];
    let is_full = std::env::args().any(|argument| argument == "--full");
    for (apps, per_app, nodes) in small.into_iter().chain(large.into_iter().filter(|_| is_full)) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(measure(apps, per_app, nodes));
    }
    store::measure(1_000);
}

/// Counts passes and probes.
#[derive(Debug, Default)]
struct Counts {
    passes: AtomicU64,
    probes: AtomicU64,
}

impl Meter for Counts {
    fn record(&self, measurement: &Measurement<'_>) {
        match measurement {
            Measurement::Pass { .. } => self.passes.fetch_add(1, Ordering::Relaxed),
            Measurement::Probe { .. } => self.probes.fetch_add(1, Ordering::Relaxed),
            _ => 0,
        };
    }
}

/// An orchestrator, and what is counted of it.
struct Measured {
    cluster: Cluster,
    store: Arc<MemoryStore>,
    handle: Handle,
    counts: Arc<Counts>,
}

impl Measured {
    /// Prints what happened until `done`, and returns how long that took.
    async fn phase(&self, what: &str, done: impl Future<Output = ()>) {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let read =
            || (count(&self.counts.passes), count(&self.counts.probes), self.cluster.calls());
        let (passes, probes, calls) = read();
        let (start, cpu, last) = (Instant::now(), processor_time(), self.last_event().await);
        done.await;
        let cpu = processor_time() - cpu;
        let now = read();
        let passes = now.0 - passes;
        println!(
            "  {what}: {:.1} s, processor {:.2} s, {passes} passes, {} probes, {} lists, {} other \
             calls, {} events",
            start.elapsed().as_secs_f64(),
            cpu.as_secs_f64(),
            now.1 - probes,
            now.2.lists - calls.lists,
            now.2.others - calls.others,
            self.last_event().await - last,
        );
    }

    async fn last_event(&self) -> u64 {
        let newest = EventQuery { limit: 1, ..EventQuery::default() };
        self.store.events(&newest).await.unwrap().last().map_or(0, |event| event.id)
    }

    async fn until_ready(&self, apps: usize) {
        let mut snapshots = self.handle.snapshots();
        let ready = snapshots.wait_for(|seen| {
            let statuses = seen.plan.statuses.values();
            statuses.filter(|status| status.phase == Phase::Ready).count() == apps
        });
        drop(tokio::time::timeout(LIMIT, ready).await.unwrap().unwrap());
    }
}

async fn measure(apps: usize, per_app: u16, nodes: usize) {
    println!("{} replicas of {apps} apps on {nodes} nodes", apps * usize::from(per_app));
    let clock = TokioClock::new();
    let (cluster, store) = (Cluster::new(clock, nodes), Arc::new(MemoryStore::new()));
    let counts = Arc::new(Counts::default());
    let orchestrator = Orchestrator::builder(InstanceName::default())
        .runtime(Arc::new(cluster.clone()))
        .store(Arc::<MemoryStore>::clone(&store))
        .ingress(Arc::new(FakeIngress::default()))
        .dialer(Arc::new(cluster.clone()))
        .clock(Arc::new(clock))
        .meter(Arc::<Counts>::clone(&counts))
        .build();
    let handle = orchestrator.handle();
    let stop = CancellationToken::new();
    let running = tokio::spawn(orchestrator.run(stop.clone()));
    let measured = Measured { cluster, store, handle, counts };
    measured
        .phase("first start", async {
            for number in 0..apps {
                let spec = app(&format!("app{number}"), "app:1", per_app);
                measured.handle.apply(&spec).await.unwrap();
            }
            measured.until_ready(apps).await;
        })
        .await;
    sleep(Duration::from_secs(120)).await;
    measured.phase("a minute at rest", sleep(Duration::from_secs(60))).await;
    let snapshot = measured.handle.snapshot();
    let start = processor_time();
    let plan = reconcile(&snapshot.desired, &snapshot.observed, snapshot.at.unwrap());
    let took = processor_time() - start;
    assert!(plan.actions.is_empty(), "all is at rest: {plan}");
    println!("  the decision of one pass: processor {:.1} ms", took.as_secs_f64() * 1e3);
    let lost = measured.cluster.lose_node();
    measured
        .phase(&format!("a node with {lost} replicas is lost"), async {
            // It is noticed with the next pass.
            sleep(Duration::from_secs(1)).await;
            measured.until_ready(apps).await;
        })
        .await;
    println!("  peak memory of the process, engines included: {} MB", peak_memory());
    stop.cancel();
    running.await.unwrap();
}

fn processor_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap()
}

/// Returns the most memory that this process has had, in MB.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1024
}
