//! Waits: what has to happen before the next step.
//!
//! A new variant gets its text and its row here; nothing else lists them all.

use std::fmt;
use std::net::SocketAddr;

use serde::Serialize;

use crate::app::{AppName, HostName, ImageRef, PortMapping};
use crate::call::{CallFailure, OperationKey};
use crate::format::{join, replicas, restarts};
use crate::reconcile::port_text;
use crate::runtime::PullProgress;

use super::Rule;
use super::block::PORT_OWNER;

/// What is waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Wait {
    /// A call is in flight.
    InProgress,
    /// The image is being pulled.
    Pull {
        /// The image.
        image: ImageRef,
        /// How far the pull is.
        progress: PullProgress,
    },
    /// A running replica is not ready.
    Ready {
        /// Result of the last probe.
        reason: String,
    },
    /// The ingress has not acknowledged a table without the replica.
    AwaitingUnroute,
    /// Requests to the replica may be in progress.
    Drained {
        /// Its endpoint. The caller checks it, and reports in
        /// [`crate::state::ObservedState::drains`].
        endpoint: SocketAddr,
        /// What the last check found, if it is not only requests in progress.
        held_by: Option<String>,
    },
    /// The back-off before the next restart of a failed replica.
    BackOff {
        /// Why it failed.
        cause: String,
        /// Restarts so far.
        restarts: u32,
    },
    /// The back-off before the next attempt of a failed call.
    Retry {
        /// The call.
        call: OperationKey,
        /// Its failure.
        failure: CallFailure,
    },
    /// As many replicas are live as are allowed at one time.
    SurgeLimit {
        /// Allowed live replicas.
        limit: u32,
        /// Why the replica publishes ports of the host itself, which only one can, if it does.
        #[serde(skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
    /// The ingress has not said whether it can publish ports of the host.
    PortSupport,
    /// A port of the host that the replica publishes is not given up yet.
    PortInUse {
        /// The port.
        port: PortMapping,
        /// Who has it: the ingress, or a pod of another app.
        by: String,
    },
    /// The certificate of a host is being issued.
    Certificate {
        /// The host.
        host: HostName,
    },
    /// The engine may still create a container of the deleted app.
    Tombstone,
    /// The app starts after others, of which some are not ready.
    After {
        /// Apps of which fewer replicas are ready than wanted.
        not_ready: Vec<AppName>,
        /// Apps that do not exist.
        unknown: Vec<AppName>,
    },
    /// The pre-deploy hook is running.
    PreDeploy,
    /// The client of a one-off container is not attached to it yet.
    Attach,
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
            Self::InProgress => f.write_str("a call to the engine is in progress"),
            Self::Pull { image, progress: PullProgress { total: 0, .. } } => {
                write!(f, "pulling {image}")
            }
            Self::Pull { image, progress: PullProgress { done, total } } => {
                let megabytes = |bytes: u64| bytes.div_ceil(1_000_000);
                write!(f, "pulling {image}, {} of {} MB", megabytes(*done), megabytes(*total))
            }
            Self::Ready { reason } => write!(f, "not ready: {reason}"),
            Self::AwaitingUnroute => f.write_str("until the ingress no longer routes to it"),
            Self::Drained { held_by, .. } => {
                f.write_str(held_by.as_deref().unwrap_or("requests in progress"))
            }
            Self::BackOff { cause, restarts: count } => write!(f, "{cause}, {}", restarts(*count)),
            Self::Retry { failure: CallFailure { message, count: 1, .. }, .. } => {
                f.write_str(message)
            }
            Self::Retry { failure: CallFailure { message, count, .. }, .. } => {
                write!(f, "{message} ({count} attempts)")
            }
            Self::SurgeLimit { limit, why } => {
                write!(f, "at most {} at one time", replicas(*limit))?;
                match why {
                    Some(why) => write!(f, ", which publishes `ports` itself: {why}"),
                    None => Ok(()),
                }
            }
            Self::PortSupport => f.write_str("until the ingress says whether it publishes ports"),
            Self::PortInUse { port, by } => write!(f, "until {by} gives up {}", port_text(port)),
            Self::Certificate { host } => {
                write!(f, "until the certificate of {host} is issued")
            }
            Self::Tombstone => f.write_str("the engine may still create a late container"),
            Self::After { not_ready, unknown } => write_after(f, not_ready, unknown),
            Self::PreDeploy => f.write_str("until the pre-deploy hook succeeds"),
            Self::Attach => f.write_str("until its client is attached"),
            Self::MinReady => f.write_str("ready, and available if it stays ready"),
            Self::Deadline => f.write_str("the revision fails unless it makes progress"),
            Self::Stable => f.write_str("stable unless a replica exits"),
            Self::Paused { by_user: true } => f.write_str("rollout is paused"),
            Self::Paused { by_user: false } => f.write_str("rollout failed and is paused"),
        }
    }
}

