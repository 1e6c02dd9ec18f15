//! Measurements: what a program that embeds an orchestrator can count, as it happens.
//!
//! The controller keeps no numbers itself. A [`Meter`] does, such as the one of the crate
//! `dubernetes-metrics`; without one, nothing is measured.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use dubernetes_core::app::AppName;
use dubernetes_core::ingress::{ApplyOutcome, IngressError};
use dubernetes_core::plan::{Action, Planned, Reason};
use dubernetes_core::store::RolloutUpdate;

use crate::snapshot::Snapshot;

/// Counts what an orchestrator does.
pub trait Meter: fmt::Debug + Send + Sync {
    /// Takes one measurement. The loop and its tasks call this, so it returns at once.
    fn record(&self, measurement: &Measurement<'_>);
}

/// Something that an orchestrator did.
#[derive(Debug)]
pub enum Measurement<'a> {
    /// A call of an adapter ended. A call whose caller has gone away is not measured.
    Call {
        /// The trait that the adapter implements.
        adapter: AdapterKind,
        /// What the call is to do, such as `start a container`: one of a few fixed texts.
        operation: &'static str,
        /// How it ended.
        outcome: CallOutcome,
        /// How long it took.
        took: Duration,
    },
    /// A pass ended. Its actions may still be in flight.
    Pass {
        /// The time from the start of its observation.
        took: Duration,
        /// What is known after it.
        snapshot: &'a Snapshot,
    },
    /// A probe of a replica of this app ended.
    Probe {
        /// The app.
        app: &'a AppName,
        /// How it ended.
        outcome: ProbeOutcome,
    },
    /// A replica of this app was restarted: its process had ended, or could not be started.
    Restart {
        /// The app.
        app: &'a AppName,
    },
    /// A rollout of this app has a result.
    Rollout {
        /// The app.
        app: &'a AppName,
        /// The result.
        outcome: RolloutOutcome,
    },
    /// A route table was applied to the ingress, or not.
    Routes {
        /// The result.
        outcome: RoutesOutcome,
    },
}

impl<'a> Measurement<'a> {
    /// Returns what the success of an action means, if that is counted.
    pub(crate) fn of_action(planned: &'a Planned) -> Option<Self> {
        let app = planned.app.as_ref()?;
        match (&planned.action, &planned.reason) {
            (
                Action::Create(_),
                Reason::Exited { .. } | Reason::Stopped { .. } | Reason::StartFailed { .. },
            ) => Some(Self::Restart { app }),
            (Action::RecordRollout { update, .. }, _) => {
                Some(Self::Rollout { app, outcome: RolloutOutcome::of(update)? })
            }
            _ => None,
        }
    }
}

/// The traits of adapters whose calls are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AdapterKind {
    /// A `ContainerRuntime`.
    Engine,
    /// A `Store`.
    Store,
    /// An `Ingress`.
    Ingress,
    /// A `CertificateIssuer`.
    Certificates,
}

impl AdapterKind {
    /// Returns the name, such as `engine`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Engine => "engine",
            Self::Store => "store",
            Self::Ingress => "ingress",
            Self::Certificates => "certificates",
        }
    }
}

/// How a call of an adapter ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CallOutcome {
    /// It succeeded.
    Success,
    /// It returned an error. A missing object is one, too.
    Error,
    /// It did not return within its deadline.
    Timeout,
    /// It panicked.
    Panic,
}

impl CallOutcome {
    /// Returns the name, such as `success`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Error => "error",
            Self::Timeout => "timeout",
            Self::Panic => "panic",
        }
    }
}

/// How a probe ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProbeOutcome {
    /// The replica answered as it should.
    Success,
    /// It did not.
    Failure,
    /// The probe could not be sent, which says nothing about the replica.
    NotSent,
}

impl ProbeOutcome {
    /// All outcomes.
    pub const ALL: [Self; 3] = [Self::Success, Self::Failure, Self::NotSent];

    /// Returns the name, such as `success`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::NotSent => "not_sent",
        }
    }
}

/// The result of a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RolloutOutcome {
    /// All replicas of the revision are ready, and no older one is left.
    Complete,
    /// The revision failed, and what runs stays.
    Failed,
    /// The revision failed, and a former one is rolled out again.
    RolledBack,
}

impl RolloutOutcome {
    /// All outcomes.
    pub const ALL: [Self; 3] = [Self::Complete, Self::Failed, Self::RolledBack];

    /// Returns the name, such as `complete`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Failed => "failed",
            Self::RolledBack => "rolled_back",
        }
    }

    /// Returns the result that an update records, if it records one.
    fn of(update: &RolloutUpdate) -> Option<Self> {
        match update {
            RolloutUpdate::Complete => Some(Self::Complete),
            RolloutUpdate::Failed { roll_back_to: None, .. } => Some(Self::Failed),
            RolloutUpdate::Failed { roll_back_to: Some(_), .. } => Some(Self::RolledBack),
            RolloutUpdate::PreDeployed { .. } | RolloutUpdate::Stable => None,
        }
    }
}

/// The result of applying a route table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RoutesOutcome {
    /// The proxy was changed, and serves the table.
    Changed,
    /// The proxy served the table already.
    Unchanged,
    /// The routes or ports of an app could not be served, those of the others are.
    Partial,
    /// The last good table is served.
    Failed,
}

impl RoutesOutcome {
    /// All outcomes.
    pub const ALL: [Self; 4] = [Self::Changed, Self::Unchanged, Self::Partial, Self::Failed];

    /// Returns the name, such as `changed`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Unchanged => "unchanged",
            Self::Partial => "partial",
            Self::Failed => "failed",
        }
    }

    pub(crate) fn of(result: &Result<ApplyOutcome, IngressError>) -> Self {
        match result {
            Err(_) => Self::Failed,
            Ok(ApplyOutcome { quarantined, unpublished, .. })
                if !quarantined.is_empty() || !unpublished.is_empty() =>
            {
                Self::Partial
            }
            Ok(ApplyOutcome { changed: true, .. }) => Self::Changed,
            Ok(ApplyOutcome { changed: false, .. }) => Self::Unchanged,
        }
    }
}

/// The meter of an orchestrator, if it has one. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metering(pub(crate) Option<Arc<dyn Meter>>);

impl Metering {
    pub(crate) fn record(&self, measurement: &Measurement<'_>) {
        if let Some(meter) = &self.0 {
            meter.record(measurement);
        }
    }
}
