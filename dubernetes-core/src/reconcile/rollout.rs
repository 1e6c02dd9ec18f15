//! Which replicas stay and which go: the order of every replacement, by arithmetic alone.
//!
//! There is no memory of a rollout. What is ready now says how many may go now, and what is live
//! now says how many may come, so every state in between is a place to begin from.

use crate::plan::Reason;
use crate::runtime::ContainerState;
use crate::state::ObservedReplica;
use crate::store::StoredApp;

use super::budget::Limits;
use super::view::{World, is_held, is_live};

/// The replicas of one app, sorted by what becomes of them.
#[derive(Debug, Default)]
pub(super) struct Sorted<'a> {
    /// The hash of the wanted revision.
    pub(super) hash: String,
    /// They stay, or are restarted in their place: of the wanted revision.
    pub(super) current: Vec<&'a ObservedReplica>,
    /// They stay until they are replaced: of an older revision.
    pub(super) outdated: Vec<&'a ObservedReplica>,
    /// They go, each for a reason.
    pub(super) leaving: Vec<(&'a ObservedReplica, Reason)>,
}

impl<'a> Sorted<'a> {
    /// Those that stay.
    pub(super) fn stay(&self) -> impl Iterator<Item = &'a ObservedReplica> {
        self.current.iter().chain(&self.outdated).copied()
    }

    /// All.
    pub(super) fn all(&self) -> impl Iterator<Item = &'a ObservedReplica> {
        self.stay().chain(self.leaving.iter().map(|(replica, _)| *replica))
    }
}

/// Sorts the replicas of an app whose store is not behind.
pub(super) fn sort<'a>(
    world: &World<'a>,
    stored: &StoredApp,
    limits: Limits,
    hash: String,
) -> Sorted<'a> {
    let mut sorted = Sorted { hash, ..Sorted::default() };
    let mut rest = Vec::new();
    for &replica in world.of(&stored.spec.name) {
        if replica.labels.revision <= stored.removed_through {
            sorted.leaving.push((replica, Reason::AppDeleted));
        } else if replica.state == ContainerState::Removing {
            sorted.leaving.push((replica, Reason::Superseded));
        } else {
            rest.push(replica);
        }
    }
    let place = |r: &ObservedReplica| (r.labels.ordinal, r.labels.revision);
    for same_place in rest.chunk_by(|a, b| place(a) == place(b)) {
        // The list is in the order of restarts: the last one is the newest.
        let Some((&newest, older)) = same_place.split_last() else { continue };
        sorted.leaving.extend(older.iter().map(|older| (*older, Reason::Superseded)));
        // A tag may have moved between two revisions of the same content.
        let same_image = match (&newest.labels.image, &stored.image_id) {
            (Some(runs), Some(wanted)) => runs == wanted,
            (None, _) | (_, None) => true,
        };
        let same = newest.labels.spec_hash == sorted.hash && same_image;
        let wanted = same && !world.observed.evicted.contains(&newest.id);
        if wanted { sorted.current.push(newest) } else { sorted.outdated.push(newest) }
    }
    retire_surplus(world, limits, &mut sorted);
    retire_outdated(world, stored, limits, &mut sorted);
    if is_held(stored) {
        retire_held(world, limits, &mut sorted);
    }
    sorted
}

/// While a rollout is held, replicas of both revisions stay as far as the ceiling lets them, and as
/// many as are wanted where there are those of one only: those that are not ready go first, then the
/// highest ordinals.
fn retire_held(world: &World<'_>, limits: Limits, sorted: &mut Sorted<'_>) {
    let mixed = !sorted.current.is_empty() && !sorted.outdated.is_empty();
    let most = if mixed && limits.want > 0 { limits.ceiling } else { limits.want };
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let have = u32::try_from(sorted.current.len() + sorted.outdated.len()).unwrap_or(u32::MAX);
    while sorted.current.len() + sorted.outdated.len() > most {
        let goes_last = |r: &&ObservedReplica| {
            (
                is_live(r),
                world.is_ready(r),
                !is_leaving(world, r),
                std::cmp::Reverse(r.labels.ordinal),
            )
        };
        let Some(goes) = sorted.stay().min_by_key(goes_last) else { return };
        sorted.current.retain(|r| r.id != goes.id);
        sorted.outdated.retain(|r| r.id != goes.id);
        sorted.leaving.push((goes, Reason::AboveReplicas { want: limits.want, have }));
    }
}

