//! Decides what a put makes of an app. Pure, and the only place where generations and revisions
//! are counted, so that every store counts alike.

use jiff::Timestamp;

use crate::app::{AppSpec, route_conflict};
use crate::error::Cause;
use crate::identity::spec_hash;
use crate::runtime::ImageId;
use crate::store::{
    Change, Outcome, Put, PutApp, Revision, RevisionCause, RevisionRollout, StoreError, StoredApp,
};

/// The highest revision that can be given: the largest whole number that databases hold.
const LAST_REVISION: u64 = i64::MAX.unsigned_abs();

/// What the store holds under a name before a put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing<'a> {
    /// Nothing.
    Absent,
    /// The app.
    Live {
        /// As it is stored.
        app: &'a StoredApp,
        /// Its revisions, oldest first.
        revisions: &'a [Revision],
    },
    /// A tombstone, and the app's last numbers.
    Deleted {
        /// The generation that it had.
        generation: u64,
        /// The revision that it had.
        revision: u64,
        /// Revisions of that life.
        revisions: &'a [Revision],
    },
}

/// What becomes of an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutDecision {
    /// The answer; its app takes the place of what was there, unless nothing changed.
    pub put: Put,
    /// Revisions to write: new ones, and those of which something changed.
    pub written: Vec<Revision>,
    /// Revisions that are not kept any more.
    pub dropped: Vec<u64>,
}

impl PutDecision {
    pub(super) fn unchanged(app: &StoredApp) -> Self {
        let put = Put { app: app.clone(), change: Change::Unchanged };
        Self { put, written: Vec::new(), dropped: Vec::new() }
    }
}

/// What a new revision is made of.
pub(super) struct Next {
    pub(super) spec: AppSpec,
    pub(super) image_id: Option<ImageId>,
    pub(super) rollout: RevisionRollout,
}

/// What `put` makes of what was there `before`, beside the specifications of the other live apps.
///
/// # Errors
///
/// Those of [`crate::store::Store::put`]; [`StoreError::Failed`] if there is no higher revision.
pub fn decide_put<'a>(
    before: Existing<'_>,
    others: impl IntoIterator<Item = &'a AppSpec>,
    put: &PutApp,
) -> Result<PutDecision, StoreError> {
    refuse_stale(before, put)?;
    if let Existing::Live { app, .. } = before
        && app.spec == put.spec
        && put.newest_seen <= app.revision
        && app.rollout.outcome.failure().is_none()
    {
        return Ok(PutDecision::unchanged(app));
    }
    if let Some(conflict) = route_conflict(&put.spec, others) {
        return Err(StoreError::RouteTaken(conflict));
    }
    match before {
        Existing::Absent => created(put, 0, 0, &[]),
        Existing::Deleted { generation, revision, revisions } => {
            created(put, generation, revision, revisions)
        }
        Existing::Live { app, revisions } => configured(put, app, revisions),
    }
}

fn refuse_stale(before: Existing<'_>, put: &PutApp) -> Result<(), StoreError> {
    let present = match before {
        Existing::Live { app, .. } => app.generation,
        Existing::Absent | Existing::Deleted { .. } => 0,
    };
    match put.expected_generation {
        Some(expected) if expected != present => {
            Err(StoreError::StaleGeneration { name: put.spec.name.clone(), expected, present })
        }
        _ => Ok(()),
    }
}

/// A new life of the name, after one that ended with these numbers; 0 if there was none.
///
/// Containers that were seen before this life began belong to the one that ended, even those of
/// a store that was put back. Without a life that is known to have ended, `deleted_through` is 0: containers that outlived
/// a lost store may then be taken over.
fn created(
    put: &PutApp,
    generation: u64,
    revision: u64,
    old: &[Revision],
) -> Result<PutDecision, StoreError> {
    let app = StoredApp {
        generation: generation + 1,
        revision: revision_above(&put.spec, revision, put.newest_seen)?,
        deleted_through: if generation == 0 { 0 } else { revision.max(put.newest_seen) },
        ..StoredApp::first(put.spec.clone(), put.now)
    };
    let written = vec![revision_of(&app)];
    let dropped = old.iter().map(|old| old.revision).collect();
    Ok(PutDecision { put: Put { app, change: Change::Created }, written, dropped })
}

fn configured(
    put: &PutApp,
    present: &StoredApp,
    revisions: &[Revision],
) -> Result<PutDecision, StoreError> {
    let same_again = put.spec == present.spec;
    let hash = spec_hash(&put.spec);
    let same_content = hash == spec_hash(&present.spec);
    if same_content && !same_again {
        // Nothing differs but what is no part of a revision.
        let app = StoredApp {
            spec: put.spec.clone(),
            generation: present.generation + 1,
            updated_at: put.now,
            rollout_started_at: match present.spec.replicas {
                // Without replicas nothing was under way.
                0 => put.now,
                _ => present.rollout_started_at,
            },
            ..present.clone()
        };
        let dropped = dropped(&app, revisions);
        let put = Put { app, change: Change::Configured };
        return Ok(PutDecision { put, written: Vec::new(), dropped });
    }
    let mut rollout = RevisionRollout {
        restart_nonce: present.rollout.restart_nonce,
        ..RevisionRollout::default()
    };
    let newest = revisions.iter().rev().find(|kept| spec_hash(&kept.spec) == hash);
    if let Some((failed, failure)) = newest.and_then(|r| Some((r, r.rollout.outcome.failure()?))) {
        // A store that was put back knows less than what runs: then the user's word counts.
        if !put.retry && put.newest_seen <= present.revision {
            return Err(StoreError::PreviouslyFailed {
                name: put.spec.name.clone(),
                revision: failed.revision,
                reason: failure.reason.clone(),
            });
        }
        rollout.cause = RevisionCause::Retry { of: failed.revision };
        // What is left of the try that failed is not taken for the new one.
        rollout.restart_nonce = next_restart_nonce(present, revisions);
    }
    // The same specification comes here also where containers of a higher revision run, since an
    // old copy of the store was put back: the user's word makes this content the newest again.
    let next = Next { spec: put.spec.clone(), image_id: None, rollout };
    succeed(present, revisions, next, put.newest_seen, put.now)
}

