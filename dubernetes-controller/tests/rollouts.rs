//! Rollouts on fakes and virtual time: complete, paused, or rolled back, also after a crash of the
//! orchestrator.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "rollouts/downtime.rs"]
mod downtime;
#[path = "rollouts/pre_deploy.rs"]
mod pre_deploy;

use std::collections::BTreeMap;
use std::time::Duration;

use dubernetes_core::app::{AppSpec, Check, Duration as Span, Health, OnFailure, RevisionId};
use dubernetes_core::plan::Phase;
use dubernetes_core::store::{
    EventQuery, Outcome, PutApp, Revision, RevisionCause, RolloutAction, RolloutCommand,
    RolloutUpdate, Store as _, StoreError, StoredApp,
};
use dubernetes_testkit::Behaviour;
use dubernetes_testkit::build::{TestOrchestrator, app, app_name};
use jiff::Timestamp;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// Starts two replicas of a good image, and waits until the revision is stable.
async fn stable_app() -> TestOrchestrator {
    let orchestrator = TestOrchestrator::start();
    orchestrator.runtime.add_image("web:1", Behaviour::default());
    orchestrator.runtime.add_image("web:2", Behaviour::default());
    orchestrator.apply(&web("web:1")).await.unwrap();
    orchestrator.until_ready("web").await;
    tokio::time::sleep(2 * MINUTE).await;
    orchestrator
}

fn web(image: &str) -> AppSpec {
    let mut spec = app("web", image, 2);
    spec.rollout.progress_deadline = Span::from_secs(20);
    spec
}

async fn stored(orchestrator: &TestOrchestrator) -> StoredApp {
    orchestrator.store.get(&app_name("web")).await.unwrap()
}

async fn kept(orchestrator: &TestOrchestrator, revision: u64) -> Revision {
    let kept = orchestrator.store.revisions(&app_name("web")).await.unwrap();
    kept.into_iter().find(|kept| kept.revision == RevisionId(revision)).unwrap()
}

async fn outcomes(orchestrator: &TestOrchestrator) -> Vec<&'static str> {
    let kept = orchestrator.store.revisions(&app_name("web")).await.unwrap();
    kept.iter().map(|kept| kept.rollout.outcome.as_str()).collect()
}

async fn rollout_action(
    orchestrator: &TestOrchestrator,
    action: RolloutAction,
) -> Result<StoredApp, StoreError> {
    use dubernetes_core::clock::Clock as _;
    let command = RolloutCommand {
        name: app_name("web"),
        action,
        newest_seen: RevisionId::NONE,
        now: orchestrator.clock.now(),
    };
    orchestrator.store.update_rollout(command).await.map(|put| put.app)
}

/// Returns name and id of each container, ordered by name.
fn ids(orchestrator: &TestOrchestrator) -> BTreeMap<String, String> {
    orchestrator.runtime.containers().into_iter().map(|c| (c.name, c.id.to_string())).collect()
}

fn status(orchestrator: &TestOrchestrator) -> (Phase, String) {
    let seen = orchestrator.handle.snapshot();
    let status = &seen.plan.statuses[&app_name("web")];
    (status.phase, status.message.clone())
}

/// Returns images that never become ready, with the reason that is reported.
fn bad_images() -> [(&'static str, Option<Behaviour>, &'static str); 4] {
    let no_command = Behaviour {
        start_error: Some("exec: \"/nosuch\": no such file".to_owned()),
        ..Behaviour::default()
    };
    [
        ("bad:1", Some(Behaviour::exits(Duration::from_millis(500), 9)), "exit code 9"),
        ("bad:2", Some(Behaviour::never_ready()), "no progress within 20s"),
        ("bad:3", Some(no_command), "no such file"),
        ("bad:4", None, "bad:4"),
    ]
}

