//! From desired and observed state to what is to be done now: a pure function.
//!
//! Nothing here reads a clock, draws a number, logs, waits or fails. Only what is safe *now* is returned as
//! an action; what must come later is returned as [`crate::plan::Waiting`]. Every action is safe whatever becomes
//! of the others in the same plan: nothing is created in the hope that a removal succeeds.

mod app;
mod backoff;
mod classify;
mod context;
mod create;
mod garbage;
mod limits;
mod pre_deploy;
mod restart;
mod rollout_status;
mod routes;
mod scale_up;
mod status;
mod terminate;

pub(crate) use restart::KILLED;
pub use restart::back_off;
pub use restart::{exit, span};
pub(crate) use routes::conflicts;

use jiff::Timestamp;

use crate::plan::Plan;
use crate::state::{DesiredState, EngineStatus, ObservedState};
use context::Context;

/// What to do now, what to wait for, what is blocked, what to route, and how each app is.
///
/// Same input, same plan; the order of the observed replicas does not matter. A converged system
/// yields no action. While the engine is away nothing is planned, and the routes stay as they are.
pub fn reconcile(desired: &DesiredState, observed: &ObservedState, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let mut context = Context::new(desired, observed, now);
    let conflicts = conflicts(desired);
    for (name, stored) in &desired.apps {
        let taken = conflicts.get(name);
        app::plan(&mut context, stored, taken, &mut plan);
    }
    for (name, tombstone) in &desired.tombstones {
        if !desired.apps.contains_key(name) {
            garbage::deleted(&context, name, tombstone, &mut plan);
        }
    }
    garbage::orphans(&context, &mut plan);
    pre_deploy::garbage(&context, &mut plan);
    routes::order(&mut plan.routes);
    if let EngineStatus::Unreachable { .. } = observed.engine {
        plan.actions.clear();
        plan.waiting.clear();
        plan.routes = observed.ingress.table().cloned().unwrap_or_default();
    }
    plan
}
