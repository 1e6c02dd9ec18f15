//! Bodies of requests and responses. The order of fields is the order in JSON.
//!
//! Times are RFC 3339 in UTC. Durations and sizes are text, as in the manifest.

mod app;
mod certificate;
mod decision;
mod exec;
mod history;
mod image;
mod node;
mod plan;
mod problem;
mod secret;
mod stream;
mod system;

pub use app::{
    App, AppStatus, Applied, EndpointState, Failure, Pod, PodStats, Probe, Revision, RolloutAction,
    RolloutOutcome, RolloutRequest, Route, RouteEndpoint, Scale,
};
pub use certificate::{Certificate, CertificateSource, CertificateState, RootCertificate};
pub use decision::Decision;
pub use exec::{ExecRequest, RunStarted};
pub use history::{History, HistoryPoint};
pub use image::ImageLayers;
pub use node::{Node, NodeAvailability, NodeState};
pub use plan::{AppPlan, FieldChange, NO_DOWNTIME, PlanReport, PlanRequest, Refused};
pub use problem::{FieldProblem, PROBLEM_JSON, Problem, ProblemKind};
pub use secret::{KeyRotation, Secret, SecretSet};
pub(crate) use stream::LogJson;
pub use stream::{LogItem, LogLine, Note, ProblemLine, WatchEvent, WatchKind};
pub use system::{
    EngineState, EngineStatus, FailedApp, Health, HealthState, IngressState, IngressStatus, Mode,
    Orchestrator, Status, Version,
};

pub use dubernetes_core::event::Event;
pub use dubernetes_core::forecast::{Forecast, Step};
pub use dubernetes_core::ingress::AccessLogEntry;
pub use dubernetes_core::runtime::{RuntimeInfo, TerminalSize};
pub use dubernetes_core::store::Change;
pub use dubernetes_core::why::{
    ChainLink as WhyLink, ChainStep as WhyStep, Output as WhyOutput, TargetKind as SubjectKind, Why,
};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A list of objects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct List<T> {
    /// Always `List`.
    pub kind: ListKind,
    /// Objects.
    pub items: Vec<T>,
}

/// Kind of every list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum ListKind {
    /// The only kind.
    #[default]
    List,
}

impl<T> List<T> {
    /// Creates a list of `items`.
    pub fn new(items: Vec<T>) -> Self {
        Self { kind: ListKind::List, items }
    }
}
