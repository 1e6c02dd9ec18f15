//! How the orchestrator and what it stands on are.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use dubernetes_core::app::InstanceName;
use dubernetes_core::runtime::RuntimeInfo;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::openapi;

/// Who answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Version {
    /// The program's version.
    pub version: String,
    /// The API's version.
    pub api: String,
    /// The container engine; none while it does not answer.
    #[schema(value_type = Option<openapi::RuntimeInfo>)]
    pub engine: Option<RuntimeInfo>,
    /// The instance.
    #[schema(value_type = String)]
    pub instance: InstanceName,
}

/// That everything which was asked about is well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// Always `ok`; what is not well is a problem.
    pub status: String,
    /// What was asked about, each with `ok`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub checks: BTreeMap<String, String>,
}

/// How the orchestrator is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// The instance.
    #[schema(value_type = String)]
    pub instance: InstanceName,
    /// The process that answers.
    pub orchestrator: Orchestrator,
    /// The container engine.
    pub engine: EngineStatus,
    /// The reverse proxy.
    pub ingress: IngressStatus,
    /// Whether the instance's network is there.
    #[serde(default)]
    pub network: bool,
    /// How many apps there are of each phase.
    pub apps: BTreeMap<String, u32>,
    /// What cannot be done until a person acts.
    pub blocked: Vec<String>,
    /// Why the store could not be read, if it could not.
    pub store_problem: Option<String>,
    /// When the last round of the controller began.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_round: Option<Timestamp>,
    /// How many passes there were.
    pub passes: u64,
}

/// The process that answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Orchestrator {
    /// Its version.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// Whether it stays.
    pub mode: Mode,
    /// Where its state is.
    #[schema(value_type = String)]
    pub state_dir: PathBuf,
}

/// Whether an orchestrator stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// It stays.
    Serve,
    /// It serves one command, in that command's process.
    InProcess,
}

/// The container engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EngineStatus {
    /// Whether it answers.
    pub state: EngineState,
    /// Who it is, if it answers.
    #[schema(value_type = Option<openapi::RuntimeInfo>)]
    pub version: Option<RuntimeInfo>,
    /// Where it is, such as `unix:///var/run/docker.sock`; none for one in memory.
    #[serde(default)]
    pub place: Option<String>,
    /// Since when it does not answer.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub since: Option<Timestamp>,
    /// Why it does not answer.
    pub reason: Option<String>,
}

/// Whether the engine answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EngineState {
    /// It does.
    Answering,
    /// It does not.
    Away,
}

/// The reverse proxy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IngressStatus {
    /// Whether it serves.
    pub state: IngressState,
    /// Why it does not serve.
    pub reason: Option<String>,
    /// The host's address on which it listens.
    #[schema(value_type = String)]
    pub address: IpAddr,
    /// The host's port on which it listens.
    pub port: u16,
    /// How many routes it has acknowledged.
    pub routes: usize,
}

/// Whether the ingress serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum IngressState {
    /// There is none; no app needs one, or none could be made.
    Absent,
    /// It is there and does not run.
    Down,
    /// It serves.
    Serving,
}
