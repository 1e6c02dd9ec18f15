//! How apps and pods are, computed in each pass and never stored.

use std::fmt;
use std::net::Ipv4Addr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::app::AppName;
use crate::runtime::ContainerId;

use super::Cause;

/// How an app is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppStatus {
    /// In one word.
    pub phase: Phase,
    /// So many replicas are wanted.
    pub desired: u32,
    /// So many are ready, of any revision.
    pub ready: u32,
    /// So many of the wanted revision are ready.
    pub updated: u32,
    /// The wanted revision.
    pub revision: u64,
    /// The generation that this was computed for.
    pub observed_generation: u64,
    /// Why it is so: what everything else waits for.
    #[serde(skip)]
    pub cause: Cause,
    /// The same as a sentence fragment; empty if there is nothing to say.
    pub message: String,
    /// When the next try is, if one is waited for.
    pub next_try: Option<Timestamp>,
    /// Its pods, in the order of their ordinals.
    pub pods: Vec<PodStatus>,
}

/// How an app is, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Nothing of it runs yet.
    Pending,
    /// It is on its way to what is wanted.
    Progressing,
    /// Everything is as wanted.
    Ready,
    /// It was complete, and something is missing now.
    Degraded,
    /// It does not get on by itself.
    Failed,
    /// It is being removed.
    Deleting,
}

impl Phase {
    /// The word.
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

/// How a pod is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodStatus {
    /// Its name, such as `web-1`.
    pub name: String,
    /// Its app.
    pub app: AppName,
    /// The revision that it runs.
    pub revision: u64,
    /// In one word.
    pub state: PodState,
    /// Whether it takes requests.
    pub ready: bool,
    /// How often it was restarted.
    pub restarts: u32,
    /// Its address on the instance's network.
    pub address: Option<Ipv4Addr>,
    /// The engine's id of its container.
    pub container_id: Option<ContainerId>,
    /// Since when its process runs.
    pub started_at: Option<Timestamp>,
    /// When its container was created.
    pub created_at: Option<Timestamp>,
    /// Why it is not ready, as a sentence fragment; empty if there is nothing to say.
    pub message: String,
    /// When it is restarted, if it waits for that.
    pub next_try: Option<Timestamp>,
}

/// How a pod is, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PodState {
    /// It has no container yet.
    Pending,
    /// Its container is created, or its process runs and is not ready.
    Starting,
    /// Its process runs.
    Running,
    /// It failed and waits for its next restart.
    BackOff,
    /// It gets no new request, and finishes those under way.
    Draining,
    /// It is being stopped or removed.
    Stopping,
    /// Its process ended.
    Exited,
    /// The engine does not answer.
    Unknown,
}

impl PodState {
    /// The word.
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
