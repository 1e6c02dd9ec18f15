//! Apps and what belongs to one: status, pods, revisions, routes.

use std::net::Ipv4Addr;

use dubernetes_core::app::{AppName, AppSpec, HostName, RoutePath};
use dubernetes_core::plan::{Phase, PodState};
use dubernetes_core::runtime::{ContainerId, ImageId};
use dubernetes_core::store::Change;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::openapi;

/// An app: what is wanted, and how it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct App {
    /// Its name.
    #[schema(value_type = String)]
    pub name: AppName,
    /// Counts the changes of the specification, from 1.
    pub generation: u64,
    /// What is wanted.
    #[schema(value_type = openapi::AppSpec)]
    pub spec: AppSpec,
    /// How it is.
    pub status: AppStatus,
    /// When this life of the name began.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When the specification last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// The image that the wanted revision runs, once it is resolved.
    #[schema(value_type = Option<String>)]
    pub image_id: Option<ImageId>,
    /// Under which URLs it answers.
    pub urls: Vec<String>,
}

/// How an app is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AppStatus {
    /// In one word.
    #[schema(value_type = openapi::Phase)]
    pub phase: Phase,
    /// So many replicas are wanted.
    pub desired: u32,
    /// So many are ready, of any revision.
    pub ready: u32,
    /// So many of the wanted revision are ready.
    pub updated: u32,
    /// The wanted revision.
    pub revision: u64,
    /// The most important reason; empty if there is nothing to say.
    pub message: String,
    /// The generation that this was computed for. A lower one than the app's own: not looked at
    /// yet.
    pub observed_generation: u64,
    /// When the next try is, if one is waited for.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_try: Option<Timestamp>,
    /// How the rollout of the wanted revision goes: `progressing`, `complete`, `stable`, `failed`
    /// or `superseded`.
    #[serde(default)]
    pub rollout: String,
    /// Whether the rollout is paused.
    #[serde(default)]
    pub paused: bool,
    /// Why the wanted revision, or the one that it has come back from by itself, has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// Why a revision has failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Failure {
    /// The revision.
    pub revision: u64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Why.
    pub reason: String,
    /// The pod that shows it, if one does.
    pub pod: Option<String>,
    /// The last lines of its output.
    pub log: Vec<String>,
    /// The revision that came back for it by itself; only in the status of an app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back_to: Option<u64>,
}

/// One replica of an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Pod {
    /// Its name, such as `web-1`.
    pub name: String,
    /// Its app.
    #[schema(value_type = String)]
    pub app: AppName,
    /// The revision that it runs.
    pub revision: u64,
    /// In one word.
    #[schema(value_type = openapi::PodState)]
    pub state: PodState,
    /// Whether it takes requests.
    pub ready: bool,
    /// How often it was restarted.
    pub restarts: u32,
    /// Its address on the instance's network.
    #[schema(value_type = Option<String>, format = Ipv4)]
    pub address: Option<Ipv4Addr>,
    /// The engine's id of its container.
    #[schema(value_type = Option<String>)]
    pub container_id: Option<ContainerId>,
    /// Since when its process runs.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Timestamp>,
    /// When its container was created.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub created_at: Option<Timestamp>,
    /// The image that its revision names; else the id of the image that it runs.
    pub image: Option<String>,
    /// Why it is not ready; empty if there is nothing to say.
    pub message: String,
    /// When it is restarted, if it waits for that.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_try: Option<Timestamp>,
    /// Its last answers to probes, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub probes: Vec<Probe>,
}

/// An answer to a probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Probe {
    /// When it came.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Whether it was a good one.
    pub good: bool,
    /// What was asked, and what the answer was.
    pub text: String,
}

/// What one replica uses now. What does not run uses nothing that could be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PodStats {
    /// Its name, such as `web-1`.
    pub name: String,
    /// Its app.
    #[schema(value_type = String)]
    pub app: AppName,
    /// Processor time, in thousandths of a core.
    pub cpu: Option<u64>,
    /// The limit of that, if there is one.
    pub cpu_limit: Option<u64>,
    /// Memory without the page cache, in bytes.
    pub memory: Option<u64>,
    /// The limit of that, if there is one.
    pub memory_limit: Option<u64>,
}

/// A frozen specification: what a rollout moves between.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Revision {
    /// The app.
    #[schema(value_type = String)]
    pub app: AppName,
    /// Its number.
    pub revision: u64,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// The image that it names.
    pub image: String,
    /// The image that it runs, once it is resolved.
    #[schema(value_type = Option<String>)]
    pub digest: Option<ImageId>,
    /// Whether it is the wanted one.
    pub current: bool,
    /// Why it was made: `apply`, `retry of 2`, `restart`, `undo to 1`, or `rollback from 2 to 1`.
    pub cause: String,
    /// What became of it: `progressing`, `complete`, `stable`, `failed` or `superseded`.
    pub outcome: String,
    /// Why it has failed, if it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// The last lines of the command before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pre_deploy_log: Vec<String>,
    /// The specification as it was when the revision was made.
    #[schema(value_type = openapi::AppSpec)]
    pub spec: AppSpec,
}

/// Where requests with one host and path prefix go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Route {
    /// The host.
    #[schema(value_type = String)]
    pub host: HostName,
    /// The path prefix.
    #[schema(value_type = String)]
    pub path: RoutePath,
    /// Whose route it is.
    #[schema(value_type = String)]
    pub app: AppName,
    /// The port of the wanted revision.
    pub port: u16,
    /// The replicas, in the order of their names.
    pub endpoints: Vec<RouteEndpoint>,
}

/// A replica in a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RouteEndpoint {
    /// Its name.
    pub pod: String,
    /// Its address on the instance's network.
    #[schema(value_type = String, format = Ipv4)]
    pub address: Ipv4Addr,
    /// The port on which it listens; replicas of two revisions may differ.
    pub port: u16,
    /// Whether it gets requests.
    pub state: EndpointState,
}

/// Whether a replica gets requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EndpointState {
    /// It does: the ingress has acknowledged it.
    Active,
    /// Not yet: the ingress has not acknowledged it.
    Pending,
    /// It should get no new request; the ingress has not acknowledged that.
    Leaving,
}

/// The answer to an apply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Applied {
    /// What it changed.
    #[schema(value_type = openapi::Change)]
    pub change: Change,
    /// The app as it is stored now.
    pub app: App,
}

/// A wish for the rollout of an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RolloutWish {
    /// What is wished.
    pub action: RolloutAction,
    /// The revision to go back to; the last complete one unless given. Only with `undo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<u64>,
}

/// What may be wished for a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RolloutAction {
    /// The content of an earlier revision, as a new one.
    Undo,
    /// All replicas replaced, with the image resolved anew.
    Restart,
    /// No replica replaced by a newer revision until resumed.
    Pause,
    /// The rollout goes on; a revision that has failed gets another chance.
    Resume,
}

/// How many replicas are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Scale {
    /// So many.
    pub replicas: u16,
}
