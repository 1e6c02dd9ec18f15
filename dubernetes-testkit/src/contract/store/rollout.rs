//! Checks of rollout commands and recorded rollout results.

use std::sync::Arc;

use super::{
    assert_not_found, at, delete, get, image_id, list, name, pin, put, request, revisions, spec,
    try_put, with_image,
};
use dubernetes_core::app::{AppSpec, Generation, PodName, RevisionId};
use dubernetes_core::store::{
    Change, Outcome, Put, PutApp, Revision, RevisionCause, RevisionFailure, RolloutAction,
    RolloutCommand, RolloutUpdate, Store, StoreError, StoredApp,
};

async fn try_update_rollout(
    store: &Arc<dyn Store>,
    action: RolloutAction,
) -> Result<Put, StoreError> {
    store
        .update_rollout(RolloutCommand {
            name: name("web"),
            action,
            newest_seen: RevisionId::NONE,
            now: at(70),
        })
        .await
}

async fn update_rollout(store: &Arc<dyn Store>, action: RolloutAction) -> Put {
    try_update_rollout(store, action).await.expect("a legal action succeeds")
}

async fn record(store: &Arc<dyn Store>, revision: u64, update: RolloutUpdate) {
    store
        .record_rollout(&name("web"), RevisionId(revision), &update, at(60))
        .await
        .expect("a rollout result is recorded");
}

fn failure(reason: &str) -> RevisionFailure {
    let log = vec!["first".to_owned(), "last: 'ü'".to_owned()];
    RevisionFailure {
        at: at(60),
        reason: reason.into(),
        pod: Some(PodName::replica(&name("web"), 2)),
        log,
        call: None,
    }
}

fn failed(roll_back_to: Option<RevisionId>) -> RolloutUpdate {
    RolloutUpdate::Failed {
        failure: failure("it crashes"),
        roll_back_to,
        newest_seen: RevisionId::NONE,
    }
}

/// Stores revision 1, complete, with image `a`, and revision 2 in progress.
async fn two_revisions(store: &Arc<dyn Store>) -> StoredApp {
    put(store, with_image("web", 1)).await;
    pin(store, "web", 1, "a", false).await;
    record(store, 1, RolloutUpdate::Complete).await;
    put(store, with_image("web", 2)).await.app
}

async fn kept(store: &Arc<dyn Store>, revision: u64) -> Revision {
    let all = revisions(store, "web").await;
    all.into_iter()
        .find(|kept| kept.revision == RevisionId(revision))
        .expect("the revision is kept")
}

pub(super) async fn result_is_kept_with_app_and_revision(store: &Arc<dyn Store>) {
    put(store, spec("web")).await;
    let new = get(store, "web").await.rollout;
    assert_eq!((new.cause, new.outcome), (RevisionCause::Apply, Outcome::Progressing));
    let log = vec!["migrated".to_owned()];
    for (update, outcome) in [
        (RolloutUpdate::PreDeployed { log: log.clone() }, Outcome::Progressing),
        (RolloutUpdate::Complete, Outcome::Complete { at: at(60) }),
        (RolloutUpdate::Stable, Outcome::Stable),
        (failed(None), Outcome::Failed(Box::new(failure("it crashes")))),
    ] {
        record(store, 1, update.clone()).await;
        let app = get(store, "web").await;
        assert_eq!(app.rollout.outcome, outcome, "{update:?} is the app's outcome");
        assert_eq!(app.rollout.pre_deploy_log, log, "the output of the pre-deploy hook is kept");
        assert!(app.rollout.pre_deployed, "the success of the pre-deploy hook is kept");
        assert_eq!(kept(store, 1).await.rollout, app.rollout, "{update:?} is the revision's");
        assert_eq!(
            (app.generation, app.revision),
            (Generation(1), RevisionId(1)),
            "{update:?} changes no number"
        );
    }
}

pub(super) async fn result_of_other_revision_changes_nothing(store: &Arc<dyn Store>) {
    let two = two_revisions(store).await;
    let mut changes = store.changes();
    for update in [RolloutUpdate::Complete, RolloutUpdate::Stable, failed(Some(RevisionId(1)))] {
        record(store, 1, update.clone()).await;
        record(store, 9, update).await;
    }
    store
        .record_rollout(&name("none"), RevisionId(1), &RolloutUpdate::Complete, at(60))
        .await
        .expect("nothing is recorded");
    assert_eq!(get(store, "web").await, two, "the app is unchanged");
    assert!(!super::watch::has_changed(&mut changes), "nothing is streamed");
}

