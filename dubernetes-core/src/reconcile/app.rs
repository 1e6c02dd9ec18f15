//! One app: what its replicas need now, and its routes and status.

use crate::app::Stop;
use crate::plan::{Block, Blocked, Plan, Reason, Wait, Waiting};
use crate::runtime::ContainerState;
use crate::state::{ObservedReplica, Readiness, RouteConflict};
use crate::store::{Outcome, StoredApp};

use super::classify::{self, Classified};
use super::context::Context;
use super::limits::Limits;
use super::scale_up::ScaleUp;
use super::{backoff, pre_deploy, rollout_status, routes, status, terminate};
use crate::plan::{Action, Planned};

/// Plans one app into `plan`.
pub(super) fn plan(
    context: &mut Context<'_>,
    stored: &StoredApp,
    conflict: Option<&RouteConflict>,
    plan: &mut Plan,
) {
    let limits = Limits::new(&stored.spec);
    let mut own = Plan::default();
    let replicas = context.of(&stored.spec.name);
    let hash = stored.content_hash();
    let classified = match newer_than_store(stored, replicas, &hash) {
        Some(running) => {
            let block = Block::NewerThanStore { stored: stored.revision, running };
            own.blocked.push(blocked(stored, block));
            Classified { outdated: replicas.to_vec(), ..Classified::default() }
        }
        None => {
            let classified = classify::classify(context, stored, limits, hash);
            plan_replicas(context, stored, limits, &classified, &mut own);
            classified
        }
    };
    match conflict {
        Some(conflict) => {
            own.blocked.push(blocked(stored, Block::RouteTaken { conflict: conflict.to_string() }));
        }
        None => {
            let serving = classified.stay().filter(|r| context.is_ready(r));
            own.routes.routes = routes::of_app(stored, serving);
        }
    }
    let status = status::of_app(context, stored, &classified, &own);
    plan.statuses.insert(stored.spec.name.clone(), status);
    plan.actions.append(&mut own.actions);
    plan.waiting.append(&mut own.waiting);
    plan.blocked.append(&mut own.blocked);
    plan.routes.routes.append(&mut own.routes.routes);
}

/// What every replica needs now: those that leave, those that stay, those that are missing.
fn plan_replicas(
    context: &mut Context<'_>,
    stored: &StoredApp,
    limits: Limits,
    classified: &Classified<'_>,
    plan: &mut Plan,
) {
    for (replica, reason) in &classified.terminating {
        terminate::step(context, replica, stop_of(context, stored, replica), reason.clone(), plan);
    }
    let mut scale_up = ScaleUp::new(context, stored, limits, classified);
    scale_up.resolve_image(context, plan);
    for replica in classified.stay() {
        match &replica.state {
            ContainerState::Created => start(context, replica, plan),
            ContainerState::Running { .. } | ContainerState::Paused => match why_stopped(replica) {
                Some(reason) => {
                    let stop = stop_of(context, stored, replica);
                    terminate::step(context, replica, stop, reason, plan);
                }
                None => wait_for_ready(context, replica, plan),
            },
            ContainerState::Exited { .. } | ContainerState::StartFailed { .. } => {
                scale_up.restart(context, replica, plan);
            }
            ContainerState::Removing => {}
        }
    }
    if stored.rollout.outcome == Outcome::Progressing || !classified.outdated.is_empty() {
        classified.updated.iter().for_each(|r| wait_for_min_ready(context, stored, r, plan));
    }
    scale_up.add_missing(context, plan);
    pre_deploy::step(context, stored, plan);
    rollout_status::evaluate(context, stored, classified, plan);
}

fn start(context: &Context<'_>, replica: &ObservedReplica, plan: &mut Plan) {
    let pod = replica.pod();
    let planned = Planned {
        app: Some(replica.labels.app.clone()),
        action: Action::Start { id: replica.id.clone(), pod: pod.clone() },
        reason: Reason::NotStarted,
    };
    backoff::plan_or_wait(context, &replica.labels.app, Some(&pod), planned, plan);
}

/// Why a live replica is stopped, to be restarted in its place: it does no good as it is.
fn why_stopped(replica: &ObservedReplica) -> Option<Reason> {
    match (&replica.state, &replica.readiness) {
        (ContainerState::Paused, _) => Some(Reason::Paused),
        (_, Readiness::Unhealthy { reason }) => Some(Reason::Unhealthy { reason: reason.clone() }),
        (_, Readiness::Unknown | Readiness::Ready { .. } | Readiness::NotReady { .. }) => None,
    }
}

fn wait_for_ready(context: &Context<'_>, replica: &ObservedReplica, plan: &mut Plan) {
    if context.is_ready(replica) {
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
    context: &Context<'_>,
    stored: &StoredApp,
    replica: &ObservedReplica,
    plan: &mut Plan,
) {
    let until = context.counts_from(stored, replica).filter(|until| *until > context.now);
    if context.is_ready(replica) && until.is_some() {
        let (app, pod, wait) = (stored.spec.name.clone(), Some(replica.pod()), Wait::MinReady);
        plan.waiting.push(Waiting { app, pod, wait, until });
    }
}

/// How a replica is stopped: as its own revision says, where that is still known.
fn stop_of<'a>(
    context: &Context<'a>,
    stored: &'a StoredApp,
    replica: &ObservedReplica,
) -> &'a Stop {
    let own = context.revision(&stored.spec.name, replica.labels.revision);
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
