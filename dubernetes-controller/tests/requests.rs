//! Requests of users that outlive the orchestrator: evictions, and the teardown of the instance.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;
use std::time::Duration;

use dubernetes_controller::{Snapshot, TeardownError};
use dubernetes_core::app::AppSpec;
use dubernetes_core::clock::Clock as _;
use dubernetes_core::ingress::{Ingress as _, ObservedIngress};
use dubernetes_core::runtime::ContainerId;
use dubernetes_core::state::EngineStatus;
use dubernetes_core::store::{EventQuery, Store as _, StoreError};
use dubernetes_testkit::build::{TestOrchestrator, app, app_name};
use dubernetes_testkit::{Behaviour, Fault, Operation, StoreOperation};

const MINUTE: Duration = Duration::from_secs(60);
const NOTHING: [String; 0] = [];

async fn ready(orchestrator: &TestOrchestrator, spec: &AppSpec) {
    orchestrator.runtime.add_image(spec.artifact.as_str(), Behaviour::default());
    orchestrator.apply(spec).await.unwrap();
    orchestrator.until_ready(spec.name.as_str()).await;
}

fn names(orchestrator: &TestOrchestrator) -> Vec<String> {
    orchestrator.runtime.containers().into_iter().map(|c| c.name).collect()
}

fn first(orchestrator: &TestOrchestrator) -> ContainerId {
    orchestrator.runtime.named("dubernetes.default.web-1.r1").id
}

async fn until_torn_down(orchestrator: &TestOrchestrator) {
    orchestrator
        .until("the teardown is done", 5 * MINUTE, |seen| {
            seen.passes > 0 && seen.desired.teardown.is_none() && seen.observed.network.is_none()
        })
        .await;
    assert_eq!(names(orchestrator), NOTHING);
    assert_eq!(orchestrator.ingress.observe().await.unwrap(), ObservedIngress::Absent);
    let stored = orchestrator.store.list().await.unwrap();
    assert!(stored.apps.is_empty() && stored.tombstones.is_empty(), "{stored:?}");
}

#[tokio::test(start_paused = true)]
async fn eviction_survives_restart_and_is_cleared() {
    for passes in 0..8 {
        let orchestrator = TestOrchestrator::start();
        ready(&orchestrator, &app("web", "web:1", 2)).await;
        let evicted = first(&orchestrator);
        orchestrator.handle.evict(&app_name("web"), &evicted).await.unwrap();
        let kill_at = orchestrator.handle.snapshot().passes + passes;
        orchestrator.until("it is killed", 20 * MINUTE, |seen| seen.passes >= kill_at).await;
        let orchestrator = orchestrator.restart();
        let name = app_name("web");
        orchestrator
            .until("the eviction is cleared", 5 * MINUTE, |seen| {
                let stored = seen.desired.apps.get(&name);
                stored.is_some_and(|stored| stored.evicted.is_empty())
            })
            .await;
        assert!(orchestrator.runtime.containers().iter().all(|c| c.id != evicted), "{passes}");
        orchestrator.until_ready("web").await;
        assert_eq!(names(&orchestrator).len(), 2);
        orchestrator.stop();
    }
}

#[tokio::test(start_paused = true)]
async fn eviction_fails_if_it_cannot_be_stored() {
    let orchestrator = TestOrchestrator::start();
    ready(&orchestrator, &app("web", "web:1", 1)).await;
    let id = first(&orchestrator);
    orchestrator.store.faults().inject(StoreOperation::Evict, Fault::Error, 1);
    let failed = orchestrator.handle.evict(&app_name("web"), &id).await.unwrap_err();
    assert!(matches!(failed, StoreError::Failed(_)), "{failed:?}");
    let unknown = orchestrator.handle.evict(&app_name("other"), &id).await.unwrap_err();
    assert!(matches!(unknown, StoreError::NotFound { .. }), "{unknown:?}");
    tokio::time::sleep(MINUTE).await;
    assert_eq!(first(&orchestrator), id, "nothing is replaced");
}