#[tokio::test(start_paused = true)]
async fn failed_revision_rolls_back_within_deadline_and_keeps_old_replicas() {
    for (image, behaviour, why) in bad_images() {
        let orchestrator = stable_app().await;
        if let Some(behaviour) = behaviour {
            orchestrator.runtime.add_image(image, behaviour);
        }
        let before = ids(&orchestrator);
        let tables = orchestrator.ingress.applied().len();
        orchestrator.apply(&web(image)).await.unwrap();
        tokio::time::sleep(25 * SECOND).await;
        let app = stored(&orchestrator).await;
        assert_eq!((app.revision, app.spec.artifact.as_str()), (RevisionId(3), "web:1"), "{image}");
        let RevisionCause::RollBack { from: RevisionId(2), to: RevisionId(1), failure } =
            &app.rollout.cause
        else {
            panic!("{image}: {:?}", app.rollout);
        };
        assert!(failure.reason.contains(why), "{image}: {}", failure.reason);
        assert_eq!(
            kept(&orchestrator, 2).await.rollout.outcome.failure(),
            Some(&**failure),
            "{image}"
        );
        orchestrator.until_ready("web").await;
        tokio::time::sleep(5 * SECOND).await;
        assert_eq!(ids(&orchestrator), before, "{image}: the old replicas keep their containers");
        let (phase, message) = status(&orchestrator);
        assert_eq!(phase, Phase::Ready, "{image}");
        assert!(message.starts_with("revision 2 failed: ") && message.contains(why), "{message}");
        for table in &orchestrator.ingress.applied()[tables..] {
            assert!(table.routes[0].endpoints.len() >= 2, "{image}: the old replicas served");
        }
        tokio::time::sleep(2 * MINUTE).await;
        assert_eq!(outcomes(&orchestrator).await, ["stable", "failed", "stable"], "{image}");
    }
}

#[tokio::test(start_paused = true)]
async fn failure_keeps_last_lines_of_failed_replica() {
    let orchestrator = stable_app().await;
    orchestrator.runtime.add_image("bad:1", Behaviour::never_ready());
    orchestrator.apply(&web("bad:1")).await.unwrap();
    tokio::time::sleep(5 * SECOND).await;
    for n in 0..30 {
        orchestrator.runtime.write_log("dubernetes.default.web-3.r2", &format!("line {n}"));
    }
    tokio::time::sleep(MINUTE).await;
    let failed = kept(&orchestrator, 2).await.rollout;
    let failure = failed.outcome.failure().unwrap();
    assert_eq!(failure.pod.as_ref().unwrap(), "web-3");
    assert_eq!((failure.log.len(), failure.log[19].as_str()), (20, "line 29"));
}

#[tokio::test(start_paused = true)]
async fn failed_spec_needs_retry_flag() {
    let orchestrator = stable_app().await;
    orchestrator.apply(&web("bad:4")).await.unwrap();
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!(stored(&orchestrator).await.revision, RevisionId(3));
    let generation = stored(&orchestrator).await.generation;
    let refused = orchestrator.apply(&web("bad:4")).await;
    assert!(
        matches!(refused, Err(StoreError::PreviouslyFailed { revision: RevisionId(2), .. })),
        "{refused:?}"
    );
    // Another number of replicas is not another revision.
    let refused = orchestrator.apply(&AppSpec { replicas: 3, ..web("bad:4") }).await;
    assert!(
        matches!(refused, Err(StoreError::PreviouslyFailed { revision: RevisionId(2), .. })),
        "{refused:?}"
    );
    assert_eq!(stored(&orchestrator).await.generation, generation);

    orchestrator.runtime.add_image("bad:4", Behaviour::default());
    let put = PutApp {
        retry: true,
        ..PutApp::new(web("bad:4").validate().unwrap(), Timestamp::UNIX_EPOCH)
    };
    let app = orchestrator.store.put(put).await.unwrap().app;
    assert_eq!(app.rollout.cause, RevisionCause::Retry { of: RevisionId(2) });
    orchestrator.until_ready("web").await;
    assert_eq!(stored(&orchestrator).await.spec.artifact.as_str(), "bad:4");
}

#[tokio::test(start_paused = true)]
async fn failed_first_revision_keeps_retrying_and_can_recover() {
    let orchestrator = TestOrchestrator::start();
    orchestrator.runtime.add_image("web:1", Behaviour::never_ready());
    orchestrator.apply(&web("web:1")).await.unwrap();
    tokio::time::sleep(30 * SECOND).await;
    assert_eq!(outcomes(&orchestrator).await, ["failed"]);
    assert_eq!(status(&orchestrator).0, Phase::Failed);
    orchestrator.runtime.add_image("web:1", Behaviour::default());
    for container in orchestrator.runtime.containers() {
        orchestrator.runtime.kill(&container.name, 1);
    }
    orchestrator.until_ready("web").await;
    tokio::time::sleep(2 * MINUTE).await;
    assert_eq!(outcomes(&orchestrator).await, ["stable"]);
}

