//! The rollout of one revision: its cause, its progress and its outcome.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::app::{PodName, RevisionId, SecretName};
use crate::call::OperationKey;

/// The cause, progress and outcome of the rollout of one revision.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevisionRollout {
    /// Why the revision was created.
    #[serde(default)]
    pub cause: RevisionCause,
    /// The state of the rollout.
    #[serde(default)]
    pub outcome: Outcome,
    /// Nonce hashed with the specification, so that a restart replaces replicas of an unchanged
    /// specification.
    #[serde(default)]
    pub restart_nonce: u64,
    /// Number of attempts after the first failure.
    #[serde(default)]
    pub attempts: u32,
    /// Whether the pre-deploy hook, if any, has succeeded.
    #[serde(default)]
    pub pre_deployed: bool,
    /// The last lines of the output of the pre-deploy hook.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pre_deploy_log: Vec<String>,
}

impl RevisionRollout {
    /// Returns the revision's own failure, or the failure that this revision rolled back.
    pub fn last_failure(&self) -> Option<&RevisionFailure> {
        self.outcome.failure().or(match &self.cause {
            RevisionCause::RollBack { failure, .. } => Some(failure),
            RevisionCause::Apply
            | RevisionCause::Retry { .. }
            | RevisionCause::Restart
            | RevisionCause::SecretChange { .. }
            | RevisionCause::Undo { .. } => None,
        })
    }
}

/// Why a revision was created.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevisionCause {
    /// A user applied another specification.
    #[default]
    Apply,
    /// A user retried a failed revision.
    Retry {
        /// The revision that failed.
        of: RevisionId,
    },
    /// A user restarted all replicas.
    Restart,
    /// A user changed a secret that the app uses.
    SecretChange {
        /// The secret.
        secret: SecretName,
    },
    /// A user restored the content of an earlier revision.
    Undo {
        /// The earlier revision.
        to: RevisionId,
    },
    /// A revision failed, and the last complete one was restored automatically.
    RollBack {
        /// The revision that failed.
        from: RevisionId,
        /// The revision that was restored.
        to: RevisionId,
        /// Why it failed.
        failure: Box<RevisionFailure>,
    },
}

/// The state of the rollout of a revision.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The rollout is in progress.
    #[default]
    Progressing,
    /// All desired replicas were ready at the same time, and no older one was left.
    Complete {
        /// Since when the rollout is complete.
        at: Timestamp,
    },
    /// A complete revision ran for a minute without an exit.
    Stable,
    /// The rollout failed.
    Failed(Box<RevisionFailure>),
    /// Another revision replaced this one before it was complete.
    Superseded,
}

impl Outcome {
    /// Returns one word: `progressing`, `complete`, `stable`, `failed` or `superseded`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Progressing => "progressing",
            Self::Complete { .. } => "complete",
            Self::Stable => "stable",
            Self::Failed(_) => "failed",
            Self::Superseded => "superseded",
        }
    }

    /// Returns whether a rollback may restore this revision.
    pub fn was_complete(&self) -> bool {
        matches!(self, Self::Complete { .. } | Self::Stable)
    }

    /// Returns the failure of a failed rollout.
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
    /// The time of the failure.
    pub at: Timestamp,
    /// Why, as a sentence fragment.
    pub reason: String,
    /// The pod that shows the failure, if any.
    pub pod: Option<PodName>,
    /// The last lines of that pod's output.
    #[serde(default)]
    pub log: Vec<String>,
    /// The call that failed, if that is why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<OperationKey>,
}
