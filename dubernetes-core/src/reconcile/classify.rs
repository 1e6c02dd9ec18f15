//! Classifies the replicas of an app: which run the wanted revision, which are outdated, and which
//! terminate.
//!
//! The order of every replacement follows from arithmetic alone, without a memory of the rollout:
//! the replicas that are ready now limit how many may go now. Every state in between is a state to
//! begin from.

use std::cmp::Reverse;

use crate::plan::Reason;
use crate::runtime::ContainerState;
use crate::state::ObservedReplica;

use super::app::App;
use super::context::{Context, Slot};
use super::limits::count;
use super::replica::{Replica, Role};

/// The replicas of one app: updated, then outdated, then terminating ones.
#[derive(Debug)]
pub(super) struct Replicas<'a> {
    all: Vec<Replica<'a>>,
    /// Creates in flight whose container is not observed yet.
    pub(super) creating: Vec<Slot>,
}

impl<'a> Replicas<'a> {
    pub(super) fn new(all: Vec<Replica<'a>>, creating: Vec<Slot>) -> Self {
        Self { all, creating }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Replica<'a>> + Clone {
        self.all.iter()
    }

    pub(super) fn updated(&self) -> impl Iterator<Item = &Replica<'a>> + Clone {
        self.iter().filter(|replica| replica.role == Role::Updated)
    }

    pub(super) fn outdated(&self) -> impl Iterator<Item = &Replica<'a>> + Clone {
        self.iter().filter(|replica| replica.role == Role::Outdated)
    }

    /// Updated and outdated replicas.
    pub(super) fn kept(&self) -> impl Iterator<Item = &Replica<'a>> + Clone {
        self.iter().filter(|replica| !matches!(replica.role, Role::Terminating(_)))
    }

    pub(super) fn terminating(&self) -> impl Iterator<Item = (&Replica<'a>, &Reason)> + Clone {
        self.iter().filter_map(|replica| match &replica.role {
            Role::Terminating(reason) => Some((replica, reason)),
            Role::Updated | Role::Outdated => None,
        })
    }

    pub(super) fn has_outdated(&self) -> bool {
        self.outdated().next().is_some()
    }

    /// Whether a create in flight restarts the replica.
    pub(super) fn is_creating(&self, replica: &Replica<'_>) -> bool {
        self.creating.contains(&replica.slot())
    }

    /// Creates in flight that restart no kept replica.
    pub(super) fn pending(&self) -> impl Iterator<Item = Slot> {
        let is_restart = |slot: &Slot| self.kept().any(|replica| replica.slot() == *slot);
        self.creating.iter().copied().filter(move |slot| !is_restart(slot))
    }
}

/// Classifies the replicas of an app.
pub(super) fn classify<'a>(context: &Context<'a>, app: &App<'a>) -> Replicas<'a> {
    let roles = initial_roles(app);
    let replicas = roles.into_iter().map(|(r, role)| Replica::of_app(context, app, r, role));
    let mut updated = Vec::with_capacity(app.observed.replicas.len());
    let (mut outdated, mut terminating) = (Vec::new(), Vec::new());
    for replica in replicas {
        match replica.role {
            Role::Updated => updated.push(replica),
            Role::Outdated => outdated.push(replica),
            Role::Terminating(_) => terminating.push(replica),
        }
    }
    let (mut kept, surplus) = split_surplus(app, updated);
    let (outdated, replaced) = split_replaced(app, &kept, outdated);
    terminating.extend(surplus);
    terminating.extend(replaced);
    kept.extend(outdated);
    let (mut all, surplus) = if app.paused { split_paused(app, kept) } else { (kept, Vec::new()) };
    all.extend(terminating);
    all.extend(surplus);
    Replicas::new(all, app.observed.creating())
}

/// Classifies the replicas of an app of which nothing may be changed.
pub(super) fn keep_all<'a>(context: &Context<'a>, app: &App<'a>) -> Replicas<'a> {
    let replicas = app.observed.replicas.iter();
    let all = replicas.map(|replica| Replica::of_app(context, app, replica, Role::Outdated));
    Replicas::new(all.collect(), app.observed.creating())
}

/// Assigns the roles that do not depend on how many replicas are wanted or ready.
fn initial_roles<'a>(app: &App<'a>) -> Vec<(&'a ObservedReplica, Role)> {
    let mut roles = Vec::with_capacity(app.observed.replicas.len());
    let mut rest = Vec::with_capacity(app.observed.replicas.len());
    for &replica in &app.observed.replicas {
        if replica.labels.revision <= app.stored.deleted_through {
            roles.push((replica, Role::Terminating(Reason::AppDeleted)));
        } else if replica.state == ContainerState::Removing {
            roles.push((replica, Role::Terminating(Reason::Superseded)));
        } else {
            rest.push(replica);
        }
    }
    let slot = |r: &ObservedReplica| (r.labels.ordinal, r.labels.revision);
    for same_slot in rest.chunk_by(|a, b| slot(a) == slot(b)) {
        // By the order of the list, the last one is the newest.
        let Some((&newest, older)) = same_slot.split_last() else { continue };
        let superseded = || Role::Terminating(Reason::Superseded);
        roles.extend(older.iter().map(|&older| (older, superseded())));
        let is_evicted = app.stored.evicted.contains(&newest.id);
        let is_updated = app.is_wanted(newest) && !is_evicted;
        roles.push((newest, if is_updated { Role::Updated } else { Role::Outdated }));
    }
    roles
}