#[tokio::test(start_paused = true)]
async fn failed_rollout_with_pause_waits_for_resume() {
    let orchestrator = stable_app().await;
    let before = ids(&orchestrator);
    orchestrator.runtime.add_image("bad:2", Behaviour::never_ready());
    let mut spec = web("bad:2");
    spec.rollout.on_failure = OnFailure::Pause;
    orchestrator.apply(&spec).await.unwrap();
    tokio::time::sleep(5 * MINUTE).await;
    assert_eq!(outcomes(&orchestrator).await, ["stable", "failed"]);
    let paused = ids(&orchestrator);
    assert_eq!(paused.len(), 3, "two old replicas and the failed one: {paused:?}");
    assert!(before.iter().all(|(name, id)| paused.get(name) == Some(id)));
    assert_eq!(status(&orchestrator).0, Phase::Failed);
    let refused = orchestrator.apply(&spec).await;
    assert!(
        matches!(refused, Err(StoreError::PreviouslyFailed { revision: RevisionId(2), .. })),
        "{refused:?}"
    );

    // A resume follows a fix outside the app.
    orchestrator.runtime.add_image("bad:2", Behaviour::default());
    orchestrator.runtime.kill("dubernetes.default.web-3.r2", 1);
    rollout_action(&orchestrator, RolloutAction::Resume).await.unwrap();
    orchestrator.until_ready("web").await;
    tokio::time::sleep(2 * MINUTE).await;
    assert_eq!(outcomes(&orchestrator).await, ["stable", "stable"]);
}

#[tokio::test(start_paused = true)]
async fn crash_loop_rolls_back_only_before_revision_is_stable() {
    for (lives, back) in [(40, true), (100, false)] {
        let orchestrator = stable_app().await;
        orchestrator.runtime.add_image("web:2", Behaviour::exits(Duration::from_secs(lives), 5));
        orchestrator.apply(&web("web:2")).await.unwrap();
        tokio::time::sleep(30 * SECOND).await;
        assert!(kept(&orchestrator, 2).await.rollout.outcome.was_complete(), "{lives}");
        // Later starts exit at once.
        orchestrator.runtime.add_image("web:2", Behaviour::exits(Duration::from_millis(200), 5));
        tokio::time::sleep(3 * MINUTE).await;
        let image = stored(&orchestrator).await.spec.artifact.clone();
        assert_eq!(image.as_str() == "web:1", back, "after {lives}s: {:?}", status(&orchestrator));
    }
}

#[tokio::test(start_paused = true)]
async fn failed_rollback_keeps_retrying_without_new_revisions() {
    let orchestrator = stable_app().await;
    // The old revision no longer starts either.
    orchestrator.runtime.add_image("web:1", Behaviour::exits(Duration::from_millis(200), 1));
    orchestrator.apply(&web("web:2")).await.unwrap();
    orchestrator.until_ready("web").await;
    orchestrator.runtime.add_image("web:2", Behaviour::exits(Duration::from_millis(200), 2));
    for container in orchestrator.runtime.containers() {
        orchestrator.runtime.kill(&container.name, 2);
    }
    tokio::time::sleep(10 * MINUTE).await;
    assert_eq!(outcomes(&orchestrator).await, ["stable", "failed", "failed"]);
    orchestrator.runtime.add_image("web:1", Behaviour::default());
    tokio::time::sleep(10 * MINUTE).await;
    orchestrator.until_ready("web").await;
    assert_eq!(stored(&orchestrator).await.spec.artifact.as_str(), "web:1");
    assert_eq!(outcomes(&orchestrator).await, ["stable", "failed", "stable"]);
}

