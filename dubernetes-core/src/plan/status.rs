//! Status of apps and pods: computed in each pass, never stored.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::app::{AppName, Generation, PodName, RevisionId};
use crate::runtime::ContainerId;

use super::Cause;

/// Status of an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppStatus {
    /// The phase.
    pub phase: Phase,
    /// Wanted replicas.
    pub desired: u32,
    /// Ready replicas of any revision.
    pub ready: u32,
    /// Ready replicas of the wanted revision.
    pub updated: u32,
    /// The wanted revision.
    pub revision: RevisionId,
    /// The generation that the status was computed for.
    pub observed_generation: Generation,
    /// What everything else waits for.
    #[serde(skip)]
    pub cause: Cause,
    /// The cause as a sentence fragment; empty if nothing is wrong.
    pub message: String,
    /// When the next attempt is due, if one is waited for.
    pub next_try: Option<Timestamp>,
    /// The pods, in the order of their ordinals.
    pub pods: Vec<PodStatus>,
    /// One-off containers, in the order of their names. They count in no number above.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub one_offs: Vec<PodStatus>,
}

/// Phase of an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// No replica exists yet.
    Pending,
    /// The observed state approaches the desired one.
    Progressing,
    /// The observed state matches the desired one.
    Ready,
    /// The app was complete, and something is missing now.
    Degraded,
    /// The app makes no progress unless a person acts.
    Failed,
    /// The app is being deleted.
    Deleting,
}

impl Phase {
    /// All phases.
    pub const ALL: [Self; 6] = [
        Self::Pending,
        Self::Progressing,
        Self::Ready,
        Self::Degraded,
        Self::Failed,
        Self::Deleting,
    ];

    /// Returns the name, such as `Pending`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Progressing => "Progressing",
            Self::Ready => "Ready",
            Self::Degraded => "Degraded",
            Self::Failed => "Failed",
            Self::Deleting => "Deleting",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Status of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodStatus {
    /// Its name, such as `web-1`.
    pub name: PodName,
    /// Its app.
    pub app: AppName,
    /// Revision that it runs.
    pub revision: RevisionId,
    /// The state.
    pub state: PodState,
    /// Whether it takes requests.
    pub ready: bool,
    /// Restarts so far.
    pub restarts: u32,
    /// Address on the network of the instance.
    pub address: Option<IpAddr>,
    /// Where its port is reached, while it runs.
    pub endpoint: Option<SocketAddr>,
    /// The engine's id of its container.
    pub container_id: Option<ContainerId>,
    /// When its process started, if it runs.
    pub started_at: Option<Timestamp>,
    /// When its container was created.
    pub created_at: Option<Timestamp>,
    /// How the limits of its running container differ from those of its revision, and why.
    #[serde(skip)]
    pub changed_limits: Option<String>,
    /// Why it is not ready, or what is wrong with it, as a sentence fragment; else empty.
    pub message: String,
    /// When its restart is due, if it waits for that.
    pub next_try: Option<Timestamp>,
}

/// State of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PodState {
    /// The container does not exist yet.
    Pending,
    /// The container is created, and not started.
    Starting,
    /// The process runs.
    Running,
    /// The replica failed, and waits for its restart.
    BackOff,
    /// The replica leaves the route table, and finishes its requests.
    Draining,
    /// The container is being stopped or removed.
    Stopping,
    /// The process exited.
    Exited,
    /// The engine is unreachable.
    Unknown,
}

impl PodState {
    /// Returns the name, such as `Pending`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Starting => "Starting",
            Self::Running => "Running",
            Self::BackOff => "BackOff",
            Self::Draining => "Draining",
            Self::Stopping => "Stopping",
            Self::Exited => "Exited",
            Self::Unknown => "Unknown",
        }
    }
}

impl fmt::Display for PodState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
