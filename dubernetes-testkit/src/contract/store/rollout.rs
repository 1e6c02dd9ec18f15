//! What is promised of the rollout of revisions: verdicts, going back, restarting, pausing.

use std::sync::Arc;

use super::{
    assert_not_found, at, delete, get, image_id, list, name, pin, put, request, revisions, spec,
    try_put, with_image,
};
use dubernetes_core::store::{
    Change, Outcome, Put, PutApp, Revision, RevisionCause, RevisionFailure, RolloutAction,
    RolloutCommand, RolloutUpdate, Store, StoreError, StoredApp,
};

async fn try_update_rollout(
    store: &Arc<dyn Store>,
    action: RolloutAction,
) -> Result<Put, StoreError> {
    store
        .update_rollout(RolloutCommand { name: name("web"), action, newest_seen: 0, now: at(70) })
        .await
}

async fn update_rollout(store: &Arc<dyn Store>, action: RolloutAction) -> Put {
    try_update_rollout(store, action).await.expect("a legal action succeeds")
}

async fn mark(store: &Arc<dyn Store>, revision: u64, mark: RolloutUpdate) {
    store
        .record_rollout(&name("web"), revision, &mark, at(60))
        .await
        .expect("a verdict is recorded");
}

fn failure(reason: &str) -> RevisionFailure {
    let log = vec!["first".to_owned(), "last: 'ü'".to_owned()];
    RevisionFailure {
        at: at(60),
        reason: reason.into(),
        pod: Some("web-2".into()),
        log,
        call: None,
    }
}

fn failed(roll_back_to: Option<u64>) -> RolloutUpdate {
    RolloutUpdate::Failed { failure: failure("it crashes"), roll_back_to, newest_seen: 0 }
}

/// Revision 1, complete, with image `a`, and revision 2 on its way.
async fn two(store: &Arc<dyn Store>) -> StoredApp {
    put(store, with_image("web", 1)).await;
    pin(store, "web", 1, "a", false).await;
    mark(store, 1, RolloutUpdate::Complete).await;
    put(store, with_image("web", 2)).await.app
}

async fn kept(store: &Arc<dyn Store>, revision: u64) -> Revision {
    let all = revisions(store, "web").await;
    all.into_iter().find(|kept| kept.revision == revision).expect("the revision is kept")
}

pub(super) async fn a_verdict_is_kept_with_the_app_and_its_revision(store: &Arc<dyn Store>) {
    put(store, spec("web")).await;
    let new = get(store, "web").await.rollout;
    assert_eq!((new.cause, new.outcome), (RevisionCause::Apply, Outcome::Progressing));
    let log = vec!["migrated".to_owned()];
    for (verdict, outcome) in [
        (RolloutUpdate::PreDeployed { log: log.clone() }, Outcome::Progressing),
        (RolloutUpdate::Complete, Outcome::Complete { at: at(60) }),
        (RolloutUpdate::Stable, Outcome::Stable),
        (failed(None), Outcome::Failed(Box::new(failure("it crashes")))),
    ] {
        mark(store, 1, verdict.clone()).await;
        let app = get(store, "web").await;
        assert_eq!(app.rollout.outcome, outcome, "{verdict:?} is the app's outcome");
        assert_eq!(app.rollout.pre_deploy_log, log, "the command's output is kept");
        assert!(app.rollout.pre_deployed, "the command's success is kept");
        assert_eq!(kept(store, 1).await.rollout, app.rollout, "{verdict:?} is the revision's");
        assert_eq!((app.generation, app.revision), (1, 1), "{verdict:?} changes no number");
    }
}

pub(super) async fn a_verdict_on_another_revision_changes_nothing(store: &Arc<dyn Store>) {
    let two = two(store).await;
    let mut changes = store.changes();
    for verdict in [RolloutUpdate::Complete, RolloutUpdate::Stable, failed(Some(1))] {
        mark(store, 1, verdict.clone()).await;
        mark(store, 9, verdict).await;
    }
    store
        .record_rollout(&name("none"), 1, &RolloutUpdate::Complete, at(60))
        .await
        .expect("nothing is recorded");
    assert_eq!(get(store, "web").await, two, "the app is what it was");
    assert!(!super::watch::seen(&mut changes), "nothing is seen");
}

