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
    let wait = Wait::Retry { message: failure.message.clone(), failures: failure.count };
    (until > world.now).then_some((wait, Some(until)))
}

/// The failure of an equal call. A create is equal whatever address was picked for it.
fn failure<'a>(world: &World<'a>, key: &CallKey) -> Option<&'a Failure> {
    let failures = &world.observed.failures;
    let same = |other: &CallKey| match (key, other) {
        (
            CallKey::Create { app: a, ordinal: i, revision: r, .. },
            CallKey::Create { app: b, ordinal: j, revision: s, .. },
        ) => a == b && i == j && r == s,
        (
            CallKey::CreateJob { app: a, revision: r, .. },
            CallKey::CreateJob { app: b, revision: s, .. },
        ) => a == b && r == s,
        _ => false,
    };
    if !matches!(key, CallKey::Create { .. } | CallKey::CreateJob { .. }) {
        return failures.get(key);
    }
    failures.iter().filter(|(key, _)| same(key)).map(|(_, f)| f).max_by_key(|f| f.count)
}
