//! Apps and their parts: status, pods, revisions, routes.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use dubernetes_core::app::{
    AppName, AppSpec, Generation, HostPattern, PodName, RevisionId, RoutePath,
};
use dubernetes_core::plan::{Phase, PodState};
use dubernetes_core::runtime::{ContainerId, ImageId};
use dubernetes_core::store::Change;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::openapi;

/// An app: its spec and its status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct App {
    /// Name.
    #[schema(value_type = String)]
    pub name: AppName,
    /// Number of changes to the spec, starting at 1.
    #[schema(value_type = u64)]
    pub generation: Generation,
    /// Desired state.
    #[schema(value_type = openapi::AppSpec)]
    pub spec: AppSpec,
    /// Observed state.
    pub status: AppStatus,
    /// Time of creation.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Time of the last change to the spec.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// Image of the desired revision, once resolved.
    #[schema(value_type = Option<String>)]
    pub image_id: Option<ImageId>,
    /// URLs that the ingress serves for the app.
    pub urls: Vec<String>,
}

/// Status of an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AppStatus {
    /// Summary in one word.
    #[schema(value_type = openapi::Phase)]
    pub phase: Phase,
    /// Desired number of replicas.
    pub desired: u32,
    /// Number of ready replicas, of any revision.
    pub ready: u32,
    /// Number of ready replicas of the desired revision.
    pub updated: u32,
    /// Desired revision.
    #[schema(value_type = u64)]
    pub revision: RevisionId,
    /// Most important reason for the phase; empty if there is none.
    pub message: String,
    /// Time since which the app is in this phase; null if that is not known.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub since: Option<Timestamp>,
    /// Generation that this status describes. If lower than the app's generation, no pass has seen
    /// the new spec yet.
    #[schema(value_type = u64)]
    pub observed_generation: Generation,
    /// Time of the next retry, if one is pending.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_try: Option<Timestamp>,
    /// Result of the desired revision's rollout.
    #[serde(default)]
    pub rollout: RolloutOutcome,
    /// Whether the rollout is paused.
    #[serde(default)]
    pub paused: bool,
    /// Why the desired revision failed, or the revision that it automatically rolled back from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// Result of a revision's rollout.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RolloutOutcome {
    /// The rollout is in progress.
    #[default]
    Progressing,
    /// All replicas were ready at the same time, and no older ones were left.
    Complete,
    /// The revision was complete and has run without an exit since.
    Stable,
    /// The rollout failed.
    Failed,
    /// A newer revision replaced this one before it was complete.
    Superseded,
}

impl RolloutOutcome {
    /// Returns the word used in JSON, such as `complete`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Progressing => "progressing",
            Self::Complete => "complete",
            Self::Stable => "stable",
            Self::Failed => "failed",
            Self::Superseded => "superseded",
        }
    }

    /// Returns whether the revision was complete at some time.
    pub fn was_complete(self) -> bool {
        matches!(self, Self::Complete | Self::Stable)
    }
}

impl fmt::Display for RolloutOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why a revision failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Failure {
    /// Revision that failed.
    #[schema(value_type = u64)]
    pub revision: RevisionId,
    /// Time of the failure.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Reason.
    pub reason: String,
    /// Pod that shows the failure, if any.
    #[schema(value_type = Option<String>)]
    pub pod: Option<PodName>,
    /// Last lines of that pod's output.
    pub log: Vec<String>,
    /// Revision that was automatically rolled back to; only in the status of an app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub back_to: Option<RevisionId>,
}

/// One replica of an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Pod {
    /// Name, such as `web-1`.
    #[schema(value_type = String)]
    pub name: PodName,
    /// App of the pod.
    #[schema(value_type = String)]
    pub app: AppName,
    /// Revision that the pod runs.
    #[schema(value_type = u64)]
    pub revision: RevisionId,
    /// Summary in one word.
    #[schema(value_type = openapi::PodState)]
    pub state: PodState,
    /// Whether the pod is ready to receive requests.
    pub ready: bool,
    /// Number of restarts.
    pub restarts: u32,
    /// Address on the instance's network.
    #[schema(value_type = Option<String>)]
    pub address: Option<IpAddr>,
    /// Where its port is reached while it runs.
    #[schema(value_type = Option<String>)]
    pub endpoint: Option<SocketAddr>,
    /// The engine's id of the container.
    #[schema(value_type = Option<String>)]
    pub container_id: Option<ContainerId>,
    /// Host of the container, if the runtime has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Time at which the process started; null if it is not running.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Timestamp>,
    /// Time at which the container was created.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub created_at: Option<Timestamp>,
    /// Image in the spec of the pod's revision, or else the id of the image that it runs.
    pub image: Option<String>,
    /// Why the pod is not ready; empty if there is no reason.
    pub message: String,
    /// Time of the next restart, if one is pending.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_try: Option<Timestamp>,
    /// Last probe results, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub probes: Vec<Probe>,
}