/// Splits off the updated replicas above the wanted number: failed ones first, then the highest
/// ordinals.
fn split_surplus<'a>(
    app: &App<'a>,
    mut updated: Vec<Replica<'a>>,
) -> (Vec<Replica<'a>>, Vec<Replica<'a>>) {
    let desired = usize::try_from(app.limits.desired).unwrap_or(usize::MAX);
    if updated.len() <= desired {
        return (updated, Vec::new());
    }
    let existing = count(updated.len());
    updated.sort_by_key(|r| (!r.live, !r.ready, r.is_leaving(), r.labels().ordinal));
    let surplus = updated.split_off(desired).into_iter().rev();
    let reason = Reason::AboveReplicas { desired: app.limits.desired, existing };
    let surplus = surplus.map(|replica| replica.terminate(reason.clone())).collect();
    updated.sort_by_key(|r| r.labels().ordinal);
    (updated, surplus)
}

/// Splits off the outdated replicas that may go now.
///
/// A ready replica may go as long as enough others stay ready; a replica that is not ready, as long
/// as enough others are kept. A replica that cannot recover goes at once: its revision is no longer
/// stored, or has failed, and it would only fail once more.
fn split_replaced<'a>(
    app: &App<'a>,
    updated: &[Replica<'a>],
    mut outdated: Vec<Replica<'a>>,
) -> (Vec<Replica<'a>>, Vec<Replica<'a>>) {
    // Without possible successors nothing is given up.
    let has_successors = app.stored.is_deployable() && app.hold.is_none();
    if !has_successors && app.limits.desired > 0 {
        return (outdated, Vec::new());
    }
    let available = count(updated.iter().filter(|r| r.available).count());
    let mut ready = count(outdated.iter().filter(|r| r.ready).count());
    let mut kept = count(outdated.len());
    outdated.sort_by_key(|r| {
        (r.live, r.ready, !r.is_leaving(), r.labels().ordinal, r.labels().revision)
    });
    let (mut stay, mut replaced) = (Vec::new(), Vec::new());
    for replica in outdated {
        let may_go = if is_unrecoverable(app, &replica) {
            true
        } else if app.paused && !replica.evicted {
            false
        } else if replica.ready {
            available + ready > app.limits.min_available
        } else {
            available + kept > app.limits.min_available
        };
        if may_go {
            ready -= u32::from(replica.ready);
            kept -= 1;
            let by = || app.replaced(replica.observed);
            let reason = if replica.evicted { Reason::Evicted } else { by() };
            replaced.push(replica.terminate(reason));
        } else {
            stay.push(replica);
        }
    }
    (stay, replaced)
}

fn is_unrecoverable(app: &App<'_>, replica: &Replica<'_>) -> bool {
    let is_stored = replica.labels().revision == app.stored.revision || replica.kept.is_some();
    let has_failed = replica.kept.is_some_and(|kept| kept.rollout.outcome.failure().is_some());
    !replica.live && !is_stored || !replica.ready && has_failed
}

/// Splits off the replicas above the number that a paused rollout keeps: replicas that are not
/// ready first, then the highest ordinals.
///
/// While two revisions run, both keep theirs as far as `max_surge` allows; once only one is left,
/// it keeps the wanted number.
fn split_paused<'a>(
    app: &App<'a>,
    mut kept: Vec<Replica<'a>>,
) -> (Vec<Replica<'a>>, Vec<Replica<'a>>) {
    let has = |role: &Role| kept.iter().any(|replica| replica.role == *role);
    let is_mixed = has(&Role::Updated) && has(&Role::Outdated) && app.limits.desired > 0;
    let most = if is_mixed { app.limits.max_live } else { app.limits.desired };
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let reason = Reason::AboveReplicas { desired: app.limits.desired, existing: count(kept.len()) };
    let mut surplus = Vec::new();
    while kept.len() > most {
        let goes_last =
            |r: &Replica<'_>| (r.live, r.ready, !r.is_leaving(), Reverse(r.labels().ordinal));
        let first = kept.iter().enumerate().min_by_key(|(_, replica)| goes_last(replica));
        let Some((first, _)) = first else { break };
        surplus.push(kept.remove(first).terminate(reason.clone()));
    }
    (kept, surplus)
}
