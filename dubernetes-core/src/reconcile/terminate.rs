//! How a replica leaves: unrouted and acknowledged, drained, stopped, removed. One step per pass.

use jiff::Timestamp;

use crate::app::Stop;
use crate::ingress::ObservedIngress;
use crate::plan::{Action, Planned, Reason, Wait};
use crate::runtime::{ContainerId, ContainerState};

use super::app::App;
use super::backoff;
use super::classify::Replicas;
use super::context::Context;
use super::replica::Replica;
use super::step::Step;

/// Returns the next step of each terminating replica.
pub(super) fn plan(context: &Context<'_>, replicas: &Replicas<'_>) -> Vec<Step> {
    let terminating = replicas.terminating();
    terminating.map(|(replica, reason)| next_step(context, replica, reason.clone())).collect()
}

/// Drops the requests to replace replicas that are gone.
pub(super) fn clear_evictions(context: &Context<'_>, app: &App<'_>) -> Vec<Step> {
    let name = app.name();
    let is_gone =
        |id: &&ContainerId| app.observed.replicas.iter().all(|replica| replica.id != **id);
    let clear = |id: &ContainerId| {
        let action = Action::ClearEviction { app: name.clone(), id: id.clone() };
        backoff::attempt(context, name, Planned::for_app(name, action, Reason::EvictionDone))
    };
    app.stored.evicted.iter().filter(is_gone).map(clear).collect()
}

/// Returns the next step that stops a live replica, or removes a stopped one.
pub(super) fn next_step(context: &Context<'_>, replica: &Replica<'_>, reason: Reason) -> Step {
    let observed = replica.observed;
    let Some(action) = stop_or_remove(&observed.id, &observed.state, replica.stop) else {
        return replica.wait(Wait::InProgress, None);
    };
    match still_serving(context, replica) {
        Some((wait, until)) if matches!(action, Action::Stop { .. }) => replica.wait(wait, until),
        Some(_) | None => replica.attempt(context, action, reason),
    }
}

/// Returns the action that stops a live container, or removes one that does not run. `None` while
/// the engine is removing it: its event, or the next list, shows when it is gone.
pub(super) fn stop_or_remove(
    id: &ContainerId,
    state: &ContainerState,
    stop: &Stop,
) -> Option<Action> {
    let id = id.clone();
    match state {
        ContainerState::Removing => None,
        ContainerState::Created
        | ContainerState::StartFailed { .. }
        | ContainerState::Exited(_) => Some(Action::Remove { id }),
        ContainerState::Running { .. } | ContainerState::Paused => {
            Some(Action::Stop { id, signal: stop.signal, grace: stop.grace })
        }
    }
}

/// Returns why a live replica may not be stopped yet: it may still get or handle requests.
fn still_serving(
    context: &Context<'_>,
    replica: &Replica<'_>,
) -> Option<(Wait, Option<Timestamp>)> {
    match context.observed.ingress {
        // No proxy runs, so no request comes.
        ObservedIngress::Absent | ObservedIngress::Down { .. } => return None,
        ObservedIngress::Serving { .. } | ObservedIngress::Unknown { .. } if replica.routed => {
            return Some((Wait::AwaitingUnroute, None));
        }
        ObservedIngress::Serving { .. } | ObservedIngress::Unknown { .. } => {}
    }
    // Without an endpoint no request reaches it.
    let endpoint = replica.observed.endpoint?;
    let Some((endpoint, drain)) = replica.drain else {
        return Some((Wait::Drained { endpoint, held_by: None }, None));
    };
    let wait = Wait::Drained { endpoint, held_by: drain.held_by.clone() };
    let limit = replica.drain_limit.to_signed();
    let until = drain.since.min(context.now).saturating_add(limit).ok()?;
    (!drain.done && until > context.now).then_some((wait, Some(until)))
}
