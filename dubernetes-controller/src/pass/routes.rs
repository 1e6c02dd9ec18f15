//! Applies the planned table to the ingress.

use dubernetes_core::call::{FailureKind, InFlight, OperationKey};
use dubernetes_core::error;
use dubernetes_core::ingress::{ApplyOutcome, IngressError, RouteTable};
use dubernetes_core::state::ObservedState;
use jiff::Timestamp;
use tokio::time::Instant;

use crate::tasks::Tasks;

use super::Pass;
use super::record::{quarantine_message, unpublished_message};

impl Pass {
    /// Returns when the pace of the ingress allows another table, if not now.
    pub(super) fn routes_paced_until(&self, now: Timestamp) -> Option<Timestamp> {
        let wait = self.reload_limiter.wait(Instant::now())?;
        now.checked_add(wait).ok()
    }

    /// Applies a table, which counts for the pace.
    pub(super) fn change_routes(&mut self, table: &RouteTable, tasks: &mut Tasks) {
        self.reload_limiter.take(Instant::now());
        self.apply_routes(table, tasks);
    }

    /// Applies a table to an ingress that may have to be started for it.
    pub(super) fn apply_routes(&mut self, table: &RouteTable, tasks: &mut Tasks) {
        self.cache.in_flight.insert(OperationKey::Routes, InFlight::default());
        self.table_before_apply.clone_from(&self.cache.served);
        tasks.apply_routes(table.clone());
    }

    /// Applies the result of a table to the cache. A table that is not served as a whole is
    /// tried again like one that failed.
    pub(super) fn on_routed(
        &mut self,
        table: RouteTable,
        result: Result<ApplyOutcome, IngressError>,
        now: Timestamp,
    ) {
        let cache = &mut self.cache;
        cache.quarantined.clear();
        let (kind, message) = match result {
            Ok(outcome) if outcome.quarantined.is_empty() && outcome.unpublished.is_empty() => {
                cache.on_success(&OperationKey::Routes);
                cache.refused = None;
                cache.acknowledged = Some(table);
                return;
            }
            Ok(outcome) => {
                let ports = outcome.unpublished.iter();
                let ports = ports.map(|(app, text)| (app.clone(), unpublished_message(text)));
                let routes = outcome.quarantined.iter();
                let routes = routes.map(|(app, text)| (app.clone(), quarantine_message(text)));
                cache.quarantined = ports.chain(routes).collect();
                let apps: Vec<_> = cache.quarantined.keys().map(|app| app.as_str()).collect();
                let message = format!("the ingress does not serve all of {}", apps.join(", "));
                (FailureKind::Permanent, message)
            }
            Err(error) => (error.failure_kind(), error::chain(&error)),
        };
        cache.on_failure(OperationKey::Routes, kind, message, now);
        cache.refused = Some(table);
    }

    /// Checks files and settings of a running ingress, first at the start and then once in each
    /// resync. A process that may end at any time leaves that to one that stays: a replacement
    /// that is cut off takes the ingress down.
    pub(super) fn repair_ingress(&mut self, observed: &ObservedState, tasks: &mut Tasks) {
        let now = Instant::now();
        let changes = [OperationKey::Routes, OperationKey::Teardown];
        let is_changing = changes.iter().any(|key| self.cache.in_flight.contains_key(key));
        let is_due = self.repair_due <= now && !self.options.short_lived;
        if let Some(table) = observed.ingress.table()
            && is_due
            && !is_changing
        {
            self.repair_due = now + self.options.resync.to_std();
            tasks.repair_ingress(table.clone());
        }
    }
}
