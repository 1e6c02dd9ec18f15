//! The bodies that go over the wire, in the order in which their fields are written.
//!
//! Times are RFC 3339 in UTC; durations and sizes are text, as in an app's file.

mod app;
mod exec;
mod plan;
mod problem;
mod stream;
mod system;

pub use app::{
    App, AppStatus, Applied, EndpointState, Failure, Pod, PodStats, Probe, Revision, RolloutAction,
    RolloutWish, Route, RouteEndpoint, Scale,
};
pub use exec::ExecRequest;
pub use plan::{AppPlan, FieldChange, NO_DOWNTIME, PlanReport, PlanRequest, Refused};
pub use problem::{FieldProblem, PROBLEM_JSON, Problem, ProblemKind};
pub(crate) use stream::LogJson;
pub use stream::{LogItem, LogLine, Note, ProblemLine, WatchEvent, WatchKind};
pub use system::{
    EngineState, EngineStatus, Health, IngressState, IngressStatus, Mode, Orchestrator, Status,
    Version,
};

pub use dubernetes_core::event::Event;
pub use dubernetes_core::forecast::{Forecast, Step};
pub use dubernetes_core::runtime::{RuntimeInfo, TerminalSize};
pub use dubernetes_core::store::Change;
pub use dubernetes_core::why::{
    Link as WhyLink, Output as WhyOutput, Step as WhyStep, SubjectKind, Why,
};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A list of objects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct List<T> {
    /// Always `List`.
    pub kind: ListKind,
    /// The objects.
    pub items: Vec<T>,
}

/// The kind of every list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum ListKind {
    /// The only one.
    #[default]
    List,
}

impl<T> List<T> {
    /// A list of `items`.
    pub fn new(items: Vec<T>) -> Self {
        Self { kind: ListKind::List, items }
    }
}
