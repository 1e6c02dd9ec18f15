//! Why an app is in its phase: what everything else about it waits for.

use std::fmt;

use jiff::Timestamp;

use crate::app::{PodName, RevisionId};
use crate::format::{replicas, restarts};

use super::{Block, Waiting};

/// What everything else about an app waits for. Its text is the message of the status.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Cause {
    /// Nothing: observed matches desired.
    #[default]
    None,
    /// The engine is unreachable.
    EngineUnreachable {
        /// Since when.
        since: Timestamp,
        /// The error.
        reason: String,
    },
    /// A person has to act.
    Blocked(Block),
    /// Something is waited for.
    Waits(Waiting),
    /// A replica in a crash loop runs again.
    CrashLooping {
        /// Its pod.
        pod: PodName,
        /// How its last container ended, if that is known.
        last: Option<String>,
        /// Restarts so far.
        restarts: u32,
    },
    /// The ingress does not serve the routes.
    Ingress {
        /// The error.
        message: String,
    },
    /// The ingress has not acknowledged the routes yet.
    NotRouted,
    /// The wanted revision failed.
    RevisionFailed {
        /// The revision.
        revision: RevisionId,
        /// Why.
        reason: String,
    },
    /// A revision failed, and the app was rolled back to an earlier one.
    RolledBack {
        /// The revision that failed.
        from: RevisionId,
        /// The earlier revision.
        to: RevisionId,
        /// The new revision, with the content of the earlier one.
        revision: RevisionId,
        /// Why.
        reason: String,
    },
    /// A user paused the rollout.
    Paused,
    /// A running replica has other limits than its revision.
    ChangedLimits {
        /// Its pod.
        pod: PodName,
        /// The difference, and why.
        message: String,
    },
    /// The app was deleted, and replicas are left.
    Deleting {
        /// Their number.
        left: u32,
    },
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None | Self::Deleting { left: 0 } => Ok(()),
            Self::EngineUnreachable { reason, .. } => f.write_str(reason),
            Self::Blocked(block) => block.fmt(f),
            Self::Waits(waiting) => f.write_str(&waiting.text()),
            Self::CrashLooping { pod, last: Some(last), restarts: count } => {
                write!(f, "{pod}: {last}, {}", restarts(*count))
            }
            Self::CrashLooping { pod, last: None, restarts: count } => {
                write!(f, "{pod} keeps failing, {}", restarts(*count))
            }
            Self::Ingress { message } => f.write_str(message),
            Self::RevisionFailed { revision, reason } => {
                write!(f, "revision {revision} failed: {reason}")
            }
            Self::RolledBack { from, to, revision, reason } => write!(
                f,
                "revision {from} failed: {reason}; rolled back to revision {to} as revision \
                 {revision}"
            ),
            Self::Paused => f.write_str("rollout is paused"),
            Self::ChangedLimits { pod, message } => write!(f, "{pod}: {message}"),
            Self::NotRouted => f.write_str("waiting for the ingress"),
            Self::Deleting { left } => write!(f, "{} left", replicas(*left)),
        }
    }
}