pub(super) async fn overtaken_revision_is_superseded(store: &Arc<dyn Store>) {
    two_revisions(store).await;
    put(store, with_image("web", 3)).await;
    let outcomes: Vec<_> =
        revisions(store, "web").await.into_iter().map(|r| r.rollout.outcome).collect();
    let complete = Outcome::Complete { at: at(60) };
    assert_eq!(outcomes, [complete, Outcome::Superseded, Outcome::Progressing]);
    assert_eq!(
        get(store, "web").await.fallback,
        Some(RevisionId(1)),
        "the last complete revision is the fallback"
    );
}

pub(super) async fn failed_revision_rolls_back(store: &Arc<dyn Store>) {
    let two = two_revisions(store).await;
    record(store, 2, failed(Some(RevisionId(1)))).await;
    let app = get(store, "web").await;
    assert_eq!(
        (app.generation, app.revision),
        (two.generation.next(), RevisionId(3)),
        "a new revision is made"
    );
    assert_eq!(app.spec.artifact.as_str(), "web:1", "the content is that of revision 1");
    assert_eq!(app.image_id, Some(image_id("a")), "the image is that of revision 1");
    assert_eq!(
        app.content_hash(),
        kept(store, 1).await.content_hash(),
        "replicas of revision 1 are kept"
    );
    let failure = Box::new(failure("it crashes"));
    let cause = RevisionCause::RollBack {
        from: RevisionId(2),
        to: RevisionId(1),
        failure: failure.clone(),
    };
    assert_eq!(app.rollout.cause, cause, "the cause is kept");
    assert_eq!(
        kept(store, 2).await.rollout.outcome,
        Outcome::Failed(failure),
        "the failure is kept"
    );
}

pub(super) async fn failed_spec_is_refused_without_retry(store: &Arc<dyn Store>) {
    let two = two_revisions(store).await;
    record(store, 2, failed(Some(RevisionId(1)))).await;
    let before = get(store, "web").await;
    match try_put(store, two.spec.clone().into_inner()).await {
        Err(StoreError::PreviouslyFailed { revision, reason, .. }) => {
            assert_eq!(
                (revision, reason.as_str()),
                (RevisionId(2), "it crashes"),
                "the error names revision and reason"
            );
        }
        other => panic!("a failed specification is refused; seen: {other:?}"),
    }
    assert_eq!(get(store, "web").await, before, "a refused put changes nothing");
    assert_eq!(put(store, before.spec.clone().into_inner()).await.change, Change::Unchanged);
    put(store, with_image("web", 9)).await;
    let again = PutApp { retry: true, ..request(two.spec.into_inner()) };
    let again = store.put(again).await.expect("a retry is stored").app;
    assert_eq!(
        again.rollout.cause,
        RevisionCause::Retry { of: RevisionId(2) },
        "the cause names the failed one"
    );
    assert_eq!(again.rollout.outcome, Outcome::Progressing, "the retry is in progress");
}

pub(super) async fn undo_restores_last_complete_revision(store: &Arc<dyn Store>) {
    two_revisions(store).await;
    record(store, 2, RolloutUpdate::Complete).await;
    put(store, with_image("web", 3)).await;
    let mut scaled = get(store, "web").await.spec.into_inner();
    scaled.replicas = 4;
    put(store, scaled).await;
    let undone = update_rollout(store, RolloutAction::Undo { to: None }).await;
    assert_eq!(undone.change, Change::Configured);
    assert_eq!((undone.app.revision, undone.app.spec.artifact.as_str()), (RevisionId(4), "web:2"));
    assert_eq!(undone.app.spec.replicas, 4, "`replicas` is not part of a revision");
    assert_eq!(undone.app.rollout.cause, RevisionCause::Undo { to: RevisionId(2) });
    let first = update_rollout(store, RolloutAction::Undo { to: Some(RevisionId(1)) }).await.app;
    assert_eq!(first.image_id, Some(image_id("a")), "the image is that of revision 1");
    assert_eq!(get(store, "web").await, first, "`get` returns what `update_rollout` answered");
    let again = update_rollout(store, RolloutAction::Undo { to: Some(RevisionId(1)) }).await;
    assert_eq!(
        (again.change, again.app),
        (Change::Unchanged, first),
        "a second undo changes nothing"
    );
    match try_update_rollout(store, RolloutAction::Undo { to: Some(RevisionId(77)) }).await {
        Err(StoreError::NoRevision { revision, kept, .. }) => {
            assert_eq!(
                (revision, kept),
                (
                    Some(RevisionId(77)),
                    vec![RevisionId(1), RevisionId(2), RevisionId(3), RevisionId(4), RevisionId(5)]
                ),
                "kept revisions are named"
            );
        }
        other => panic!("an unknown revision is refused; seen: {other:?}"),
    }
}

