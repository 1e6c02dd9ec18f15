//! The time in which nobody acted on a rollout, or somebody held it, is none that it has taken.

use super::*;

/// What a machine that starts again does to the replicas of revision 2.
fn kill_new(orchestrator: &TestOrchestrator) {
    for name in ids(orchestrator).keys().filter(|name| name.contains(".r2")) {
        orchestrator.runtime.kill(name, 137);
    }
}

/// An orchestrator on what that one left, after a time without any.
async fn after(orchestrator: TestOrchestrator, downtime: Duration) -> TestOrchestrator {
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
async fn the_time_without_an_orchestrator_is_none_that_a_rollout_has_taken() {
    for death in [100, 300, 600, 2_000] {
        let orchestrator = good().await;
        let slow = Behaviour { ready_after: Some(3 * SECOND), ..Behaviour::default() };
        orchestrator.runtime.add_image("web:2", slow);
        orchestrator.apply(&web("web:2")).await.unwrap();
        tokio::time::sleep(Duration::from_millis(death)).await;
        let orchestrator = after(orchestrator, 10 * MINUTE).await;
        orchestrator.until_ready("web").await;
        let app = stored(&orchestrator).await;
        assert_eq!((app.revision, app.spec.image.as_str()), (2, "web:2"), "death after {death} ms");
        orchestrator.stop();
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_in_which_the_orchestrator_stood_still_is_none_that_a_rollout_has_taken() {
    for moment in [50, 300, 600, 2_000, 4_000] {
        let orchestrator = good().await;
        let slow = Behaviour { ready_after: Some(3 * SECOND), ..Behaviour::default() };
        orchestrator.runtime.add_image("web:2", slow);
        orchestrator.apply(&web("web:2")).await.unwrap();
        tokio::time::sleep(Duration::from_millis(moment)).await;
        // Nobody gets to run meanwhile: the process was stopped, or the machine slept.
        tokio::time::advance(10 * MINUTE).await;
        kill_new(&orchestrator);
        orchestrator.until_ready("web").await;
        let app = stored(&orchestrator).await;
        assert_eq!((app.revision, app.spec.image.as_str()), (2, "web:2"), "after {moment} ms");
        orchestrator.stop();
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_in_which_a_rollout_was_paused_is_none_that_it_has_taken() {
    let orchestrator = good().await;
    let slow = Behaviour { ready_after: Some(3 * SECOND), ..Behaviour::default() };
    orchestrator.runtime.add_image("web:2", slow);
    orchestrator.apply(&web("web:2")).await.unwrap();
    tokio::time::sleep(SECOND).await;
    rollout_action(&orchestrator, RolloutAction::Pause).await.unwrap();
    tokio::time::sleep(10 * MINUTE).await;
    kill_new(&orchestrator);
    rollout_action(&orchestrator, RolloutAction::Resume).await.unwrap();
    orchestrator.until_ready("web").await;
    assert_eq!(stored(&orchestrator).await.revision, 2);
}

#[tokio::test(start_paused = true)]
async fn a_rollout_that_is_resumed_after_its_cause_was_mended_gets_on() {
    let mended = Behaviour::default();
    for (image, behaviour, _) in bad_images() {
        let orchestrator = good().await;
        if let Some(behaviour) = behaviour {
            orchestrator.runtime.add_image(image, behaviour);
        }
        let mut spec = web(image);
        spec.rollout.on_failure = OnFailure::Pause;
        orchestrator.apply(&spec).await.unwrap();
        tokio::time::sleep(5 * MINUTE).await;
        assert_eq!(outcomes(&orchestrator).await, ["stable", "failed"], "{image}");
        orchestrator.runtime.add_image(image, mended.clone());
        kill_new(&orchestrator);
        rollout_action(&orchestrator, RolloutAction::Resume).await.unwrap();
        tokio::time::sleep(2 * MINUTE).await;
        orchestrator.until_ready("web").await;
        assert_eq!(stored(&orchestrator).await.rollout.outcome.as_str(), "stable", "{image}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_held_rollout_keeps_what_it_has_when_the_orchestrator_dies() {
    let orchestrator = half_way().await;
    tokio::time::sleep(MINUTE).await;
    // Its next start is some time off.
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
