//! What has no app: replicas of deleted apps, which go, and orphans, which are left alone.

use jiff::SignedDuration;

use crate::app::{AppName, Generation, PodName, RevisionId};
use crate::plan::{Action, AppStatus, Block, Cause, Phase, Planned, Reason, Wait};
use crate::store::Tombstone;

use super::classify::Replicas;
use super::context::{Context, Observed};
use super::limits::count;
use super::replica::{Replica, Role};
use super::step::{AppPlan, Step, Steps};
use super::{backoff, status, terminate};

/// A tombstone outlives the longest deadline of a create, so that a container that an engine
/// creates late is still known as one of a deleted app.
const TOMBSTONE_KEPT: SignedDuration = SignedDuration::from_mins(2);

/// Terminates every replica of a deleted app, then purges its tombstone.
pub(super) fn deleted(context: &Context<'_>, name: &AppName, tombstone: &Tombstone) -> AppPlan {
    let observed = context.observed_of(name);
    let role = || Role::Terminating(Reason::AppDeleted);
    let replicas = observed.replicas.iter();
    let replicas = replicas.map(|r| Replica::observe(context, r, &tombstone.stop, role()));
    let replicas = Replicas::new(replicas.collect(), observed.creating());
    let creating = replicas.creating.iter().map(|slot| {
        Step::wait(name, Some(PodName::replica(name, slot.ordinal)), Wait::InProgress, None)
    });
    let steps = Steps::default()
        .and(terminate::plan(context, &replicas))
        .and(creating)
        .and(purge(context, name, tombstone, observed));
    AppPlan {
        name: name.clone(),
        steps,
        routes: Vec::new(),
        endpoints: Vec::new(),
        status: status(context, name, &replicas),
    }
}

/// Purges the tombstone once nothing is left of the app.
fn purge(
    context: &Context<'_>,
    name: &AppName,
    tombstone: &Tombstone,
    observed: &Observed<'_>,
) -> Option<Step> {
    let has_replica = !observed.replicas.is_empty() || !observed.creating().is_empty();
    if has_replica || observed.has_pre_deploy() {
        return None;
    }
    let until = tombstone.deleted_at.min(context.now).saturating_add(TOMBSTONE_KEPT).ok();
    if until.is_some_and(|until| until > context.now) {
        return Some(Step::wait(name, None, Wait::Tombstone, until));
    }
    let action = Action::PurgeTombstone { app: name.clone() };
    let planned = Planned::for_app(name, action, Reason::NothingLeft);
    Some(backoff::attempt(context, name, planned))
}

/// Reports containers with our label that belong to no app. They are never removed: the store may
/// be wrong.
pub(super) fn orphans(context: &Context<'_>) -> Vec<Step> {
    let is_known = |app: &AppName| {
        context.desired.apps.contains_key(app) || context.desired.tombstones.contains_key(app)
    };
    let orphans = context
        .apps
        .iter()
        .filter(|(name, observed)| !observed.replicas.is_empty() && !is_known(name));
    let orphans = orphans.map(|(name, observed)| {
        let containers = observed.replicas.iter().map(|replica| replica.name.clone());
        Step::block(Some(name), Block::Orphans { containers: containers.collect() })
    });
    let unreadable = context.observed.unreadable.iter().map(|(id, reason)| {
        Step::block(None, Block::Unreadable { id: id.clone(), reason: reason.clone() })
    });
    orphans.chain(unreadable).collect()
}

fn status(context: &Context<'_>, name: &AppName, replicas: &Replicas<'_>) -> AppStatus {
    let cause = Cause::Deleting { left: count(replicas.iter().count() + replicas.creating.len()) };
    let terminating = replicas.iter().map(|r| status::pod_status_terminating(context, r));
    let creating = replicas.creating.iter().map(|slot| status::pod_status_pending(name, *slot));
    let revisions = replicas.iter().map(|replica| replica.labels().revision);
    AppStatus {
        phase: Phase::Deleting,
        desired: 0,
        ready: 0,
        updated: 0,
        revision: revisions.max().unwrap_or(RevisionId::NONE),
        observed_generation: Generation::NONE,
        next_try: None,
        message: cause.to_string(),
        pods: terminating.chain(creating).collect(),
        cause,
    }
}
