//! Keeps the kept replicas running: starts created ones, restarts failed ones, stops those that
//! must be restarted, and waits for those that are not ready.

use crate::plan::{Action, Reason, Wait};
use crate::runtime::{ContainerState, Exit};
use crate::state::Readiness;

use super::addresses::AddressPool;
use super::app::App;
use super::backoff::Restart;
use super::classify::Replicas;
use super::context::Context;
use super::create::{self, NewReplica, Template};
use super::limits::Capacity;
use super::replica::Replica;
use super::step::Step;
use super::{exit, terminate};

/// Returns the next step of each kept replica that needs one.
pub(super) fn plan(
    context: &Context<'_>,
    app: &App<'_>,
    replicas: &Replicas<'_>,
    capacity: Capacity,
    addresses: &mut AddressPool<'_>,
) -> Vec<Step> {
    let mut live = capacity.live;
    let mut steps = Vec::new();
    for replica in replicas.kept() {
        let step = match &replica.restart {
            Some(_) if replicas.is_creating(replica) => Some(replica.wait(Wait::InProgress, None)),
            Some(restart) if restart.due > context.now => Some(back_off(replica, restart)),
            Some(_) if live == 0 => Some(replica.wait(app.surge_limit(capacity), None)),
            Some(next) => {
                let step = restart(context, app, replica, next, addresses);
                live -= u32::from(step.as_ref().is_some_and(Step::is_create));
                step
            }
            None => keep_running(context, replica),
        };
        steps.extend(step);
    }
    steps
}

/// Waits until new replicas are available: ready for `min_ready` without a break.
pub(super) fn settle(context: &Context<'_>, app: &App<'_>, replicas: &Replicas<'_>) -> Vec<Step> {
    if !app.is_progressing() && !replicas.has_outdated() {
        return Vec::new();
    }
    let settling = replicas.updated().filter(|replica| replica.ready);
    let settling = settling.filter_map(|replica| {
        let until = replica.available_from.filter(|from| *from > context.now)?;
        Some(replica.wait(Wait::MinReady, Some(until)))
    });
    settling.collect()
}

/// The next step of a kept replica that has not failed.
fn keep_running(context: &Context<'_>, replica: &Replica<'_>) -> Option<Step> {
    if replica.observed.is_off_network() {
        return Some(terminate::next_step(context, replica, Reason::OffNetwork));
    }
    match (&replica.observed.state, &replica.observed.readiness) {
        (ContainerState::Created, _) => Some(start(context, replica)),
        (ContainerState::Paused, _) => Some(terminate::next_step(context, replica, Reason::Paused)),
        (ContainerState::Running { .. }, Readiness::Unhealthy { reason }) => {
            let reason = Reason::Unhealthy { reason: reason.clone() };
            Some(terminate::next_step(context, replica, reason))
        }
        (
            ContainerState::Running { .. },
            Readiness::Unknown
            | Readiness::Ready { .. }
            | Readiness::Settling { .. }
            | Readiness::NotReady { .. },
        ) => wait_for_ready(replica),
        (
            ContainerState::Exited(_)
            | ContainerState::StartFailed { .. }
            | ContainerState::Removing,
            _,
        ) => None,
    }
}

fn start(context: &Context<'_>, replica: &Replica<'_>) -> Step {
    let action = Action::Start { id: replica.observed.id.clone() };
    replica.attempt(context, action, Reason::NotStarted)
}

fn wait_for_ready(replica: &Replica<'_>) -> Option<Step> {
    if replica.ready {
        return None;
    }
    let (wait, until) = match replica.observed.readiness {
        // Only while a call on its container is in flight.
        Readiness::Ready { .. } => (Wait::InProgress, None),
        Readiness::Settling { until } => {
            (Wait::Ready { reason: replica.not_ready_reason() }, Some(until))
        }
        Readiness::Unknown | Readiness::NotReady { .. } | Readiness::Unhealthy { .. } => {
            (Wait::Ready { reason: replica.not_ready_reason() }, None)
        }
    };
    Some(replica.wait(wait, until))
}

fn back_off(replica: &Replica<'_>, restart: &Restart) -> Step {
    let restarts = replica.labels().restarts;
    let cause = exit::cause(replica);
    replica.wait(Wait::BackOff { cause, restarts }, Some(restart.due))
}

/// Creates the next container of a failed replica. Without an image there is nothing to create:
/// [`super::image`] resolves it.
fn restart(
    context: &Context<'_>,
    app: &App<'_>,
    failed: &Replica<'_>,
    restart: &Restart,
    addresses: &mut AddressPool<'_>,
) -> Option<Step> {
    let kept;
    let template = if app.has_wanted_spec(failed.observed) {
        &app.template
    } else {
        kept = Template::kept(failed.kept?);
        &kept
    };
    let new = NewReplica {
        slot: failed.slot(),
        restarts: restart.restarts,
        consecutive_restarts: restart.consecutive_restarts,
        // Ports change with the next replica, once they are known to be free.
        published: failed.labels().published.clone(),
        restarts_from: Some(failed),
    };
    let reason = reason(failed, restart.restarts);
    let created = create::replica(context, template, template.image?, &new, reason, addresses);
    Some(created.unwrap_or_else(|obstacle| obstacle.step(context, app.name())))
}

fn reason(failed: &Replica<'_>, restart: u32) -> Reason {
    match &failed.observed.state {
        ContainerState::StartFailed { error, .. } => {
            Reason::StartFailed { error: error.clone(), restart }
        }
        ContainerState::Exited(Exit { code, out_of_memory, .. }) => match failed.stop_reason {
            Some(why) if !out_of_memory => Reason::Stopped { why: why.to_owned(), restart },
            Some(_) | None => {
                Reason::Exited { code: *code, out_of_memory: *out_of_memory, restart }
            }
        },
        ContainerState::Created
        | ContainerState::Running { .. }
        | ContainerState::Paused
        | ContainerState::Removing => Reason::Superseded,
    }
}
