//! What has no app: replicas of deleted apps, which go, and orphans, which are left alone unless
//! the instance is torn down.

use std::collections::BTreeMap;

use jiff::SignedDuration;

use crate::app::{AppName, Generation, PodName, RevisionId, Stop};
use crate::ingress::RouteTable;
use crate::plan::{Action, AppStatus, Block, Cause, Phase, Planned, Reason, Wait};
use crate::store::Tombstone;

use super::classify::Replicas;
use super::context::{Context, Observed};
use super::limits::count;
use super::replica::{Replica, Role};
use super::step::{AppPlan, Step, Steps};
use super::{backoff, one_off, status, terminate};

/// A tombstone outlives the longest deadline of a create, so that a container that an engine
/// creates late is still known as one of a deleted app.
const TOMBSTONE_KEPT: SignedDuration = SignedDuration::from_mins(2);

/// Returns the apps whose replicas terminate: deleted ones, and in a teardown those of which the
/// store knows nothing.
pub(super) fn deleted_apps<'a>(
    context: &Context<'a>,
) -> BTreeMap<&'a AppName, Option<&'a Tombstone>> {
    let desired = context.desired;
    let orphans = context.apps.iter().filter(|(_, observed)| is_left(observed));
    let orphans = orphans.filter(|_| desired.teardown.is_some());
    let tombstones = desired.tombstones.iter().map(|(name, tombstone)| (name, Some(tombstone)));
    let all = orphans.map(|(name, _)| (*name, None)).chain(tombstones);
    all.filter(|(name, _)| !desired.apps.contains_key(*name)).collect()
}

/// Terminates every replica of a deleted app, then purges its tombstone.
pub(super) fn deleted(
    context: &Context<'_>,
    name: &AppName,
    tombstone: Option<&Tombstone>,
) -> AppPlan {
    let observed = context.observed_of(name);
    let is_teardown = context.desired.teardown.is_some();
    let reason = if is_teardown { Reason::Teardown } else { Reason::AppDeleted };
    let role = || Role::Terminating(reason.clone());
    let default = Stop::default();
    let stop = tombstone.map_or(&default, |tombstone| &tombstone.stop);
    let replicas = observed.replicas.iter();
    let replicas = replicas.map(|r| Replica::observe(context, r, stop, role()));
    let replicas = Replicas::new(replicas.collect(), observed.creating());
    let creating = replicas.creating.iter().map(|slot| {
        Step::wait(name, Some(PodName::replica(name, slot.ordinal)), Wait::InProgress, None)
    });
    let steps = Steps::default()
        .and(terminate::plan(context, &replicas))
        .and(creating)
        .and(tombstone.and_then(|tombstone| purge(context, name, tombstone, observed)));
    let status = status(context, name, &replicas, &steps);
    let routes = RouteTable::default();
    AppPlan { name: name.clone(), steps, routes, endpoints: Vec::new(), status }
}

/// Whether a container of the app exists or is being created.
fn is_left(observed: &Observed<'_>) -> bool {
    let is_replica_left = !observed.replicas.is_empty() || !observed.creating().is_empty();
    is_replica_left || observed.has_pre_deploy() || !observed.one_offs.is_empty()
}

/// Purges the tombstone once nothing is left of the app. A teardown removes a late container
/// without a tombstone, too.
fn purge(
    context: &Context<'_>,
    name: &AppName,
    tombstone: &Tombstone,
    observed: &Observed<'_>,
) -> Option<Step> {
    if is_left(observed) {
        return None;
    }
    let until = tombstone.deleted_at.min(context.now).saturating_add(TOMBSTONE_KEPT).ok();
    let is_early = until.is_some_and(|until| until > context.now);
    if is_early && context.desired.teardown.is_none() {
        return Some(Step::wait(name, None, Wait::Tombstone, until));
    }
    let action = Action::PurgeTombstone { app: name.clone() };
    let planned = Planned::for_app(name, action, Reason::NothingLeft);
    Some(backoff::attempt(context, name, planned))
}

/// Reports containers with our label that belong to no app. They are removed by a teardown only:
/// the store may be wrong.
pub(super) fn orphans(context: &Context<'_>) -> Vec<Step> {
    if context.desired.teardown.is_some() {
        return Vec::new();
    }
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

fn status(
    context: &Context<'_>,
    name: &AppName,
    replicas: &Replicas<'_>,
    steps: &Steps,
) -> AppStatus {
    let left = count(replicas.iter().count() + replicas.creating.len());
    let failed = steps.waiting.iter().find(|waiting| matches!(waiting.wait, Wait::Retry { .. }));
    let cause = failed.map_or(Cause::Deleting { left }, |waiting| Cause::Waits(waiting.clone()));
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
        next_try: failed.and_then(|waiting| waiting.until),
        message: cause.to_string(),
        pods: terminating.chain(creating).collect(),
        one_offs: one_off::statuses(context.observed_of(name)),
        cause,
    }
}
