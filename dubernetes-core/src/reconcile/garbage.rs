//! What has no app: replicas of deleted apps, which go, and orphans, which are left alone.

use jiff::SignedDuration;

use crate::app::AppName;
use crate::plan::{
    Action, AppStatus, Block, Blocked, Cause, Phase, Plan, Planned, Reason, Wait, Waiting,
};
use crate::store::Tombstone;

use super::view::World;
use super::{gate, job, retire, status};

/// A tombstone outlives the longest deadline of a create, so that a container which an engine
/// makes late is still known as one of a deleted app.
const TOMBSTONE_KEPT: SignedDuration = SignedDuration::from_mins(2);

/// Every replica of a deleted app goes; then the memory of the deletion.
pub(super) fn deleted(world: &World<'_>, name: &AppName, tombstone: &Tombstone, plan: &mut Plan) {
    let replicas = world.of(name);
    for replica in replicas {
        retire::step(world, replica, &tombstone.stop, Reason::AppDeleted, plan);
    }
    plan.statuses.insert(name.clone(), deleting(world, name));
    for (ordinal, _) in world.creating(name) {
        let (app, pod) = (name.clone(), Some(crate::identity::pod_name(name, *ordinal)));
        plan.waiting.push(Waiting { app, pod, wait: Wait::UnderWay, until: None });
    }
    let has_job = job::has_job(world, name);
    let coming = !world.creating(name).is_empty() || world.is_job_coming(name);
    if !replicas.is_empty() || has_job || coming {
        return;
    }
    let until = tombstone.deleted_at.min(world.now).saturating_add(TOMBSTONE_KEPT).ok();
    if until.is_some_and(|until| until > world.now) {
        plan.waiting.push(Waiting { app: name.clone(), pod: None, wait: Wait::Tombstone, until });
        return;
    }
    let planned = Planned {
        app: Some(name.clone()),
        action: Action::Forget { app: name.clone() },
        reason: Reason::NothingLeft,
    };
    gate::plan_or_wait(world, name, None, planned, plan);
}

/// Containers with our label that nobody asked for are reported, never removed: the store may be
/// the one that is wrong.
pub(super) fn orphans(world: &World<'_>, plan: &mut Plan) {
    let known = |app: &AppName| {
        world.desired.apps.contains_key(app) || world.desired.tombstones.contains_key(app)
    };
    for (app, replicas) in &world.replicas {
        if !known(app) {
            let containers = replicas.iter().map(|replica| replica.name.clone()).collect();
            plan.blocked.push(Blocked {
                app: Some((*app).clone()),
                pod: None,
                block: Block::Orphans { containers },
            });
        }
    }
    for (id, reason) in &world.observed.unreadable {
        plan.blocked.push(Blocked {
            app: None,
            pod: None,
            block: Block::Unreadable { id: id.clone(), reason: reason.clone() },
        });
    }
}

fn deleting(world: &World<'_>, name: &AppName) -> AppStatus {
    let replicas = world.of(name);
    let creating = world.creating(name);
    let cause = Cause::Deleting { left: replicas.len() + creating.len() };
    let mut pods: Vec<_> = replicas.iter().map(|replica| status::leaving(world, replica)).collect();
    pods.extend(
        creating.iter().map(|(ordinal, revision)| status::pending(name, *ordinal, *revision)),
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
