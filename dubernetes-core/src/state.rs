//! Desired and observed state: plain data, the whole input of [`crate::reconcile()`].

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::app::{AppName, InstanceName};
use crate::call::{self, OperationKey};
use crate::ingress::{ObservedIngress, RouteTable};
use crate::labels::{PreDeployLabels, ReplicaLabels};
use crate::runtime::{ContainerId, ContainerState, ImageId, Network};
use crate::store::{Revision, StoredApp, StoredState, Tombstone};

pub use crate::app::{RouteConflict, route_conflict};
pub use crate::call::{CallFailure, FailureKind, InFlight};

/// What users asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DesiredState {
    /// The instance whose containers these are.
    pub instance: InstanceName,
    /// The apps that should run.
    pub apps: BTreeMap<AppName, StoredApp>,
    /// The apps of which nothing should be left.
    pub tombstones: BTreeMap<AppName, Tombstone>,
    /// Older revisions of apps that have replicas of one, for restarts during a rollout.
    pub revisions: BTreeMap<AppName, Vec<Revision>>,
}

impl DesiredState {
    /// What is stored, as the wish of `instance`.
    pub fn new(instance: InstanceName, stored: StoredState) -> Self {
        Self {
            instance,
            apps: stored.apps,
            tombstones: stored.tombstones,
            revisions: BTreeMap::new(),
        }
    }
}

/// What was seen, and what the caller remembers of its own calls.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedState {
    /// Whether the engine answers.
    pub engine: EngineStatus,
    /// The instance's network, if it exists.
    pub network: Option<Network>,
    /// Our replicas, in any order and any state.
    pub replicas: Vec<ObservedReplica>,
    /// Containers that run the command before a revision, in any order and any state.
    pub pre_deploys: Vec<ObservedPreDeploy>,
    /// Containers with our instance's label whose other labels cannot be read, with the reason.
    pub unreadable: BTreeMap<ContainerId, String>,
    /// What the ingress serves.
    pub ingress: ObservedIngress,
    /// Addresses that have left the acknowledged table and may still have requests under way.
    pub drains: BTreeMap<Ipv4Addr, Drain>,
    /// Calls in flight.
    #[serde(with = "call::pairs")]
    pub in_flight: BTreeMap<OperationKey, InFlight>,
    /// Calls that failed and have not succeeded since.
    #[serde(with = "call::pairs")]
    pub failures: BTreeMap<OperationKey, CallFailure>,
    /// The table that was last applied and failed.
    #[serde(default)]
    pub refused_routes: Option<RouteTable>,
    /// When the pace of the ingress allows another table, if not now.
    #[serde(default)]
    pub routes_paced_until: Option<Timestamp>,
    /// Apps whose routes the ingress refused, and why: it serves their last good ones.
    #[serde(default)]
    pub quarantined: BTreeMap<AppName, String>,
    /// Replicas that a user wants replaced.
    pub evicted: BTreeSet<ContainerId>,
    /// Why we stopped replicas that are to come back: their exit code says nothing.
    #[serde(default)]
    pub stop_reasons: BTreeMap<ContainerId, String>,
    /// When running replicas that are not ready any more were ready last.
    #[serde(default)]
    pub last_ready_at: BTreeMap<ContainerId, Timestamp>,
    /// Since when there is somebody who acts: the start of the orchestrator, the return of the
    /// engine, or the last answer of whoever is asked before each step. Deadlines begin then at the
    /// earliest; `None` is as good as long ago.
    #[serde(default)]
    pub active_since: Option<Timestamp>,
}

/// Whether the engine answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum EngineStatus {
    /// It does; the rest of the observed state is fresh.
    #[default]
    Reachable,
    /// It does not; the rest is what was last seen.
    Unreachable {
        /// Since when.
        since: Timestamp,
        /// The error's text.
        reason: String,
    },
}

/// One of our replicas as it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedReplica {
    /// The engine's id.
    pub id: ContainerId,
    /// Its container's name.
    pub name: String,
    /// Our labels.
    pub labels: ReplicaLabels,
    /// What its container does.
    pub state: ContainerState,
    /// When its container was created.
    pub created_at: Timestamp,
    /// The image it runs.
    pub image_id: ImageId,
    /// What the probes say.
    pub readiness: Readiness,
}

impl ObservedReplica {
    /// The pod's name, such as `web-1`.
    pub fn pod(&self) -> String {
        crate::identity::pod_name(&self.labels.app, self.labels.ordinal)
    }

    /// Whether its process runs.
    pub fn is_running(&self) -> bool {
        matches!(self.state, ContainerState::Running { .. })
    }
}

/// A container that runs the command before a revision, as it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedPreDeploy {
    /// The engine's id.
    pub id: ContainerId,
    /// Our labels.
    pub labels: PreDeployLabels,
    /// What its container does.
    pub state: ContainerState,
}

/// What the probes say of a running replica.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Readiness {
    /// No probe has come back yet.
    #[default]
    Unknown,
    /// It takes requests.
    Ready {
        /// Since when.
        since: Timestamp,
    },
    /// It has just started and is not probed: it is ready if it runs until then.
    Settling {
        /// Until when.
        until: Timestamp,
    },
    /// It does not.
    NotReady {
        /// What the last probe got, as a sentence fragment.
        reason: String,
    },
    /// It does not, and has not for so long that it is to be replaced.
    Unhealthy {
        /// What the last probe got, as a sentence fragment.
        reason: String,
    },
}

impl Readiness {
    /// What the last probe of one that does not take requests got.
    pub fn failure(&self) -> Option<&str> {
        match self {
            Self::NotReady { reason } | Self::Unhealthy { reason } => Some(reason),
            Self::Unknown | Self::Ready { .. } | Self::Settling { .. } => None,
        }
    }
}

/// An address on its way out of the ingress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    /// Since when no acknowledged table holds it.
    pub since: Timestamp,
    /// Whether the ingress says that no request to it is under way.
    pub done: bool,
    /// When the ingress was last asked about the address.
    #[serde(default)]
    pub checked_at: Option<Timestamp>,
}

impl Drain {
    /// Starts to drain an address that left the acknowledged table at `since`.
    pub fn new(since: Timestamp) -> Self {
        Self { since, done: false, checked_at: None }
    }
}
