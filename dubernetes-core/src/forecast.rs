//! The future, by the rules: runs [`crate::reconcile()`] ahead over an observed state, with every
//! action succeeding and every replica becoming ready, and tells the steps.
//!
//! It is the same function that decides in earnest, so what it tells is what happens, unless
//! something fails on the way.

mod predicted_state;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::app::AppName;
use crate::plan::{Phase, Plan, Planned};
use crate::state::{DesiredState, ObservedState};
use crate::store::RolloutUpdate;
use predicted_state::PredictedState;

/// What would happen to one app.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forecast {
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
    /// What is done: `pull`, `create`, `start`, `stop`, `remove`, `route` or `wait`.
    pub action: String,
    /// To which pod.
    pub pod: Option<String>,
    /// Why, or for what.
    pub reason: String,
    /// So many replicas are ready after it.
    pub ready: u32,
}

/// The most passes that are predicted_state: each replica takes about six, and 250 are the most.
const PASSES: u32 = 4_000;

/// The steps from `observed` to `desired`, for one app. What other apps need is left out.
pub fn forecast(
    desired: &DesiredState,
    observed: &ObservedState,
    app: &AppName,
    now: Timestamp,
) -> Forecast {
    let mut world = PredictedState::new(desired, observed, app, now);
    let mut forecast =
        Forecast { fewest_ready: world.ready(), most_live: world.live(), ..Forecast::default() };
    for _ in 0..PASSES {
        let plan = world.plan();
        let mut happened = take_actions(&mut world, &plan, &mut forecast);
        if goes_back(&plan, app) {
            // What comes back is another specification, which nobody asked to have foretold.
            break;
        }
        if let Some(change) = world.take_routes(&plan) {
            note(&mut forecast, &world, "route", None, change);
            happened = true;
        }
        if happened {
            continue;
        }
        let status = plan.statuses.get(app);
        forecast.converges = status.is_none_or(|status| status.phase == Phase::Ready);
        // A tombstone has no status that is ready, and waits for nothing that could be told.
        let is_there = status.is_some_and(|status| status.phase == Phase::Ready);
        if is_there || !take_waits(&mut world, &plan, &mut forecast) {
            break;
        }
    }
    forecast
}

/// Has the actions succeed; whether there was one.
fn take_actions(world: &mut PredictedState<'_>, plan: &Plan, forecast: &mut Forecast) -> bool {
    let mut happened = false;
    for planned in &plan.actions {
        if world.concerns(planned) {
            happened = true;
            world.take(&planned.action);
            let Some(reason) = told(planned) else { continue };
            note(forecast, world, planned.action.verb(), planned.pod.clone(), reason);
        }
    }
    happened
}

/// Whether the app's revision fails and an earlier one comes back.
fn goes_back(plan: &Plan, app: &AppName) -> bool {
    plan.actions.iter().any(|planned| {
        let update = planned.action.rollout_update();
        let is_rollback =
            matches!(update, Some(RolloutUpdate::Failed { roll_back_to: Some(_), .. }));
        is_rollback && planned.app.as_ref() == Some(app)
    })
}

/// The reason of a step that is worth telling: records of ours are not.
fn told(planned: &Planned) -> Option<String> {
    match planned.action.rollout_update() {
        None | Some(RolloutUpdate::Failed { .. }) => Some(planned.reason.to_string()),
        Some(
            RolloutUpdate::PreDeployed { .. } | RolloutUpdate::Complete | RolloutUpdate::Stable,
        ) => None,
    }
}

/// Lets the time pass until what is waited for has happened; false if nothing more will.
fn take_waits(world: &mut PredictedState<'_>, plan: &Plan, forecast: &mut Forecast) -> bool {
    let own: Vec<_> = plan.waiting.iter().filter(|w| w.app == *world.app).collect();
    let mut happened = false;
    for waiting in &own {
        let text = world.predict(waiting);
        if let Some(text) = text {
            note(forecast, world, "wait", waiting.pod.clone(), text);
            happened = true;
        }
    }
    happened
}

fn note(
    forecast: &mut Forecast,
    world: &PredictedState<'_>,
    action: &str,
    pod: Option<String>,
    reason: String,
) {
    let ready = world.ready();
    forecast.fewest_ready = forecast.fewest_ready.min(ready);
    forecast.most_live = forecast.most_live.max(world.live());
    forecast.steps.push(Step { action: action.to_owned(), pod, reason, ready });
}
