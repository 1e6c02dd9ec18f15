//! The planned route table, and what to do about it now.

use jiff::Timestamp;
use serde::Serialize;

use crate::ingress::RouteTable;

/// The planned route table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RoutePlan {
    /// What the ingress should serve: the whole table.
    pub table: RouteTable,
    /// What to do now.
    pub step: RouteStep,
}

/// What to do about the route table now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteStep {
    /// Nothing: the ingress serves the table, or there is no table to serve.
    #[default]
    InSync,
    /// Apply the table.
    Apply,
    /// Start the ingress with an empty table: the replicas of the first routes are starting.
    Start,
    /// Wait: only routes without endpoints are new, or only endpoints, and replicas of these apps
    /// are starting.
    AwaitsEndpoints {
        /// When the table is applied without these.
        until: Timestamp,
    },
    /// Wait: a table is being applied.
    InProgress,
    /// Wait: what the ingress serves is not known, and a replica that it may serve has no probe
    /// result yet.
    Unknown,
    /// Wait: the ingress was given tables in quick succession, see
    /// [`Pace`](crate::ingress::Pace).
    Paced {
        /// When the next table may be applied.
        until: Timestamp,
    },
    /// Wait: this table failed.
    Retry {
        /// When it is tried again.
        at: Timestamp,
    },
}

impl RouteStep {
    /// Returns when to plan again, if time alone changes the step.
    pub fn until(self) -> Option<Timestamp> {
        match self {
            Self::AwaitsEndpoints { until: at }
            | Self::Paced { until: at }
            | Self::Retry { at } => Some(at),
            Self::InSync | Self::Apply | Self::Start | Self::InProgress | Self::Unknown => None,
        }
    }
}