/// A new revision in the place of the present one.
pub(super) fn succeed(
    present: &StoredApp,
    revisions: &[Revision],
    next: Next,
    newest_seen: u64,
    now: Timestamp,
) -> Result<PutDecision, StoreError> {
    let Next { spec, image_id, rollout } = next;
    let was_complete = present.rollout.outcome.was_complete();
    let app = StoredApp {
        generation: present.generation + 1,
        revision: revision_above(&spec, present.revision, newest_seen)?,
        spec,
        image_id,
        updated_at: now,
        rollout,
        rollout_started_at: now,
        fallback: if was_complete { Some(present.revision) } else { present.fallback },
        ..present.clone()
    };
    let mut written = vec![revision_of(&app)];
    if present.rollout.outcome == Outcome::Progressing {
        let mut superseded = present.clone();
        superseded.rollout.outcome = Outcome::Superseded;
        written.extend(self::present(&superseded, revisions));
    }
    let dropped = dropped(&app, revisions);
    written.retain(|kept| !dropped.contains(&kept.revision));
    Ok(PutDecision { put: Put { app, change: Change::Configured }, written, dropped })
}

/// A restart_nonce that no kept revision has.
pub(super) fn next_restart_nonce(present: &StoredApp, revisions: &[Revision]) -> u64 {
    let kept = revisions.iter().map(|kept| kept.rollout.restart_nonce);
    kept.fold(present.rollout.restart_nonce, u64::max).saturating_add(1)
}

/// The kept revision that is the present one, with the app's own rollout.
pub(super) fn present(app: &StoredApp, revisions: &[Revision]) -> Option<Revision> {
    let kept = revisions.iter().find(|kept| kept.revision == app.revision)?;
    Some(Revision { rollout: app.rollout.clone(), ..kept.clone() })
}

/// The revisions that the app's history has no room for: the oldest, but never the one to go
/// back to.
fn dropped(app: &StoredApp, revisions: &[Revision]) -> Vec<u64> {
    let others = revisions.iter().filter(|kept| kept.revision != app.revision);
    let room = usize::from(app.spec.rollout.history).saturating_sub(1);
    let too_old = others.rev().skip(room).map(|kept| kept.revision);
    too_old.filter(|revision| Some(*revision) != app.fallback).collect()
}

fn revision_above(spec: &AppSpec, old: u64, newest_seen: u64) -> Result<u64, StoreError> {
    let highest = old.max(newest_seen);
    if highest >= LAST_REVISION {
        let name = &spec.name;
        let text = format!("app `{name}` has the revision {highest}, and there is none above it");
        return Err(StoreError::Failed(Cause::text(text)));
    }
    Ok(highest + 1)
}

fn revision_of(app: &StoredApp) -> Revision {
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
    use crate::app::{AppName, ImageRef};

    fn put(newest_seen: u64) -> PutApp {
        let spec = AppSpec::new(AppName::parse("web").unwrap(), ImageRef::parse("web:1").unwrap());
        PutApp { newest_seen, ..PutApp::new(spec, Timestamp::UNIX_EPOCH) }
    }

    fn live(app: &StoredApp) -> Existing<'_> {
        Existing::Live { app, revisions: &[] }
    }

    #[test]
    fn a_revision_that_nothing_can_follow_is_an_error_and_not_given_twice() {
        for seen in [LAST_REVISION, u64::MAX] {
            let decided = decide_put(Existing::Absent, [], &put(seen));
            assert!(matches!(decided, Err(StoreError::Failed(_))), "{decided:?}");
        }
        let decided = decide_put(Existing::Absent, [], &put(LAST_REVISION - 1)).unwrap();
        assert_eq!(decided.put.app.revision, LAST_REVISION);
    }

    #[test]
    fn a_new_life_is_above_the_old_one_and_above_what_runs() {
        for (revision, seen, above) in [(4, 0, 5), (4, 9, 10), (4, 4, 5)] {
            let before = Existing::Deleted { generation: 7, revision, revisions: &[] };
            let app = decide_put(before, [], &put(seen)).unwrap().put.app;
            let through = above - 1;
            assert_eq!((app.generation, app.revision, app.deleted_through), (8, above, through));
        }
    }

    #[test]
    fn applying_the_same_file_over_an_old_copy_of_the_store_makes_it_the_newest() {
        let old = decide_put(Existing::Absent, [], &put(0)).unwrap().put.app;
        let same = decide_put(live(&old), [], &put(1)).unwrap().put;
        assert_eq!((same.change, same.app.revision), (Change::Unchanged, 1));
        let newest = decide_put(live(&old), [], &put(6)).unwrap().put;
        assert_eq!((newest.change, newest.app.revision), (Change::Configured, 7));
    }
}
