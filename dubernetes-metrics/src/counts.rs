//! What is counted as it happens.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dubernetes_controller::{
    AdapterKind, CallOutcome, Handle, Measurement, Meter, ProbeOutcome, RolloutOutcome,
    RoutesOutcome,
};
use dubernetes_core::app::AppName;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::collector::OrchestratorCollector;

/// Prefix of all names.
pub(crate) const PREFIX: &str = "dubernetes";

/// Upper bounds of the buckets for calls of adapters and for passes, in seconds: from a read of a
/// local engine to the stop of a container and the pull of an image.
const SECONDS: [f64; 8] = [0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0, 300.0];

/// Counts what an orchestrator does, from its start on.
#[derive(Debug, Default)]
pub struct Metrics(Mutex<Counts>);

/// The numbers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts {
    pub(crate) apps: BTreeMap<AppName, AppCounts>,
    pub(crate) calls: BTreeMap<(AdapterKind, &'static str, CallOutcome), Seconds>,
    pub(crate) passes: Seconds,
    pub(crate) routes: BTreeMap<RoutesOutcome, u64>,
}

/// The numbers of one app.
#[derive(Debug, Clone, Default)]
pub(crate) struct AppCounts {
    pub(crate) restarts: u64,
    pub(crate) probes: BTreeMap<ProbeOutcome, u64>,
    pub(crate) rollouts: BTreeMap<RolloutOutcome, u64>,
}

/// A distribution of durations. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Seconds(pub(crate) Histogram);

impl Default for Seconds {
    fn default() -> Self {
        Self(Histogram::new(SECONDS))
    }
}

impl Metrics {
    /// Adds these metrics, and those that are read from the last pass of the orchestrator of
    /// `handle`, to a registry. `version` is that of the program. Requests to apps are not among
    /// them: [`Exporter`](crate::Exporter) has them.
    pub fn register(self: &Arc<Self>, registry: &mut Registry, handle: Handle, version: &str) {
        let collector = OrchestratorCollector::new(Arc::clone(self), handle, version);
        let registry = registry.sub_registry_with_prefix(PREFIX);
        registry.register_collector(Box::new(collector));
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Counts> {
        // A panic leaves every number as it was or one higher.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Meter for Metrics {
    fn record(&self, measurement: &Measurement<'_>) {
        let mut counts = self.lock();
        match measurement {
            Measurement::Call { adapter, operation, outcome, took } => {
                let call = counts.calls.entry((*adapter, *operation, *outcome)).or_default();
                call.0.observe(took.as_secs_f64());
            }
            Measurement::Pass { took, snapshot } => {
                counts.passes.0.observe(took.as_secs_f64());
                let statuses = &snapshot.plan.statuses;
                counts.apps.retain(|app, _| statuses.contains_key(app));
            }
            Measurement::Probe { app, outcome } => {
                *counts.app(app).probes.entry(*outcome).or_default() += 1;
            }
            Measurement::Restart { app } => counts.app(app).restarts += 1,
            Measurement::Rollout { app, outcome } => {
                *counts.app(app).rollouts.entry(*outcome).or_default() += 1;
            }
            Measurement::Routes { outcome } => {
                *counts.routes.entry(*outcome).or_default() += 1;
            }
        }
    }
}

impl Counts {
    fn app(&mut self, app: &AppName) -> &mut AppCounts {
        self.apps.entry(app.clone()).or_default()
    }
}
