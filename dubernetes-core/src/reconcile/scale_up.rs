//! Adds new replicas up to the wanted number, as far as `max_surge` allows.

use std::collections::BTreeSet;

use crate::app::{PodName, RevisionId};
use crate::plan::{Reason, Wait};

use super::addresses::AddressPool;
use super::app::App;
use super::classify::Replicas;
use super::context::{Context, Slot};
use super::create::{self, NewReplica, Template};
use super::limits::Capacity;
use super::step::Step;

/// New replicas of one app in one pass. More follow in the next pass.
const CREATES_PER_PASS: u32 = 16;

/// Creates missing replicas, and waits for those in flight.
pub(super) fn plan(
    context: &Context<'_>,
    app: &App<'_>,
    replicas: &Replicas<'_>,
    capacity: Capacity,
    addresses: &mut AddressPool<'_>,
) -> Vec<Step> {
    let mut steps: Vec<_> = replicas.pending().map(|slot| wait_for_create(app, slot)).collect();
    let missing = capacity.missing(app.limits);
    let kept;
    let template = match capacity.paused_at {
        Some(revision) => {
            kept = context.revision(app.name(), revision).map(Template::kept);
            kept.as_ref()
        }
        None => app.stored.is_deployable().then_some(&app.template),
    };
    let Some(template) = template.filter(|_| missing > 0) else { return steps };
    let allowed = missing.min(capacity.slots).min(CREATES_PER_PASS);
    if allowed == 0 {
        let wait = app.surge_limit(capacity);
        steps.push(Step::wait(app.name(), None, wait, None));
    }
    let Some(image) = template.image else { return steps };
    for ordinal in free_ordinals(replicas, allowed) {
        let slot = Slot { ordinal, revision: template.revision };
        let published = app.publisher.of_replica(app.stored);
        let new = NewReplica {
            slot,
            restarts: 0,
            consecutive_restarts: 0,
            published,
            restarts_from: None,
        };
        let reason = reason(app, capacity, template.revision);
        match create::replica(context, template, image, &new, reason, addresses) {
            Ok(step) => steps.push(step),
            Err(obstacle) => {
                steps.push(obstacle.step(context, app.name()));
                break;
            }
        }
    }
    steps
}

fn wait_for_create(app: &App<'_>, slot: Slot) -> Step {
    let pod = PodName::replica(app.name(), slot.ordinal);
    Step::wait(app.name(), Some(pod), Wait::InProgress, None)
}

/// Returns the lowest ordinals that no container uses, terminating ones included.
fn free_ordinals(replicas: &Replicas<'_>, count: u32) -> impl Iterator<Item = u32> {
    let observed = replicas.iter().map(|replica| replica.labels().ordinal);
    let creating = replicas.creating.iter().map(|slot| slot.ordinal);
    let used: BTreeSet<_> = observed.chain(creating).collect();
    let free = (1..).filter(move |ordinal| !used.contains(ordinal));
    free.take(usize::try_from(count).unwrap_or(usize::MAX))
}

fn reason(app: &App<'_>, capacity: Capacity, revision: RevisionId) -> Reason {
    let desired = app.limits.desired;
    let existing = capacity.existing;
    if capacity.is_rollout {
        Reason::NewRevision { revision, existing, desired }
    } else {
        Reason::BelowReplicas { desired, existing }
    }
}
