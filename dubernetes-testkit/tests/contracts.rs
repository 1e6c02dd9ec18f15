//! The contract suites on the fakes, and on fakes that break one promise.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dubernetes_core::app::{ImageRef, InstanceName};
use dubernetes_core::ingress::{
    ApplyOutcome, Drained, Endpoint, HostPort, Ingress, IngressError, ObservedIngress, RouteTable,
};
use dubernetes_core::runtime::ContainerRuntime as _;
use dubernetes_core::store::Store;
use dubernetes_testkit::contract::{Report, container_runtime, ingress, store};
use dubernetes_testkit::{
    Answer, Behaviour, FOREVER, FakeIngress, FakeRuntime, Fault, MemoryStore, Operation, TokioClock,
};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

fn fake_runtime() -> (FakeRuntime, container_runtime::Facts) {
    let runtime = FakeRuntime::new(TokioClock::new());
    runtime.add_image("sleeper:1", Behaviour::default());
    let facts = container_runtime::Facts {
        instance: InstanceName::parse("one").unwrap(),
        other_instance: InstanceName::parse("two").unwrap(),
        image: ImageRef::parse("sleeper:1").unwrap(),
        missing_image: ImageRef::parse("missing:1").unwrap(),
        real_commands: false,
    };
    (runtime, facts)
}

#[tokio::test(start_paused = true)]
async fn fake_runtime_keeps_the_contract() {
    let (runtime, facts) = fake_runtime();
    container_runtime::run(&runtime, &facts).await;
}

#[tokio::test(start_paused = true)]
async fn report_lists_every_check() {
    let (runtime, facts) = fake_runtime();
    let report = container_runtime::run_all(&runtime, &facts).await;
    let offered = runtime.capabilities();
    let is_skipped = |check: &container_runtime::Check| {
        check.needs_commands || check.needs.iter().any(|needed| !offered.contains(needed))
    };
    let skipped = container_runtime::checks().into_iter().filter(is_skipped);
    assert_eq!(report.skipped(), skipped.map(|check| check.name).collect::<Vec<_>>());
    assert_eq!(report.results().len(), container_runtime::checks().len());
    assert!(report.to_string().contains("skipped  long_output_is_whole: "), "{report}");
}

#[tokio::test(start_paused = true)]
async fn suite_continues_after_failures_panics_and_hangs() {
    for fault in [Fault::Error, Fault::Panic, Fault::Hang] {
        let (runtime, facts) = fake_runtime();
        runtime.faults().inject(Operation::Stats, fault, FOREVER);
        let report = container_runtime::run_all(&runtime, &facts).await;
        assert_eq!(report.failed(), ["stats_grow"], "{fault:?}: {report}");
        assert_eq!(report.results().len(), container_runtime::checks().len());
    }
}

#[derive(Debug)]
struct FakeWorld(FakeIngress);

#[async_trait]
impl ingress::World for FakeWorld {
    fn upstreams(&self) -> Vec<Endpoint> {
        let endpoint = |n| {
            let pod = format!("web-{n}").parse().unwrap();
            Endpoint { pod, address: Ipv4Addr::new(10, 1, 0, n).into(), port: 80 }
        };
        (21..24).map(endpoint).collect()
    }

    async fn get(&self, host: &str, path: &str) -> ingress::Answer {
        match self.0.request(host, path) {
            Answer::Endpoint(endpoint) => Ok((200, endpoint.pod.into())),
            Answer::Unavailable => Ok((503, String::new())),
            Answer::NotFound => Ok((404, String::new())),
            Answer::Refused => Err("no proxy runs".to_owned()),
        }
    }

