//! Decides what a put makes of an app. Pure, and the only place where generations and revisions
//! are counted, so that every store counts alike.

use crate::app::AppSpec;
use crate::error::Cause;
use crate::identity::spec_hash;
use crate::state::route_conflict;
use crate::store::{Change, Put, PutApp, Revision, StoreError, StoredApp};

/// So many revisions of an app's present life are kept, the newest.
pub const REVISIONS_KEPT: usize = 10;

/// The highest revision that can be given: the largest whole number that databases hold.
const LAST_REVISION: u64 = i64::MAX.unsigned_abs();

/// What the store holds under a name before a put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before<'a> {
    /// Nothing.
    Absent,
    /// The app.
    Live(&'a StoredApp),
    /// A tombstone, and the app's last numbers.
    Deleted {
        /// The generation that it had.
        generation: u64,
        /// The revision that it had.
        revision: u64,
    },
}

/// What a put makes of an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// The answer; its app takes the place of what was there, unless nothing changed.
    pub put: Put,
    /// The revision to record, if the put made one. A created app keeps no older ones.
    pub revision: Option<Revision>,
}

/// What `put` makes of what was there `before`, beside the specifications of the other live apps.
///
/// # Errors
///
/// Those of [`crate::store::Store::put`]; [`StoreError::Failed`] if there is no higher revision.
pub fn decide_put<'a>(
    before: Before<'_>,
    others: impl IntoIterator<Item = &'a AppSpec>,
    put: &PutApp,
) -> Result<Decided, StoreError> {
    refuse_stale(before, put)?;
    if let Before::Live(app) = before
        && app.spec == put.spec
        && put.newest_seen <= app.revision
    {
        let unchanged = Put { app: app.clone(), change: Change::Unchanged };
        return Ok(Decided { put: unchanged, revision: None });
    }
    if let Some(conflict) = route_conflict(&put.spec, others) {
        return Err(StoreError::RouteTaken(conflict));
    }
    match before {
        Before::Absent => created(put, 0, 0),
        Before::Deleted { generation, revision } => created(put, generation, revision),
        Before::Live(app) => configured(put, app),
    }
}

fn refuse_stale(before: Before<'_>, put: &PutApp) -> Result<(), StoreError> {
    let present = match before {
        Before::Live(app) => app.generation,
        Before::Absent | Before::Deleted { .. } => 0,
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
/// a store that was put back. Without a life that is known to have ended, `removed_through` is 0: containers that outlived
/// a lost store may then be taken over.
fn created(put: &PutApp, generation: u64, revision: u64) -> Result<Decided, StoreError> {
    let app = StoredApp {
        spec: put.spec.clone(),
        generation: generation + 1,
        revision: revision_above(revision, put)?,
        image_id: None,
        removed_through: if generation == 0 { 0 } else { revision.max(put.newest_seen) },
        created_at: put.now,
        updated_at: put.now,
    };
    let revision = Some(revision_of(&app));
    Ok(Decided { put: Put { app, change: Change::Created }, revision })
}

fn configured(put: &PutApp, present: &StoredApp) -> Result<Decided, StoreError> {
    let mut app = StoredApp {
        spec: put.spec.clone(),
        generation: present.generation + 1,
        updated_at: put.now,
        ..present.clone()
    };
    let mut revision = None;
    // The same specification comes here only where containers of a higher revision run, since an
    // old copy of the store was put back: the user's word makes this content the newest again.
    let same_again = put.spec == present.spec;
    if same_again || spec_hash(&app.spec) != spec_hash(&present.spec) {
        app.revision = revision_above(present.revision, put)?;
        app.image_id = None;
        revision = Some(revision_of(&app));
    }
    Ok(Decided { put: Put { app, change: Change::Configured }, revision })
}

fn revision_above(old: u64, put: &PutApp) -> Result<u64, StoreError> {
    let highest = old.max(put.newest_seen);
    if highest >= LAST_REVISION {
        let name = &put.spec.name;
        let text = format!("app `{name}` has the revision {highest}, and there is none above it");
        return Err(StoreError::Failed(Cause::text(text)));
    }
    Ok(highest + 1)
}

fn revision_of(app: &StoredApp) -> Revision {
    Revision {
        revision: app.revision,
        spec: app.spec.clone(),
        image_id: None,
        created_at: app.updated_at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{AppName, ImageRef};
    use jiff::Timestamp;

    fn put(newest_seen: u64) -> PutApp {
        let spec = AppSpec::new(AppName::parse("web").unwrap(), ImageRef::parse("web:1").unwrap());
        PutApp { spec, expected_generation: None, newest_seen, now: Timestamp::UNIX_EPOCH }
    }

    #[test]
    fn a_revision_that_nothing_can_follow_is_an_error_and_not_given_twice() {
        for seen in [LAST_REVISION, u64::MAX] {
            let decided = decide_put(Before::Absent, [], &put(seen));
            assert!(matches!(decided, Err(StoreError::Failed(_))), "{decided:?}");
        }
        let decided = decide_put(Before::Absent, [], &put(LAST_REVISION - 1)).unwrap();
        assert_eq!(decided.put.app.revision, LAST_REVISION);
    }

    #[test]
    fn a_new_life_is_above_the_old_one_and_above_what_runs() {
        for (revision, seen, above) in [(4, 0, 5), (4, 9, 10), (4, 4, 5)] {
            let before = Before::Deleted { generation: 7, revision };
            let app = decide_put(before, [], &put(seen)).unwrap().put.app;
            let through = above - 1;
            assert_eq!((app.generation, app.revision, app.removed_through), (8, above, through));
        }
    }

    #[test]
    fn applying_the_same_file_over_an_old_copy_of_the_store_makes_it_the_newest() {
        let old = decide_put(Before::Absent, [], &put(0)).unwrap().put.app;
        let same = decide_put(Before::Live(&old), [], &put(1)).unwrap().put;
        assert_eq!((same.change, same.app.revision), (Change::Unchanged, 1));
        let newest = decide_put(Before::Live(&old), [], &put(6)).unwrap().put;
        assert_eq!((newest.change, newest.app.revision), (Change::Configured, 7));
    }
}
