//! Back-off: when a replica that failed is started again, as a function of its history and now.
//!
//! The history rides on the labels of its container, so it survives a crash of ours. The next
//! container is created before the failed one is removed, so there is no moment without it.

use jiff::{SignedDuration, Timestamp};

use crate::runtime::ContainerState;
use crate::state::ObservedReplica;

use super::context::Context;

/// A replica that ran this long was well: its next failure begins a new consecutive.
const RESET_AFTER: SignedDuration = SignedDuration::from_mins(10);
/// The longest wait between two restarts.
const LONGEST: u32 = 300;

/// The wait before the restart that follows `consecutive_restarts` restarts in a consecutive: none, then 1 s doubling
/// up to 5 min.
pub fn back_off(consecutive_restarts: u32) -> SignedDuration {
    let seconds = match consecutive_restarts {
        0 => 0,
        // Ten doublings are above the longest wait already.
        n => 1_u32.checked_shl((n - 1).min(10)).unwrap_or(LONGEST).min(LONGEST),
    };
    SignedDuration::from_secs(i64::from(seconds))
}

/// Why a replica is down, when it may be restarted, and which restart that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Restart {
    /// Not before then.
    pub(super) due: Timestamp,
    /// The restarts in a consecutive with this one.
    pub(super) consecutive_restarts: u32,
    /// All restarts with this one.
    pub(super) restarts: u32,
}

/// The restart that a failed replica is due; `None` for one that has not failed. What failed before
/// `since` belongs to a consecutive that is over.
pub(super) fn next(replica: &ObservedReplica, since: Timestamp, now: Timestamp) -> Option<Restart> {
    let labels = &replica.labels;
    let consecutive =
        |failed_at: Timestamp| if failed_at < since { 0 } else { labels.consecutive_restarts };
    let (failed_at, consecutive) = match &replica.state {
        ContainerState::Exited { started_at, finished_at, .. } => {
            let ran = finished_at.duration_since(*started_at);
            (*finished_at, if ran >= RESET_AFTER { 0 } else { consecutive(*finished_at) })
        }
        ContainerState::StartFailed { .. } => (replica.created_at, consecutive(replica.created_at)),
        ContainerState::Created
        | ContainerState::Running { .. }
        | ContainerState::Paused
        | ContainerState::Removing => return None,
    };
    let wait = back_off(consecutive);
    // The engine's clock may be ahead of ours, or have been set back: never wait longer than the
    // wait itself.
    let due = failed_at.min(now).saturating_add(wait).unwrap_or(now);
    Some(Restart {
        due,
        consecutive_restarts: consecutive.saturating_add(1),
        restarts: labels.restarts.saturating_add(1),
    })
}

/// So many exits in a consecutive call a revision failed.
pub(super) const CRASH_LOOP_EXITS: u32 = 3;

/// Whether a replica has failed often enough in a consecutive to call its app failed: three exits, `since`
/// its revision was given its chance.
pub(super) fn is_crash_looping(
    context: &Context<'_>,
    replica: &ObservedReplica,
    since: Timestamp,
) -> bool {
    match next(replica, since, context.now) {
        Some(restart) => restart.consecutive_restarts >= CRASH_LOOP_EXITS,
        None => {
            let consecutive = replica.labels.consecutive_restarts >= CRASH_LOOP_EXITS
                && replica.created_at >= since;
            consecutive && !context.is_ready(replica)
        }
    }
}

/// The exit code of a process that SIGKILL ended. A busy engine sees now and then the end before
/// the kernel's word that memory was the reason, and then never tells that it was, as Docker 20.10
/// does. So where there is a limit, it is the first thing to look at.
pub(crate) const KILLED: i64 = 128 + 9;

/// What happened to a replica that is down, as a sentence fragment.
pub(super) fn cause(
    context: &Context<'_>,
    replica: &ObservedReplica,
    memory_limit: Option<&str>,
) -> String {
    let stop_reasons = context.observed.stop_reasons.get(&replica.id);
    match &replica.state {
        ContainerState::Exited { out_of_memory: true, .. } => match memory_limit {
            Some(limit) => format!("OOMKilled, limit {limit}"),
            None => "OOMKilled".to_owned(),
        },
        ContainerState::Exited { code, started_at, finished_at, .. } => match stop_reasons {
            Some(why) => why.clone(),
            None => {
                let end = exit(*code, finished_at.duration_since(*started_at));
                match memory_limit.filter(|_| *code == KILLED) {
                    Some(limit) => format!("{end}: killed, likely for memory, limit {limit}"),
                    None => end,
                }
            }
        },
        ContainerState::StartFailed { error, code } if error.is_empty() => {
            format!("it could not be started (code {code})")
        }
        ContainerState::StartFailed { error, .. } => error.clone(),
        ContainerState::Paused => "somebody paused it".to_owned(),
        ContainerState::Created => "it is not started yet".to_owned(),
        ContainerState::Running { .. } => String::new(),
        ContainerState::Removing => "it is being removed".to_owned(),
    }
}

/// How a replica that keeps failing last ended: it may be on its next try already.
pub(super) fn newest_end(
    context: &Context<'_>,
    replica: &ObservedReplica,
    memory_limit: Option<&str>,
) -> Option<String> {
    match next(replica, Timestamp::MIN, context.now) {
        Some(_) => Some(cause(context, replica, memory_limit)),
        None => replica.labels.last_end.clone(),
    }
}

/// The same as [`cause`] for the label of the container that follows. An engine's text may be long.
pub(super) fn last_end(
    context: &Context<'_>,
    replica: &ObservedReplica,
    memory_limit: Option<&str>,
) -> String {
    const LONGEST: usize = 300;
    cause(context, replica, memory_limit).chars().take(LONGEST).collect()
}

/// How a process ended, as a sentence fragment. The engine's init and every shell end with 126
/// and 127 where a command cannot be run.
pub fn exit(code: i64, ran: SignedDuration) -> String {
    let ran = span(ran);
    match code {
        126 => format!("the command cannot be run: exit code 126 after {ran}"),
        127 => format!("command not found: exit code 127 after {ran}"),
        _ => format!("exit code {code} after {ran}"),
    }
}

/// A span for people: tenths of seconds below ten seconds, then whole units.
pub fn span(span: SignedDuration) -> String {
    let millis = span.as_millis().max(0);
    match millis {
        0..10_000 => format!("{}.{}s", millis / 1000, millis % 1000 / 100),
        10_000..60_000 => format!("{}s", millis / 1000),
        60_000..3_600_000 => format!("{}m{}s", millis / 60_000, millis / 1000 % 60),
        _ => format!("{}h{}m", millis / 3_600_000, millis / 60_000 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_off_doubles_up_to_five_minutes_and_never_falls() {
        let first: Vec<_> = (0..11).map(|n| back_off(n).as_secs()).collect();
        assert_eq!(first, [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
        let mut last = SignedDuration::ZERO;
        for consecutive_restarts in 0..10_000 {
            let next = back_off(consecutive_restarts);
            assert!(next >= last && next.as_secs() <= 300);
            last = next;
        }
        assert_eq!(back_off(u32::MAX).as_secs(), 300);
    }
}