fn write_after(
    f: &mut fmt::Formatter<'_>,
    not_ready: &[AppName],
    unknown: &[AppName],
) -> fmt::Result {
    let verb = |apps: &[AppName], one, many| if apps.len() == 1 { one } else { many };
    if !not_ready.is_empty() {
        write!(f, "starts once {} {} ready", join(not_ready), verb(not_ready, "is", "are"))?;
    }
    if unknown.is_empty() {
        return Ok(());
    }
    let start = if not_ready.is_empty() { "starts after " } else { ", and after " };
    write!(f, "{start}{}, which {} not exist", join(unknown), verb(unknown, "does", "do"))
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
    /// The apps that start before become ready.
    OthersBecomeReady,
    /// The ingress starts, and publishes ports.
    PortsSupported,
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

const AFTER: WaitRow = WaitRow::new(
    Rule::new("an app starts after those in `after`", "later it is independent"),
    "wait, then start {}",
)
.blocks_progress()
.predicted(Prediction::OthersBecomeReady);

const PORT_SUPPORT: WaitRow = WaitRow::new(
    Rule::new("the ingress publishes ports", "where it cannot, the replica does"),
    "wait, then create {}",
)
.predicted(Prediction::PortsSupported);

const PRE_DEPLOY: WaitRow = WaitRow::new(
    Rule::new("the pre-deploy hook runs first", "nothing is replaced before it succeeds"),
    "wait for the hook to end",
)
.predicted(Prediction::HookSucceeds);

const ORDER_RETRY: WaitRow = WaitRow::new(
    Rule::new("authorities are asked rarely", "they limit orders and failures"),
    "wait, then try again",
)
.remedy(Remedy::FailedCall);

const CERTIFICATE: WaitRow = WaitRow::new(
    Rule::new("no request over HTTP", "before a host with `tls` has its certificate"),
    "wait for the authority",
);

const RETRY: WaitRow = WaitRow::new(
    Rule::new("failed calls are retried", "after 1s, doubling up to 5m"),
    "wait, then try again",
)
.blocks_progress()
.remedy(Remedy::FailedCall);

impl Wait {
    /// Returns whether nothing is missing while it lasts.
    pub fn is_steady(&self) -> bool {
        self.row().is_steady
    }

    /// Returns the failed call that is retried.
    pub(crate) fn call(&self) -> Option<&OperationKey> {
        if let Self::Retry { call, .. } = self { Some(call) } else { None }
    }

    /// One row per variant.
    pub(crate) const fn row(&self) -> WaitRow {
        match self {
            Self::InProgress => WaitRow::new(
                Rule::new("one call at a time per object", "its result starts the next pass"),
                "wait for the call",
            )
            .predicted(Prediction::IsRemoved),
            Self::Pull { .. } => WaitRow::new(
                Rule::new("an image is resolved first", "nothing is replaced without it"),
                "wait for the pull",
            ),
            Self::Ready { .. } => WaitRow::new(
                Rule::new("readiness", "only ready replicas get requests"),
                "keep probing {}, and route nothing to it",
            )
            .blocks_progress()
            .predicted(Prediction::BecomesReady)
            .remedy(Remedy::NotReady),
            Self::AwaitingUnroute => WaitRow::new(
                Rule::new("unrouted before stopped", "the ingress acknowledges each new table"),
                "wait, then stop {}",
            ),
            Self::Drained { .. } => WaitRow::new(
                Rule::new("drained before stopped", "for at most `stop.drain`"),
                "wait, then stop {}",
            )
            .predicted(Prediction::Drains),
            Self::BackOff { .. } => WaitRow::new(Rule::RESTART, "wait, then restart {}")
                .blocks_progress()
                .predicted(Prediction::TimePasses)
                .remedy(Remedy::Exit),
            Self::Retry { call: OperationKey::Certificate(_), .. } => ORDER_RETRY,
            Self::Retry { .. } => RETRY,
            Self::SurgeLimit { .. } => WaitRow::new(
                Rule::new(
                    "surge limit",
                    "`rollout.max_surge` and `max_terminating` limit the live replicas",
                ),
                "wait until another replica is gone",
            ),
            Self::PortSupport => PORT_SUPPORT,
            Self::PortInUse { .. } => WaitRow::new(PORT_OWNER, "wait until the port is free"),
            Self::Certificate { .. } => CERTIFICATE,
            Self::Tombstone => WaitRow::new(
                Rule::new("a tombstone outlives late creates", "for 2m after the deletion"),
                "wait, then purge {}",
            ),
            Self::After { .. } => AFTER,
            Self::PreDeploy => PRE_DEPLOY,
            Self::Attach => WaitRow::new(
                Rule::new("attached before started", "no output of a one-off container is lost"),
                "wait, then start {}",
            )
            .steady(),
            Self::MinReady => WaitRow::new(
                Rule::new("new replicas must stay ready", "for `rollout.min_ready`"),
                "wait until {} is available",
            )
            .predicted(Prediction::StaysReady),
            Self::Deadline => WaitRow::new(
                Rule::new("a rollout must make progress", "within `rollout.progress_deadline`"),
                "wait for progress",
            )
            .steady(),
            Self::Stable => WaitRow::new(
                Rule::new("a revision is stable after 1m without an exit", ""),
                "keep watching",
            )
            .steady(),
            Self::Paused { .. } => WaitRow::new(Rule::PAUSED, "replace nothing"),
        }
    }
}
