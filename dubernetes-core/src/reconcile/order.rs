//! The order in which apps start: `after` names apps that must be ready before this one starts for
//! the first time. Later they are independent.

use crate::app::{self, AppName};
use crate::plan::{Block, Wait};
use crate::state::{DesiredState, ObservedState, Readiness};
use crate::store::{Outcome, StoredApp};

use super::context::{Context, Observed};
use super::step::Step;

/// Returns what holds back the first start of an app, if anything does.
pub(super) fn hold(
    context: &Context<'_>,
    stored: &StoredApp,
    observed: &Observed<'_>,
) -> Option<Step> {
    let name = &stored.spec.name;
    if has_started(stored, observed) {
        return None;
    }
    if let Some(apps) = start_cycle(context.desired, name) {
        return Some(Step::block(Some(name), Block::StartCycle { apps }));
    }
    let after = stored.spec.after.iter();
    let (known, unknown): (Vec<_>, _) =
        after.partition(|name| context.desired.apps.contains_key(*name));
    let unknown: Vec<_> = unknown.into_iter().cloned().collect();
    let not_ready: Vec<_> = known
        .into_iter()
        .filter(|name| !is_ready(context.desired, context.observed, name))
        .cloned()
        .collect();
    if unknown.is_empty() && not_ready.is_empty() {
        return None;
    }
    Some(Step::wait(name, None, Wait::After { not_ready, unknown }, None))
}

/// Whether the app was complete before, or a container of it exists or is being created.
fn has_started(stored: &StoredApp, observed: &Observed<'_>) -> bool {
    let was_complete = stored.fallback.is_some()
        || match stored.rollout.outcome {
            Outcome::Complete { .. } | Outcome::Stable => true,
            Outcome::Progressing | Outcome::Failed(_) | Outcome::Superseded => false,
        };
    was_complete
        || !observed.replicas.is_empty()
        || !observed.creating().is_empty()
        || observed.has_pre_deploy()
}

/// Whether as many replicas as the app wants are ready.
pub(crate) fn is_ready(desired: &DesiredState, observed: &ObservedState, name: &AppName) -> bool {
    let Some(stored) = desired.apps.get(name) else { return false };
    let ready = observed.replicas.iter().filter(|replica| {
        let is_ready = matches!(replica.readiness, Readiness::Ready { .. });
        replica.labels.app == *name && replica.is_running() && is_ready
    });
    ready.count() >= usize::from(stored.spec.replicas)
}

/// Returns the apps that wait for each other, if `name` is one of them.
pub(crate) fn start_cycle(desired: &DesiredState, name: &AppName) -> Option<Vec<AppName>> {
    let stored = desired.apps.get_key_value(name)?;
    app::start_cycle(stored.0, |name| {
        let stored = desired.apps.get(name);
        stored.map(|stored| stored.spec.after.as_slice()).unwrap_or_default()
    })
}
