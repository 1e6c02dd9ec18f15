//! The progress of image pulls, which a pass observes.

use std::collections::BTreeMap;
use std::time::Duration;

use dubernetes_core::app::AppName;
use dubernetes_core::call::OperationKey;
use dubernetes_core::runtime::PullProgress;
use dubernetes_core::state::DesiredState;

use super::Pass;

/// Time between two looks at a pull in flight.
pub(super) const REFRESH: Duration = Duration::from_secs(1);

impl Pass {
    /// Returns the progress of the pulls in flight, in steps of a tenth: not every message of the
    /// engine is a new state that is worth a record.
    pub(super) fn pulls(&self, desired: &DesiredState) -> BTreeMap<AppName, PullProgress> {
        let progress = self.cache.in_flight.keys().filter_map(|key| {
            let OperationKey::Image { app, .. } = key else { return None };
            let image = desired.apps.get(app)?.spec.artifact.image()?;
            let PullProgress { done, total } = self.runtime.pull_progress(image)?;
            let tenth = (total / 10).max(1);
            Some((app.clone(), PullProgress { done: done / tenth * tenth, total }))
        });
        progress.collect()
    }
}
