//! How rollouts end, on fakes and virtual time: complete, held, or back at the last complete
//! revision, also when the orchestrator dies on the way.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "rollouts/downtime.rs"]
mod downtime;

use std::collections::BTreeMap;
use std::time::Duration;

use dubernetes_core::app::{AppSpec, Check, Duration as Span, Health, OnFailure, PreDeploy};
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

/// Two replicas of the good image, complete for long.
async fn good() -> TestOrchestrator {
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
    kept.into_iter().find(|kept| kept.revision == revision).unwrap()
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
    let update_rollout = RolloutCommand {
        name: app_name("web"),
        action,
        newest_seen: 0,
        now: orchestrator.clock.now(),
    };
    orchestrator.store.update_rollout(update_rollout).await.map(|put| put.app)
}

/// Name and id of each container, in the order of the names.
fn ids(orchestrator: &TestOrchestrator) -> BTreeMap<String, String> {
    orchestrator.runtime.containers().into_iter().map(|c| (c.name, c.id.to_string())).collect()
}

fn status(orchestrator: &TestOrchestrator) -> (Phase, String) {
    let seen = orchestrator.handle.snapshot();
    let status = &seen.plan.statuses[&app_name("web")];
    (status.phase, status.message.clone())
}

/// Images that never come to anything, and what is said of them.
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
async fn what_fails_goes_back_within_its_deadline_and_touches_no_old_replica() {
    for (image, behaviour, why) in bad_images() {
        let orchestrator = good().await;
        if let Some(behaviour) = behaviour {
            orchestrator.runtime.add_image(image, behaviour);
        }
        let before = ids(&orchestrator);
        let tables = orchestrator.ingress.applied().len();
        orchestrator.apply(&web(image)).await.unwrap();
        tokio::time::sleep(25 * SECOND).await;
        let app = stored(&orchestrator).await;
        assert_eq!((app.revision, app.spec.image.as_str()), (3, "web:1"), "{image}");
        let RevisionCause::RollBack { from: 2, to: 1, failure } = &app.rollout.cause else {
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
        assert_eq!(
            ids(&orchestrator),
            before,
            "{image}: ids of the old replicas are what they were"
        );
        let (phase, message) = status(&orchestrator);
        assert_eq!(phase, Phase::Ready, "{image}");
        assert!(message.starts_with("revision 2 failed: ") && message.contains(why), "{message}");
        for table in &orchestrator.ingress.applied()[tables..] {
            assert!(table.routes[0].endpoints.len() >= 2, "{image}: the old ones served");
        }
        tokio::time::sleep(2 * MINUTE).await;
        assert_eq!(outcomes(&orchestrator).await, ["stable", "failed", "stable"], "{image}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_keeps_the_last_lines_of_what_shows_it() {
    let orchestrator = good().await;
    orchestrator.runtime.add_image("bad:1", Behaviour::never_ready());
    orchestrator.apply(&web("bad:1")).await.unwrap();
    tokio::time::sleep(5 * SECOND).await;
    for n in 0..30 {
        orchestrator.runtime.write_log("dubernetes.default.web-3.r2", &format!("line {n}"));
    }
    tokio::time::sleep(MINUTE).await;
    let failed = kept(&orchestrator, 2).await.rollout;
    let failure = failed.outcome.failure().unwrap();
    assert_eq!(failure.pod.as_deref(), Some("web-3"));
    assert_eq!((failure.log.len(), failure.log[19].as_str()), (20, "line 29"));
}

#[tokio::test(start_paused = true)]
async fn what_has_failed_is_not_tried_again_unless_somebody_says_so() {
    let orchestrator = good().await;
    orchestrator.apply(&web("bad:4")).await.unwrap();
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!(stored(&orchestrator).await.revision, 3);
    let generation = stored(&orchestrator).await.generation;
    let refused = orchestrator.apply(&web("bad:4")).await;
    assert!(
        matches!(refused, Err(StoreError::PreviouslyFailed { revision: 2, .. })),
        "{refused:?}"
    );
    // Another number of replicas makes it no other revision.
    let refused = orchestrator.apply(&AppSpec { replicas: 3, ..web("bad:4") }).await;
    assert!(
        matches!(refused, Err(StoreError::PreviouslyFailed { revision: 2, .. })),
        "{refused:?}"
    );
    assert_eq!(stored(&orchestrator).await.generation, generation);

    orchestrator.runtime.add_image("bad:4", Behaviour::default());
    let put = PutApp { retry: true, ..PutApp::new(web("bad:4"), Timestamp::UNIX_EPOCH) };
    let app = orchestrator.store.put(put).await.unwrap().app;
    assert_eq!(app.rollout.cause, RevisionCause::Retry { of: 2 });
    orchestrator.until_ready("web").await;
    assert_eq!(stored(&orchestrator).await.spec.image.as_str(), "bad:4");
}

#[tokio::test(start_paused = true)]
async fn a_first_revision_that_fails_goes_on_trying_and_may_get_well() {
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
async fn a_rollout_that_pauses_on_failure_stays_as_it_is_until_it_is_resumed() {
    let orchestrator = good().await;
    let before = ids(&orchestrator);
    orchestrator.runtime.add_image("bad:2", Behaviour::never_ready());
    let mut spec = web("bad:2");
    spec.rollout.on_failure = OnFailure::Pause;
    orchestrator.apply(&spec).await.unwrap();
    tokio::time::sleep(5 * MINUTE).await;
    assert_eq!(outcomes(&orchestrator).await, ["stable", "failed"]);
    let held = ids(&orchestrator);
    assert_eq!(held.len(), 3, "two old ones and the one that failed: {held:?}");
    assert!(before.iter().all(|(name, id)| held.get(name) == Some(id)));
    assert_eq!(status(&orchestrator).0, Phase::Failed);
    let refused = orchestrator.apply(&spec).await;
    assert!(
        matches!(refused, Err(StoreError::PreviouslyFailed { revision: 2, .. })),
        "{refused:?}"
    );

    // Whoever mends the cause outside resumes.
    orchestrator.runtime.add_image("bad:2", Behaviour::default());
    orchestrator.runtime.kill("dubernetes.default.web-3.r2", 1);
    rollout_action(&orchestrator, RolloutAction::Resume).await.unwrap();
    orchestrator.until_ready("web").await;
    tokio::time::sleep(2 * MINUTE).await;
    assert_eq!(outcomes(&orchestrator).await, ["stable", "stable"]);
}

#[tokio::test(start_paused = true)]
async fn a_crash_before_a_revision_is_stable_goes_back_and_a_later_one_does_not() {
    for (lives, back) in [(40, true), (100, false)] {
        let orchestrator = good().await;
        orchestrator.runtime.add_image("web:2", Behaviour::exits(Duration::from_secs(lives), 5));
        orchestrator.apply(&web("web:2")).await.unwrap();
        tokio::time::sleep(30 * SECOND).await;
        assert!(kept(&orchestrator, 2).await.rollout.outcome.was_complete(), "{lives}");
        // From now on it ends at once.
        orchestrator.runtime.add_image("web:2", Behaviour::exits(Duration::from_millis(200), 5));
        tokio::time::sleep(3 * MINUTE).await;
        let image = stored(&orchestrator).await.spec.image;
        assert_eq!(image.as_str() == "web:1", back, "after {lives}s: {:?}", status(&orchestrator));
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_come_back_and_fails_as_well_goes_on_trying_and_makes_no_more_revisions() {
    let orchestrator = good().await;
    // Now the old version does not start any more either.
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
    assert_eq!(stored(&orchestrator).await.spec.image.as_str(), "web:1");
    assert_eq!(outcomes(&orchestrator).await, ["stable", "failed", "stable"]);
}

#[tokio::test(start_paused = true)]
async fn undo_goes_back_to_the_last_complete_revision_or_to_a_given_one() {
    let orchestrator = good().await;
    orchestrator.apply(&web("web:2")).await.unwrap();
    orchestrator.until_ready("web").await;
    tokio::time::sleep(2 * MINUTE).await;
    // The images of kept revisions are pinned: no registry is asked.
    orchestrator.runtime.take_journal();
    let undone = rollout_action(&orchestrator, RolloutAction::Undo { to: None }).await.unwrap();
    assert_eq!((undone.revision, undone.spec.image.as_str()), (3, "web:1"));
    assert_eq!(undone.rollout.cause, RevisionCause::Undo { to: 1 });
    orchestrator.until_ready("web").await;
    let pulls =
        orchestrator.runtime.take_journal().into_iter().filter(|call| call.contains("image"));
    assert_eq!(pulls.collect::<Vec<_>>(), Vec::<String>::new());

    tokio::time::sleep(2 * MINUTE).await;
    let undone = rollout_action(&orchestrator, RolloutAction::Undo { to: Some(2) }).await.unwrap();
    assert_eq!((undone.revision, undone.spec.image.as_str()), (4, "web:2"));
    orchestrator.until_ready("web").await;
    let refused = rollout_action(&orchestrator, RolloutAction::Undo { to: Some(99) }).await;
    let Err(StoreError::NoRevision { revision: Some(99), kept, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(kept, [1, 2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn undo_in_the_middle_of_a_rollout_keeps_the_old_replicas_that_are_left() {
    let orchestrator = good().await;
    let before = ids(&orchestrator);
    orchestrator.apply(&web("web:2")).await.unwrap();
    orchestrator
        .until("the first new one is ready", MINUTE, |seen| {
            seen.plan.statuses[&app_name("web")].updated == 1
        })
        .await;
    rollout_action(&orchestrator, RolloutAction::Undo { to: None }).await.unwrap();
    orchestrator.until_ready("web").await;
    tokio::time::sleep(MINUTE).await;
    assert_eq!(ids(&orchestrator), before);
}

#[tokio::test(start_paused = true)]
async fn restart_replaces_all_replicas_with_the_image_that_the_tag_means_now() {
    let orchestrator = good().await;
    let before = ids(&orchestrator);
    let restarted = rollout_action(&orchestrator, RolloutAction::Restart).await.unwrap();
    assert_eq!((restarted.revision, restarted.image_id), (2, None));
    orchestrator.until_ready("web").await;
    tokio::time::sleep(MINUTE).await;
    assert!(
        ids(&orchestrator).keys().all(|name| !before.contains_key(name)),
        "{:?}",
        ids(&orchestrator)
    );
    assert_eq!(ids(&orchestrator).len(), 2);
}

/// A rollout that is paused with one of its two new replicas ready.
async fn half_way() -> TestOrchestrator {
    let orchestrator = good().await;
    orchestrator.apply(&web("web:2")).await.unwrap();
    orchestrator
        .until("the first new one is ready", MINUTE, |seen| {
            seen.plan.statuses[&app_name("web")].updated == 1
        })
        .await;
    rollout_action(&orchestrator, RolloutAction::Pause).await.unwrap();
    orchestrator
}

#[tokio::test(start_paused = true)]
async fn a_paused_rollout_stands_still_and_heals() {
    let orchestrator = half_way().await;
    tokio::time::sleep(3 * MINUTE).await;
    let held = ids(&orchestrator);
    assert_eq!(held.len(), 3, "{held:?}");
    orchestrator.runtime.kill("dubernetes.default.web-3.r2", 1);
    orchestrator.runtime.vanish("dubernetes.default.web-2.r1");
    tokio::time::sleep(MINUTE).await;
    assert_eq!(
        ids(&orchestrator).len(),
        2,
        "a surge that is lost is not made again: {:?}",
        ids(&orchestrator)
    );
    rollout_action(&orchestrator, RolloutAction::Resume).await.unwrap();
    orchestrator.until_ready("web").await;
    assert!(ids(&orchestrator).keys().all(|name| name.contains(".r2")), "{:?}", ids(&orchestrator));
}

#[tokio::test(start_paused = true)]
async fn the_command_before_a_revision_runs_once_before_anything_is_replaced() {
    let orchestrator = good().await;
    orchestrator.runtime.set_command("migrate", Behaviour::exits(3 * SECOND, 0));
    let before = ids(&orchestrator);
    let command = vec!["migrate".to_owned()];
    let mut spec = web("web:2");
    spec.pre_deploy = Some(PreDeploy { command, timeout: PreDeploy::TIMEOUT });
    orchestrator.apply(&spec).await.unwrap();
    tokio::time::sleep(2 * SECOND).await;
    let job = "dubernetes.default.web.pre-deploy.r2";
    orchestrator.runtime.write_log(job, "3 tables changed");
    let mut during = ids(&orchestrator);
    assert!(during.remove(job).is_some() && during == before, "{during:?}");
    orchestrator.until_ready("web").await;
    let rollout = kept(&orchestrator, 2).await.rollout;
    assert_eq!(
        (rollout.pre_deployed, rollout.pre_deploy_log),
        (true, vec!["3 tables changed".into()])
    );
    orchestrator.runtime.take_journal();
    // It belongs to the revision: neither scaling nor healing runs it again.
    spec.replicas = 3;
    orchestrator.apply(&spec).await.unwrap();
    orchestrator.until_ready("web").await;
    let journal = orchestrator.runtime.take_journal();
    assert!(journal.iter().all(|call| !call.contains("pre-deploy")), "{journal:?}");
}

#[tokio::test(start_paused = true)]
async fn a_command_that_fails_or_takes_too_long_replaces_nothing() {
    for (behaviour, why) in [
        (Behaviour::exits(SECOND, 4), "pre-deploy hook: exit code 4"),
        (Behaviour::default(), "pre-deploy hook exceeded its time limit of 30s"),
    ] {
        let orchestrator = good().await;
        orchestrator.runtime.set_command("migrate", behaviour);
        let before = ids(&orchestrator);
        let command = vec!["migrate".to_owned()];
        let mut spec = web("web:2");
        spec.pre_deploy = Some(PreDeploy { command, timeout: Span::from_secs(30) });
        orchestrator.apply(&spec).await.unwrap();
        tokio::time::sleep(MINUTE).await;
        assert_eq!(ids(&orchestrator), before, "{why}");
        let failed = kept(&orchestrator, 2).await.rollout.outcome;
        let reason = &failed.failure().unwrap().reason;
        assert!(reason.starts_with(why), "{reason}");
        assert_eq!(stored(&orchestrator).await.spec.image.as_str(), "web:1");
    }
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_went_bad_leaves_comes_back_and_is_replaced_if_it_does_not() {
    let orchestrator = good().await;
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
        "it is back, and was not touched"
    );

    orchestrator.runtime.set_ready(&name, false);
    tokio::time::sleep(MINUTE).await;
    let after = ids(&orchestrator);
    assert!(!after.contains_key(&name), "it was replaced: {after:?}");
    let query = EventQuery { limit: 100, ..EventQuery::default() };
    let events = orchestrator.store.events(&query).await.unwrap();
    let created = events.iter().rfind(|event| event.reason == "Created").unwrap();
    let why = "unhealthy: nothing listens on port 80; restart ";
    assert!(created.message.contains(why), "{}", created.message);
    assert_eq!(after.len(), 2);
    let other = before.iter().find(|(other, _)| **other != name).unwrap();
    assert_eq!(after.get(other.0), Some(other.1), "the healthy one was not touched");
    assert_eq!(routed(&orchestrator), 2);
}

#[tokio::test(start_paused = true)]
async fn a_rollout_goes_on_wherever_the_orchestrator_dies() {
    for image in ["web:2", "bad:1", "bad:2", "bad:4"] {
        for death in (0..60_u32).map(|n| n * 410) {
            let orchestrator = good().await;
            orchestrator
                .runtime
                .add_image("bad:1", Behaviour::exits(Duration::from_millis(500), 9));
            orchestrator.runtime.add_image("bad:2", Behaviour::never_ready());
            let before = ids(&orchestrator);
            orchestrator.apply(&web(image)).await.unwrap();
            tokio::time::sleep(Duration::from_millis(u64::from(death))).await;
            let orchestrator = orchestrator.restart();
            tokio::time::sleep(2 * MINUTE).await;
            orchestrator.until_ready("web").await;
            let wanted = if image == "web:2" { "web:2" } else { "web:1" };
            let app = stored(&orchestrator).await;
            assert_eq!(app.spec.image.as_str(), wanted, "{image}, death after {death} ms");
            assert_eq!(
                ids(&orchestrator).len(),
                2,
                "{image}, {death} ms: {:?}",
                ids(&orchestrator)
            );
            if wanted == "web:1" {
                assert_eq!(ids(&orchestrator), before, "{image}, death after {death} ms");
            }
            orchestrator.stop();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_verdict_about_another_revision_changes_nothing() {
    let orchestrator = good().await;
    let before = stored(&orchestrator).await;
    orchestrator
        .store
        .record_rollout(&app_name("web"), 7, &RolloutUpdate::Complete, Timestamp::UNIX_EPOCH)
        .await
        .unwrap();
    assert_eq!(stored(&orchestrator).await, before);
    assert_eq!(before.rollout.outcome, Outcome::Stable);
}

#[tokio::test(start_paused = true)]
async fn undo_never_goes_to_a_revision_that_failed_unless_it_is_named() {
    let orchestrator = good().await;
    orchestrator.apply(&web("bad:4")).await.unwrap();
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!(outcomes(&orchestrator).await[1], "failed");
    let none = rollout_action(&orchestrator, RolloutAction::Undo { to: None }).await;
    assert!(matches!(none, Err(StoreError::NoRevision { revision: None, .. })), "{none:?}");
    let named = rollout_action(&orchestrator, RolloutAction::Undo { to: Some(2) }).await.unwrap();
    assert_eq!(named.spec.image.as_str(), "bad:4");
}

#[tokio::test(start_paused = true)]
async fn going_to_a_revision_whose_command_failed_runs_it_again() {
    let orchestrator = good().await;
    orchestrator.runtime.set_command("migrate", Behaviour::exits(SECOND, 4));
    let command = vec!["migrate".to_owned()];
    let mut spec = web("web:2");
    spec.pre_deploy = Some(PreDeploy { command, timeout: PreDeploy::TIMEOUT });
    orchestrator.apply(&spec).await.unwrap();
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!(outcomes(&orchestrator).await[1], "failed");
    orchestrator.runtime.set_command("migrate", Behaviour::exits(SECOND, 0));
    orchestrator.runtime.take_journal();
    rollout_action(&orchestrator, RolloutAction::Undo { to: Some(2) }).await.unwrap();
    orchestrator.until_ready("web").await;
    let journal = orchestrator.runtime.take_journal();
    assert!(journal.iter().any(|call| call.contains("pre-deploy")), "{journal:?}");
    // Once it has succeeded, going back to it runs it no more.
    orchestrator.apply(&web("web:1")).await.unwrap();
    orchestrator.until_ready("web").await;
    orchestrator.runtime.take_journal();
    rollout_action(&orchestrator, RolloutAction::Undo { to: None }).await.unwrap();
    orchestrator.until_ready("web").await;
    let journal = orchestrator.runtime.take_journal();
    assert!(journal.iter().all(|call| !call.contains("pre-deploy")), "{journal:?}");
}

#[tokio::test(start_paused = true)]
async fn going_back_never_runs_what_the_tag_means_by_now() {
    let orchestrator = good().await;
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
    assert_eq!(ids(&orchestrator).into_values().next(), kept, "the other one serves on");
    assert_eq!(ids(&orchestrator).len(), 1);
    // A restart means what the tag means.
    rollout_action(&orchestrator, RolloutAction::Restart).await.unwrap();
    orchestrator.until_ready("web").await;
}