/// Too many of the wanted revision: those that fail go first, then the highest ordinals.
fn retire_surplus(world: &World<'_>, limits: Limits, sorted: &mut Sorted<'_>) {
    let want = usize::try_from(limits.want).unwrap_or(usize::MAX);
    if sorted.current.len() <= want {
        return;
    }
    let have = u32::try_from(sorted.current.len()).unwrap_or(u32::MAX);
    sorted.current.sort_by_key(|r| {
        let leaves_first = (!is_live(r), !world.is_ready(r), is_leaving(world, r));
        (leaves_first, r.labels.ordinal)
    });
    let reason = Reason::AboveReplicas { want: limits.want, have };
    while sorted.current.len() > want {
        let Some(last) = sorted.current.pop() else { break };
        sorted.leaving.push((last, reason.clone()));
    }
    sorted.current.sort_by_key(|r| r.labels.ordinal);
}

/// Older replicas go as far as enough others are ready, or, where they are not ready themselves,
/// as far as enough others are there. One of a revision that has failed goes as soon as it is not
/// ready: it would only fail once more.
fn retire_outdated(world: &World<'_>, stored: &StoredApp, limits: Limits, sorted: &mut Sorted<'_>) {
    // Without successors that could be made nothing is given up.
    if sorted.outdated.is_empty() || (!stored.is_deployable() && limits.want > 0) {
        return;
    }
    let is_kept = |r: &ObservedReplica| is_held(stored) && !world.observed.evicted.contains(&r.id);
    let ready = |list: &[&ObservedReplica]| {
        u32::try_from(list.iter().filter(|r| world.is_ready(r)).count()).unwrap_or(u32::MAX)
    };
    let available = sorted.current.iter().filter(|r| world.is_available(stored, r));
    let current_ready = u32::try_from(available.count()).unwrap_or(u32::MAX);
    sorted.outdated.sort_by_key(|r| {
        let goes_first = (is_live(r), world.is_ready(r), !is_leaving(world, r));
        (goes_first, r.labels.ordinal, r.labels.revision)
    });
    let mut stays = Vec::new();
    let mut rest = std::mem::take(&mut sorted.outdated);
    let mut outdated_ready = ready(&rest);
    let mut kept = u32::try_from(rest.len()).unwrap_or(u32::MAX);
    for replica in rest.drain(..) {
        let is_ready = world.is_ready(replica);
        let hopeless = !is_live(replica) && !can_restart(world, stored, replica)
            || !is_ready && is_of_failed(world, stored, replica);
        let enough = if hopeless {
            true
        } else if is_kept(replica) {
            false
        } else if is_ready {
            current_ready + outdated_ready > limits.floor
        } else {
            current_ready + kept > limits.floor
        };
        if enough {
            outdated_ready -= u32::from(is_ready);
            kept -= 1;
            sorted.leaving.push((replica, reason(world, replica, stored)));
        } else {
            stays.push(replica);
        }
    }
    sorted.outdated = stays;
}

/// Whether what a failed replica ran is still known.
fn can_restart(world: &World<'_>, stored: &StoredApp, replica: &ObservedReplica) -> bool {
    let revision = replica.labels.revision;
    revision == stored.revision || world.revision(&stored.spec.name, revision).is_some()
}

/// Whether the older revision that it runs has failed.
fn is_of_failed(world: &World<'_>, stored: &StoredApp, replica: &ObservedReplica) -> bool {
    let own = world.revision(&stored.spec.name, replica.labels.revision);
    own.is_some_and(|kept| kept.course.outcome.failure().is_some())
}

/// Whether the replica is on its way out already: among equals it is preferred, so that a choice
/// once made stays made.
fn is_leaving(world: &World<'_>, replica: &ObservedReplica) -> bool {
    let draining = world.observed.drains.contains_key(&replica.labels.address);
    replica.is_running() && draining && !world.is_routed(replica)
}

fn reason(world: &World<'_>, replica: &ObservedReplica, stored: &StoredApp) -> Reason {
    if world.observed.evicted.contains(&replica.id) {
        Reason::Evicted
    } else {
        Reason::Replaced { by: stored.revision }
    }
}