pub(super) async fn a_revision_that_is_overtaken_is_superseded(store: &Arc<dyn Store>) {
    two(store).await;
    put(store, with_image("web", 3)).await;
    let outcomes: Vec<_> =
        revisions(store, "web").await.into_iter().map(|r| r.rollout.outcome).collect();
    let complete = Outcome::Complete { at: at(60) };
    assert_eq!(outcomes, [complete, Outcome::Superseded, Outcome::Progressing]);
    assert_eq!(get(store, "web").await.fallback, Some(1), "the last complete one can come back");
}

pub(super) async fn a_failed_revision_gives_way_to_the_one_before(store: &Arc<dyn Store>) {
    let two = two(store).await;
    mark(store, 2, failed(Some(1))).await;
    let app = get(store, "web").await;
    assert_eq!((app.generation, app.revision), (two.generation + 1, 3), "it is a new revision");
    assert_eq!(app.spec.image.as_str(), "web:1", "the content is the old one");
    assert_eq!(app.image_id, Some(image_id("a")), "the image is the old one");
    assert_eq!(app.content_hash(), kept(store, 1).await.content_hash(), "the old replicas fit");
    let failure = Box::new(failure("it crashes"));
    let cause = RevisionCause::RollBack { from: 2, to: 1, failure: failure.clone() };
    assert_eq!(app.rollout.cause, cause, "why is kept");
    assert_eq!(kept(store, 2).await.rollout.outcome, Outcome::Failed(failure), "so is the verdict");
}

pub(super) async fn what_has_failed_is_put_again_only_if_asked(store: &Arc<dyn Store>) {
    let two = two(store).await;
    mark(store, 2, failed(Some(1))).await;
    let before = get(store, "web").await;
    match try_put(store, two.spec.clone()).await {
        Err(StoreError::PreviouslyFailed { revision, reason, .. }) => {
            assert_eq!(
                (revision, reason.as_str()),
                (2, "it crashes"),
                "the error says which and why"
            );
        }
        other => panic!("what has failed before is refused; got {other:?}"),
    }
    assert_eq!(get(store, "web").await, before, "a refused put changes nothing");
    assert_eq!(put(store, before.spec.clone()).await.change, Change::Unchanged);
    put(store, with_image("web", 9)).await;
    let again = PutApp { retry: true, ..request(two.spec) };
    let again = store.put(again).await.expect("a retry is stored").app;
    assert_eq!(
        again.rollout.cause,
        RevisionCause::Retry { of: 2 },
        "the cause names the failed one"
    );
    assert_eq!(again.rollout.outcome, Outcome::Progressing, "it gets another chance");
}

pub(super) async fn an_undo_goes_back_to_the_last_complete_one(store: &Arc<dyn Store>) {
    two(store).await;
    mark(store, 2, RolloutUpdate::Complete).await;
    put(store, with_image("web", 3)).await;
    let mut scaled = get(store, "web").await.spec;
    scaled.replicas = 4;
    put(store, scaled).await;
    let undone = update_rollout(store, RolloutAction::Undo { to: None }).await;
    assert_eq!(undone.change, Change::Configured);
    assert_eq!((undone.app.revision, undone.app.spec.image.as_str()), (4, "web:2"));
    assert_eq!(undone.app.spec.replicas, 4, "what is no part of a revision stays");
    assert_eq!(undone.app.rollout.cause, RevisionCause::Undo { to: 2 });
    let first = update_rollout(store, RolloutAction::Undo { to: Some(1) }).await.app;
    assert_eq!(first.image_id, Some(image_id("a")), "no registry is needed to go back");
    assert_eq!(get(store, "web").await, first, "`get` gives what `update_rollout` answered");
    let again = update_rollout(store, RolloutAction::Undo { to: Some(1) }).await;
    assert_eq!((again.change, again.app), (Change::Unchanged, first), "it is there already");
    match try_update_rollout(store, RolloutAction::Undo { to: Some(77) }).await {
        Err(StoreError::NoRevision { revision, kept, .. }) => {
            assert_eq!((revision, kept), (Some(77), vec![1, 2, 3, 4, 5]), "those there are named");
        }
        other => panic!("an unknown revision is refused; got {other:?}"),
    }
}

