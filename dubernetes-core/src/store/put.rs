//! Decides what a put does to an app. Pure, and the only place that assigns generations and
//! revisions, so that every store numbers alike.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::app::{
    AppName, AppSpec, Generation, HashedSpec, InvalidSpec, RevisionId, route_conflict, start_cycle,
    start_cycle_problem,
};
use crate::error::SharedError;
use crate::identity::spec_hash;
use crate::runtime::ImageId;
use crate::store::{
    Change, Outcome, Put, PutApp, Revision, RevisionCause, RevisionRollout, StoreError, StoredApp,
};

/// The highest revision number: the largest integer of common databases.
const LAST_REVISION: RevisionId = RevisionId(i64::MAX.unsigned_abs());

/// The rows of one app before a put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExistingApp<'a> {
    /// The name is unknown.
    Absent,
    /// The app exists.
    Live {
        /// The stored app.
        app: &'a StoredApp,
        /// Its revisions, oldest first.
        revisions: &'a [Revision],
    },
    /// The app is being deleted: a tombstone is stored.
    Deleted {
        /// Its last generation.
        generation: Generation,
        /// Its last revision.
        revision: RevisionId,
        /// Its revisions, oldest first.
        revisions: &'a [Revision],
    },
}

/// The rows that a store writes and drops in the transaction of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreDecision {
    /// The answer to the caller. Unless it is [`Change::Unchanged`], its app replaces the stored
    /// one and a tombstone.
    pub put: Put,
    /// Revisions to insert or replace, by number.
    pub written: Vec<Revision>,
    /// Revisions to drop, by number.
    pub dropped: Vec<RevisionId>,
}

impl StoreDecision {
    pub(super) fn unchanged(app: &StoredApp) -> Self {
        let put = Put { app: app.clone(), change: Change::Unchanged };
        Self { put, written: Vec::new(), dropped: Vec::new() }
    }
}

/// The content of a revision to be created.
pub(super) struct NextRevision {
    pub(super) spec: HashedSpec,
    pub(super) image_id: Option<ImageId>,
    pub(super) rollout: RevisionRollout,
}

/// Decides what a put writes. `others` are the specifications of the other live apps: those that
/// have routes, and those that start after others.
///
/// # Errors
///
/// Those of [`crate::store::Store::put`]; [`StoreError::Failed`] if revision numbers are used up.
pub fn decide_put<'a>(
    existing: ExistingApp<'_>,
    others: impl IntoIterator<Item = &'a AppSpec, IntoIter: Clone>,
    put: &PutApp<impl Borrow<AppSpec>>,
) -> Result<StoreDecision, StoreError> {
    let put = &put.with_spec(put.spec.borrow());
    check_generation(existing, put)?;
    if let ExistingApp::Live { app, .. } = existing
        && app.spec == *put.spec
        && put.newest_seen <= app.revision
        && app.rollout.outcome.failure().is_none()
    {
        return Ok(StoreDecision::unchanged(app));
    }
    let others = others.into_iter();
    if let Some(conflict) = route_conflict(put.spec, others.clone()) {
        return Err(StoreError::RouteTaken(conflict));
    }
    check_start_order(put.spec, others)?;
    match existing {
        ExistingApp::Absent => create(put, Generation::NONE, RevisionId::NONE, &[]),
        ExistingApp::Deleted { generation, revision, revisions } => {
            create(put, generation, revision, revisions)
        }
        ExistingApp::Live { app, revisions } => configure(put, app, revisions),
    }
}

/// Refuses an app that would start after itself, by way of others.
fn check_start_order<'s, 'a: 's>(
    spec: &'s AppSpec,
    others: impl Iterator<Item = &'a AppSpec>,
) -> Result<(), StoreError> {
    // An app without `after` closes no cycle.
    if spec.after.is_empty() {
        return Ok(());
    }
    let mut after: BTreeMap<&'s AppName, &'s [AppName]> =
        others.map(|other| (&other.name, &*other.after)).collect();
    after.insert(&spec.name, &spec.after);
    match start_cycle(&spec.name, |name| after.get(name).copied().unwrap_or_default()) {
        None => Ok(()),
        Some(cycle) => {
            let problems = vec![start_cycle_problem(&spec.name, &spec.after, &cycle)];
            let name = spec.name.clone();
            Err(StoreError::Invalid { name, problems: InvalidSpec { problems } })
        }
    }
}

fn check_generation(existing: ExistingApp<'_>, put: &PutApp<&AppSpec>) -> Result<(), StoreError> {
    let present = match existing {
        ExistingApp::Live { app, .. } => app.generation,
        ExistingApp::Absent | ExistingApp::Deleted { .. } => Generation::NONE,
    };
    match put.expected_generation {
        Some(expected) if expected != present => {
            Err(StoreError::StaleGeneration { name: put.spec.name.clone(), expected, present })
        }
        _ => Ok(()),
    }
}

