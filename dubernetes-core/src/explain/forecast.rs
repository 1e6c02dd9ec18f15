//! Dry run: repeats [`crate::reconcile()`] on a simulated state in which every call succeeds and
//! every replica becomes ready.
//!
//! It is the planner itself that decides each step, so the steps are those that will be taken,
//! unless something fails.

mod predicted_state;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::app::{AppName, PodName};
use crate::plan::{Phase, Plan, Planned, Reason};
use crate::state::{DesiredState, ObservedState};
use crate::store::RolloutUpdate;
use predicted_state::PredictedState;

/// What will happen to one app.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forecast {
    /// The steps in their order.
    pub steps: Vec<Step>,
    /// The smallest number of ready replicas on the way.
    pub fewest_ready: u32,
    /// The largest number of live replicas on the way.
    pub most_live: u32,
    /// Whether the steps lead to the desired state.
    pub converges: bool,
}

/// One step of a forecast.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The verb, such as `pull`, `create`, `start`, `stop`, `remove`, `route`, `wait` or
    /// `blocked`.
    pub action: String,
    /// The pod, if it is for one.
    pub pod: Option<PodName>,
    /// Why, or what for.
    pub reason: String,
    /// Ready replicas after it.
    pub ready: u32,
}

/// Most passes that are simulated: a replica takes about six, and an app has 250 at most.
const PASSES: u32 = 4_000;

/// Returns the steps from `observed` to `desired` for one app, without those of other apps.
pub fn forecast(
    desired: &DesiredState,
    observed: &ObservedState,
    app: &AppName,
    now: Timestamp,
) -> Forecast {
    let mut state = PredictedState::new(desired, observed, app, now);
    let mut forecast =
        Forecast { fewest_ready: state.ready(), most_live: state.live(), ..Forecast::default() };
    for _ in 0..PASSES {
        let plan = state.plan();
        let mut is_changed = apply_actions(&mut state, &plan, &mut forecast);
        if rolls_back(&plan, app) {
            // What comes back is another specification, which was not asked about.
            break;
        }
        if let Some(change) = state.apply_routes(&plan) {
            push(&mut forecast, &state, "route", None, change);
            is_changed = true;
        }
        if is_changed {
            continue;
        }
        let phase = plan.statuses.get(app).map(|status| status.phase);
        forecast.converges = phase.is_none_or(|phase| phase == Phase::Ready);
        // A deleted app has no phase in the end.
        if phase == Some(Phase::Ready) || !end_waits(&mut state, &plan, &mut forecast) {
            push_blocks(&mut forecast, &state, &plan);
            break;
        }
    }
    forecast
}

/// Applies the actions for the app; whether there was one.
fn apply_actions(state: &mut PredictedState<'_>, plan: &Plan, forecast: &mut Forecast) -> bool {
    let mut is_changed = false;
    for planned in &plan.actions {
        if !state.concerns(planned) {
            continue;
        }
        is_changed = true;
        state.apply(&planned.action);
        if let Some(reason) = visible_reason(planned) {
            push(forecast, state, planned.action.verb(), planned.pod.clone(), reason);
        }
    }
    is_changed
}

/// Whether the app's revision fails and is rolled back.
fn rolls_back(plan: &Plan, app: &AppName) -> bool {
    plan.actions.iter().any(|planned| {
        let update = planned.action.rollout_update();
        let is_rollback =
            matches!(update, Some(RolloutUpdate::Failed { roll_back_to: Some(_), .. }));
        is_rollback && planned.app.as_ref() == Some(app)
    })
}

/// Returns the reason of an action that is shown; `None` for the record of a success.
fn visible_reason(planned: &Planned) -> Option<String> {
    if planned.reason == Reason::EvictionDone {
        return None;
    }
    match planned.action.rollout_update() {
        None | Some(RolloutUpdate::Failed { .. }) => Some(planned.reason.to_string()),
        Some(
            RolloutUpdate::PreDeployed { .. } | RolloutUpdate::Complete | RolloutUpdate::Stable,
        ) => None,
    }
}

/// Ends the waits of the app that can end; whether there was one.
fn end_waits(state: &mut PredictedState<'_>, plan: &Plan, forecast: &mut Forecast) -> bool {
    let mut is_changed = false;
    for waiting in plan.waiting.iter().filter(|waiting| waiting.app.as_ref() == Some(state.app)) {
        if let Some(reason) = state.end_wait(waiting) {
            push(forecast, state, "wait", waiting.pod.clone(), reason);
            is_changed = true;
        }
    }
    is_changed
}

/// Adds what keeps the app from the desired state.
fn push_blocks(forecast: &mut Forecast, state: &PredictedState<'_>, plan: &Plan) {
    let own = plan.blocked.iter().filter(|blocked| blocked.app.as_ref() == Some(state.app));
    own.for_each(|blocked| push(forecast, state, "blocked", None, blocked.block.to_string()));
}

fn push(
    forecast: &mut Forecast,
    state: &PredictedState<'_>,
    action: &str,
    pod: Option<PodName>,
    reason: String,
) {
    let ready = state.ready();
    forecast.fewest_ready = forecast.fewest_ready.min(ready);
    forecast.most_live = forecast.most_live.max(state.live());
    forecast.steps.push(Step { action: action.to_owned(), pod, reason, ready });
}
