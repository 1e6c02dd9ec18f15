//! Describes how a container ended, as a sentence fragment.

use jiff::SignedDuration;

use crate::runtime::ContainerState;

use super::replica::Replica;

/// Exit code of a process that SIGKILL ended. Under load Docker may miss the OOM notification
/// (20.10 does), so this exit of a replica with a memory limit is reported as a likely OOM kill.
pub(crate) const SIGKILL_EXIT: i64 = 128 + 9;

/// Longest text on a label: an engine's error may be long.
const LONGEST_LABEL: usize = 300;

/// Describes why a replica is down or not started.
pub(super) fn cause(replica: &Replica<'_>) -> String {
    match &replica.observed.state {
        ContainerState::Exited { out_of_memory: true, .. } => match replica.memory_limit {
            Some(limit) => format!("OOMKilled, limit {limit}"),
            None => "OOMKilled".to_owned(),
        },
        ContainerState::Exited { code, started_at, finished_at, .. } => match replica.stop_reason {
            Some(reason) => reason.to_owned(),
            None => {
                let end = exit(*code, finished_at.duration_since(*started_at));
                match replica.memory_limit.filter(|_| *code == SIGKILL_EXIT) {
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

/// Describes the newest failure of a replica, which may run again already.
pub(super) fn last_failure(replica: &Replica<'_>) -> Option<String> {
    if replica.is_down() { Some(cause(replica)) } else { replica.labels().last_end.clone() }
}

/// The same as [`cause`], for the label of the next container.
pub(super) fn cause_label(replica: &Replica<'_>) -> String {
    cause(replica).chars().take(LONGEST_LABEL).collect()
}

/// Describes how a process ended. The engine's init and every shell exit with 126 and 127 when a
/// command cannot be run.
pub fn exit(code: i64, ran: SignedDuration) -> String {
    let ran = span(ran);
    match code {
        126 => format!("the command cannot be run: exit code 126 after {ran}"),
        127 => format!("command not found: exit code 127 after {ran}"),
        _ => format!("exit code {code} after {ran}"),
    }
}

/// Formats a span for people: tenths of seconds below ten seconds, then whole units.
pub fn span(span: SignedDuration) -> String {
    let millis = span.as_millis().max(0);
    match millis {
        0..10_000 => format!("{}.{}s", millis / 1000, millis % 1000 / 100),
        10_000..60_000 => format!("{}s", millis / 1000),
        60_000..3_600_000 => format!("{}m{}s", millis / 60_000, millis / 1000 % 60),
        _ => format!("{}h{}m", millis / 3_600_000, millis / 60_000 % 60),
    }
}