/// Creates an app, or re-creates a deleted one; numbering continues after `generation` and
/// `revision`, which are none for an unknown name.
///
/// Containers seen before a re-creation belong to the deleted app, even if the store was restored
/// from a backup. For an unknown name `deleted_through` is none: containers that outlived a lost
/// store may be adopted.
fn create(
    put: &PutApp<&AppSpec>,
    generation: Generation,
    revision: RevisionId,
    old: &[Revision],
) -> Result<StoreDecision, StoreError> {
    let app = StoredApp {
        generation: generation.next(),
        revision: revision_above(put.spec, revision, put.newest_seen)?,
        deleted_through: match generation {
            Generation::NONE => RevisionId::NONE,
            _ => revision.max(put.newest_seen),
        },
        ..StoredApp::first(put.spec.clone(), put.now)
    };
    let written = vec![to_revision(&app)];
    let dropped = old.iter().map(|old| old.revision).collect();
    Ok(StoreDecision { put: Put { app, change: Change::Created }, written, dropped })
}

fn configure(
    put: &PutApp<&AppSpec>,
    current: &StoredApp,
    revisions: &[Revision],
) -> Result<StoreDecision, StoreError> {
    let hash = spec_hash(put.spec);
    if hash == *current.spec.hash() && current.spec != *put.spec {
        return Ok(keep_revision(put, current, revisions));
    }
    let mut rollout = RevisionRollout {
        restart_nonce: current.rollout.restart_nonce,
        ..RevisionRollout::default()
    };
    let newest = revisions.iter().rev().find(|kept| *kept.spec.hash() == hash);
    if let Some((failed, failure)) = newest.and_then(|r| Some((r, r.rollout.outcome.failure()?))) {
        // A store restored from a backup knows less than what runs: the user's request counts.
        if !put.retry && put.newest_seen <= current.revision {
            return Err(StoreError::PreviouslyFailed {
                name: put.spec.name.clone(),
                revision: failed.revision,
                reason: failure.reason.clone(),
            });
        }
        rollout.cause = RevisionCause::Retry { of: failed.revision };
        // Replicas left by the failed attempt must not count as replicas of this one.
        rollout.restart_nonce = next_restart_nonce(current, revisions);
    }
    // An equal specification gets here if a newer revision runs (store restored from a backup):
    // the user's request makes this content the newest again.
    let next = NextRevision { spec: put.spec.clone().into(), image_id: None, rollout };
    supersede(current, revisions, next, put.newest_seen, put.now)
}

/// Changes only fields that are not part of a revision, such as `replicas`.
fn keep_revision(
    put: &PutApp<&AppSpec>,
    current: &StoredApp,
    revisions: &[Revision],
) -> StoreDecision {
    let app = StoredApp {
        spec: put.spec.clone().into(),
        generation: current.generation.next(),
        updated_at: put.now,
        rollout_started_at: match current.spec.replicas {
            // Without replicas nothing was in progress.
            0 => put.now,
            _ => current.rollout_started_at,
        },
        ..current.clone()
    };
    let dropped = revisions_to_drop(&app, revisions);
    let put = Put { app, change: Change::Configured };
    StoreDecision { put, written: Vec::new(), dropped }
}

/// Creates a revision that replaces the current one.
pub(super) fn supersede(
    current: &StoredApp,
    revisions: &[Revision],
    next: NextRevision,
    newest_seen: RevisionId,
    now: Timestamp,
) -> Result<StoreDecision, StoreError> {
    let NextRevision { spec, image_id, rollout } = next;
    let was_complete = current.rollout.outcome.was_complete();
    let app = StoredApp {
        generation: current.generation.next(),
        revision: revision_above(&spec, current.revision, newest_seen)?,
        spec,
        image_id,
        updated_at: now,
        rollout,
        rollout_started_at: now,
        fallback: if was_complete { Some(current.revision) } else { current.fallback },
        ..current.clone()
    };
    let mut written = vec![to_revision(&app)];
    if current.rollout.outcome == Outcome::Progressing {
        let mut superseded = current.clone();
        superseded.rollout.outcome = Outcome::Superseded;
        written.extend(current_revision(&superseded, revisions));
    }
    let dropped = revisions_to_drop(&app, revisions);
    written.retain(|kept| !dropped.contains(&kept.revision));
    Ok(StoreDecision { put: Put { app, change: Change::Configured }, written, dropped })
}

/// Returns a restart nonce that no kept revision has.
pub(super) fn next_restart_nonce(current: &StoredApp, revisions: &[Revision]) -> u64 {
    let kept = revisions.iter().map(|kept| kept.rollout.restart_nonce);
    kept.fold(current.rollout.restart_nonce, u64::max).saturating_add(1)
}

