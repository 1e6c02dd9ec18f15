//! Whether a call may be made now: not while it is under way, and not at once after it failed.

use crate::app::AppName;
use crate::plan::{OperationKey, Plan, Planned, Wait, Waiting};

use super::context::Context;
use super::restart::back_off;

/// Adds the action to the plan, or what it has to wait for.
pub(super) fn plan_or_wait(
    context: &Context<'_>,
    app: &AppName,
    pod: Option<&str>,
    planned: Planned,
    plan: &mut Plan,
) {
    match blocked_until(context, &planned.action.key()) {
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
pub(super) fn blocked_until(
    context: &Context<'_>,
    key: &OperationKey,
) -> Option<(Wait, Option<jiff::Timestamp>)> {
    if context.observed.in_flight.contains_key(key) {
        return Some((Wait::InProgress, None));
    }
    let failure = context.observed.failures.get(key)?;
    let until = failure.at.min(context.now).saturating_add(back_off(failure.count)).ok()?;
    (until > context.now).then(|| (Wait::Retry(failure.clone()), Some(until)))
}
