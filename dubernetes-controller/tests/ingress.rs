//! The controller on fakes and virtual time: routes and the ingress.

use std::time::Duration;

use dubernetes_core::app::Access;
use dubernetes_core::ingress::RouteTable;
use dubernetes_core::plan::Phase;
use dubernetes_core::store::{EventQuery, Store as _};
use dubernetes_testkit::build::{TestOrchestrator, app, app_name};

use dubernetes_testkit::{Answer, Behaviour, Fault, IngressOperation};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn failing_proxy_is_reported_and_recovers() {
    let orchestrator = TestOrchestrator::start();
    orchestrator.ingress.set_failing(Some("no room"));
    orchestrator.runtime.add_image("web:1", Behaviour::default());
    orchestrator.apply(&app("web", "web:1", 1)).await.unwrap();
    tokio::time::sleep(MINUTE).await;
    let seen = orchestrator.handle.snapshot();
    let status = &seen.plan.statuses[&app_name("web")];
    assert_ne!(status.phase, Phase::Ready);
    assert!(status.message.contains("no room"), "{}", status.message);
    orchestrator.ingress.set_failing(None);
    orchestrator.until_ready("web").await;
    orchestrator.ingress.kill();
    orchestrator.until_ready("web").await;
    tokio::time::sleep(MINUTE).await;
    assert!(matches!(orchestrator.ingress.request("web.local", "/"), Answer::Endpoint(_)));
}

#[tokio::test(start_paused = true)]
async fn restart_with_unreadable_table_takes_no_replica_out() {
    let orchestrator = TestOrchestrator::start();
    orchestrator.deploy_web("web:1", 2).await;
    let ingress = orchestrator.ingress.clone();
    let before = ingress.applied();
    ingress.faults().inject(IngressOperation::Observe, Fault::Error, 3);
    let next = orchestrator.restart();
    next.until_ready("web").await;
    assert_eq!(ingress.applied(), before, "every table held the replicas that served");
}

#[tokio::test(start_paused = true)]
async fn damaged_proxy_configuration_is_repaired_with_an_event() {
    let orchestrator = TestOrchestrator::start();
    orchestrator.deploy_web("web:1", 1).await;
    tokio::time::sleep(MINUTE).await;
    orchestrator.ingress.damage();
    tokio::time::sleep(Duration::from_secs(31)).await;
    let events = orchestrator
        .store
        .events(&EventQuery { limit: 100, ..EventQuery::default() })
        .await
        .unwrap();
    let repaired = events.iter().filter(|event| event.reason == "IngressRepaired");
    assert_eq!(repaired.map(|event| event.count).collect::<Vec<_>>(), [1], "once");
}

#[tokio::test(start_paused = true)]
async fn unrouted_address_is_not_reused_for_a_while() {
    let orchestrator = TestOrchestrator::start();
    orchestrator.deploy_web("web:1", 1).await;
    let mut used = std::collections::BTreeSet::new();
    for n in 0..20 {
        let endpoint = orchestrator.handle.snapshot().observed.replicas[0].endpoint.unwrap();
        assert!(used.insert(endpoint), "{endpoint} is reused after {n} rollouts");
        let image = format!("web:{}", n + 2);
        orchestrator.deploy_web(&image, 1).await;
    }
}

#[tokio::test(start_paused = true)]
async fn frequent_changes_reload_once_a_second_and_last_state_wins() {
    let orchestrator = TestOrchestrator::start();
    orchestrator.deploy_web("web:1", 2).await;
    let slow = Behaviour { ready_after: Some(Duration::from_secs(3)), ..Behaviour::default() };
    orchestrator.runtime.add_image("api:1", slow);
    orchestrator.apply(&app("api", "api:1", 1)).await.unwrap();
    orchestrator.until_ready("api").await;
    tokio::time::sleep(MINUTE).await;
    let before = orchestrator.ingress.applied().len();

    // 200 changes in 10 s, each with another host: the rate limit merges their reloads.
    let moved = |number: u32| {
        let mut spec = app("web", "web:1", 2);
        let hosts = vec![format!("web-{number}.local").parse().unwrap()];
        spec.access = vec![Access { hosts, ..Access::default() }];
        spec
    };
    for number in 0..200 {
        orchestrator.apply(&moved(number)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        if number == 0 {
            assert_eq!(
                orchestrator.ingress.applied().len(),
                before + 1,
                "after a quiet time a change is served at once"
            );
        }
        if number == 100 {
            orchestrator.runtime.kill("dubernetes.default.api-1.r1", 137);
            tokio::time::sleep(Duration::from_millis(1050)).await;
            let table = orchestrator.ingress.applied().pop().unwrap();
            let api = table.routes.iter().find(|route| route.app.as_str() == "api").unwrap();
            assert!(
                api.endpoints.is_empty(),
                "a failed replica is unrouted within a second: {api:?}"
            );
        }
    }
    let during = orchestrator.ingress.applied().len() - before;
    assert!((10..=13).contains(&during), "{during} reloads in 11 s");
    tokio::time::sleep(Duration::from_millis(1050)).await;
    let answer = orchestrator.ingress.request("web-199.local", "/");
    assert!(matches!(answer, Answer::Endpoint(_)), "{answer:?}");
    assert_eq!(orchestrator.ingress.request("web-198.local", "/"), Answer::NotFound);
}

#[tokio::test(start_paused = true)]
async fn dead_replica_leaves_the_routes_at_once() {
    let orchestrator = TestOrchestrator::start();
    orchestrator.deploy_web("web:1", 2).await;
    tokio::time::sleep(MINUTE).await;
    for host in ["one.local", "two.local"] {
        let mut spec = app("web", "web:1", 2);
        let hosts = vec![host.parse().unwrap()];
        spec.access = vec![Access { hosts, ..Access::default() }];
        orchestrator.apply(&spec).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let pod = "dubernetes.default.web-1.r1";
    orchestrator.runtime.kill(pod, 137);
    tokio::time::sleep(Duration::from_millis(20)).await;
    let table = orchestrator.ingress.applied().pop().unwrap();
    let pods: Vec<_> = table.routes[0].endpoints.iter().map(|e| e.pod.as_str()).collect();
    assert_eq!((table.routes[0].host.to_string().as_str(), pods), ("two.local", vec!["web-2"]));
}

#[tokio::test(start_paused = true)]
async fn first_routes_are_applied_once_their_replicas_are_ready() {
    let orchestrator = TestOrchestrator::start();
    orchestrator.deploy_web("web:1", 2).await;
    let endpoints = |table: &RouteTable| table.endpoints().count();
    let applied = orchestrator.ingress.applied();
    assert!(applied[0].is_empty(), "the ingress starts while the replicas do");
    assert_eq!(applied.iter().map(endpoints).collect::<Vec<_>>(), [0, 4], "name and host");

    let slow = Behaviour { ready_after: Some(Duration::from_secs(5)), ..Behaviour::default() };
    orchestrator.runtime.add_image("api:1", slow);
    orchestrator.apply(&app("api", "api:1", 1)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert_eq!(orchestrator.ingress.request("api.local", "/"), Answer::NotFound);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(orchestrator.ingress.request("api.local", "/"), Answer::Unavailable);
    orchestrator.until_ready("api").await;
}
