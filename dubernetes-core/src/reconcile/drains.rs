//! Which draining endpoints are checked now.

use std::net::SocketAddr;

use jiff::{SignedDuration, Timestamp};

use crate::call::OperationKey;
use crate::plan::Wait;

use super::context::Context;

/// Time between two checks of an endpoint.
const CHECK_INTERVAL: SignedDuration = SignedDuration::from_millis(250);

/// The checks of one pass.
#[derive(Debug, Default)]
pub(super) struct DrainChecks {
    /// Endpoints to check now.
    pub(super) due: Vec<SocketAddr>,
    /// When the next check is due.
    pub(super) next: Option<Timestamp>,
}

/// Returns the checks of every endpoint that has left the route table and is not drained, also of
/// replicas that are gone: their addresses are not given away before.
pub(super) fn plan<'a>(
    context: &Context<'_>,
    waiting: impl Iterator<Item = &'a Wait>,
) -> DrainChecks {
    let mut checks = DrainChecks::default();
    let known = context.observed.drains.iter().filter(|(_, drain)| !drain.done);
    for (endpoint, drain) in known {
        if context.observed.in_flight.contains_key(&OperationKey::DrainCheck(*endpoint)) {
            continue;
        }
        let next = drain.checked_at.and_then(|at| at.checked_add(CHECK_INTERVAL).ok());
        match next.filter(|next| *next > context.now) {
            None => checks.due.push(*endpoint),
            Some(next) => checks.next = Some(checks.next.map_or(next, |old| old.min(next))),
        }
    }
    // A replica of a former orchestrator may have left the table unseen.
    let unknown = waiting.filter_map(|wait| {
        let Wait::Drained { endpoint, .. } = wait else { return None };
        (!context.observed.drains.contains_key(endpoint)).then_some(*endpoint)
    });
    checks.due.extend(unknown);
    checks
}
