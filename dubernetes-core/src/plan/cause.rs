//! Why an app is as it is: the one thing that everything else about it waits for.

use std::fmt;

use jiff::Timestamp;

use super::{Block, Waiting, restarts};

/// What everything else waits for. Its text is the app's message wherever that is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Cause {
    /// Nothing: all is as wanted.
    #[default]
    None,
    /// The engine does not answer.
    EngineAway {
        /// Since when.
        since: Timestamp,
        /// The error's text.
        reason: String,
    },
    /// A person has to act.
    Blocked(Block),
    /// Something is waited for.
    Waits(Waiting),
    /// A replica that fails again and again is on its way once more.
    CrashLooping {
        /// Its pod.
        pod: String,
        /// How its last container ended, where that is known.
        last: Option<String>,
        /// So many restarts were made.
        restarts: u32,
    },
    /// The ingress could not be made to serve.
    Ingress {
        /// The error.
        message: String,
    },
    /// The ingress has not acknowledged the routes yet.
    NotRouted,
    /// The wanted revision has failed.
    RevisionFailed {
        /// The revision.
        revision: u64,
        /// Why.
        reason: String,
    },
    /// A revision has failed, and the app has come back to an earlier one by itself.
    RolledBack {
        /// The revision that failed.
        from: u64,
        /// The revision that came back.
        to: u64,
        /// Why.
        reason: String,
    },
    /// A user has paused the rollout.
    Paused,
    /// The app was deleted, and something of it is left.
    Deleting {
        /// So many replicas.
        left: usize,
    },
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None | Self::Deleting { left: 0 } => Ok(()),
            Self::EngineAway { reason, .. } => f.write_str(reason),
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
            Self::RolledBack { from, to, reason } => {
                write!(f, "revision {from} failed: {reason}; back to revision {to}")
            }
            Self::Paused => f.write_str("the rollout is paused"),
            Self::NotRouted => f.write_str("waiting for the ingress"),
            Self::Deleting { left: 1 } => f.write_str("1 replica left"),
            Self::Deleting { left } => write!(f, "{left} replicas left"),
        }
    }
}
