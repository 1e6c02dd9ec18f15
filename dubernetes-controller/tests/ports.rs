//! Ports of the host on fakes: published by the ingress, and where it cannot, by the replica.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::Duration;

use dubernetes_controller::Snapshot;
use dubernetes_core::app::{AppSpec, PortMapping};
use dubernetes_core::ingress::PortSupport;
use dubernetes_core::plan::Phase;
use dubernetes_core::runtime::{Container, ContainerState};
use dubernetes_testkit::Behaviour;
use dubernetes_testkit::build::{TestOrchestrator, app_name, worker};

const MINUTE: Duration = Duration::from_secs(60);

fn port(text: &str) -> PortMapping {
    text.parse().unwrap()
}

fn db(image: &str, ports: &[&str]) -> AppSpec {
    AppSpec { ports: ports.iter().map(|text| port(text)).collect(), ..worker("db", image, 1) }
}

fn missing() -> PortSupport {
    PortSupport::Missing { reason: "the image of the ingress has no stream module".to_owned() }
}

fn start(support: PortSupport) -> TestOrchestrator {
    let orchestrator = TestOrchestrator::start();
    orchestrator.ingress.set_port_support(support);
    orchestrator.runtime.add_image("db:1", Behaviour::default());
    orchestrator.runtime.add_image("db:2", Behaviour::default());
    orchestrator
}

/// Returns the running containers, with the ports of the host that each publishes itself.
fn running(orchestrator: &TestOrchestrator) -> Vec<(String, Vec<u16>)> {
    let containers = orchestrator.runtime.containers().into_iter();
    let running = containers.filter(|c| matches!(c.state, ContainerState::Running { .. }));
    let ports = |container: Container| {
        let request = orchestrator.runtime.request(&container.id).unwrap();
        (container.name, request.ports.iter().map(|port| port.host_port).collect())
    };
    running.map(ports).collect()
}

/// Returns the ports that the ingress publishes.
fn served(seen: &Snapshot) -> Vec<u16> {
    let table = seen.observed.ingress.table();
    table.into_iter().flat_map(|table| &table.ports).map(|port| port.mapping.host_port).collect()
}

fn message(seen: &Snapshot) -> (Phase, String) {
    let status = &seen.plan.statuses[&app_name("db")];
    (status.phase, status.message.clone())
}

#[tokio::test(start_paused = true)]
async fn replica_publishes_ports_and_an_update_never_starts_two() {
    let orchestrator = start(missing());
    orchestrator.apply(&db("db:1", &["5432:5432"])).await.unwrap();
    let seen = orchestrator.until_ready("db").await;
    assert_eq!(running(&orchestrator), [("dubernetes.default.db-1.r1".into(), vec![5432])]);
    assert_eq!(served(&seen), Vec::<u16>::new());

    orchestrator.runtime.take_journal();
    orchestrator.apply(&db("db:2", &["5432:5432"])).await.unwrap();
    orchestrator.until_ready("db").await;
    assert_eq!(running(&orchestrator), [("dubernetes.default.db-2.r2".into(), vec![5432])]);
    let journal = orchestrator.runtime.take_journal();
    let at = |call: &str| journal.iter().position(|entry| entry == call).unwrap();
    let stop = at("stop dubernetes.default.db-1.r1");
    assert!(stop < at("start dubernetes.default.db-2.r2"), "{journal:#?}");
}

#[tokio::test(start_paused = true)]
async fn changed_port_is_published_by_a_new_replica_of_the_same_revision() {
    let orchestrator = start(missing());
    orchestrator.apply(&db("db:1", &["5432:5432"])).await.unwrap();
    orchestrator.until_ready("db").await;
    orchestrator.apply(&db("db:1", &["5433:5432", "53:53/udp"])).await.unwrap();
    orchestrator.until_ready("db").await;
    assert_eq!(running(&orchestrator), [("dubernetes.default.db-2.r1".into(), vec![53, 5433])]);
}

#[tokio::test(start_paused = true)]
async fn taken_port_stops_nothing_and_is_published_once_it_is_free() {
    let orchestrator = start(missing());
    orchestrator.apply(&db("db:1", &["5432:5432"])).await.unwrap();
    orchestrator.until_ready("db").await;
    let before = running(&orchestrator);
    let taken = "TCP port 5433 on 0.0.0.0 is taken by `python3` (process 12)";
    orchestrator.ingress.set_taken_port(port("5433:5432"), Some(taken));
    orchestrator.apply(&db("db:1", &["5433:5432"])).await.unwrap();
    let failed = (Phase::Failed, taken.to_owned());
    orchestrator.until("it has failed", MINUTE, |seen| message(seen) == failed).await;
    tokio::time::sleep(MINUTE).await;
    assert_eq!(running(&orchestrator), before);

    orchestrator.ingress.set_taken_port(port("5433:5432"), None);
    orchestrator.until_ready("db").await;
    assert_eq!(running(&orchestrator), [("dubernetes.default.db-2.r1".into(), vec![5433])]);
}