/// So an undo closes no cycle of apps that start after each other.
pub(super) async fn undo_keeps_the_start_order(store: &Arc<dyn Store>) {
    let after = |app: &str, other: &str| AppSpec { after: vec![name(other)], ..spec(app) };
    put(store, after("web", "db")).await;
    put(store, with_image("web", 2)).await;
    put(store, after("db", "web")).await;
    let undone = update_rollout(store, RolloutAction::Undo { to: Some(RevisionId(1)) }).await.app;
    assert_eq!(undone.spec.artifact, spec("web").artifact, "the content is that of revision 1");
    assert!(undone.spec.after.is_empty(), "`after` is not part of a revision");
    put(store, with_image("web", 4)).await;
    record(store, 4, failed(Some(RevisionId(1)))).await;
    let rolled_back = get(store, "web").await;
    assert_eq!(rolled_back.revision, RevisionId(5), "it is rolled back");
    assert!(rolled_back.spec.after.is_empty(), "`after` is not part of a revision");
}

pub(super) async fn undo_needs_an_earlier_revision(store: &Arc<dyn Store>) {
    put(store, spec("web")).await;
    match try_update_rollout(store, RolloutAction::Undo { to: None }).await {
        Err(StoreError::NoRevision { revision: None, kept, .. }) => {
            assert_eq!(kept, [1].map(RevisionId));
        }
        other => panic!("an undo without an earlier revision is refused; seen: {other:?}"),
    }
    delete(store, "web").await;
    assert_not_found(
        try_update_rollout(store, RolloutAction::Restart).await,
        "web",
        "restarting a deleted app",
    );
}

pub(super) async fn restart_is_a_revision_with_same_content(store: &Arc<dyn Store>) {
    let mut hashes = vec![two_revisions(store).await.content_hash()];
    record(store, 2, RolloutUpdate::Complete).await;
    for revision in [3, 4] {
        let restarted = update_rollout(store, RolloutAction::Restart).await.app;
        assert_eq!(restarted.revision, RevisionId(revision), "a new revision is made");
        assert_eq!(restarted.spec.artifact.as_str(), "web:2", "the content is the same");
        assert_eq!(restarted.image_id, None, "the image is resolved again");
        assert_eq!(restarted.rollout.cause, RevisionCause::Restart);
        assert!(!hashes.contains(&restarted.content_hash()), "every replica is replaced");
        hashes.push(restarted.content_hash());
    }
}

pub(super) async fn pause_lasts_until_resume(store: &Arc<dyn Store>) {
    two_revisions(store).await;
    let paused = update_rollout(store, RolloutAction::Pause).await;
    assert_eq!((paused.change, paused.app.paused), (Change::Configured, true));
    assert_eq!(update_rollout(store, RolloutAction::Pause).await.change, Change::Unchanged);
    assert!(put(store, with_image("web", 3)).await.app.paused, "a new revision stays paused");
    record(store, 3, failed(None)).await;
    let resumed = update_rollout(store, RolloutAction::Resume).await.app;
    assert!(!resumed.paused, "the rollout continues");
    assert_eq!(resumed.rollout.outcome, Outcome::Progressing, "the failed revision is retried");
    assert_eq!(
        (resumed.rollout.attempts, resumed.rollout_started_at),
        (1, at(70)),
        "the attempt starts now"
    );
    assert_eq!(kept(store, 3).await.rollout, resumed.rollout, "the revision is updated");
    assert_eq!(update_rollout(store, RolloutAction::Resume).await.change, Change::Unchanged);
    assert_eq!(list(store).await.apps[&name("web")], get(store, "web").await);
}

pub(super) async fn history_is_limited_and_keeps_fallback(store: &Arc<dyn Store>) {
    let spec_with = |tag| {
        let mut spec = with_image("web", tag);
        spec.rollout.history = 3;
        spec
    };
    put(store, spec_with(1)).await;
    record(store, 1, RolloutUpdate::Complete).await;
    for tag in 2..=6 {
        put(store, spec_with(tag)).await;
    }
    let there: Vec<_> = revisions(store, "web").await.iter().map(|kept| kept.revision).collect();
    assert_eq!(there, [1, 4, 5, 6].map(RevisionId), "the newest three and the fallback are kept");
    record(store, 6, failed(Some(RevisionId(1)))).await;
    let app = get(store, "web").await;
    assert_eq!((app.revision, app.spec.artifact.as_str()), (RevisionId(7), "web:1"));
    let there: Vec<_> = revisions(store, "web").await.iter().map(|kept| kept.revision).collect();
    assert_eq!(there, [1, 5, 6, 7].map(RevisionId));
}
