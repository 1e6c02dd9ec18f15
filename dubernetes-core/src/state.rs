//! Desired and observed state: plain data, and the whole input of [`crate::reconcile()`].

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::app::{
    AppName, HostName, InstanceName, OneOffId, PodName, PortMapping, Resources, Tls, is_default,
};
use crate::call::{self, CallFailure, InFlight, OperationKey};
use crate::certificate::StoredCertificate;
use crate::ingress::{ObservedIngress, PortSupport, RouteTable};
use crate::labels::{OneOffLabels, PreDeployLabels, ReplicaLabels};
use crate::runtime::{
    Capability, ContainerId, ContainerState, ImageId, Network, PullProgress, Stdio,
};
use crate::store::{Revision, StoredApp, StoredState, Tombstone};

/// What users want.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DesiredState {
    /// The instance that owns the containers.
    pub instance: InstanceName,
    /// The apps that should run.
    pub apps: BTreeMap<AppName, StoredApp>,
    /// Deleted apps of which something may be left.
    pub tombstones: BTreeMap<AppName, Tombstone>,
    /// Older revisions that replicas still run, for restarts during a rollout.
    pub revisions: BTreeMap<AppName, Vec<Revision>>,
    /// When a user last asked to remove everything that the instance owns. The store deletes every
    /// app with that request, so that there is no app then.
    #[serde(default)]
    pub teardown: Option<Timestamp>,
    /// One-off containers that a client waits for, by the name of their pod. They are not stored:
    /// they are wanted by clients of this orchestrator alone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub one_offs: BTreeMap<PodName, OneOff>,
    /// The certificates that authorities issued, and their failures, by host.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub certificates: BTreeMap<HostName, StoredCertificate>,
    /// Where the certificates of hosts without `tls` come from; none by default. It is a setting of
    /// the orchestrator, and not stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_tls: Option<Tls>,
}

impl DesiredState {
    /// Returns the stored state as the desired state of `instance`.
    pub fn new(instance: InstanceName, stored: StoredState) -> Self {
        Self {
            instance,
            apps: stored.apps,
            tombstones: stored.tombstones,
            revisions: BTreeMap::new(),
            teardown: stored.teardown,
            one_offs: BTreeMap::new(),
            certificates: stored.certificates,
            default_tls: None,
        }
    }
}

/// A one-off container that a client asked for: the image and environment of an app, with another
/// command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OneOff {
    /// The app.
    pub app: AppName,
    /// Its id.
    pub id: OneOffId,
    /// The command and its arguments, without a shell; empty for those of the app. Not serialized:
    /// arguments may be secrets.
    #[serde(skip)]
    pub command: Vec<String>,
    /// Its standard streams.
    #[serde(default)]
    pub stdio: Stdio,
    /// Whether its client is attached. It is created before, once, and started after.
    pub is_attached: bool,
}

impl OneOff {
    /// Returns the name of its pod, such as `web-run-qhzkt`.
    pub fn pod(&self) -> PodName {
        PodName::one_off(&self.app, &self.id)
    }
}

