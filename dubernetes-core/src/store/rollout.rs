//! How a revision came to be, and what became of it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::call::OperationKey;

/// How a revision came to be, and what became of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevisionRollout {
    /// Why it was made.
    #[serde(default)]
    pub cause: RevisionCause,
    /// What became of it so far.
    #[serde(default)]
    pub outcome: Outcome,
    /// Tells it from revisions with the same specification that it shall replace all the same,
    /// such as those before a restart: part of the hash on labels.
    #[serde(default)]
    pub restart_nonce: u64,
    /// How often it was given another chance after it had failed.
    #[serde(default)]
    pub attempts: u32,
    /// Whether the command that goes before it, if there is one, has succeeded.
    #[serde(default)]
    pub pre_deployed: bool,
    /// The last lines of that command.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pre_deploy_log: Vec<String>,
}

impl RevisionRollout {
    /// The last failure that it tells of: its own, or the one that it came back for.
    pub fn last_failure(&self) -> Option<&RevisionFailure> {
        self.outcome.failure().or(match &self.cause {
            RevisionCause::RollBack { failure, .. } => Some(failure),
            RevisionCause::Apply
            | RevisionCause::Retry { .. }
            | RevisionCause::Restart
            | RevisionCause::Undo { .. } => None,
        })
    }
}

/// Why a revision was made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevisionCause {
    /// A user applied another specification.
    #[default]
    Apply,
    /// A user wants a revision tried again that has failed.
    Retry {
        /// The revision that failed.
        of: u64,
    },
    /// A user wants all replicas replaced.
    Restart,
    /// A user wants the content of an earlier revision back.
    Undo {
        /// The earlier revision.
        to: u64,
    },
    /// A revision failed, and the last complete one came back by itself.
    RollBack {
        /// The revision that failed.
        from: u64,
        /// The revision that came back.
        to: u64,
        /// Why it failed.
        failure: Box<RevisionFailure>,
    },
}

/// What became of a revision.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is being rolled out.
    #[default]
    Progressing,
    /// All wanted replicas were ready at one time, and no older one was left.
    Complete {
        /// Since when.
        at: Timestamp,
    },
    /// It was complete and then ran for a minute without an exit.
    Stable,
    /// It failed.
    Failed(Box<RevisionFailure>),
    /// Another revision took its place before it was complete.
    Superseded,
}

impl Outcome {
    /// One word: `progressing`, `complete`, `stable`, `failed` or `superseded`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Progressing => "progressing",
            Self::Complete { .. } => "complete",
            Self::Stable => "stable",
            Self::Failed(_) => "failed",
            Self::Superseded => "superseded",
        }
    }

    /// Whether it is a revision to go back to.
    pub fn was_complete(&self) -> bool {
        matches!(self, Self::Complete { .. } | Self::Stable)
    }

    /// Why it failed, if it did.
    pub fn failure(&self) -> Option<&RevisionFailure> {
        match self {
            Self::Failed(failure) => Some(failure),
            Self::Progressing | Self::Complete { .. } | Self::Stable | Self::Superseded => None,
        }
    }
}

/// Why a revision failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevisionFailure {
    /// When.
    pub at: Timestamp,
    /// Why, as a sentence fragment.
    pub reason: String,
    /// The pod that shows it, if one does.
    pub pod: Option<String>,
    /// The last lines of its output.
    #[serde(default)]
    pub log: Vec<String>,
    /// The call that failed, if that is why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<OperationKey>,
}
