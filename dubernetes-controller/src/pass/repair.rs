//! When the files of a running ingress are looked at, and what is told of it.

use tokio::time::Instant;

use dubernetes_core::error;
use dubernetes_core::event::EventKind;
use dubernetes_core::ingress::IngressError;
use dubernetes_core::plan::OperationKey;
use dubernetes_core::state::ObservedState;

use super::Pass;
use crate::events;
use crate::tasks::Tasks;

const REPAIRED: &str = "somebody changed the configuration of the ingress; it is put back";

impl Pass {
    /// Has the files looked at, once in a slow resync.
    pub(super) fn repair(&mut self, observed: &ObservedState, tasks: &mut Tasks) {
        let now = Instant::now();
        let is_changing = self.cache.in_flight.contains_key(&OperationKey::Routes);
        if self.repair_due <= now && !is_changing && observed.ingress.table().is_some() {
            self.repair_due = now + self.options.resync.to_std();
            tasks.repair();
        }
    }

    /// Tells what came of it.
    pub(super) async fn on_repaired(&mut self, result: Result<bool, IngressError>) {
        let (reason, message) = match result {
            Ok(false) => return,
            Ok(true) => ("IngressMended", REPAIRED.to_owned()),
            Err(error @ IngressError::Runtime(_)) => {
                tracing::debug!(error = %error::chain(&error), "the ingress was not looked at");
                return;
            }
            Err(error) => ("IngressFailed", error::chain(&error)),
        };
        let now = self.adapters.clock.now();
        let event = events::event(now, EventKind::Warning, None, None, reason, message);
        self.record(vec![event]).await;
    }
}
