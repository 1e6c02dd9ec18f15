//! Describes how a container ended, as a sentence fragment.

use crate::format::SIGKILL_EXIT;
use crate::plan::Reason;
use crate::runtime::{ContainerState, Exit};

use super::replica::Replica;

/// Longest text on a label: an engine's error may be long.
const LONGEST_LABEL: usize = 300;

/// Describes why a replica is down or not started.
pub(super) fn cause(replica: &Replica<'_>) -> String {
    match &replica.observed.state {
        ContainerState::Exited(Exit { out_of_memory: true, .. }) => match replica.memory_limit {
            Some(limit) => format!("OOMKilled, limit {limit}"),
            None => "OOMKilled".to_owned(),
        },
        ContainerState::Exited(exit) => match replica.stop_reason {
            Some(reason) => reason.to_owned(),
            None => {
                let end = exit.describe();
                match replica.memory_limit.filter(|_| exit.code == SIGKILL_EXIT) {
                    Some(limit) => format!("{end}, likely out of memory, limit {limit}"),
                    None => end,
                }
            }
        },
        ContainerState::StartFailed { error, code } if error.is_empty() => {
            format!("could not be started (exit code {code})")
        }
        ContainerState::StartFailed { error, .. } => error.clone(),
        ContainerState::Paused => Reason::Paused.to_string(),
        ContainerState::Created => "not started yet".to_owned(),
        ContainerState::Running { .. } => String::new(),
        ContainerState::Removing => "being removed".to_owned(),
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
