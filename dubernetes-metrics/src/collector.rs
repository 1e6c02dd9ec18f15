//! Everything that is exported of an orchestrator: what was counted, and what its last pass has
//! seen.

use std::fmt;
use std::sync::Arc;

use dubernetes_controller::{
    Handle, HostCertificate, ProbeOutcome, RolloutOutcome, RoutesOutcome, Snapshot,
};
use dubernetes_core::app::AppName;
use dubernetes_core::ingress::ObservedIngress;
use dubernetes_core::plan::{AppStatus, Phase};
use dubernetes_core::state::EngineStatus;
use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use crate::counts::{AppCounts, Counts, Metrics};
use crate::families::{Families, Family, Labels};

/// Writes the metrics of an orchestrator, as of now.
#[derive(Debug)]
pub(crate) struct OrchestratorCollector {
    metrics: Arc<Metrics>,
    handle: Handle,
    version: String,
}

impl OrchestratorCollector {
    pub(crate) fn new(metrics: Arc<Metrics>, handle: Handle, version: &str) -> Self {
        Self { metrics, handle, version: version.to_owned() }
    }
}

impl Collector for OrchestratorCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut families = Families(encoder);
        let build = Family::new("build", "Version of the program.");
        families.info(&build, &[("version", self.version.as_str())])?;
        let snapshot = self.handle.snapshot();
        write_instance(&mut families, &snapshot)?;
        write_apps(&mut families, &snapshot)?;
        write_certificates(&mut families, &self.handle.certificates())?;
        // The loop records measurements meanwhile: it must not wait for an export.
        let counts = self.metrics.lock().clone();
        write_counts_of_apps(&mut families, &snapshot, &counts)?;
        write_work(&mut families, &counts)
    }
}

/// Writes what a pass has seen of the instance.
fn write_instance(families: &mut Families<'_>, snapshot: &Snapshot) -> fmt::Result {
    let observed = &snapshot.observed;
    let is_seen = snapshot.passes > 0;
    let is_up = |up: bool| [([], u32::from(is_seen && up))];
    let engine = Family::new("engine_up", "Whether the container engine answers.");
    families.gauges(&engine, is_up(observed.engine == EngineStatus::Reachable))?;
    let store =
        Family::new("store_up", "Whether the desired state can be read, and events written.");
    let problems = [&snapshot.store_problem, &snapshot.events_problem];
    families.gauges(&store, is_up(problems.iter().all(|problem| problem.is_none())))?;
    let help = "Whether the ingress serves a route table; none while none is needed.";
    let ingress = Family::new("ingress_up", help);
    let is_idle =
        observed.ingress == ObservedIngress::Absent && snapshot.plan.routes.table.is_empty();
    let serves = u32::from(observed.ingress.table().is_some());
    families.gauges(&ingress, (is_seen && !is_idle).then_some(([], serves)))?;
    let last = Family::seconds("last_pass_timestamp", "When the last pass began.");
    families.gauges(&last, snapshot.at.map(|at| ([], seconds(at))))?;
    let size = |count: usize| [([], u64::try_from(count).unwrap_or(u64::MAX))];
    let in_flight = Family::new("calls_in_flight", "Actions and checks in flight.");
    families.gauges(&in_flight, size(observed.in_flight.len()))?;
    let failing = Family::new("calls_failing", "Actions that failed, and will be tried again.");
    families.gauges(&failing, size(observed.failures.len()))?;
    let blocked = Family::new("blocked", "Steps that need a person.");
    families.gauges(&blocked, size(snapshot.plan.blocked.len()))
}

