//! What has no app: replicas of deleted apps, which go, and orphans, which are left alone.

use jiff::SignedDuration;

use crate::app::AppName;
use crate::plan::{
    Action, AppStatus, Block, Blocked, Cause, Phase, Plan, Planned, Reason, Wait, Waiting,
};
use crate::store::Tombstone;

use super::context::Context;
use super::{backoff, pre_deploy, status, terminate};

/// A tombstone outlives the longest deadline of a create, so that a container which an engine
/// makes late is still known as one of a deleted app.
const TOMBSTONE_KEPT: SignedDuration = SignedDuration::from_mins(2);

/// Every replica of a deleted app goes; then the memory of the deletion.
pub(super) fn deleted(
    context: &Context<'_>,
    name: &AppName,
    tombstone: &Tombstone,
    plan: &mut Plan,
) {
    let replicas = context.of(name);
    for replica in replicas {
        terminate::step(context, replica, &tombstone.stop, Reason::AppDeleted, plan);
    }
    plan.statuses.insert(name.clone(), deleting(context, name));
    for (ordinal, _) in context.creating(name) {
        let (app, pod) = (name.clone(), Some(crate::identity::pod_name(name, *ordinal)));
        plan.waiting.push(Waiting { app, pod, wait: Wait::InProgress, until: None });
    }
    let has_pre_deploy = pre_deploy::has_pre_deploy(context, name);
    let coming = !context.creating(name).is_empty() || context.is_creating_pre_deploy(name);
    if !replicas.is_empty() || has_pre_deploy || coming {
        return;
    }
    let until = tombstone.deleted_at.min(context.now).saturating_add(TOMBSTONE_KEPT).ok();
    if until.is_some_and(|until| until > context.now) {
        plan.waiting.push(Waiting { app: name.clone(), pod: None, wait: Wait::Tombstone, until });
        return;
    }
    let planned = Planned {
        app: Some(name.clone()),
        action: Action::PurgeTombstone { app: name.clone() },
        reason: Reason::NothingLeft,
    };
    backoff::plan_or_wait(context, name, None, planned, plan);
}

/// Containers with our label that nobody asked for are reported, never removed: the store may be
/// the one that is wrong.
pub(super) fn orphans(context: &Context<'_>, plan: &mut Plan) {
    let known = |app: &AppName| {
        context.desired.apps.contains_key(app) || context.desired.tombstones.contains_key(app)
    };
    for (app, replicas) in &context.replicas {
        if !known(app) {
            let containers = replicas.iter().map(|replica| replica.name.clone()).collect();
            plan.blocked.push(Blocked {
                app: Some((*app).clone()),
                pod: None,
                block: Block::Orphans { containers },
            });
        }
    }
    for (id, reason) in &context.observed.unreadable {
        plan.blocked.push(Blocked {
            app: None,
            pod: None,
            block: Block::Unreadable { id: id.clone(), reason: reason.clone() },
        });
    }
}

fn deleting(context: &Context<'_>, name: &AppName) -> AppStatus {
    let replicas = context.of(name);
    let creating = context.creating(name);
    let cause = Cause::Deleting { left: replicas.len() + creating.len() };
    let mut pods: Vec<_> =
        replicas.iter().map(|replica| status::pod_status_terminating(context, replica)).collect();
    pods.extend(
        creating
            .iter()
            .map(|(ordinal, revision)| status::pod_status_pending(name, *ordinal, *revision)),
    );
    AppStatus {
        phase: Phase::Deleting,
        desired: 0,
        ready: 0,
        updated: 0,
        revision: replicas.iter().map(|r| r.labels.revision).max().unwrap_or(0),
        observed_generation: 0,
        next_try: None,
        message: cause.to_string(),
        cause,
        pods,
    }
}
