//! How a replica leaves: unrouted and acknowledged, drained, stopped, removed. One step per pass.

use jiff::Timestamp;

use crate::ingress::ObservedIngress;
use crate::plan::{Action, Reason, Wait};
use crate::runtime::ContainerState;

use super::classify::Replicas;
use super::context::Context;
use super::replica::Replica;
use super::step::Step;

/// Returns the next step of each terminating replica.
pub(super) fn plan(context: &Context<'_>, replicas: &Replicas<'_>) -> Vec<Step> {
    let terminating = replicas.terminating();
    terminating.map(|(replica, reason)| next_step(context, replica, reason.clone())).collect()
}

/// Returns the next step that stops a live replica, or removes a stopped one.
pub(super) fn next_step(context: &Context<'_>, replica: &Replica<'_>, reason: Reason) -> Step {
    let id = replica.observed.id.clone();
    let action = match replica.observed.state {
        // The engine is removing it. Its event, or the next list, shows when it is gone.
        ContainerState::Removing => {
            return replica.wait(Wait::InProgress, None);
        }
        ContainerState::Created
        | ContainerState::StartFailed { .. }
        | ContainerState::Exited(_) => Action::Remove { id },
        ContainerState::Running { .. } | ContainerState::Paused => {
            if let Some((wait, until)) = still_serving(context, replica) {
                return replica.wait(wait, until);
            }
            let stop = replica.stop;
            Action::Stop { id, signal: stop.signal, grace: stop.grace }
        }
    };
    replica.attempt(context, action, reason)
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
    let wait = Wait::Drained { address: replica.labels().address };
    let Some(drain) = replica.drain else { return Some((wait, None)) };
    let limit = replica.stop.drain.to_signed();
    let until = drain.since.min(context.now).saturating_add(limit).ok()?;
    (!drain.done && until > context.now).then_some((wait, Some(until)))
}
