//! What the controller publishes after each pass.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use dubernetes_core::app::AppName;
use dubernetes_core::plan::{Phase, Plan};
use dubernetes_core::runtime::RuntimeInfo;
use dubernetes_core::state::{DesiredState, ObservedState};
use jiff::Timestamp;

/// Whether a controller acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Carries out its plans.
    Act,
    /// Observes and plans, and changes nothing.
    Observe,
}

/// The input and the result of the last pass.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Number of passes so far; 0 means that nothing is known yet.
    pub passes: u64,
    /// When the pass began.
    pub at: Option<Timestamp>,
    /// When the next pass begins at the latest.
    pub requeue_at: Option<Timestamp>,
    /// The desired state.
    pub desired: DesiredState,
    /// The observed state.
    pub observed: ObservedState,
    /// The plan.
    pub plan: Plan,
    /// The engine, or `None` while no engine answers.
    pub engine: Option<RuntimeInfo>,
    /// Since when each app is in its phase. An orchestrator that has just started knows it from the
    /// stored rollout or not at all.
    pub phases_since: BTreeMap<AppName, Timestamp>,
    /// Why the store could not be read in the last pass. The rest is from the last pass that could
    /// read it.
    pub store_problem: Option<String>,
    /// Why events are not recorded yet, if the store does not take them.
    pub events_problem: Option<String>,
    /// Where the ingress takes requests on the host, if that is known.
    pub ingress_listens: Vec<SocketAddr>,
}

/// Returns since when each app is in its phase, from the last pass.
pub(crate) fn phases_since(
    last: &Snapshot,
    desired: &DesiredState,
    plan: &Plan,
    now: Timestamp,
) -> BTreeMap<AppName, Timestamp> {
    let since = |app: &AppName, phase: Phase| match last.plan.statuses.get(app) {
        Some(before) if before.phase == phase => last.phases_since.get(app).copied(),
        Some(_) => Some(now),
        None if last.passes > 0 => Some(now),
        // The first pass finds a phase that began before.
        None => {
            let stored = desired.apps.get(app)?;
            match phase {
                Phase::Failed => stored.rollout.outcome.failure().map(|failure| failure.at),
                Phase::Pending | Phase::Progressing => Some(stored.rollout_started_at),
                Phase::Ready | Phase::Degraded | Phase::Deleting => None,
            }
        }
    };
    let statuses = plan.statuses.iter();
    statuses.filter_map(|(app, status)| Some((app.clone(), since(app, status.phase)?))).collect()
}

#[cfg(test)]
mod tests {
    use dubernetes_core::reconcile::reconcile;
    use dubernetes_testkit::notation;

    use super::*;

    /// Returns the snapshot of a pass after `last` on this state, which began at a second.
    fn pass(last: &Snapshot, state: &str, second: i64) -> Snapshot {
        let notation::Scenario { desired, observed, .. } = notation::parse(state).unwrap();
        let now = Timestamp::from_second(second).unwrap();
        let plan = reconcile(&desired, &observed, now);
        let phases_since = phases_since(last, &desired, &plan, now);
        Snapshot { passes: last.passes + 1, desired, observed, plan, phases_since, ..last.clone() }
    }

    #[test]
    fn phase_began_when_it_changed() {
        let web = AppName::parse("web").unwrap();
        let (ready, gone) =
            ("network\napp web replicas=1\nweb-1 ready", "network\napp web replicas=1");
        let first = pass(&Snapshot::default(), ready, 1_000_000_010);
        assert_eq!(first.phases_since.get(&web), None, "it was ready before");
        let lost = pass(&first, gone, 1_000_000_020);
        let later = pass(&lost, gone, 1_000_000_030);
        let began = Timestamp::from_second(1_000_000_020).unwrap();
        assert_eq!(later.phases_since.get(&web), Some(&began));
    }
}
