//! When the planned table is applied to the ingress.

use std::time::Duration;

use dubernetes_core::error;
use dubernetes_core::ingress::{ApplyOutcome, IngressError, ObservedIngress, RouteTable};
use dubernetes_core::plan::{OperationKey, Plan};
use dubernetes_core::reconcile;
use dubernetes_core::state::{FailureKind, InFlight, ObservedState};
use jiff::Timestamp;
use tokio::time::Instant;

use crate::tasks::Tasks;

use super::Pass;
use super::record::quarantine_message;

/// The back-off of a refused table ends at 32 s: the port may be free again.
const MAX_BACK_OFF_STEP: u32 = 6;

impl Pass {
    /// Returns whether the ingress is to serve the planned table. A table that failed is tried
    /// again after a back-off, another table at once.
    pub(super) fn needs_routes(&self, plan: &Plan, observed: &ObservedState) -> bool {
        let differs = match &observed.ingress {
            ObservedIngress::Serving { table } => *table != plan.routes,
            ObservedIngress::Down { .. } => true,
            ObservedIngress::Absent => !plan.routes.is_empty(),
        };
        let is_refused = self.cache.refused.as_ref() == Some(&plan.routes);
        differs
            && !self.cache.in_flight.contains_key(&OperationKey::Routes)
            && !(is_refused && self.routes_retry().is_some())
    }

    /// Returns whether the rate limit allows another table. A proxy that does not serve yet is
    /// started, not reloaded.
    pub(super) fn may_apply_routes(&mut self, observed: &ObservedState) -> bool {
        let serves = matches!(observed.ingress, ObservedIngress::Serving { .. });
        self.route_due = if serves { self.reload_limiter.take(Instant::now()).err() } else { None };
        self.route_due.is_none()
    }

    pub(super) fn apply_routes(&mut self, table: &RouteTable, tasks: &mut Tasks) {
        self.cache.in_flight.insert(OperationKey::Routes, InFlight::default());
        self.table_before_apply.clone_from(&self.cache.served);
        tasks.apply_routes(table.clone());
    }

    /// Returns the time until a failed table is tried again.
    pub(super) fn routes_retry(&self) -> Option<Duration> {
        let failure = self.cache.failures.get(&OperationKey::Routes)?;
        let wait = reconcile::back_off(failure.count.min(MAX_BACK_OFF_STEP));
        let left = wait - self.clock.now().duration_since(failure.at);
        Duration::try_from(left).ok().filter(|left| !left.is_zero())
    }

    /// Applies the result of a table to the cache. A table with quarantined apps is tried again
    /// like one that failed.
    pub(super) fn on_routed(
        &mut self,
        table: RouteTable,
        result: Result<ApplyOutcome, IngressError>,
        now: Timestamp,
    ) {
        let cache = &mut self.cache;
        cache.quarantined.clear();
        let (kind, message) = match result {
            Ok(outcome) if outcome.quarantined.is_empty() => {
                cache.on_success(&OperationKey::Routes);
                cache.refused = None;
                return;
            }
            Ok(outcome) => {
                let texts = outcome.quarantined.into_iter();
                cache.quarantined =
                    texts.map(|(app, text)| (app, quarantine_message(&text))).collect();
                let apps: Vec<_> = cache.quarantined.keys().map(|app| app.as_str()).collect();
                (FailureKind::Permanent, format!("routes are quarantined: {}", apps.join(", ")))
            }
            Err(error) => (failure_kind(&error), error::chain(&error)),
        };
        cache.on_failure(OperationKey::Routes, kind, message, now);
        cache.refused = Some(table);
    }

    /// Checks the files of a running ingress once in each resync.
    pub(super) fn repair_ingress(&mut self, observed: &ObservedState, tasks: &mut Tasks) {
        let now = Instant::now();
        let is_changing = self.cache.in_flight.contains_key(&OperationKey::Routes);
        if self.repair_due <= now && !is_changing && observed.ingress.table().is_some() {
            self.repair_due = now + self.options.resync.to_std();
            tasks.repair_ingress();
        }
    }
}

fn failure_kind(error: &IngressError) -> FailureKind {
    match error {
        IngressError::PortTaken { .. } => FailureKind::PortTaken,
        IngressError::Refused { .. } => FailureKind::Permanent,
        IngressError::Runtime(inner) => inner.failure_kind(),
        IngressError::NotAcknowledged | IngressError::Failed(_) => FailureKind::Transient,
    }
}
