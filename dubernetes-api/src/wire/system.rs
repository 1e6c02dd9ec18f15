//! Status and version of the orchestrator.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use dubernetes_core::app::{AppName, InstanceName, IssuedTls};
use dubernetes_core::ingress::TrustedProxies;
use dubernetes_core::runtime::RuntimeInfo;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::openapi;

use super::AppStatus;

/// Versions of the orchestrator, its API and its engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Version {
    /// Version of the program.
    pub version: String,
    /// Version of the API.
    pub api: String,
    /// Container engine; null while it is unreachable.
    #[schema(value_type = Option<openapi::RuntimeInfo>)]
    pub engine: Option<RuntimeInfo>,
    /// Name of the instance.
    #[schema(value_type = String)]
    pub instance: InstanceName,
}

/// Result of a successful health check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// Always `ok`; otherwise the response is a problem.
    pub status: HealthState,
    /// Checked components, each with `ok`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub checks: BTreeMap<String, HealthState>,
}

/// Result of a health check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum HealthState {
    /// The only result; a failed check is a problem.
    Ok,
}

/// Status of the orchestrator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// Name of the instance.
    #[schema(value_type = String)]
    pub instance: InstanceName,
    /// Process that answers.
    pub orchestrator: Orchestrator,
    /// Container engine.
    pub engine: EngineStatus,
    /// Reverse proxy.
    pub ingress: IngressStatus,
    /// Whether the instance's network exists.
    #[serde(default)]
    pub network: bool,
    /// Number of apps in each phase.
    pub apps: BTreeMap<String, u32>,
    /// Apps in the phase `Failed`, with their causes.
    #[serde(default)]
    pub failed: Vec<FailedApp>,
    /// Progress of a teardown of the instance, if one is requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teardown: Option<String>,
    /// What cannot proceed until a person acts.
    pub blocked: Vec<String>,
    /// What is wrong with the store, if anything.
    pub store_problem: Option<String>,
    /// Time at which the last pass started.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_round: Option<Timestamp>,
    /// Number of passes so far.
    pub passes: u64,
}

/// An app in the phase `Failed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FailedApp {
    /// Name.
    #[schema(value_type = String)]
    pub name: AppName,
    /// Status, with the cause in `message`.
    pub status: AppStatus,
}

/// Process of the orchestrator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Orchestrator {
    /// Version.
    pub version: String,
    /// Process id.
    pub pid: u32,
    /// Whether it runs permanently or for one command.
    pub mode: Mode,
    /// State directory.
    #[schema(value_type = String)]
    pub state_dir: PathBuf,
}

/// Lifetime of an orchestrator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Runs until it is stopped.
    Serve,
    /// Runs within one command, in that command's process.
    InProcess,
}

/// Status of the container engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EngineStatus {
    /// Whether the engine is reachable.
    pub state: EngineState,
    /// Name and version; null while the engine is unreachable.
    #[schema(value_type = Option<openapi::RuntimeInfo>)]
    pub version: Option<RuntimeInfo>,
    /// Address, such as `unix:///var/run/docker.sock`; null for an engine in memory.
    #[serde(default)]
    pub place: Option<String>,
    /// Time since which the engine is unreachable.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub since: Option<Timestamp>,
    /// Why the engine is unreachable.
    pub reason: Option<String>,
}

/// Whether the engine is reachable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EngineState {
    /// Reachable.
    Answering,
    /// Unreachable.
    Away,
}

/// Status of the reverse proxy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IngressStatus {
    /// Whether the ingress serves requests.
    pub state: IngressState,
    /// Why the ingress does not serve requests.
    pub reason: Option<String>,
    /// Host addresses and ports at which it takes requests; those of the settings while it does
    /// not run.
    #[schema(value_type = Vec<String>)]
    pub listens: Vec<SocketAddr>,
    /// Host addresses and ports of the settings.
    #[schema(value_type = Vec<String>)]
    pub settings: Vec<SocketAddr>,
    /// Number of acknowledged routes.
    pub routes: usize,
    /// Host port at which it takes requests over HTTPS, at the same addresses, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub https_port: Option<u16>,
    /// Where the certificates of hosts without `tls` come from; null if they are served over HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub default_tls: Option<IssuedTls>,
    /// Proxies in front that are believed about clients.
    #[serde(default, skip_serializing_if = "TrustedProxies::is_empty")]
    #[schema(value_type = String)]
    pub trusted_proxies: TrustedProxies,
    /// Whether connections have to start with the PROXY protocol.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub proxy_protocol: bool,
}

/// Whether the ingress serves requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum IngressState {
    /// Does not exist: no app needs it, or it could not be created.
    Absent,
    /// Exists, but is not running.
    Down,
    /// What it serves could not be read.
    Unknown,
    /// Serves requests.
    Serving,
}
