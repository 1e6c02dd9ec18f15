//! From desired and observed state to what is to be done now: a pure function.
//!
//! Nothing here reads a clock, draws a number, logs, waits or fails. Only what is safe *now* is returned as
//! an action; what must come later is returned as [`crate::plan::Waiting`]. Every action is safe whatever becomes
//! of the others in the same plan: nothing is created in the hope that a removal succeeds.

mod app;
mod budget;
mod create;
mod garbage;
mod gate;
mod growth;
mod job;
mod restart;
mod retire;
mod rollout;
mod routes;
mod status;
mod verdict;
mod view;

pub use restart::back_off;
pub(crate) use restart::{KILLED, exit, span};
pub(crate) use routes::conflicts;

use jiff::Timestamp;

use crate::plan::Plan;
use crate::state::{DesiredState, Engine, ObservedState};
use view::World;

/// What to do now, what to wait for, what is blocked, what to route, and how each app is.
///
/// Same input, same plan; the order of the observed replicas does not matter. A converged system
/// yields no action. While the engine is away nothing is planned, and the routes stay as they are.
pub fn reconcile(desired: &DesiredState, observed: &ObservedState, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let mut world = World::new(desired, observed, now);
    let conflicts = conflicts(desired);
    for (name, stored) in &desired.apps {
        let taken = conflicts.get(name);
        app::plan(&mut world, stored, taken, &mut plan);
    }
    for (name, tombstone) in &desired.tombstones {
        if !desired.apps.contains_key(name) {
            garbage::deleted(&world, name, tombstone, &mut plan);
        }
    }
    garbage::orphans(&world, &mut plan);
    job::garbage(&world, &mut plan);
    routes::order(&mut plan.routes);
    if let Engine::Away { .. } = observed.engine {
        plan.actions.clear();
        plan.waiting.clear();
        plan.routes = observed.ingress.table().cloned().unwrap_or_default();
    }
    plan
}
