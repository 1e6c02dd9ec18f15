//! Back-off: when a failed replica is restarted, and when a failed call is tried again.
//!
//! Both are functions of the history and of now. The history of a replica is in the labels of its
//! container, so it survives a crash of the orchestrator. The next container is created before the
//! failed one is removed, so the history is never lost in between.

use jiff::{SignedDuration, Timestamp};

use crate::app::AppName;
use crate::call::OperationKey;
use crate::plan::{Planned, Wait};
use crate::runtime::ContainerState;
use crate::state::ObservedReplica;

use super::context::Context;
use super::step::Step;

/// A replica that ran this long was well: its next failure is the first of a new row.
const RESET_AFTER: SignedDuration = SignedDuration::from_mins(10);
/// Longest back-off, in seconds.
const LONGEST: u32 = 300;

/// Returns the back-off after a number of failures in a row: none, then 1 s doubling up to 5 min.
pub fn back_off(failures: u32) -> SignedDuration {
    let seconds = match failures {
        0 => 0,
        // Ten doublings are above the longest back-off already.
        n => 1_u32.checked_shl((n - 1).min(10)).unwrap_or(LONGEST).min(LONGEST),
    };
    SignedDuration::from_secs(i64::from(seconds))
}

/// The next restart of a failed replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Restart {
    /// Not before then.
    pub(super) due: Timestamp,
    /// Restarts in a row, with this one.
    pub(super) consecutive_restarts: u32,
    /// All restarts, with this one.
    pub(super) restarts: u32,
}

/// Returns the restart that a failed replica is due; `None` for a replica that has not failed.
/// Failures before `since` belong to an earlier row. A replica that ended with its engine is
/// restarted at once, and its row goes on after it.
pub(super) fn restart(
    context: &Context<'_>,
    replica: &ObservedReplica,
    since: Timestamp,
) -> Option<Restart> {
    let labels = &replica.labels;
    let now = context.now;
    let row =
        |failed_at: Timestamp| if failed_at < since { 0 } else { labels.consecutive_restarts };
    let (failed_at, before) = match &replica.state {
        ContainerState::Exited(exit) => {
            let at = exit.finished_at;
            (at, if exit.ran() >= RESET_AFTER { 0 } else { row(at) })
        }
        ContainerState::StartFailed { .. } => (replica.created_at, row(replica.created_at)),
        ContainerState::Created
        | ContainerState::Running { .. }
        | ContainerState::Paused
        | ContainerState::Removing => return None,
    };
    if context.observed.lost_with_engine.contains(&replica.id) {
        let restarts = labels.restarts.saturating_add(1);
        return Some(Restart { due: now, consecutive_restarts: before, restarts });
    }
    // The engine's clock may be ahead of ours, or may have been set back: never wait longer than
    // the back-off itself.
    let due = failed_at.min(now).saturating_add(back_off(before)).unwrap_or(now);
    Some(Restart {
        due,
        consecutive_restarts: before.saturating_add(1),
        restarts: labels.restarts.saturating_add(1),
    })
}

/// Returns the action, or what it has to wait for: the same call in flight, or the back-off after
/// its failure.
pub(super) fn attempt<'a>(
    context: &Context<'_>,
    app: impl Into<Option<&'a AppName>>,
    planned: Planned,
) -> Step {
    match blocked_until(context, &planned.action.key()) {
        None => Step::Act(planned),
        Some((wait, until)) => Step::wait(app, planned.pod, wait, until),
    }
}

fn blocked_until(context: &Context<'_>, key: &OperationKey) -> Option<(Wait, Option<Timestamp>)> {
    if context.observed.in_flight.contains_key(key) {
        return Some((Wait::InProgress, None));
    }
    let failure = context.observed.failures.get(key)?;
    if context.desired.teardown.is_some_and(|requested_at| failure.at < requested_at) {
        // The request is a new reason to try.
        return None;
    }
    let until = failure.at.min(context.now).saturating_add(back_off(failure.count)).ok()?;
    let wait = || Wait::Retry { call: key.clone(), failure: failure.clone() };
    (until > context.now).then(|| (wait(), Some(until)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_off_doubles_up_to_five_minutes_and_never_falls() {
        let first: Vec<_> = (0..11).map(|n| back_off(n).as_secs()).collect();
        assert_eq!(first, [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
        let mut last = SignedDuration::ZERO;
        for failures in 0..10_000 {
            let next = back_off(failures);
            assert!(next >= last && next.as_secs() <= 300);
            last = next;
        }
        assert_eq!(back_off(u32::MAX).as_secs(), 300);
    }
}
