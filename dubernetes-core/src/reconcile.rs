//! Turns desired and observed state into a plan: a pure function.
//!
//! Nothing here reads a clock, draws a random number, logs, waits or fails. Only what is safe *now*
//! becomes an action; what must come later becomes a [`crate::plan::Waiting`]. Every action stays
//! safe if the other actions of its plan fail: nothing is created in the hope that a removal
//! succeeds.

mod addresses;
mod app;
mod backoff;
mod certificates;
mod classify;
mod context;
mod create;
mod drains;
mod exit;
mod garbage;
mod image;
mod limits;
mod names;
mod one_off;
mod order;
mod ports;
mod pre_deploy;
mod replica;
mod restart;
mod rollout_status;
mod routes;
mod scale_up;
mod status;
mod step;
mod teardown;
mod terminate;

pub use backoff::back_off;
pub use names::name_addresses;
pub(crate) use order::{is_ready, start_cycle};
pub(crate) use ports::port_text;
pub use ports::ports_to_check;
pub(crate) use routes::conflicts;

use jiff::Timestamp;

use crate::plan::{Plan, RoutePlan, RouteStep};
use crate::state::{DesiredState, EngineStatus, ObservedState};
use addresses::AddressPool;
use context::Context;
use step::join;

/// Decides what to do now, what to wait for, what is blocked, what to route, and the status of
/// each app.
///
/// The same input gives the same plan; the order of the observed replicas does not matter. A
/// converged system yields no action. While the engine is unreachable nothing is planned, and the
/// routes stay as they are.
pub fn reconcile(desired: &DesiredState, observed: &ObservedState, now: Timestamp) -> Plan {
    let context = Context::new(desired, observed, now);
    let conflicts = conflicts(desired);
    let mut addresses = AddressPool::new(observed);
    let apps = desired
        .apps
        .iter()
        .map(|(name, stored)| app::plan(&context, stored, conflicts.get(name), &mut addresses));
    let deleted = garbage::deleted_apps(&context).into_iter();
    let deleted = deleted.map(|(name, tombstone)| garbage::deleted(&context, name, tombstone));
    let mut plan = join(
        &context,
        apps.chain(deleted),
        [
            garbage::orphans(&context),
            pre_deploy::garbage(&context),
            certificates::garbage(&context),
            teardown::plan(&context).into_iter().collect(),
        ],
    );
    let steps = one_off::plan(&context, &plan, &mut addresses);
    plan.actions.extend(steps.actions);
    plan.waiting.extend(steps.waiting);
    plan.blocked.extend(steps.blocked);
    if let EngineStatus::Unreachable { .. } = observed.engine {
        let table = observed.ingress.table().cloned().unwrap_or_default();
        let routes = RoutePlan { table, step: RouteStep::InSync };
        return Plan { actions: Vec::new(), waiting: Vec::new(), routes, ..plan };
    }
    let step = routes::next_step(&context, &plan.routes.table);
    let checks = drains::plan(&context, plan.waiting.iter().map(|waiting| &waiting.wait));
    Plan {
        routes: RoutePlan { step, ..plan.routes },
        drain_checks: checks.due,
        next_drain_check: checks.next,
        ..plan
    }
}
