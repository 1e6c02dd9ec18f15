//! Teardown of the instance: what is removed that belongs to no app, and in which order.
//!
//! The ingress first stops to route to the replicas, which then leave as those of deleted apps do:
//! drained, stopped, removed. The ingress and the network follow once no container is left. An
//! ingress that does not serve, or refuses the table, goes at once, so that nothing waits for it.

use crate::call::OperationKey;
use crate::ingress::ObservedIngress;
use crate::plan::{Action, Planned, Reason};

use super::backoff;
use super::context::Context;
use super::step::Step;

/// Returns the step of a teardown that belongs to no app. Containers that are not the instance's
/// own stay; one on the network keeps it from being removed, and the error of the engine says so.
pub(super) fn plan(context: &Context<'_>) -> Option<Step> {
    context.desired.teardown?;
    if removes_ingress(context) {
        return Some(attempt(context, Action::RemoveIngress, Reason::Teardown));
    }
    let observed = context.observed;
    // A create or an apply in flight may still add something.
    let is_pending =
        |key: &OperationKey| !matches!(key, OperationKey::DrainCheck(_) | OperationKey::Teardown);
    let is_pending = observed.in_flight.keys().any(is_pending);
    if has_container(context) || observed.ingress != ObservedIngress::Absent || is_pending {
        return None;
    }
    if observed.network.is_some() {
        return Some(attempt(context, Action::RemoveNetwork, Reason::Teardown));
    }
    let is_left = !context.desired.tombstones.is_empty();
    (!is_left).then(|| attempt(context, Action::FinishTeardown, Reason::TornDown))
}

/// Whether a teardown removes the ingress now, whatever the ingress should serve.
pub(super) fn removes_ingress(context: &Context<'_>) -> bool {
    let observed = context.observed;
    if context.desired.teardown.is_none() || observed.in_flight.contains_key(&OperationKey::Routes)
    {
        return false;
    }
    match observed.ingress {
        ObservedIngress::Absent => false,
        ObservedIngress::Down { .. } => true,
        ObservedIngress::Serving { .. } | ObservedIngress::Unknown { .. } => {
            !has_container(context) || observed.failures.contains_key(&OperationKey::Routes)
        }
    }
}

fn has_container(context: &Context<'_>) -> bool {
    let observed = context.observed;
    let is_empty = observed.replicas.is_empty() && observed.pre_deploys.is_empty();
    !(is_empty && observed.one_offs.is_empty())
}

fn attempt(context: &Context<'_>, action: Action, reason: Reason) -> Step {
    backoff::attempt(context, None, Planned::for_instance(action, reason))
}