/// Writes the status of the apps.
fn write_apps(families: &mut Families<'_>, snapshot: &Snapshot) -> fmt::Result {
    let statuses = &snapshot.plan.statuses;
    let apps = Family::new("apps", "Apps in each phase.");
    let in_phase = |phase| statuses.values().filter(|status| status.phase == phase).count();
    let phases = Phase::ALL.map(|phase| ([("phase", phase.as_str())], in_phase(phase)));
    families.gauges(&apps, phases)?;
    let phase = Family::new("app_phase", "1 for the phase that the app is in.");
    let in_phases = statuses.iter();
    let in_phases = in_phases
        .map(|(app, status)| ([("app", app.as_str()), ("phase", status.phase.as_str())], 1_u32));
    families.gauges(&phase, in_phases)?;
    let each = |number: fn(&AppStatus) -> u64| {
        statuses.iter().map(move |(app, status)| (of_app(app), number(status)))
    };
    let desired = Family::new("app_replicas_desired", "Wanted replicas.");
    families.gauges(&desired, each(|status| status.desired.into()))?;
    let ready = Family::new("app_replicas_ready", "Ready replicas of any revision.");
    families.gauges(&ready, each(|status| status.ready.into()))?;
    let updated = Family::new("app_replicas_updated", "Ready replicas of the wanted revision.");
    families.gauges(&updated, each(|status| status.updated.into()))?;
    let revision = Family::new("app_revision", "The wanted revision.");
    families.gauges(&revision, each(|status| status.revision.0))
}

fn write_certificates(families: &mut Families<'_>, hosts: &[HostCertificate]) -> fmt::Result {
    let expiry = "When the certificate of a host expires.";
    let expiry = Family::seconds("certificate_expiry_timestamp", expiry);
    let hosts: Vec<_> = hosts
        .iter()
        .filter_map(|host| Some((host.host.to_string(), seconds(host.info.as_ref()?.not_after))))
        .collect();
    families.gauges(&expiry, hosts.iter().map(|(host, at)| ([("host", host.as_str())], *at)))
}

/// Writes what was counted of the apps that exist. What has not happened yet is 0, so that its
/// first occurrence is a rise.
fn write_counts_of_apps(
    families: &mut Families<'_>,
    snapshot: &Snapshot,
    counts: &Counts,
) -> fmt::Result {
    let none = AppCounts::default();
    let apps = snapshot.plan.statuses.keys();
    let apps: Vec<_> =
        apps.map(|app| (app.as_str(), counts.apps.get(app).unwrap_or(&none))).collect();
    let restarts = "Restarts of replicas whose process had ended, or could not be started.";
    let restarts = Family::new("restarts", restarts);
    families.counters(&restarts, apps.iter().map(|(app, own)| ([("app", *app)], own.restarts)))?;
    let rollouts = Family::new("rollouts", "Rollouts that have ended, by their outcome.");
    let series = apps.iter().flat_map(|(app, own)| {
        RolloutOutcome::ALL.map(|outcome| {
            let count = own.rollouts.get(&outcome).copied();
            ([("app", *app), ("outcome", outcome.as_str())], count.unwrap_or_default())
        })
    });
    families.counters(&rollouts, series)?;
    let probes = Family::new("probes", "Probes of replicas, by their outcome.");
    let series = apps.iter().flat_map(|(app, own)| {
        ProbeOutcome::ALL.map(|outcome| {
            let count = own.probes.get(&outcome).copied();
            ([("app", *app), ("outcome", outcome.as_str())], count.unwrap_or_default())
        })
    });
    families.counters(&probes, series)
}

/// Writes the work of the orchestrator itself.
fn write_work(families: &mut Families<'_>, counts: &Counts) -> fmt::Result {
    let help = "Time of a pass: observation, decision, and the start of its actions.";
    let passes = Family::seconds("pass_duration", help);
    families.histograms(&passes, [([], &counts.passes.0)])?;
    let help = "Calls of engine, store, ingress and authorities, by their outcome.";
    let calls = Family::seconds("call_duration", help);
    let series = counts.calls.iter().map(|((adapter, operation, outcome), took)| {
        let labels =
            [("adapter", adapter.as_str()), ("call", *operation), ("outcome", outcome.as_str())];
        (labels, &took.0)
    });
    families.histograms(&calls, series)?;
    let help = "Route tables applied to the ingress, by their outcome. nginx is reloaded by each \
                that changes it.";
    let routes = Family::new("ingress_applies", help);
    let series = RoutesOutcome::ALL.map(|outcome| {
        let count = counts.routes.get(&outcome).copied();
        ([("outcome", outcome.as_str())], count.unwrap_or_default())
    });
    families.counters(&routes, series)
}

fn of_app(app: &AppName) -> Labels<'_, 1> {
    [("app", app.as_str())]
}

/// Returns the seconds since the start of 1970.
fn seconds(at: Timestamp) -> i64 {
    at.as_second()
}