/// Result of a probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Probe {
    /// Time of the result.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Whether the probe succeeded.
    pub good: bool,
    /// What was probed, and the response.
    pub text: String,
}

/// Resource usage of one replica. Null values mean that it is not running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PodStats {
    /// Name, such as `web-1`.
    #[schema(value_type = String)]
    pub name: PodName,
    /// App of the pod.
    #[schema(value_type = String)]
    pub app: AppName,
    /// CPU usage in millicores.
    pub cpu: Option<u64>,
    /// CPU limit in millicores, if any.
    pub cpu_limit: Option<u64>,
    /// Memory usage in bytes, without the page cache.
    pub memory: Option<u64>,
    /// Memory limit in bytes, if any.
    pub memory_limit: Option<u64>,
}

/// A frozen spec: what a rollout moves between.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Revision {
    /// App of the revision.
    #[schema(value_type = String)]
    pub app: AppName,
    /// Number.
    #[schema(value_type = u64)]
    pub revision: RevisionId,
    /// Time of creation.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Image in the spec.
    pub image: String,
    /// Image that the revision runs, once resolved.
    #[schema(value_type = Option<String>)]
    pub digest: Option<ImageId>,
    /// Whether this is the desired revision.
    pub current: bool,
    /// Why the revision was created: `apply`, `retry of 2`, `restart`, `undo to 1`, or `rollback
    /// from 2 to 1`.
    pub cause: String,
    /// Result of the rollout.
    pub outcome: RolloutOutcome,
    /// Why the revision failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// Last lines of the pre-deploy hook.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pre_deploy_log: Vec<String>,
    /// Spec of the revision.
    #[schema(value_type = openapi::AppSpec)]
    pub spec: AppSpec,
}

/// Destination of requests with a host and path prefix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Route {
    /// Host; `*.HOST` stands for one label in front, and `*` for every host without another route.
    #[schema(value_type = String)]
    pub host: HostPattern,
    /// Path prefix.
    #[schema(value_type = String)]
    pub path: RoutePath,
    /// App that owns the route.
    #[schema(value_type = String)]
    pub app: AppName,
    /// Port of the desired revision.
    pub port: u16,
    /// Replicas, ordered by name.
    pub endpoints: Vec<RouteEndpoint>,
}

/// A replica in a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RouteEndpoint {
    /// Name of the pod.
    #[schema(value_type = String)]
    pub pod: PodName,
    /// Address on the instance's network.
    #[schema(value_type = String)]
    pub address: IpAddr,
    /// Port on which the replica listens; revisions may differ.
    pub port: u16,
    /// Whether the replica receives requests.
    pub state: EndpointState,
}

/// Whether a replica receives requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EndpointState {
    /// Receives requests: the ingress has acknowledged it.
    Active,
    /// Does not receive requests until the ingress acknowledges it.
    Pending,
    /// Receives no new requests once the ingress has acknowledged the removal.
    Leaving,
}

/// Response to an apply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Applied {
    /// What the apply changed.
    #[schema(value_type = openapi::Change)]
    pub change: Change,
    /// App as stored now.
    pub app: App,
    /// What the caller should know, as a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Request to change the rollout of an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RolloutRequest {
    /// Action to take.
    pub action: RolloutAction,
    /// Revision to go back to; by default the last complete one. Only with `undo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub to: Option<RevisionId>,
}

/// Actions on a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RolloutAction {
    /// Create a new revision with the spec of an earlier one.
    Undo,
    /// Replace all replicas, and resolve the image again.
    Restart,
    /// Stop replacing replicas until resumed.
    Pause,
    /// Continue the rollout; a failed revision is retried.
    Resume,
}

/// Request to change the number of replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Scale {
    /// Desired number of replicas.
    pub replicas: u16,
}