/// What was observed, and what the caller remembers of its own calls.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedState {
    /// Whether the engine is reachable.
    pub engine: EngineStatus,
    /// Capabilities that the runtime does not have. A specification that needs one is blocked.
    #[serde(default)]
    pub lacks: BTreeSet<Capability>,
    /// The instance's network, if it exists.
    pub network: Option<Network>,
    /// Replicas of the instance, in any order and any state.
    pub replicas: Vec<ObservedReplica>,
    /// Containers of pre-deploy hooks, in any order and any state.
    pub pre_deploys: Vec<ObservedPreDeploy>,
    /// One-off containers, in any order and any state.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub one_offs: Vec<ObservedOneOff>,
    /// Containers with the label of the instance that are not its own, and why: see
    /// [`crate::labels::Component::identify`]. They are reported and left alone.
    pub unreadable: BTreeMap<ContainerId, String>,
    /// Addresses of these containers, and others that no replica can get.
    #[serde(default)]
    pub foreign_addresses: BTreeSet<IpAddr>,
    /// What the ingress serves.
    pub ingress: ObservedIngress,
    /// Whether the ingress publishes ports of the host.
    #[serde(default, skip_serializing_if = "is_default")]
    pub port_support: PortSupport,
    /// The host's port for HTTPS, if the ingress takes requests over HTTPS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub https_port: Option<u16>,
    /// Who has a port of the host, for those of
    /// [`ports_to_check`](crate::reconcile::ports_to_check) that are taken, as
    /// [`crate::ingress::Ingress::taken_port`] says it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub taken_ports: BTreeMap<PortMapping, String>,
    /// Endpoints that have left the acknowledged table and may still have requests in progress.
    pub drains: BTreeMap<SocketAddr, Drain>,
    /// Calls in flight.
    #[serde(with = "call::pairs")]
    pub in_flight: BTreeMap<OperationKey, InFlight>,
    /// Pulls in flight whose progress is known, by the app that waits for the image.
    #[serde(default)]
    pub pulls: BTreeMap<AppName, PullProgress>,
    /// Calls that failed, and have not succeeded since.
    #[serde(with = "call::pairs")]
    pub failures: BTreeMap<OperationKey, CallFailure>,
    /// The table that was last applied and failed.
    #[serde(default)]
    pub refused_routes: Option<RouteTable>,
    /// When the pace of the ingress allows another table, if not now.
    #[serde(default)]
    pub routes_paced_until: Option<Timestamp>,
    /// Apps whose routes or published ports the ingress does not serve as planned, and why. It
    /// serves their last good routes.
    #[serde(default)]
    pub quarantined: BTreeMap<AppName, String>,
    /// Why the orchestrator stopped replicas that it restarts: their exit code says nothing.
    #[serde(default)]
    pub stop_reasons: BTreeMap<ContainerId, String>,
    /// Replicas and pre-deploy hooks that ran before the engine was away, and had ended afterwards.
    /// An engine that restarts ends all containers, so the end of a replica is no failure of its
    /// own. That of a hook fails its revision: it may not be known how far its command came.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub lost_with_engine: BTreeSet<ContainerId>,
    /// When running replicas that are no longer ready were last ready.
    #[serde(default)]
    pub last_ready_at: BTreeMap<ContainerId, Timestamp>,
    /// Start of the current active period: the start of the orchestrator, a reconnect to the
    /// engine, or the last approval of a step. Deadlines begin no earlier. `None` is long ago.
    #[serde(default)]
    pub active_since: Option<Timestamp>,
}

impl ObservedState {
    /// Returns why a container ended for a reason outside its program, as a sentence fragment: its
    /// exit code says nothing then.
    pub fn stop_reason(&self, id: &ContainerId) -> Option<&str> {
        let is_lost = self.lost_with_engine.contains(id);
        let lost = is_lost.then_some("it ended while the engine was away");
        self.stop_reasons.get(id).map(String::as_str).or(lost)
    }
}

/// Whether the engine is reachable.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum EngineStatus {
    /// The engine is reachable, and the observed state is fresh.
    #[default]
    Reachable,
    /// The engine is unreachable, and the observed state is the last known one.
    Unreachable {
        /// Since when.
        since: Timestamp,
        /// The error.
        reason: String,
    },
}

/// A replica, as it was observed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedReplica {
    /// The engine's id.
    pub id: ContainerId,
    /// Its container's name.
    pub name: String,
    /// Its labels.
    pub labels: ReplicaLabels,
    /// State of its container.
    pub state: ContainerState,
    /// When its container was created.
    pub created_at: Timestamp,
    /// The image it runs.
    pub image_id: ImageId,
    /// Where its port is reached, as the runtime reports it.
    pub endpoint: Option<SocketAddr>,
    /// Result of its probes.
    pub readiness: Readiness,
    /// Limits of its container, if the runtime reports them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Resources>,
}

impl ObservedReplica {
    /// Returns the name of the pod, such as `web-1`.
    pub fn pod(&self) -> PodName {
        PodName::replica(&self.labels.app, self.labels.ordinal)
    }

    /// Returns whether its process runs.
    pub fn is_running(&self) -> bool {
        matches!(self.state, ContainerState::Running { .. })
    }

