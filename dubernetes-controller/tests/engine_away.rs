//! An engine that is away, and what has ended when it is back.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::Duration;

use dubernetes_core::labels::ReplicaLabels;
use dubernetes_core::plan::PodState;
use dubernetes_testkit::build::{TestOrchestrator, app, app_name};
use dubernetes_testkit::{Answer, Behaviour};

const MINUTE: Duration = Duration::from_secs(60);

/// Starts an orchestrator, and waits until its app has two ready replicas.
async fn start() -> TestOrchestrator {
    let orchestrator = TestOrchestrator::start();
    orchestrator.runtime.add_image("web:1", Behaviour::default());
    orchestrator.apply(&app("web", "web:1", 2)).await.unwrap();
    orchestrator.until_ready("web").await;
    orchestrator
}

#[tokio::test(start_paused = true)]
async fn unreachable_engine_causes_no_action() {
    let orchestrator = start().await;
    let before = orchestrator.runtime.containers();
    orchestrator.runtime.set_away(true);
    orchestrator.handle.run_pass();
    let seen = orchestrator
        .until("the engine is unreachable", MINUTE, |seen| {
            seen.plan.statuses[&app_name("web")].pods.iter().all(|p| p.state == PodState::Unknown)
        })
        .await;
    assert_eq!(seen.plan.actions, []);
    tokio::time::sleep(10 * MINUTE).await;
    orchestrator.runtime.set_away(false);
    orchestrator.until_ready("web").await;
    assert_eq!(orchestrator.runtime.containers(), before);
    assert!(matches!(orchestrator.ingress.request("web.local", "/"), Answer::Endpoint(_)));
}

#[tokio::test(start_paused = true)]
async fn replicas_that_end_with_their_engine_are_restarted_at_once() {
    let orchestrator = start().await;
    for round in 1..=6 {
        orchestrator.runtime.set_away(true);
        orchestrator.handle.run_pass();
        let is_unknown = |state| state == PodState::Unknown;
        orchestrator
            .until("the engine is unreachable", MINUTE, |seen| {
                seen.plan.statuses[&app_name("web")].pods.iter().all(|pod| is_unknown(pod.state))
            })
            .await;
        orchestrator.runtime.containers().iter().for_each(|container| {
            orchestrator.runtime.kill(&container.name, 137);
        });
        let back_at = tokio::time::Instant::now();
        orchestrator.runtime.set_away(false);
        orchestrator.until_ready("web").await;
        assert!(back_at.elapsed() < MINUTE / 3, "round {round}: {:?}", back_at.elapsed());
    }
    let labels: Vec<_> = orchestrator.runtime.containers().into_iter().map(|c| c.labels).collect();
    let labels: Vec<_> = labels.iter().map(|l| ReplicaLabels::from_map(l).unwrap()).collect();
    let counts: Vec<_> = labels.iter().map(|l| (l.restarts, l.consecutive_restarts)).collect();
    assert_eq!(counts, [(6, 0), (6, 0)]);
}
