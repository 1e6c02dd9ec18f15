//! What an app used in the last hour.

use dubernetes_controller as controller;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What an app used in the last hour, as far as this orchestrator has run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct History {
    /// Whether CPU and memory are measured.
    pub measured: bool,
    /// Whether the ingress counts requests.
    pub counted: bool,
    /// About one point a minute, oldest first.
    #[schema(max_items = 60)]
    pub points: Vec<HistoryPoint>,
}

/// What all replicas of an app used at a time. What is not known is null.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HistoryPoint {
    /// The time.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// CPU since the point before, in thousandths of a CPU.
    pub cpu: Option<u64>,
    /// Memory, in bytes.
    pub memory: Option<u64>,
    /// Requests a minute since the point before, by class of status: 1xx, 2xx, 3xx, 4xx, 5xx.
    pub requests: Option<[u64; 5]>,
}

impl History {
    /// Creates the history of an app, on a runtime that may measure CPU and memory.
    pub(crate) fn new(measured: bool, history: controller::AppHistory) -> Self {
        let points = history.points.into_iter().map(|point| {
            let controller::HistoryPoint { at, cpu, memory, requests } = point;
            HistoryPoint { at, cpu, memory, requests }
        });
        Self { measured, counted: history.counts_requests, points: points.collect() }
    }
}
