//! Observed endpoints, on fakes and virtual time: runtimes without planned addresses, containers
//! that leave their network, and copies of containers.

use std::time::Duration;

use dubernetes_core::app::{Check, Health, InstanceName};
use dubernetes_core::ingress::Endpoint;
use dubernetes_core::store::{EventQuery, Store as _};
use dubernetes_testkit::build::{TestOrchestrator, app, app_name};
use dubernetes_testkit::{Answer, FakeIngress, FakeRuntime, TokioClock};

const MINUTE: Duration = Duration::from_secs(60);

fn without_networks() -> TestOrchestrator {
    let clock = TokioClock::new();
    let runtime = FakeRuntime::without_networks(clock);
    TestOrchestrator::start_on(runtime, Default::default(), FakeIngress::default(), clock)
}

fn endpoints(orchestrator: &TestOrchestrator) -> Vec<Endpoint> {
    let answers = (0..4).map(|_| orchestrator.ingress.request("web.local", "/"));
    let mut found: Vec<_> = answers
        .map(|answer| match answer {
            Answer::Endpoint(endpoint) => endpoint,
            other => panic!("{other:?}"),
        })
        .collect();
    found.sort();
    found.dedup();
    found
}

#[tokio::test(start_paused = true)]
async fn app_is_ready_and_routed_without_planned_addresses() {
    let orchestrator = without_networks();
    orchestrator.deploy_web("web:1", 2).await;
    let first = endpoints(&orchestrator);
    assert_eq!(first.len(), 2);
    assert!(first.iter().all(|endpoint| endpoint.address.is_loopback() && endpoint.port > 20_000));
    for container in orchestrator.runtime.containers() {
        assert_eq!(orchestrator.runtime.request(&container.id).unwrap().network, None);
        assert!(!container.labels.contains_key("dubernetes.address"));
    }
    orchestrator.deploy_web("web:2", 2).await;
    assert_eq!(endpoints(&orchestrator).len(), 2);
    let snapshot = orchestrator.handle.snapshot();
    assert_eq!((snapshot.observed.replicas.len(), &snapshot.observed.network), (2, &None));
    orchestrator.handle.teardown().await.unwrap();
    assert_eq!(orchestrator.runtime.containers(), []);
}

#[tokio::test(start_paused = true)]
async fn unsupported_specification_is_refused_and_stores_nothing() {
    let orchestrator = without_networks();
    let mut web = app("web", "web:1", 1);
    web.health = Some(Health { port: Some(81), ..Health::new(Check::Tcp) });
    let refused = orchestrator.apply(&web).await.unwrap_err().to_string();
    let expected = "health.port: needs planned addresses, which this runtime does not support";
    assert!(refused.contains(expected), "{refused}");
    assert!(orchestrator.store.list().await.unwrap().apps.is_empty());
}

#[tokio::test(start_paused = true)]
async fn disconnected_replica_is_replaced() {
    let orchestrator = TestOrchestrator::start();
    orchestrator.deploy_web("web:1", 2).await;
    orchestrator.runtime.disconnect("dubernetes.default.web-2.r1");
    orchestrator
        .until("the replica is replaced", MINUTE, |seen| {
            let mut labels = seen.observed.replicas.iter().map(|replica| &replica.labels);
            labels.any(|labels| (labels.ordinal, labels.restarts) == (2, 1))
        })
        .await;
    orchestrator.until_ready("web").await;
    let container = orchestrator.runtime.named("dubernetes.default.web-2.r1.1");
    let cause = container.labels.get("dubernetes.last-end").unwrap();
    assert_eq!(cause, "not on the instance's network at its planned address");
}

#[tokio::test(start_paused = true)]
async fn lost_network_is_created_again() {
    let orchestrator = TestOrchestrator::start();
    orchestrator.deploy_web("web:1", 2).await;
    for name in ["dubernetes.default.web-1.r1", "dubernetes.default.web-2.r1"] {
        orchestrator.runtime.disconnect(name);
    }
    orchestrator.runtime.remove_network(&InstanceName::default());
    orchestrator
        .until("the replicas are replaced", MINUTE, |seen| {
            let replicas = &seen.observed.replicas;
            replicas.len() == 2 && replicas.iter().all(|replica| replica.labels.restarts == 1)
        })
        .await;
    orchestrator.until_ready("web").await;
    assert!(orchestrator.handle.snapshot().observed.network.is_some());
    assert_eq!(endpoints(&orchestrator).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn copy_of_a_replica_is_reported_and_left_alone() {
    let orchestrator = TestOrchestrator::start();
    orchestrator.deploy_web("web:1", 2).await;
    orchestrator.runtime.copy("dubernetes.default.web-1.r1", "debug");
    orchestrator.runtime.take_journal();
    tokio::time::sleep(2 * MINUTE).await;
    orchestrator.until_ready("web").await;
    assert_eq!(orchestrator.runtime.take_journal(), Vec::<String>::new());
    let snapshot = orchestrator.handle.snapshot();
    let blocked: Vec<_> = snapshot.plan.blocked.iter().map(|b| b.block.to_string()).collect();
    let name = "its name is `debug`, and by its labels it would be `dubernetes.default.web-1.r1`";
    assert!(matches!(&blocked[..], [block] if block.contains(name)), "{blocked:?}");
    let all = EventQuery { limit: 100, ..EventQuery::default() };
    let events = orchestrator.store.events(&all).await.unwrap();
    assert!(events.iter().any(|e| e.reason == "Foreign" && e.message.contains(name)));
    // The app goes, and the teardown ends, without it.
    orchestrator.handle.delete(&app_name("web")).await.unwrap();
    orchestrator
        .until("the replicas are gone", 5 * MINUTE, |seen| seen.observed.replicas.is_empty())
        .await;
    orchestrator.handle.teardown().await.unwrap();
    let left: Vec<_> = orchestrator.runtime.containers().into_iter().map(|c| c.name).collect();
    assert_eq!(left, ["debug"]);
}
