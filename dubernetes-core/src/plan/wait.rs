//! Waits: what has to happen before the next step.
//!
//! A new variant gets its text and its row here; nothing else lists them all.

use std::fmt;
use std::net::Ipv4Addr;

use serde::Serialize;

use crate::call::CallFailure;

use super::{Rule, restarts};

/// What is waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Wait {
    /// A call is in flight.
    InProgress,
    /// A running replica is not ready.
    Ready {
        /// Result of the last probe.
        reason: String,
    },
    /// The ingress has not acknowledged a table without the replica.
    AwaitingUnroute,
    /// Requests to the replica may be in progress.
    Drained {
        /// Its address. The caller checks it, and reports in
        /// [`crate::state::ObservedState::drains`].
        address: Ipv4Addr,
    },
    /// The back-off before the next restart of a failed replica.
    BackOff {
        /// Why it failed.
        cause: String,
        /// Restarts so far.
        restarts: u32,
    },
    /// The back-off before the next attempt of a failed call.
    Retry(CallFailure),
    /// As many replicas are live as are allowed at one time.
    SurgeLimit {
        /// Allowed live replicas.
        limit: u32,
    },
    /// The engine may still create a container of the deleted app.
    Tombstone,
    /// The pre-deploy hook is running.
    PreDeploy,
    /// A new replica is ready, and has to stay ready to be available.
    MinReady,
    /// The revision fails unless it makes progress.
    Deadline,
    /// The revision becomes stable unless a replica exits.
    Stable,
    /// The rollout is paused: no replica is replaced by a newer revision.
    Paused {
        /// Whether a user paused it; otherwise it failed with `on_failure: pause`.
        by_user: bool,
    },
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InProgress => f.write_str("a call to the engine is under way"),
            Self::Ready { reason } => write!(f, "not ready: {reason}"),
            Self::AwaitingUnroute => f.write_str("until the ingress has taken it out"),
            Self::Drained { .. } => f.write_str("requests under way"),
            Self::BackOff { cause, restarts: count } => write!(f, "{cause}, {}", restarts(*count)),
            Self::Retry(CallFailure { message, count: 1, .. }) => f.write_str(message),
            Self::Retry(CallFailure { message, count, .. }) => {
                write!(f, "{message} ({count} tries)")
            }
            Self::SurgeLimit { limit } => write!(f, "at most {limit} at one time"),
            Self::Tombstone => f.write_str("a late container may still appear"),
            Self::PreDeploy => f.write_str("until its command has succeeded"),
            Self::MinReady => f.write_str("ready, and counts if it stays so"),
            Self::Deadline => f.write_str("the revision fails without progress until then"),
            Self::Stable => f.write_str("stable if no replica exits until then"),
            Self::Paused { by_user: true } => f.write_str("the rollout is paused"),
            Self::Paused { by_user: false } => f.write_str("the rollout has failed and is held"),
        }
    }
}

/// What holds of all waits of one kind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WaitRow {
    /// The rule that `why` shows.
    pub(crate) rule: Rule,
    /// What the orchestrator does, as `why` shows it; `{}` stands for the pod or the app.
    pub(crate) decision: &'static str,
    /// Keeps the wanted revision from being rolled out.
    pub(crate) blocks_progress: bool,
    /// Nothing is missing while it lasts.
    pub(crate) is_steady: bool,
    /// How a forecast ends it.
    pub(crate) prediction: Prediction,
    /// How a person can end it.
    pub(crate) remedy: Remedy,
}

/// How a forecast, in which everything succeeds, ends a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prediction {
    /// Another step of the plan ends it, or nothing does.
    None,
    /// The replica becomes ready.
    BecomesReady,
    /// The replica stays ready.
    StaysReady,
    /// The requests to the replica end.
    Drains,
    /// The engine finishes a removal.
    IsRemoved,
    /// The pre-deploy hook succeeds.
    HookSucceeds,
    /// Time passes.
    TimePasses,
}

/// What a person can do about a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remedy {
    None,
    /// What helps against the failure of a call.
    FailedCall,
    /// What helps a replica that does not become ready.
    NotReady,
    /// What helps a replica whose process exits.
    Exit,
}

impl WaitRow {
    const fn new(rule: Rule, decision: &'static str) -> Self {
        Self {
            rule,
            decision,
            blocks_progress: false,
            is_steady: false,
            prediction: Prediction::None,
            remedy: Remedy::None,
        }
    }

    const fn blocks_progress(self) -> Self {
        Self { blocks_progress: true, ..self }
    }

    const fn steady(self) -> Self {
        Self { is_steady: true, ..self }
    }

    const fn predicted(self, prediction: Prediction) -> Self {
        Self { prediction, ..self }
    }

    const fn remedy(self, remedy: Remedy) -> Self {
        Self { remedy, ..self }
    }
}

impl Wait {
    /// Returns whether nothing is missing while it lasts.
    pub fn is_steady(&self) -> bool {
        self.row().is_steady
    }

    /// One row per variant.
    pub(crate) const fn row(&self) -> WaitRow {
        match self {
            Self::InProgress => WaitRow::new(
                Rule::new("one call at a time for one thing", "its result is a reason to look"),
                "wait for the call to end",
            )
            .predicted(Prediction::IsRemoved),
            Self::Ready { .. } => WaitRow::new(
                Rule::new("readiness", "no request is routed to a replica that is not ready"),
                "go on asking {}, and route nothing to it",
            )
            .blocks_progress()
            .predicted(Prediction::BecomesReady)
            .remedy(Remedy::NotReady),
            Self::AwaitingUnroute => WaitRow::new(
                Rule::new("unrouted before stopped", "the ingress confirms each new table"),
                "wait, then stop {}",
            ),
            Self::Drained { .. } => WaitRow::new(
                Rule::new("drained before stopped", "for `stop.drain` at most"),
                "wait, then stop {}",
            )
            .predicted(Prediction::Drains),
            Self::BackOff { .. } => WaitRow::new(Rule::RESTART, "wait, then restart {}")
                .blocks_progress()
                .predicted(Prediction::TimePasses)
                .remedy(Remedy::Exit),
            Self::Retry(_) => WaitRow::new(
                Rule::new("a call that failed is tried again", "after 1s, doubling up to 5m"),
                "wait, then try again",
            )
            .blocks_progress()
            .remedy(Remedy::FailedCall),
            Self::SurgeLimit { .. } => WaitRow::new(
                Rule::new("surge limit", "so many replicas at most at one time"),
                "wait until another replica is gone",
            ),
            Self::Tombstone => WaitRow::new(
                Rule::new("a late container is still known", "for 2m after the deletion"),
                "wait, then forget {}",
            ),
            Self::PreDeploy => WaitRow::new(
                Rule::new("`pre_deploy` comes first", "nothing is replaced before it succeeds"),
                "wait for the command to end",
            )
            .predicted(Prediction::HookSucceeds),
            Self::MinReady => WaitRow::new(
                Rule::new("a new replica has to stay ready", "for `rollout.min_ready`"),
                "wait until {} counts",
            )
            .predicted(Prediction::StaysReady),
            Self::Deadline => {
                WaitRow::new(Rule::FAILED, "go on, and look whether it stays so").steady()
            }
            Self::Stable => WaitRow::new(
                Rule::new("a revision is stable after a while without an exit", ""),
                "go on, and look whether it stays so",
            )
            .steady(),
            Self::Paused { .. } => WaitRow::new(Rule::PAUSED, "replace nobody"),
        }
    }
}
