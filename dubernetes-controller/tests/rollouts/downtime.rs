//! Time without an active orchestrator, or in a pause, does not count towards the progress
//! deadline.

use super::*;
use dubernetes_core::app::RevisionId;

/// Kills the replicas of revision 2, as a reboot of the machine does.
fn kill_new(orchestrator: &TestOrchestrator) {
    for name in ids(orchestrator).keys().filter(|name| name.contains(".r2")) {
        orchestrator.runtime.kill(name, 137);
    }
}

/// Stops an orchestrator, and starts another one on the same fakes after `downtime`.
async fn restart_after(orchestrator: TestOrchestrator, downtime: Duration) -> TestOrchestrator {
    orchestrator.stop();
    tokio::time::sleep(downtime).await;
    kill_new(&orchestrator);
    let store = std::sync::Arc::clone(&orchestrator.store);
    TestOrchestrator::start_on(
        orchestrator.runtime.clone(),
        store,
        orchestrator.ingress.clone(),
        orchestrator.clock,
    )
}

#[tokio::test(start_paused = true)]
async fn downtime_of_orchestrator_does_not_count_towards_deadline() {
    for crash in [100, 300, 600, 2_000] {
        let orchestrator = stable_app().await;
        let slow = Behaviour { ready_after: Some(3 * SECOND), ..Behaviour::default() };
        orchestrator.runtime.add_image("web:2", slow);
        orchestrator.apply(&web("web:2")).await.unwrap();
        tokio::time::sleep(Duration::from_millis(crash)).await;
        let orchestrator = restart_after(orchestrator, 10 * MINUTE).await;
        orchestrator.until_ready("web").await;
        let app = stored(&orchestrator).await;
        assert_eq!(
            (app.revision, app.spec.artifact.as_str()),
            (RevisionId(2), "web:2"),
            "crash after {crash} ms"
        );
        orchestrator.stop();
    }
}

#[tokio::test(start_paused = true)]
async fn suspension_of_orchestrator_does_not_count_towards_deadline() {
    for moment in [50, 300, 600, 2_000, 4_000] {
        let orchestrator = stable_app().await;
        let slow = Behaviour { ready_after: Some(3 * SECOND), ..Behaviour::default() };
        orchestrator.runtime.add_image("web:2", slow);
        orchestrator.apply(&web("web:2")).await.unwrap();
        tokio::time::sleep(Duration::from_millis(moment)).await;
        // No task runs meanwhile: the process was suspended, or the machine slept.
        tokio::time::advance(10 * MINUTE).await;
        kill_new(&orchestrator);
        orchestrator.until_ready("web").await;
        let app = stored(&orchestrator).await;
        assert_eq!(
            (app.revision, app.spec.artifact.as_str()),
            (RevisionId(2), "web:2"),
            "after {moment} ms"
        );
        orchestrator.stop();
    }
}

#[tokio::test(start_paused = true)]
async fn paused_time_does_not_count_towards_deadline() {
    let orchestrator = stable_app().await;
    let slow = Behaviour { ready_after: Some(3 * SECOND), ..Behaviour::default() };
    orchestrator.runtime.add_image("web:2", slow);
    orchestrator.apply(&web("web:2")).await.unwrap();
    tokio::time::sleep(SECOND).await;
    rollout_action(&orchestrator, RolloutAction::Pause).await.unwrap();
    tokio::time::sleep(10 * MINUTE).await;
    kill_new(&orchestrator);
    rollout_action(&orchestrator, RolloutAction::Resume).await.unwrap();
    orchestrator.until_ready("web").await;
    assert_eq!(stored(&orchestrator).await.revision, RevisionId(2));
}

#[tokio::test(start_paused = true)]
async fn resumed_rollout_completes_after_cause_is_fixed() {
    let fixed = Behaviour::default();
    for (image, behaviour, _) in bad_images() {
        let orchestrator = stable_app().await;
        if let Some(behaviour) = behaviour {
            orchestrator.runtime.add_image(image, behaviour);
        }
        let mut spec = web(image);
        spec.rollout.on_failure = OnFailure::Pause;
        orchestrator.apply(&spec).await.unwrap();
        tokio::time::sleep(5 * MINUTE).await;
        assert_eq!(outcomes(&orchestrator).await, ["stable", "failed"], "{image}");
        orchestrator.runtime.add_image(image, fixed.clone());
        kill_new(&orchestrator);
        rollout_action(&orchestrator, RolloutAction::Resume).await.unwrap();
        tokio::time::sleep(2 * MINUTE).await;
        orchestrator.until_ready("web").await;
        assert_eq!(stored(&orchestrator).await.rollout.outcome.as_str(), "stable", "{image}");
    }
}

#[tokio::test(start_paused = true)]
async fn paused_rollout_keeps_its_replicas_after_a_crash() {
    let orchestrator = paused_rollout().await;
    tokio::time::sleep(MINUTE).await;
    // The next start waits for its back-off.
    orchestrator.runtime.add_image("web:1", Behaviour::exits(Duration::from_millis(100), 7));
    orchestrator.runtime.kill("dubernetes.default.web-1.r1", 7);
    tokio::time::sleep(20 * SECOND).await;
    let (names, orchestrator) = (ids(&orchestrator), orchestrator.restart());
    tokio::time::sleep(10 * SECOND).await;
    assert!(names.keys().any(|name| name.contains("web-1.r1")), "{names:?}");
    let later = ids(&orchestrator);
    assert!(later.keys().any(|name| name.contains("web-1.r1")), "{names:?} {later:?}");
    assert_eq!(later.len(), names.len(), "{names:?} {later:?}");
}

#[tokio::test(start_paused = true)]
async fn min_ready_passes_although_orchestrator_restarts_every_second() {
    let mut orchestrator = stable_app().await;
    let mut spec = web("web:2");
    spec.rollout.min_ready = Span::from_secs(5);
    orchestrator.apply(&spec).await.unwrap();
    for _ in 0..40 {
        tokio::time::sleep(SECOND).await;
        orchestrator = orchestrator.restart();
    }
    let outcome = stored(&orchestrator).await.rollout.outcome;
    assert!(matches!(outcome, Outcome::Complete { .. }), "{outcome:?}");
    orchestrator.stop();
}
