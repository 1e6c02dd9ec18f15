//! How a replica goes: unrouted and acknowledged, drained, stopped, removed. One step a pass.

use crate::app::Stop;
use crate::ingress::ObservedIngress;
use crate::plan::{Action, Plan, Planned, Reason, Wait, Waiting};
use crate::runtime::ContainerState;
use crate::state::ObservedReplica;

use super::backoff;
use super::context::Context;

/// The next step on the way out of one replica.
pub(super) fn step(
    context: &Context<'_>,
    replica: &ObservedReplica,
    stop: &Stop,
    reason: Reason,
    plan: &mut Plan,
) {
    let app = &replica.labels.app;
    let pod = replica.pod();
    let id = replica.id.clone();
    let action = match replica.state {
        ContainerState::Removing => {
            // The engine is at it already, and its event or the next list will tell.
            let (app, pod) = (app.clone(), Some(pod));
            plan.waiting.push(Waiting { app, pod, wait: Wait::InProgress, until: None });
            return;
        }
        ContainerState::Created
        | ContainerState::StartFailed { .. }
        | ContainerState::Exited { .. } => Action::Remove { id, pod: pod.clone() },
        ContainerState::Running { .. } | ContainerState::Paused => {
            if let Some(waiting) = still_serving(context, replica, stop) {
                plan.waiting.push(waiting);
                return;
            }
            Action::Stop { id, pod: pod.clone(), signal: stop.signal, grace: stop.grace }
        }
    };
    let planned = Planned { app: Some(app.clone()), action, reason };
    backoff::plan_or_wait(context, app, Some(&pod), planned, plan);
}

/// Why a running replica may not be stopped yet.
fn still_serving(context: &Context<'_>, replica: &ObservedReplica, stop: &Stop) -> Option<Waiting> {
    let limit = stop.drain.to_signed();
    let address = replica.labels.address;
    let waiting = |wait, until| {
        Some(Waiting { app: replica.labels.app.clone(), pod: Some(replica.pod()), wait, until })
    };
    match context.observed.ingress {
        // No proxy runs, so no request comes.
        ObservedIngress::Absent | ObservedIngress::Down { .. } => None,
        ObservedIngress::Serving { .. } if context.is_routed(replica) => {
            waiting(Wait::AwaitingUnroute, None)
        }
        ObservedIngress::Serving { .. } => match context.observed.drains.get(&address) {
            Some(drain) if drain.done => None,
            Some(drain) => {
                let until = drain.since.min(context.now).saturating_add(limit).ok()?;
                if until <= context.now {
                    return None;
                }
                waiting(Wait::Drained { address }, Some(until))
            }
            None => waiting(Wait::Drained { address }, None),
        },
    }
}