#[tokio::test(start_paused = true)]
async fn undo_restores_last_complete_or_given_revision() {
    let orchestrator = stable_app().await;
    orchestrator.apply(&web("web:2")).await.unwrap();
    orchestrator.until_ready("web").await;
    tokio::time::sleep(2 * MINUTE).await;
    // The images of kept revisions are pinned, so nothing is pulled.
    orchestrator.runtime.take_journal();
    let undone = rollout_action(&orchestrator, RolloutAction::Undo { to: None }).await.unwrap();
    assert_eq!((undone.revision, undone.spec.artifact.as_str()), (RevisionId(3), "web:1"));
    assert_eq!(undone.rollout.cause, RevisionCause::Undo { to: RevisionId(1) });
    orchestrator.until_ready("web").await;
    let pulls =
        orchestrator.runtime.take_journal().into_iter().filter(|call| call.contains("image"));
    assert_eq!(pulls.collect::<Vec<_>>(), Vec::<String>::new());

    tokio::time::sleep(2 * MINUTE).await;
    let undone = rollout_action(&orchestrator, RolloutAction::Undo { to: Some(RevisionId(2)) })
        .await
        .unwrap();
    assert_eq!((undone.revision, undone.spec.artifact.as_str()), (RevisionId(4), "web:2"));
    orchestrator.until_ready("web").await;
    let refused =
        rollout_action(&orchestrator, RolloutAction::Undo { to: Some(RevisionId(99)) }).await;
    let Err(StoreError::NoRevision { revision: Some(RevisionId(99)), kept, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(kept, [1, 2, 3, 4].map(RevisionId));
}

#[tokio::test(start_paused = true)]
async fn undo_during_rollout_keeps_remaining_old_replicas() {
    let orchestrator = stable_app().await;
    let before = ids(&orchestrator);
    orchestrator.apply(&web("web:2")).await.unwrap();
    orchestrator
        .until("the first new replica is ready", MINUTE, |seen| {
            seen.plan.statuses[&app_name("web")].updated == 1
        })
        .await;
    rollout_action(&orchestrator, RolloutAction::Undo { to: None }).await.unwrap();
    orchestrator.until_ready("web").await;
    tokio::time::sleep(MINUTE).await;
    assert_eq!(ids(&orchestrator), before);
}

#[tokio::test(start_paused = true)]
async fn restart_replaces_all_replicas_with_current_image_of_tag() {
    let orchestrator = stable_app().await;
    let before = ids(&orchestrator);
    let restarted = rollout_action(&orchestrator, RolloutAction::Restart).await.unwrap();
    assert_eq!((restarted.revision, restarted.image_id), (RevisionId(2), None));
    orchestrator.until_ready("web").await;
    tokio::time::sleep(MINUTE).await;
    assert!(
        ids(&orchestrator).keys().all(|name| !before.contains_key(name)),
        "{:?}",
        ids(&orchestrator)
    );
    assert_eq!(ids(&orchestrator).len(), 2);
}

/// Starts a rollout and pauses it with one of its two new replicas ready.
async fn paused_rollout() -> TestOrchestrator {
    let orchestrator = stable_app().await;
    orchestrator.apply(&web("web:2")).await.unwrap();
    orchestrator
        .until("the first new replica is ready", MINUTE, |seen| {
            seen.plan.statuses[&app_name("web")].updated == 1
        })
        .await;
    rollout_action(&orchestrator, RolloutAction::Pause).await.unwrap();
    orchestrator
}

#[tokio::test(start_paused = true)]
async fn paused_rollout_replaces_nothing_but_failures() {
    let orchestrator = paused_rollout().await;
    tokio::time::sleep(3 * MINUTE).await;
    let paused = ids(&orchestrator);
    assert_eq!(paused.len(), 3, "{paused:?}");
    orchestrator.runtime.kill("dubernetes.default.web-3.r2", 1);
    orchestrator.runtime.vanish("dubernetes.default.web-2.r1");
    tokio::time::sleep(MINUTE).await;
    assert_eq!(
        ids(&orchestrator).len(),
        2,
        "a lost surge replica is not recreated: {:?}",
        ids(&orchestrator)
    );
    rollout_action(&orchestrator, RolloutAction::Resume).await.unwrap();
    orchestrator.until_ready("web").await;
    assert!(ids(&orchestrator).keys().all(|name| name.contains(".r2")), "{:?}", ids(&orchestrator));
}

#[tokio::test(start_paused = true)]
async fn unhealthy_replica_is_unrouted_then_replaced() {
    let orchestrator = stable_app().await;
    let mut spec = web("web:1");
    spec.health = Some(Health::new(Check::Tcp));
    orchestrator.apply(&spec).await.unwrap();
    orchestrator.until_ready("web").await;
    tokio::time::sleep(MINUTE).await;
    let name = ids(&orchestrator).keys().next().unwrap().clone();
    let routed = |orchestrator: &TestOrchestrator| {
        orchestrator.ingress.applied().last().unwrap().routes[0].endpoints.len()
    };

    orchestrator.runtime.set_ready(&name, false);
    tokio::time::sleep(7 * SECOND).await;
    assert_eq!(routed(&orchestrator), 1, "two failed probes are at most 5.5 s");
    let before = ids(&orchestrator);
    orchestrator.runtime.set_ready(&name, true);
    tokio::time::sleep(2 * SECOND).await;
    assert_eq!(
        (routed(&orchestrator), ids(&orchestrator)),
        (2, before.clone()),
        "the replica is routed again, in the same container"
    );

    orchestrator.runtime.set_ready(&name, false);
    tokio::time::sleep(MINUTE).await;
    let after = ids(&orchestrator);
    assert!(!after.contains_key(&name), "the replica is replaced: {after:?}");
    let query = EventQuery { limit: 100, ..EventQuery::default() };
    let events = orchestrator.store.events(&query).await.unwrap();
    let created = events.iter().rfind(|event| event.reason == "Created").unwrap();
    let why = "unhealthy: nothing listens on port 80; restart ";
    assert!(created.message.contains(why), "{}", created.message);
    assert_eq!(after.len(), 2);
    let other = before.iter().find(|(other, _)| **other != name).unwrap();
    assert_eq!(after.get(other.0), Some(other.1), "the healthy replica is kept");
    assert_eq!(routed(&orchestrator), 2);
}

#[tokio::test(start_paused = true)]
async fn rollout_continues_after_crash_at_any_time() {
    for image in ["web:2", "bad:1", "bad:2", "bad:4"] {
        for crash in (0..60_u32).map(|n| n * 410) {
            let orchestrator = stable_app().await;
            orchestrator
                .runtime
                .add_image("bad:1", Behaviour::exits(Duration::from_millis(500), 9));
            orchestrator.runtime.add_image("bad:2", Behaviour::never_ready());
            let before = ids(&orchestrator);
            orchestrator.apply(&web(image)).await.unwrap();
            tokio::time::sleep(Duration::from_millis(u64::from(crash))).await;
            let orchestrator = orchestrator.restart();
            tokio::time::sleep(2 * MINUTE).await;
            orchestrator.until_ready("web").await;
            let expected = if image == "web:2" { "web:2" } else { "web:1" };
            let app = stored(&orchestrator).await;
            assert_eq!(app.spec.artifact.as_str(), expected, "{image}, crash after {crash} ms");
            assert_eq!(
                ids(&orchestrator).len(),
                2,
                "{image}, {crash} ms: {:?}",
                ids(&orchestrator)
            );
            if expected == "web:1" {
                assert_eq!(ids(&orchestrator), before, "{image}, crash after {crash} ms");
            }
            orchestrator.stop();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn rollout_result_of_other_revision_is_ignored() {
    let orchestrator = stable_app().await;
    let before = stored(&orchestrator).await;
    orchestrator
        .store
        .record_rollout(
            &app_name("web"),
            RevisionId(7),
            &RolloutUpdate::Complete,
            Timestamp::UNIX_EPOCH,
        )
        .await
        .unwrap();
    assert_eq!(stored(&orchestrator).await, before);
    assert_eq!(before.rollout.outcome, Outcome::Stable);
}

#[tokio::test(start_paused = true)]
async fn undo_skips_failed_revisions_unless_named() {
    let orchestrator = stable_app().await;
    orchestrator.apply(&web("bad:4")).await.unwrap();
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!(outcomes(&orchestrator).await[1], "failed");
    let none = rollout_action(&orchestrator, RolloutAction::Undo { to: None }).await;
    assert!(matches!(none, Err(StoreError::NoRevision { revision: None, .. })), "{none:?}");
    let named = rollout_action(&orchestrator, RolloutAction::Undo { to: Some(RevisionId(2)) })
        .await
        .unwrap();
    assert_eq!(named.spec.artifact.as_str(), "bad:4");
}

#[tokio::test(start_paused = true)]
async fn rollback_never_runs_a_moved_tag() {
    let orchestrator = stable_app().await;
    orchestrator.apply(&web("web:2")).await.unwrap();
    orchestrator.until_ready("web").await;
    rollout_action(&orchestrator, RolloutAction::Undo { to: None }).await.unwrap();
    orchestrator.until_ready("web").await;
    orchestrator.runtime.move_tag("web:1", "web:2");
    orchestrator.runtime.remove_image("web:1");
    let (lost, kept) =
        (ids(&orchestrator).into_keys().next().unwrap(), ids(&orchestrator).into_values().nth(1));
    orchestrator.runtime.vanish(&lost);
    tokio::time::sleep(3 * MINUTE).await;
    let (phase, message) = status(&orchestrator);
    assert_ne!(phase, Phase::Ready);
    let why = "is gone, and `web:1` is a different one now";
    assert!(message.contains(why), "{message}");
    assert_eq!(ids(&orchestrator).into_values().next(), kept, "the other replica still serves");
    assert_eq!(ids(&orchestrator).len(), 1);
    // A restart resolves the tag again.
    rollout_action(&orchestrator, RolloutAction::Restart).await.unwrap();
    orchestrator.until_ready("web").await;
}