/// Returns the app's current revision as kept, with the rollout of `app`.
pub(super) fn current_revision(app: &StoredApp, revisions: &[Revision]) -> Option<Revision> {
    let kept = revisions.iter().find(|kept| kept.revision == app.revision)?;
    Some(Revision { rollout: app.rollout.clone(), ..kept.clone() })
}

/// Returns the oldest revisions beyond the app's history limit, but never the fallback.
fn revisions_to_drop(app: &StoredApp, revisions: &[Revision]) -> Vec<RevisionId> {
    let others = revisions.iter().filter(|kept| kept.revision != app.revision);
    let room = usize::from(app.spec.rollout.history).saturating_sub(1);
    let too_old = others.rev().skip(room).map(|kept| kept.revision);
    too_old.filter(|revision| Some(*revision) != app.fallback).collect()
}

fn revision_above(
    spec: &AppSpec,
    old: RevisionId,
    newest_seen: RevisionId,
) -> Result<RevisionId, StoreError> {
    let highest = old.max(newest_seen);
    if highest >= LAST_REVISION {
        let name = &spec.name;
        let text = format!("app `{name}` has no revision number above {highest}");
        return Err(StoreError::Failed(SharedError::text(text)));
    }
    Ok(highest.next())
}

fn to_revision(app: &StoredApp) -> Revision {
    Revision {
        revision: app.revision,
        spec: app.spec.clone(),
        image_id: app.image_id.clone(),
        created_at: app.updated_at,
        rollout: app.rollout.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::ImageRef;

    fn put(newest_seen: RevisionId) -> PutApp {
        let spec = AppSpec::new(AppName::parse("web").unwrap(), ImageRef::parse("web:1").unwrap());
        PutApp { newest_seen, ..PutApp::new(spec.validate().unwrap(), Timestamp::UNIX_EPOCH) }
    }

    fn live(app: &StoredApp) -> ExistingApp<'_> {
        ExistingApp::Live { app, revisions: &[] }
    }

    #[test]
    fn exhausted_revision_numbers_are_an_error() {
        for seen in [LAST_REVISION, RevisionId(u64::MAX)] {
            let decided = decide_put(ExistingApp::Absent, [], &put(seen));
            assert!(matches!(decided, Err(StoreError::Failed(_))), "{decided:?}");
        }
        let decided =
            decide_put(ExistingApp::Absent, [], &put(RevisionId(LAST_REVISION.0 - 1))).unwrap();
        assert_eq!(decided.put.app.revision, LAST_REVISION);
    }

    #[test]
    fn app_that_would_start_after_itself_is_refused() {
        let app = |name: &str, after: &str| {
            let spec = put(RevisionId::NONE).spec.into_inner();
            let after = vec![AppName::parse(after).unwrap()];
            AppSpec { name: AppName::parse(name).unwrap(), after, ..spec }
        };
        let others = [app("db", "cache"), app("cache", "web"), app("other", "web")];
        let decide = |spec: AppSpec| {
            let put = put(RevisionId::NONE).with_spec(spec.validate().unwrap());
            decide_put(ExistingApp::Absent, &others, &put)
        };
        let Err(StoreError::Invalid { problems, .. }) = decide(app("web", "db")) else {
            panic!("it waits for itself");
        };
        let problem = &problems.problems[0];
        assert_eq!(problem.path, "after.0");
        assert_eq!(
            problem.message,
            "`web` cannot start after `db`, which starts after `cache`, which starts after `web`"
        );
        assert!(decide(app("web", "none")).is_ok());
        // The stored version of an app is replaced.
        assert!(decide(app("cache", "db")).is_err());
        assert!(decide(app("cache", "other")).is_ok());
    }

    #[test]
    fn recreated_app_numbers_above_old_and_observed_revisions() {
        let generation = Generation(7);
        for (revision, seen, through) in [(4, 0, 4), (4, 9, 9), (4, 4, 4)] {
            let [revision, seen, through] = [revision, seen, through].map(RevisionId);
            let deleted = ExistingApp::Deleted { generation, revision, revisions: &[] };
            let app = decide_put(deleted, [], &put(seen)).unwrap().put.app;
            assert_eq!((app.generation, app.deleted_through), (generation.next(), through));
            assert_eq!(app.revision, through.next());
        }
    }

    #[test]
    fn reapplying_over_restored_store_makes_newest_revision() {
        let old = decide_put(ExistingApp::Absent, [], &put(RevisionId::NONE)).unwrap().put.app;
        let same = decide_put(live(&old), [], &put(RevisionId(1))).unwrap().put;
        assert_eq!((same.change, same.app.revision), (Change::Unchanged, RevisionId(1)));
        let newest = decide_put(live(&old), [], &put(RevisionId(6))).unwrap().put;
        assert_eq!((newest.change, newest.app.revision), (Change::Configured, RevisionId(7)));
    }
}
