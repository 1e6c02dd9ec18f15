//! Which replicas stay and which go: the order of every replacement, by arithmetic alone.
//!
//! There is no memory of a rollout. What is ready now says how many may go now, and what is live
//! now says how many may come, so every state in between is a place to begin from.

use crate::plan::Reason;
use crate::runtime::ContainerState;
use crate::state::ObservedReplica;
use crate::store::StoredApp;

use super::context::{Context, is_live, is_paused};
use super::limits::Limits;

/// The replicas of one app, classified by what becomes of them.
#[derive(Debug, Default)]
pub(super) struct Classified<'a> {
    /// The hash of the wanted revision.
    pub(super) hash: String,
    /// They stay, or are restarted in their place: of the wanted revision.
    pub(super) updated: Vec<&'a ObservedReplica>,
    /// They stay until they are replaced: of an older revision.
    pub(super) outdated: Vec<&'a ObservedReplica>,
    /// They go, each for a reason.
    pub(super) terminating: Vec<(&'a ObservedReplica, Reason)>,
}

impl<'a> Classified<'a> {
    /// Those that stay.
    pub(super) fn stay(&self) -> impl Iterator<Item = &'a ObservedReplica> {
        self.updated.iter().chain(&self.outdated).copied()
    }

    /// All.
    pub(super) fn all(&self) -> impl Iterator<Item = &'a ObservedReplica> {
        self.stay().chain(self.terminating.iter().map(|(replica, _)| *replica))
    }
}

/// Sorts the replicas of an app whose store is not behind.
pub(super) fn classify<'a>(
    context: &Context<'a>,
    stored: &StoredApp,
    limits: Limits,
    hash: String,
) -> Classified<'a> {
    let mut classified = Classified { hash, ..Classified::default() };
    let mut rest = Vec::new();
    for &replica in context.of(&stored.spec.name) {
        if replica.labels.revision <= stored.deleted_through {
            classified.terminating.push((replica, Reason::AppDeleted));
        } else if replica.state == ContainerState::Removing {
            classified.terminating.push((replica, Reason::Superseded));
        } else {
            rest.push(replica);
        }
    }
    let place = |r: &ObservedReplica| (r.labels.ordinal, r.labels.revision);
    for same_place in rest.chunk_by(|a, b| place(a) == place(b)) {
        // The list is in the order of restarts: the last one is the newest.
        let Some((&newest, older)) = same_place.split_last() else { continue };
        classified.terminating.extend(older.iter().map(|older| (*older, Reason::Superseded)));
        // A tag may have moved between two revisions of the same content.
        let same_image = match (&newest.labels.image, &stored.image_id) {
            (Some(runs), Some(wanted)) => runs == wanted,
            (None, _) | (_, None) => true,
        };
        let same = newest.labels.spec_hash == classified.hash && same_image;
        let wanted = same && !context.observed.evicted.contains(&newest.id);
        if wanted { classified.updated.push(newest) } else { classified.outdated.push(newest) }
    }
    terminate_surplus(context, limits, &mut classified);
    terminate_outdated(context, stored, limits, &mut classified);
    if is_paused(stored) {
        terminate_paused(context, limits, &mut classified);
    }
    classified
}

/// While a rollout is held, replicas of both revisions stay as far as the max_live lets them, and as
/// many as are wanted where there are those of one only: those that are not ready go first, then the
/// highest ordinals.
fn terminate_paused(context: &Context<'_>, limits: Limits, classified: &mut Classified<'_>) {
    let mixed = !classified.updated.is_empty() && !classified.outdated.is_empty();
    let most = if mixed && limits.desired > 0 { limits.max_live } else { limits.desired };
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let have =
        u32::try_from(classified.updated.len() + classified.outdated.len()).unwrap_or(u32::MAX);
    while classified.updated.len() + classified.outdated.len() > most {
        let goes_last = |r: &&ObservedReplica| {
            (
                is_live(r),
                context.is_ready(r),
                !is_leaving(context, r),
                std::cmp::Reverse(r.labels.ordinal),
            )
        };
        let Some(goes) = classified.stay().min_by_key(goes_last) else { return };
        classified.updated.retain(|r| r.id != goes.id);
        classified.outdated.retain(|r| r.id != goes.id);
        classified
            .terminating
            .push((goes, Reason::AboveReplicas { desired: limits.desired, existing: have }));
    }
}