#[tokio::test(start_paused = true)]
async fn teardown_continues_after_kill_in_every_state() {
    let mut is_killed_early = false;
    for passes in 0..25 {
        let orchestrator = TestOrchestrator::start();
        ready(&orchestrator, &app("web", "web:1", 2)).await;
        // Without a retry the whole teardown is one moment on the fakes.
        orchestrator.runtime.fail(Operation::Stop, 1);
        orchestrator.runtime.fail(Operation::Remove, 1);
        orchestrator.store.request_teardown(orchestrator.clock.now()).await.unwrap();
        let kill_at = orchestrator.handle.snapshot().passes + passes;
        let seen =
            orchestrator.until("it is killed", 20 * MINUTE, |seen| seen.passes >= kill_at).await;
        is_killed_early |= seen.desired.teardown.is_some();
        let orchestrator = orchestrator.restart();
        until_torn_down(&orchestrator).await;
        orchestrator.stop();
    }
    assert!(is_killed_early);
}

#[tokio::test(start_paused = true)]
async fn teardown_waits_for_requests_in_progress() {
    let orchestrator = TestOrchestrator::start();
    ready(&orchestrator, &app("web", "web:1", 1)).await;
    let endpoint = orchestrator.handle.snapshot().observed.replicas[0].endpoint.unwrap();
    orchestrator.ingress.set_busy(endpoint, true);
    let handle = orchestrator.handle.clone();
    let teardown = tokio::spawn(async move { handle.teardown().await });
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(names(&orchestrator).len(), 1, "the request may end");
    orchestrator.ingress.set_busy(endpoint, false);
    teardown.await.unwrap().unwrap();
    until_torn_down(&orchestrator).await;
    let query = EventQuery { limit: 100, ..EventQuery::default() };
    let events = orchestrator.store.events(&query).await.unwrap();
    assert!(events.iter().any(|event| event.reason == "TornDown"), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn teardown_removes_orphans() {
    let orchestrator = TestOrchestrator::start();
    ready(&orchestrator, &app("web", "web:1", 2)).await;
    orchestrator.stop();
    let TestOrchestrator { runtime, ingress, clock, .. } = orchestrator;
    let orchestrator = TestOrchestrator::start_on(runtime, Arc::default(), ingress, clock);
    orchestrator.handle.teardown().await.unwrap();
    until_torn_down(&orchestrator).await;
}

#[tokio::test(start_paused = true)]
async fn teardown_does_not_wait_for_a_broken_ingress() {
    let orchestrator = TestOrchestrator::start();
    ready(&orchestrator, &app("web", "web:1", 1)).await;
    orchestrator.ingress.set_failing(Some("no such directive"));
    orchestrator.handle.teardown().await.unwrap();
    until_torn_down(&orchestrator).await;
}

#[tokio::test(start_paused = true)]
async fn failed_teardown_names_what_is_left_and_goes_on() {
    let orchestrator = TestOrchestrator::start();
    ready(&orchestrator, &app("web", "web:1", 1)).await;
    orchestrator.runtime.fail(Operation::Remove, 3);
    let TeardownError::Failed(text) = orchestrator.handle.teardown().await.unwrap_err() else {
        panic!("the orchestrator has not ended");
    };
    assert!(text.starts_with("web-1: ") && text.contains("(3 attempts)"), "{text}");
    let refused = orchestrator.apply(&app("web", "web:1", 1)).await.unwrap_err();
    assert!(matches!(refused, StoreError::TearingDown), "{refused:?}");
    orchestrator.handle.teardown().await.unwrap();
    until_torn_down(&orchestrator).await;
    ready(&orchestrator, &app("web", "web:1", 1)).await;
}

#[tokio::test(start_paused = true)]
async fn teardown_is_refused_while_the_engine_is_unreachable() {
    let orchestrator = TestOrchestrator::start();
    ready(&orchestrator, &app("web", "web:1", 1)).await;
    orchestrator.runtime.set_away(true);
    let is_away = |seen: &Snapshot| seen.observed.engine != EngineStatus::Reachable;
    orchestrator.until("the engine is away", MINUTE, is_away).await;
    let failed = orchestrator.handle.teardown().await.unwrap_err();
    assert!(matches!(failed, TeardownError::Failed(_)), "{failed:?}");
    assert_eq!(orchestrator.store.list().await.unwrap().teardown, None, "nothing is requested");
    orchestrator.runtime.set_away(false);
    orchestrator.until_ready("web").await;
}