pub(super) async fn an_undo_needs_a_revision_to_go_back_to(store: &Arc<dyn Store>) {
    put(store, spec("web")).await;
    match try_update_rollout(store, RolloutAction::Undo { to: None }).await {
        Err(StoreError::NoRevision { revision: None, kept, .. }) => assert_eq!(kept, [1]),
        other => panic!("there is nothing to go back to; got {other:?}"),
    }
    delete(store, "web").await;
    assert_not_found(
        try_update_rollout(store, RolloutAction::Restart).await,
        "web",
        "restarting a deleted app",
    );
}

pub(super) async fn a_restart_is_a_revision_with_the_same_content(store: &Arc<dyn Store>) {
    let mut hashes = vec![two(store).await.content_hash()];
    mark(store, 2, RolloutUpdate::Complete).await;
    for revision in [3, 4] {
        let restarted = update_rollout(store, RolloutAction::Restart).await.app;
        assert_eq!(restarted.revision, revision, "it is a new revision");
        assert_eq!(restarted.spec.image.as_str(), "web:2", "its content is the same");
        assert_eq!(restarted.image_id, None, "its image is resolved anew");
        assert_eq!(restarted.rollout.cause, RevisionCause::Restart);
        assert!(!hashes.contains(&restarted.content_hash()), "no old replica fits it");
        hashes.push(restarted.content_hash());
    }
}

pub(super) async fn a_pause_holds_until_it_is_resumed(store: &Arc<dyn Store>) {
    two(store).await;
    let paused = update_rollout(store, RolloutAction::Pause).await;
    assert_eq!((paused.change, paused.app.paused), (Change::Configured, true));
    assert_eq!(update_rollout(store, RolloutAction::Pause).await.change, Change::Unchanged);
    assert!(put(store, with_image("web", 3)).await.app.paused, "a new revision stays paused");
    mark(store, 3, failed(None)).await;
    let resumed = update_rollout(store, RolloutAction::Resume).await.app;
    assert!(!resumed.paused, "it goes on");
    assert_eq!(resumed.rollout.outcome, Outcome::Progressing, "what failed gets another chance");
    assert_eq!((resumed.rollout.attempts, resumed.rollout_started_at), (1, at(70)), "from now on");
    assert_eq!(kept(store, 3).await.rollout, resumed.rollout, "so says the history");
    assert_eq!(update_rollout(store, RolloutAction::Resume).await.change, Change::Unchanged);
    assert_eq!(list(store).await.apps[&name("web")], get(store, "web").await);
}

pub(super) async fn the_history_has_its_limit_and_keeps_the_way_back(store: &Arc<dyn Store>) {
    let with = |tag| {
        let mut spec = with_image("web", tag);
        spec.rollout.history = 3;
        spec
    };
    put(store, with(1)).await;
    mark(store, 1, RolloutUpdate::Complete).await;
    for tag in 2..=6 {
        put(store, with(tag)).await;
    }
    let there: Vec<_> = revisions(store, "web").await.iter().map(|kept| kept.revision).collect();
    assert_eq!(there, [1, 4, 5, 6], "the newest three, and the one to go back to");
    mark(store, 6, failed(Some(1))).await;
    let app = get(store, "web").await;
    assert_eq!((app.revision, app.spec.image.as_str()), (7, "web:1"));
    let there: Vec<_> = revisions(store, "web").await.iter().map(|kept| kept.revision).collect();
    assert_eq!(there, [1, 5, 6, 7]);
}