    /// Returns whether its container exists and may run: it holds its memory, volumes, address, and
    /// the ports of the host that it publishes.
    pub fn is_live(&self) -> bool {
        match self.state {
            ContainerState::Created | ContainerState::Running { .. } | ContainerState::Paused => {
                true
            }
            ContainerState::StartFailed { .. }
            | ContainerState::Exited(_)
            | ContainerState::Removing => false,
        }
    }

    /// Returns the range of the endpoints that are its own: all ports of a planned address, which
    /// no other replica has; otherwise the observed endpoint alone.
    pub fn sockets(&self) -> Option<RangeInclusive<SocketAddr>> {
        let endpoint = self.endpoint?;
        let ip = endpoint.ip();
        Some(match self.labels.address == Some(ip) {
            true => SocketAddr::new(ip, 0)..=SocketAddr::new(ip, u16::MAX),
            false => endpoint..=endpoint,
        })
    }

    /// Returns whether requests to `endpoint` are requests to it.
    pub fn has_socket(&self, endpoint: SocketAddr) -> bool {
        self.sockets().is_some_and(|sockets| sockets.contains(&endpoint))
    }

    /// Returns whether any route or listener leads to it.
    pub fn is_in(&self, table: &RouteTable) -> bool {
        table.endpoints().any(|endpoint| self.has_socket(endpoint))
    }

    /// Returns whether it runs and is not at its planned address: no client can reach it, whatever
    /// listens in it, and no runtime brings it back by itself.
    pub fn is_off_network(&self) -> bool {
        let is_there = |address| self.endpoint.is_some_and(|found| found.ip() == address);
        self.is_running() && self.labels.address.is_some_and(|address| !is_there(address))
    }
}

/// The container of a pre-deploy hook, as it was observed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedPreDeploy {
    /// The engine's id.
    pub id: ContainerId,
    /// Its labels.
    pub labels: PreDeployLabels,
    /// State of its container.
    pub state: ContainerState,
}

/// A one-off container, as it was observed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedOneOff {
    /// The engine's id.
    pub id: ContainerId,
    /// Its labels.
    pub labels: OneOffLabels,
    /// State of its container.
    pub state: ContainerState,
    /// When its container was created.
    pub created_at: Timestamp,
}

impl ObservedOneOff {
    /// Returns the name of its pod, such as `web-run-qhzkt`.
    pub fn pod(&self) -> PodName {
        PodName::one_off(&self.labels.app, &self.labels.id)
    }
}

/// Readiness of a running replica.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Readiness {
    /// No probe result yet.
    #[default]
    Unknown,
    /// The replica takes requests.
    Ready {
        /// Since when.
        since: Timestamp,
    },
    /// The replica has just started and is not probed. It becomes ready if it runs until then.
    Settling {
        /// Until when.
        until: Timestamp,
    },
    /// The replica does not take requests.
    NotReady {
        /// Result of the last probe, as a sentence fragment.
        reason: String,
    },
    /// The replica has failed `health.failures` probes in a row and has to be restarted.
    Unhealthy {
        /// Result of the last probe, as a sentence fragment.
        reason: String,
    },
}

impl Readiness {
    /// Returns the last probe result of a replica that does not take requests.
    pub fn failure(&self) -> Option<&str> {
        match self {
            Self::NotReady { reason } | Self::Unhealthy { reason } => Some(reason),
            Self::Unknown | Self::Ready { .. } | Self::Settling { .. } => None,
        }
    }
}

/// An endpoint that has left the route table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    /// When an acknowledged table first lacked it.
    pub since: Timestamp,
    /// Whether the ingress reported that no request to it is in progress.
    pub done: bool,
    /// When the ingress was last asked about the endpoint.
    #[serde(default)]
    pub checked_at: Option<Timestamp>,
    /// What the last check found that is waited for, if it is not only requests in progress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_by: Option<String>,
}

impl Drain {
    /// Starts to drain an endpoint that left the acknowledged table at `since`.
    pub fn new(since: Timestamp) -> Self {
        Self { since, done: false, checked_at: None, held_by: None }
    }
}