/// Too many of the wanted revision: those that fail go first, then the highest ordinals.
fn terminate_surplus(context: &Context<'_>, limits: Limits, classified: &mut Classified<'_>) {
    let want = usize::try_from(limits.desired).unwrap_or(usize::MAX);
    if classified.updated.len() <= want {
        return;
    }
    let have = u32::try_from(classified.updated.len()).unwrap_or(u32::MAX);
    classified.updated.sort_by_key(|r| {
        let leaves_first = (!is_live(r), !context.is_ready(r), is_leaving(context, r));
        (leaves_first, r.labels.ordinal)
    });
    let reason = Reason::AboveReplicas { desired: limits.desired, existing: have };
    while classified.updated.len() > want {
        let Some(last) = classified.updated.pop() else { break };
        classified.terminating.push((last, reason.clone()));
    }
    classified.updated.sort_by_key(|r| r.labels.ordinal);
}

/// Older replicas go as far as enough others are ready, or, where they are not ready themselves,
/// as far as enough others are there. One of a revision that has failed goes as soon as it is not
/// ready: it would only fail once more.
fn terminate_outdated(
    context: &Context<'_>,
    stored: &StoredApp,
    limits: Limits,
    classified: &mut Classified<'_>,
) {
    // Without successors that could be made nothing is given up.
    if classified.outdated.is_empty() || (!stored.is_deployable() && limits.desired > 0) {
        return;
    }
    let is_kept =
        |r: &ObservedReplica| is_paused(stored) && !context.observed.evicted.contains(&r.id);
    let ready = |list: &[&ObservedReplica]| {
        u32::try_from(list.iter().filter(|r| context.is_ready(r)).count()).unwrap_or(u32::MAX)
    };
    let available = classified.updated.iter().filter(|r| context.is_available(stored, r));
    let current_ready = u32::try_from(available.count()).unwrap_or(u32::MAX);
    classified.outdated.sort_by_key(|r| {
        let goes_first = (is_live(r), context.is_ready(r), !is_leaving(context, r));
        (goes_first, r.labels.ordinal, r.labels.revision)
    });
    let mut stays = Vec::new();
    let mut rest = std::mem::take(&mut classified.outdated);
    let mut outdated_ready = ready(&rest);
    let mut kept = u32::try_from(rest.len()).unwrap_or(u32::MAX);
    for replica in rest.drain(..) {
        let is_ready = context.is_ready(replica);
        let unrecoverable = !is_live(replica) && !can_restart(context, stored, replica)
            || !is_ready && is_of_failed(context, stored, replica);
        let enough = if unrecoverable {
            true
        } else if is_kept(replica) {
            false
        } else if is_ready {
            current_ready + outdated_ready > limits.min_available
        } else {
            current_ready + kept > limits.min_available
        };
        if enough {
            outdated_ready -= u32::from(is_ready);
            kept -= 1;
            classified.terminating.push((replica, reason(context, replica, stored)));
        } else {
            stays.push(replica);
        }
    }
    classified.outdated = stays;
}

/// Whether what a failed replica ran is still known.
fn can_restart(context: &Context<'_>, stored: &StoredApp, replica: &ObservedReplica) -> bool {
    let revision = replica.labels.revision;
    revision == stored.revision || context.revision(&stored.spec.name, revision).is_some()
}

/// Whether the older revision that it runs has failed.
fn is_of_failed(context: &Context<'_>, stored: &StoredApp, replica: &ObservedReplica) -> bool {
    let own = context.revision(&stored.spec.name, replica.labels.revision);
    own.is_some_and(|kept| kept.rollout.outcome.failure().is_some())
}

/// Whether the replica is on its way out already: among equals it is preferred, so that a choice
/// once made stays made.
fn is_leaving(context: &Context<'_>, replica: &ObservedReplica) -> bool {
    let draining = context.observed.drains.contains_key(&replica.labels.address);
    replica.is_running() && draining && !context.is_routed(replica)
}

fn reason(context: &Context<'_>, replica: &ObservedReplica, stored: &StoredApp) -> Reason {
    if context.observed.evicted.contains(&replica.id) {
        Reason::Evicted
    } else {
        Reason::Replaced { by: stored.revision }
    }
}
