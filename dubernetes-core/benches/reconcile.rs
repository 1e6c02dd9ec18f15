//! Duration of one pass over converged apps of 10 replicas each, relative to cloning the observed
//! state, and how it grows with the number of apps. Run it with `cargo bench -p dubernetes-core`.

use std::hint::black_box;
use std::io::Write as _;
use std::time::{Duration, Instant};

use dubernetes_core::app::RevisionId;
use dubernetes_core::ingress::ObservedIngress;
use dubernetes_core::labels::ReplicaLabels;
use dubernetes_core::reconcile;
use dubernetes_core::runtime::{ContainerId, ContainerState, ImageId, Network};
use dubernetes_core::state::{DesiredState, ObservedReplica, ObservedState, Readiness};
use dubernetes_core::store::{Outcome, StoredApp};
use dubernetes_testkit::build::app;
use jiff::Timestamp;

const REPLICAS: u16 = 10;
const RUNS: u32 = 15;

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{:>6} {:>12} {:>12} {:>8}", "apps", "copy", "pass", "ratio")?;
    let mut passes = Vec::new();
    for apps in [10, 100, 1000] {
        let (desired, observed) = converged(apps);
        let plan = reconcile(&desired, &observed, now());
        assert!(plan.actions.is_empty(), "a converged system needs nothing: {plan}");
        let copy = median(|| drop(black_box(observed.clone())));
        let pass = median(|| drop(black_box(reconcile(&desired, &observed, now()))));
        let ratio = pass.as_secs_f64() / copy.as_secs_f64();
        writeln!(out, "{apps:>6} {copy:>12.1?} {pass:>12.1?} {ratio:>8.1}")?;
        passes.push((pass.as_secs_f64(), copy.as_secs_f64()));
    }
    let pass = passes[2].0 / passes[1].0;
    let copy = passes[2].1 / passes[1].1;
    writeln!(out, "10 times the apps: a pass takes {pass:.1} times as long, a copy {copy:.1} times")
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn median(mut run: impl FnMut()) -> Duration {
    let mut times: Vec<_> = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed()
        })
        .collect();
    times.sort();
    times[times.len() / 2]
}

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn converged(apps: u32) -> (DesiredState, ObservedState) {
    let mut desired = DesiredState::default();
    let mut observed = ObservedState {
        network: "10.0.0.0/8".parse().ok().map(|subnet| Network { id: "net".into(), subnet }),
        ..ObservedState::default()
    };
    for n in 0..apps {
        let spec = app(&format!("app{n}"), "app:1", REPLICAS);
        for ordinal in 1..=u32::from(REPLICAS) {
            observed.replicas.push(replica(&spec, n, ordinal));
        }
        let mut stored = StoredApp::first(spec, now());
        stored.image_id = Some(ImageId("sha256:app".into()));
        stored.rollout.outcome = Outcome::Stable;
        desired.apps.insert(stored.spec.name.clone(), stored);
    }
    let table = reconcile(&desired, &observed, now()).routes;
    observed.ingress = ObservedIngress::Serving { table: table.table };
    (desired, observed)
}

fn replica(spec: &dubernetes_core::app::AppSpec, app: u32, ordinal: u32) -> ObservedReplica {
    let address = std::net::Ipv4Addr::from(0x0a00_0100 + app * 256 + ordinal);
    ObservedReplica {
        id: ContainerId(format!("{app}-{ordinal}")),
        name: format!("dubernetes.default.{}-{ordinal}.r1", spec.name),
        labels: ReplicaLabels {
            app: spec.name.clone(),
            revision: RevisionId(1),
            ordinal,
            spec_hash: dubernetes_core::identity::spec_hash(spec),
            image: Some(ImageId("sha256:app".into())),
            address: Some(address.into()),
            port: spec.port(),
            restarts: 0,
            consecutive_restarts: 0,
            last_end: None,
        },
        state: ContainerState::Running { started_at: now() },
        created_at: now(),
        image_id: ImageId("sha256:app".into()),
        endpoint: Some((address, spec.port()).into()),
        readiness: Readiness::Ready { since: now() },
    }
}
