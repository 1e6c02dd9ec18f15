//! Times that are ahead of our clock.
//!
//! The engine's clock may be ahead of ours, and a clock that is set back leaves times in the future
//! in memory, in the store and on containers. A wait that begins at such a time would not end
//! before the clock has caught up.

use std::collections::BTreeMap;

use dubernetes_core::runtime::ContainerState;
use dubernetes_core::state::{
    DesiredState, EngineStatus, ObservedReplica, ObservedState, Readiness,
};
use dubernetes_core::store::{Outcome, StoredApp};
use jiff::Timestamp;

use super::probe::SETTLE_TIME;

/// When each time that is ahead of our clock was first seen.
#[derive(Debug, Default)]
pub(super) struct FutureTimes {
    seen: BTreeMap<Timestamp, Timestamp>,
}

impl FutureTimes {
    /// Replaces each time at which a wait of the planner begins by the time at which it was first
    /// seen, if it is later than `now`.
    pub(super) fn settle(
        &mut self,
        desired: &mut DesiredState,
        observed: &mut ObservedState,
        now: Timestamp,
    ) {
        let before = std::mem::take(&mut self.seen);
        let mut settle = |time: &mut Timestamp| {
            if *time > now {
                let first_seen = before.get(time).copied().unwrap_or(now).min(now);
                self.seen.insert(*time, first_seen);
                *time = first_seen;
            }
        };
        desired.apps.values_mut().for_each(|app| settle_app(app, &mut settle));
        desired.tombstones.values_mut().for_each(|tombstone| settle(&mut tombstone.deleted_at));
        desired.teardown.iter_mut().for_each(&mut settle);
        let certificates = desired.certificates.values_mut();
        let failures = certificates.filter_map(|stored| stored.failure.as_mut());
        failures.for_each(|failed| settle(&mut failed.failure.at));
        for replica in &mut observed.replicas {
            settle_replica(replica, now, &mut settle);
        }
        let hooks = observed.pre_deploys.iter_mut().map(|hook| &mut hook.state);
        let one_offs = observed.one_offs.iter_mut().map(|one_off| &mut one_off.state);
        hooks.chain(one_offs).for_each(|state| settle_state(state, &mut settle));
        for drain in observed.drains.values_mut() {
            settle(&mut drain.since);
            drain.checked_at.iter_mut().for_each(&mut settle);
        }
        observed.failures.values_mut().for_each(|failure| settle(&mut failure.at));
        observed.last_ready_at.values_mut().for_each(&mut settle);
        observed.active_since.iter_mut().for_each(&mut settle);
        if let EngineStatus::Unreachable { since, .. } = &mut observed.engine {
            settle(since);
        }
    }
}

fn settle_app(app: &mut StoredApp, settle: &mut impl FnMut(&mut Timestamp)) {
    settle(&mut app.rollout_started_at);
    match &mut app.rollout.outcome {
        Outcome::Complete { at } => settle(at),
        Outcome::Failed(failure) => settle(&mut failure.at),
        Outcome::Progressing | Outcome::Stable | Outcome::Superseded => {}
    }
}

fn settle_replica(
    replica: &mut ObservedReplica,
    now: Timestamp,
    settle: &mut impl FnMut(&mut Timestamp),
) {
    settle(&mut replica.created_at);
    settle_state(&mut replica.state, settle);
    match &mut replica.readiness {
        Readiness::Ready { since } => settle(since),
        Readiness::Settling { until } => {
            let mut start = until.saturating_sub(SETTLE_TIME).unwrap_or(*until);
            settle(&mut start);
            let until = start.saturating_add(SETTLE_TIME).unwrap_or(start);
            replica.readiness = if until > now {
                Readiness::Settling { until }
            } else {
                Readiness::Ready { since: until }
            };
        }
        Readiness::Unknown | Readiness::NotReady { .. } | Readiness::Unhealthy { .. } => {}
    }
}

fn settle_state(state: &mut ContainerState, settle: &mut impl FnMut(&mut Timestamp)) {
    match state {
        ContainerState::Running { started_at } => settle(started_at),
        ContainerState::Exited(exit) => {
            settle(&mut exit.started_at);
            settle(&mut exit.finished_at);
        }
        ContainerState::Created
        | ContainerState::StartFailed { .. }
        | ContainerState::Paused
        | ContainerState::Removing => {}
    }
}