    async fn begin_slow_request(&self, host: &str) -> Option<BoxFuture<'static, ingress::Answer>> {
        let Answer::Endpoint(endpoint) = self.0.request(host, "/") else { return None };
        let fake = self.0.clone();
        fake.set_busy(endpoint.socket(), true);
        let answer = async move {
            tokio::time::sleep(Duration::from_secs(3)).await;
            fake.set_busy(endpoint.socket(), false);
            Ok((200, endpoint.pod.into()))
        };
        Some(answer.boxed())
    }

    fn host_port(&self) -> Option<HostPort> {
        let mapping = "127.0.0.1:5432:5432".parse().ok()?;
        Some(HostPort { app: "db".parse().ok()?, mapping, address: Ipv4Addr::new(10, 1, 2, 1) })
    }

    async fn get_at(&self, host: SocketAddr) -> ingress::Answer {
        let observed = self.0.observed();
        let table = observed.table().ok_or("no proxy runs")?;
        let port = table.ports.iter().find(|port| port.mapping.host() == host);
        let port = port.ok_or("no port is published")?;
        let at = (port.address, port.mapping.port);
        let listener = table.listeners.iter().find(|found| (found.address, found.port) == at);
        let endpoint = listener.and_then(|listener| listener.endpoints.first());
        Ok((200, endpoint.ok_or("no replica is ready")?.pod.clone().into()))
    }
}

#[tokio::test(start_paused = true)]
async fn fake_ingress_keeps_the_contract() {
    let fake = FakeIngress::default();
    let report = ingress::run_all(&fake, &FakeWorld(fake.clone())).await;
    report.assert_passed();
    assert!(report.skipped().is_empty(), "{report}");
}

/// An ingress that breaks one promise.
#[derive(Debug)]
struct BrokenIngress {
    inner: FakeIngress,
    defect: Defect,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Defect {
    /// Requests in flight are ignored.
    EarlyDrain,
    /// Every apply reports a change.
    AlwaysChanged,
    /// A removed proxy is still observed.
    StaleTable,
}

#[async_trait]
impl Ingress for BrokenIngress {
    async fn apply(&self, table: &RouteTable) -> Result<ApplyOutcome, IngressError> {
        let applied = self.inner.apply(table).await?;
        let changed = applied.changed || self.defect == Defect::AlwaysChanged;
        Ok(ApplyOutcome { changed, ..applied })
    }

    async fn observe(&self) -> Result<ObservedIngress, IngressError> {
        match self.inner.observe().await? {
            ObservedIngress::Absent if self.defect == Defect::StaleTable => {
                Ok(ObservedIngress::Serving { table: RouteTable::default() })
            }
            observed => Ok(observed),
        }
    }

    async fn drained(&self, endpoint: SocketAddr) -> Result<Drained, IngressError> {
        if self.defect == Defect::EarlyDrain {
            let observed = self.inner.observe().await?;
            let is_held = observed.table().is_some_and(|table| table.holds(endpoint));
            return Ok(if is_held { Drained::IN_PROGRESS } else { Drained::Yes });
        }
        self.inner.drained(endpoint).await
    }

    async fn repair(&self) -> Result<Option<String>, IngressError> {
        self.inner.repair().await
    }

    async fn remove(&self) -> Result<(), IngressError> {
        self.inner.remove().await
    }
}

#[tokio::test(start_paused = true)]
async fn defective_ingress_fails_its_check() {
    for (defect, failed) in [
        (Defect::EarlyDrain, &["request_in_flight_delays_drain"][..]),
        (Defect::AlwaysChanged, &["same_table_changes_nothing"]),
        (Defect::StaleTable, &["unapplied_ingress_is_absent", "removed_ingress_can_return"]),
    ] {
        let inner = FakeIngress::default();
        let world = FakeWorld(inner.clone());
        let report = ingress::run_all(&BrokenIngress { inner, defect }, &world).await;
        assert_eq!(report.failed(), failed, "{defect:?}: {report}");
    }
}

async fn new_store() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_store_keeps_the_contract() {
    store::run(new_store).await;
    // Nothing is written, so the store itself stands for its data.
    store::run_durable(new_store, |store| async { store }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn forgetful_store_fails_durability() {
    let report: Report = store::run_all(new_store, |_| new_store()).await;
    assert_eq!(report.failed(), ["every_change_survives", "numbers_continue"], "{report}");
}
