//! The runtime of the examples on processes of this host: its contract, and a whole orchestrator.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dubernetes::app::{AppSpec, ImageRef, InstanceName, Signal};
use dubernetes::manifest::{self, Source};
use dubernetes::plan::Phase;
use dubernetes::runtime::ContainerRuntime as _;
use dubernetes::{CancellationToken, Handle, Orchestrator, Snapshot};
use dubernetes_examples::process_runtime::ProcessRuntime;
use dubernetes_testkit::contract::container_runtime::{Facts, RuntimeSubject};
use dubernetes_testkit::contract::run_all;
use dubernetes_testkit::{FakeIngress, MemoryStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Maximum time until something is ready, for busy machines.
const LIMIT: Duration = Duration::from_secs(60);

/// Returns a runtime whose only program is `whoami`.
fn runtime() -> ProcessRuntime {
    ProcessRuntime::new(Path::new(env!("CARGO_BIN_EXE_whoami")).parent().unwrap())
}

/// The processes of the contract write into a folder that is removed afterwards.
#[tokio::test]
async fn process_runtime_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let facts = Facts {
        instance: InstanceName::parse("one").unwrap(),
        other_instance: InstanceName::parse("two").unwrap(),
        image: ImageRef::parse("whoami").unwrap(),
        missing_image: ImageRef::parse("missing").unwrap(),
        real_commands: true,
        folder: folder.path().to_str().unwrap().to_owned(),
        web_server: None,
        volume: None,
    };
    let subject = RuntimeSubject { runtime: Arc::new(runtime()), second: None, facts };
    let report = run_all(&[subject], "").await;
    report.assert_passed();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/conformance/processes.json");
    report.assert_golden(&page);
}

#[tokio::test]
async fn app_of_processes_is_healed_updated_and_ended() {
    let (runtime, ingress) = (runtime(), FakeIngress::default());
    let orchestrator = Orchestrator::builder(InstanceName::default())
        .runtime(Arc::new(runtime.clone()))
        .store(Arc::new(MemoryStore::new()))
        .ingress(Arc::new(ingress.clone()))
        .build();
    let handle = orchestrator.handle();
    let stop = CancellationToken::new();
    let running = tokio::spawn(orchestrator.run(stop.clone()));
    let mut seen = BTreeSet::new();

    handle.apply(&whoami("")).await.unwrap();
    until(&handle, |snapshot| is_ready(snapshot, 1)).await;
    assert_eq!(ask_all(&ingress, &mut seen).await, ["whoami-1 of 1", "whoami-2 of 1"]);

    let killed = runtime.list(&InstanceName::default()).await.unwrap().remove(0);
    runtime.signal(&killed.id, Signal::SigKill).await.unwrap();
    let is_restarted = |snapshot: &Snapshot| {
        let mut replicas = snapshot.observed.replicas.iter();
        is_ready(snapshot, 1) && replicas.any(|replica| replica.labels.restarts == 1)
    };
    until(&handle, is_restarted).await;
    assert_eq!(ask_all(&ingress, &mut seen).await, ["whoami-1 of 1", "whoami-2 of 1"]);

    handle.apply(&whoami("env: { WHOAMI_NAME: second }\n")).await.unwrap();
    until(&handle, |snapshot| is_ready(snapshot, 2)).await;
    let answers = ask_all(&ingress, &mut seen).await;
    assert!(answers.len() == 2 && answers.iter().all(|answer| answer.ends_with(" of 2")));

    handle.scale(&whoami("").name, 0).await.unwrap();
    until(&handle, |snapshot| snapshot.observed.replicas.is_empty()).await;
    assert_eq!(runtime.list(&InstanceName::default()).await.unwrap(), []);
    assert!(seen.len() >= 5, "two replicas, a restart and an update: {seen:?}");
    for endpoint in seen {
        assert!(TcpStream::connect(endpoint).await.is_err(), "something listens at {endpoint}");
    }
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn app_that_needs_isolation_is_refused() {
    let orchestrator = Orchestrator::builder(InstanceName::default())
        .runtime(Arc::new(runtime()))
        .store(Arc::new(MemoryStore::new()))
        .ingress(Arc::new(FakeIngress::default()))
        .build();
    let with_volume = whoami("volumes: [\"data:/data\"]\n");
    let refused = orchestrator.handle().apply(&with_volume).await.unwrap_err().to_string();
    assert!(refused.contains("`volumes` needs volumes, which this runtime does not"), "{refused}");
}

/// Returns two replicas of `whoami`, with more lines of a manifest.
fn whoami(more: &str) -> AppSpec {
    let text = "name: whoami\nimage: whoami\nreplicas: 2\naccess: { host: whoami.local }\n\
                rollout: { min_ready: 100ms }\n";
    let file = Source { name: "app.yaml".into(), text: format!("{text}{more}").into() };
    manifest::parse(&[file]).unwrap().apps.remove(0).spec
}

fn is_ready(snapshot: &Snapshot, generation: u64) -> bool {
    snapshot
        .plan
        .statuses
        .values()
        .any(|status| status.phase == Phase::Ready && status.observed_generation.0 == generation)
}

async fn until(handle: &Handle, holds: impl Fn(&Snapshot) -> bool) {
    let mut snapshots = handle.snapshots();
    let held = tokio::time::timeout(LIMIT, snapshots.wait_for(|snapshot| holds(snapshot))).await;
    assert!(held.is_ok(), "{}", handle.snapshot().plan);
}

/// Sends a request to each endpoint that is routed, and returns the replica and revision of each
/// answer, sorted.
async fn ask_all(ingress: &FakeIngress, seen: &mut BTreeSet<SocketAddr>) -> Vec<String> {
    let observed = ingress.observed();
    let routes = observed.table().unwrap().routes.iter();
    let endpoints: Vec<_> =
        routes.flat_map(|route| route.endpoints.iter()).map(|at| at.socket()).collect();
    let mut answers = Vec::new();
    for endpoint in endpoints {
        seen.insert(endpoint);
        let answer = get(endpoint).await;
        let field = |name| answer.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        answers.push(format!("{} of {}", field("Replica: "), field("Revision: ")));
    }
    answers.sort();
    answers
}

async fn get(endpoint: SocketAddr) -> String {
    let mut connection = TcpStream::connect(endpoint).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nHost: whoami.local\r\nConnection: close\r\n\r\n";
    connection.write_all(request).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    answer
}
