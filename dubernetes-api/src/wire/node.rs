//! Hosts of a runtime that has several.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A host on which replicas run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its address among the nodes.
    pub address: String,
    /// Whether it is alive.
    pub state: NodeState,
    /// Whether it gets new pods.
    pub availability: NodeAvailability,
    /// Whether the ingress is there.
    pub entry: bool,
    /// Number of its pods.
    pub pods: usize,
    /// Why it gets no pods; empty if there is no reason.
    pub message: String,
}

/// Whether a node is alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum NodeState {
    /// It is.
    Ready,
    /// It is not, or that is not known.
    NotReady,
}

impl NodeState {
    /// Returns the state as users see it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::NotReady => "NotReady",
        }
    }
}

/// Whether a node gets new pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum NodeAvailability {
    /// It does.
    Active,
    /// It does not, and keeps those that it has.
    Paused,
    /// It does not, and those that it has move to others.
    Drained,
}

impl NodeAvailability {
    /// Returns the availability as users see it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "Active",
            Self::Paused => "Paused",
            Self::Drained => "Drained",
        }
    }
}
