//! One app: what its replicas need now, and its routes and status.

use crate::app::Stop;
use crate::plan::{Block, Blocked, Plan, Reason, Wait, Waiting};
use crate::runtime::ContainerState;
use crate::state::{ObservedReplica, Readiness, RouteConflict};
use crate::store::{Outcome, StoredApp};

use super::budget::Limits;
use super::growth::Growth;
use super::rollout::{self, Sorted};
use super::view::World;
use super::{gate, job, retire, routes, status, verdict};
use crate::plan::{Action, Planned};

/// Plans one app into `plan`.
pub(super) fn plan(
    world: &mut World<'_>,
    stored: &StoredApp,
    conflict: Option<&RouteConflict>,
    plan: &mut Plan,
) {
    let limits = Limits::of(&stored.spec);
    let mut own = Plan::default();
    let replicas = world.of(&stored.spec.name);
    let hash = stored.content_hash();
    let sorted = match newer_than_store(stored, replicas, &hash) {
        Some(running) => {
            let block = Block::NewerThanStore { stored: stored.revision, running };
            own.blocked.push(blocked(stored, block));
            Sorted { outdated: replicas.to_vec(), ..Sorted::default() }
        }
        None => {
            let sorted = rollout::sort(world, stored, limits, hash);
            change(world, stored, limits, &sorted, &mut own);
            sorted
        }
    };
    match conflict {
        Some(conflict) => {
            own.blocked.push(blocked(stored, Block::RouteTaken { conflict: conflict.to_string() }));
        }
        None => {
            let serving = sorted.stay().filter(|r| world.is_ready(r));
            own.routes.routes = routes::of_app(stored, serving);
        }
    }
    let status = status::of_app(world, stored, &sorted, &own);
    plan.statuses.insert(stored.spec.name.clone(), status);
    plan.actions.append(&mut own.actions);
    plan.waiting.append(&mut own.waiting);
    plan.blocked.append(&mut own.blocked);
    plan.routes.routes.append(&mut own.routes.routes);
}

/// What every replica needs now: those that leave, those that stay, those that are missing.
fn change(
    world: &mut World<'_>,
    stored: &StoredApp,
    limits: Limits,
    sorted: &Sorted<'_>,
    plan: &mut Plan,
) {
    for (replica, reason) in &sorted.leaving {
        retire::step(world, replica, stop_of(world, stored, replica), reason.clone(), plan);
    }
    let mut growth = Growth::new(world, stored, limits, sorted);
    growth.resolve_image(world, plan);
    for replica in sorted.stay() {
        match &replica.state {
            ContainerState::Created => start(world, replica, plan),
            ContainerState::Running { .. } | ContainerState::Paused => match why_stopped(replica) {
                Some(reason) => {
                    let stop = stop_of(world, stored, replica);
                    retire::step(world, replica, stop, reason, plan);
                }
                None => wait_for_ready(world, replica, plan),
            },
            ContainerState::Exited { .. } | ContainerState::StartFailed { .. } => {
                growth.restart(world, replica, plan);
            }
            ContainerState::Removing => {}
        }
    }
    if stored.course.outcome == Outcome::Progressing || !sorted.outdated.is_empty() {
        sorted.current.iter().for_each(|r| wait_for_min_ready(world, stored, r, plan));
    }
    growth.add_missing(world, plan);
    job::step(world, stored, plan);
    verdict::conclude(world, stored, sorted, plan);
}

fn start(world: &World<'_>, replica: &ObservedReplica, plan: &mut Plan) {
    let pod = replica.pod();
    let planned = Planned {
        app: Some(replica.labels.app.clone()),
        action: Action::Start { id: replica.id.clone(), pod: pod.clone() },
        reason: Reason::NotStarted,
    };
    gate::plan_or_wait(world, &replica.labels.app, Some(&pod), planned, plan);
}

/// Why a live replica is stopped, to be restarted in its place: it does no good as it is.
fn why_stopped(replica: &ObservedReplica) -> Option<Reason> {
    match (&replica.state, &replica.readiness) {
        (ContainerState::Paused, _) => Some(Reason::Paused),
        (_, Readiness::Unhealthy { reason }) => Some(Reason::Unhealthy { reason: reason.clone() }),
        (_, Readiness::Unknown | Readiness::Ready { .. } | Readiness::NotReady { .. }) => None,
    }
}

fn wait_for_ready(world: &World<'_>, replica: &ObservedReplica, plan: &mut Plan) {
    if world.is_ready(replica) {
        return;
    }
    let (reason, until) = match &replica.readiness {
        Readiness::Ready { since } => ("it has only just started".to_owned(), Some(*since)),
        Readiness::NotReady { reason } | Readiness::Unhealthy { reason } => (reason.clone(), None),
        Readiness::Unknown => ("no probe has come back yet".to_owned(), None),
    };
    plan.waiting.push(Waiting {
        app: replica.labels.app.clone(),
        pod: Some(replica.pod()),
        wait: Wait::Ready { reason },
        until,
    });
}

/// A new replica counts only once it has stayed ready for a moment.
fn wait_for_min_ready(
    world: &World<'_>,
    stored: &StoredApp,
    replica: &ObservedReplica,
    plan: &mut Plan,
) {
    let until = world.counts_from(stored, replica).filter(|until| *until > world.now);
    if world.is_ready(replica) && until.is_some() {
        let (app, pod, wait) = (stored.spec.name.clone(), Some(replica.pod()), Wait::MinReady);
        plan.waiting.push(Waiting { app, pod, wait, until });
    }
}

/// How a replica is stopped: as its own revision says, where that is still known.
fn stop_of<'a>(world: &World<'a>, stored: &'a StoredApp, replica: &ObservedReplica) -> &'a Stop {
    let own = world.revision(&stored.spec.name, replica.labels.revision);
    own.map_or(&stored.spec.stop, |revision| &revision.spec.stop)
}

/// The newest revision that runs, if it is above the stored one and differs from it: then the
/// store is an old copy, and nothing is changed on its word.
fn newer_than_store(stored: &StoredApp, replicas: &[&ObservedReplica], hash: &str) -> Option<u64> {
    let newer = replicas
        .iter()
        .filter(|r| r.labels.revision > stored.revision && r.labels.spec_hash != hash)
        .map(|r| r.labels.revision);
    newer.max()
}

fn blocked(stored: &StoredApp, block: Block) -> Blocked {
    Blocked { app: Some(stored.spec.name.clone()), pod: None, block }
}