#[tokio::test(start_paused = true)]
async fn publisher_changes_with_the_image_of_the_ingress() {
    let orchestrator = start(PortSupport::Supported);
    orchestrator.apply(&db("db:1", &["5432:5432"])).await.unwrap();
    let seen = orchestrator.until_ready("db").await;
    assert_eq!((served(&seen), running(&orchestrator)[0].1.clone()), (vec![5432], Vec::new()));

    orchestrator.ingress.set_port_support(missing());
    let direct = |ports: &[u16]| running(&orchestrator).iter().any(|(_, own)| own == ports);
    let is_ready = |seen: &Snapshot| message(seen).0 == Phase::Ready;
    let changed = |seen: &Snapshot| direct(&[5432]) && served(seen).is_empty() && is_ready(seen);
    orchestrator.until("the replica publishes", MINUTE, changed).await;

    orchestrator.ingress.set_port_support(PortSupport::Supported);
    let changed = |seen: &Snapshot| served(seen) == [5432] && !direct(&[5432]) && is_ready(seen);
    orchestrator.until("the ingress publishes", MINUTE, changed).await;
}

#[tokio::test(start_paused = true)]
async fn restart_of_the_ingress_replaces_no_replica() {
    for support in [missing(), PortSupport::Supported] {
        let orchestrator = start(support);
        orchestrator.apply(&db("db:1", &["5432:5432"])).await.unwrap();
        let seen = orchestrator.until_ready("db").await;
        let before = (served(&seen), running(&orchestrator));
        orchestrator.ingress.kill();
        tokio::time::sleep(MINUTE).await;
        let seen = orchestrator.until_ready("db").await;
        assert_eq!((served(&seen), running(&orchestrator)), before);
        let orchestrator = orchestrator.restart();
        let seen = orchestrator.until_ready("db").await;
        tokio::time::sleep(MINUTE).await;
        assert_eq!((served(&seen), running(&orchestrator)), before);
    }
}

#[tokio::test(start_paused = true)]
async fn several_replicas_with_a_port_are_refused_and_a_crashed_one_is_restarted() {
    let orchestrator = start(missing());
    orchestrator.apply(&db("db:1", &["5432:5432"])).await.unwrap();
    orchestrator.until_ready("db").await;
    orchestrator.apply(&AppSpec { replicas: 2, ..db("db:2", &["5432:5432"]) }).await.unwrap();
    let refused = |seen: &Snapshot| {
        let (phase, text) = message(seen);
        phase == Phase::Failed && text.contains("`ports` allows one replica, not 2")
    };
    orchestrator.until("it is refused", MINUTE, refused).await;
    orchestrator.runtime.kill("dubernetes.default.db-1.r1", 1);
    let restarted = [("dubernetes.default.db-1.r1.1".to_owned(), vec![5432])];
    let is_back = |_: &Snapshot| running(&orchestrator) == restarted;
    orchestrator.until("it runs again", MINUTE, is_back).await;
}

#[tokio::test(start_paused = true)]
async fn failed_revision_with_ports_is_rolled_back_one_replica_at_a_time() {
    let orchestrator = start(missing());
    let crashes = Behaviour::exits(Duration::from_millis(50), 1);
    orchestrator.runtime.add_image("db:2", crashes);
    orchestrator.apply(&db("db:1", &["5432:5432"])).await.unwrap();
    orchestrator.until_ready("db").await;
    tokio::time::sleep(2 * MINUTE).await;
    orchestrator.runtime.take_journal();
    orchestrator.apply(&db("db:2", &["5432:5432"])).await.unwrap();
    let is_back = |seen: &Snapshot| {
        let (phase, text) = message(seen);
        phase == Phase::Ready && text.contains("rolled back")
    };
    orchestrator.until("it is rolled back", 2 * MINUTE, is_back).await;
    let now = running(&orchestrator);
    assert!(
        matches!(&now[..], [(name, ports)] if name.ends_with(".r3") && *ports == [5432]),
        "{now:?}"
    );
}
