//! Whether a call may be made now: not while it is under way, and not at once after it failed.

use crate::app::AppName;
use crate::plan::{CallKey, Plan, Planned, Wait, Waiting};
use crate::state::Failure;

use super::restart::back_off;
use super::view::World;

/// Adds the action to the plan, or what it has to wait for.
pub(super) fn plan_or_wait(
    world: &World<'_>,
    app: &AppName,
    pod: Option<&str>,
    planned: Planned,
    plan: &mut Plan,
) {
    match closed(world, &planned.action.key()) {
        None => plan.actions.push(planned),
        Some((wait, until)) => plan.waiting.push(Waiting {
            app: app.clone(),
            pod: pod.map(str::to_owned),
            wait,
            until,
        }),
    }
}

/// What a call has to wait for, and until when; `None` if it may be made.
pub(super) fn closed(world: &World<'_>, key: &CallKey) -> Option<(Wait, Option<jiff::Timestamp>)> {
    if world.observed.under_way.contains(key) {
        return Some((Wait::UnderWay, None));
    }
    let failure = failure(world, key)?;
    let until = failure.at.min(world.now).saturating_add(back_off(failure.count)).ok()?;
    (until > world.now).then(|| (Wait::Retry(failure.clone()), Some(until)))
}

/// The failure of the same call.
fn failure<'a>(world: &World<'a>, key: &CallKey) -> Option<&'a Failure> {
    let Some(app) = key.app() else { return world.observed.failures.get(key) };
    let failures = world.failures_of(app).iter();
    failures.filter(|(other, _)| other.is_same_call(key)).map(|(_, f)| *f).max_by_key(|f| f.count)
}
