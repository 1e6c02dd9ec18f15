//! What the controller publishes after each pass.

use std::net::SocketAddr;

use dubernetes_core::plan::Plan;
use dubernetes_core::runtime::RuntimeInfo;
use dubernetes_core::state::{DesiredState, ObservedState};
use jiff::Timestamp;

/// Whether a controller acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Carries out its plans.
    Act,
    /// Observes and plans, and changes nothing.
    Observe,
}

/// The input and the result of the last pass.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Number of passes so far; 0 means that nothing is known yet.
    pub passes: u64,
    /// When the pass began.
    pub at: Option<Timestamp>,
    /// When the next pass begins at the latest.
    pub requeue_at: Option<Timestamp>,
    /// The desired state.
    pub desired: DesiredState,
    /// The observed state.
    pub observed: ObservedState,
    /// The plan.
    pub plan: Plan,
    /// The engine, or `None` while no engine answers.
    pub engine: Option<RuntimeInfo>,
    /// Why the store could not be read in the last pass. The rest is from the last pass that could
    /// read it.
    pub store_problem: Option<String>,
    /// Where the ingress takes requests on the host, if that is known.
    pub ingress_listens: Vec<SocketAddr>,
}
