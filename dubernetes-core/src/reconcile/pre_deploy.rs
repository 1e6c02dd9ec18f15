//! The command before a revision: run once, from its image, before it replaces anything.

use crate::app::{AppName, PreDeploy, Stop};
use crate::identity::pre_deploy_pod_name;
use crate::labels::PreDeployLabels;
use crate::plan::{Action, Plan, Planned, Reason, RolloutResult, Wait, Waiting};
use crate::runtime::ContainerState;
use crate::state::ObservedPreDeploy;
use crate::store::StoredApp;

use super::context::{Context, is_paused};
use super::{backoff, create, restart};

/// The next step of the command, if the present revision has one that has not succeeded.
pub(super) fn step(context: &mut Context<'_>, stored: &StoredApp, plan: &mut Plan) {
    if !is_due(stored) {
        return;
    }
    let Some(before) = &stored.spec.pre_deploy else { return };
    match of(context, stored) {
        // The command of an older revision is ended first: two migrations never run at once.
        None if context.is_creating_pre_deploy(&stored.spec.name)
            || has_pre_deploy(context, &stored.spec.name) =>
        {
            let (app, pod) =
                (stored.spec.name.clone(), Some(pre_deploy_pod_name(&stored.spec.name)));
            plan.waiting.push(Waiting { app, pod, wait: Wait::InProgress, until: None });
        }
        None => create(context, stored, plan),
        Some(hook) => advance(context, stored, before, hook, plan),
    }
}

/// Why the command has failed, if it has.
pub(super) fn failure(context: &Context<'_>, stored: &StoredApp) -> Option<String> {
    if !is_due(stored) {
        return None;
    }
    let limit = stored.spec.pre_deploy.as_ref()?.timeout.to_signed();
    match &of(context, stored)?.state {
        ContainerState::Exited { code, out_of_memory, started_at, finished_at } => {
            let ran = finished_at.duration_since(*started_at);
            match code {
                _ if *out_of_memory => {
                    Some("pre_deploy needed more memory than its limit".to_owned())
                }
                // Whatever it says then: it was told to stop before it was done.
                _ if ran >= limit => {
                    Some(format!("pre_deploy took longer than {}", restart::span(limit)))
                }
                0 => None,
                code => Some(format!("pre_deploy: {}", restart::exit(*code, ran))),
            }
        }
        ContainerState::StartFailed { error, .. } => Some(format!("pre_deploy: {error}")),
        ContainerState::Created
        | ContainerState::Running { .. }
        | ContainerState::Paused
        | ContainerState::Removing => None,
    }
}

/// The container of the command of the present revision.
pub(super) fn of<'a>(context: &Context<'a>, stored: &StoredApp) -> Option<&'a ObservedPreDeploy> {
    context.observed.pre_deploys.iter().find(|hook| is_of(hook, stored))
}

/// Containers of commands that are over, or that nobody waits for any more.
pub(super) fn garbage(context: &Context<'_>, plan: &mut Plan) {
    let mut pre_deploys: Vec<_> = context.observed.pre_deploys.iter().collect();
    pre_deploys.sort_by_key(|hook| (&hook.labels.app, hook.labels.revision, &hook.id));
    for hook in pre_deploys {
        let stored = context.desired.apps.get(&hook.labels.app);
        let known = stored.is_some() || context.desired.tombstones.contains_key(&hook.labels.app);
        let needed = stored.is_some_and(|stored| is_of(hook, stored) && is_due(stored));
        if known && !needed {
            end(context, hook, Reason::PreDeployDone, plan);
        }
    }
}

/// Whether it is for this try of the present revision.
fn is_of(hook: &ObservedPreDeploy, stored: &StoredApp) -> bool {
    let labels = &hook.labels;
    (&labels.app, labels.revision, labels.attempts)
        == (&stored.spec.name, stored.revision, stored.rollout.attempts)
}

/// Whether the command of the present revision has still to succeed.
fn is_due(stored: &StoredApp) -> bool {
    let open = stored.spec.pre_deploy.is_some() && !stored.rollout.pre_deployed;
    open && stored.image_id.is_some() && stored.spec.replicas > 0 && !is_paused(stored)
}

fn create(context: &mut Context<'_>, stored: &StoredApp, plan: &mut Plan) {
    let name = &stored.spec.name;
    let Some(image) = &stored.image_id else { return };
    let Some(network) = context.observed.network.as_ref().map(|network| network.id.clone()) else {
        super::scale_up::ensure_network(context, name, plan);
        return;
    };
    // Without an address to spare it waits for one.
    let Some(address) = context.pick_address(name, 0) else { return };
    let (revision, attempts) = (stored.revision, stored.rollout.attempts);
    let labels = PreDeployLabels { app: name.clone(), revision, attempts, address };
    let hook = create::pre_deploy(&context.desired.instance, &network, &stored.spec, image, labels);
    let pod = hook.pod.clone();
    let planned = Planned {
        app: Some(name.clone()),
        action: Action::CreatePreDeploy(Box::new(hook)),
        reason: Reason::BeforeRevision { revision },
    };
    backoff::plan_or_wait(context, name, Some(&pod), planned, plan);
}

fn advance(
    context: &Context<'_>,
    stored: &StoredApp,
    before: &PreDeploy,
    hook: &ObservedPreDeploy,
    plan: &mut Plan,
) {
    let name = &stored.spec.name;
    let (id, pod) = (hook.id.clone(), pre_deploy_pod_name(name));
    let (action, reason) = match &hook.state {
        ContainerState::Created => (Action::Start { id, pod: pod.clone() }, Reason::NotStarted),
        ContainerState::Running { started_at } => {
            let until =
                started_at.min(&context.now).saturating_add(before.timeout.to_signed()).ok();
            if until.is_some_and(|until| until > context.now) {
                let (app, pod, wait) = (name.clone(), Some(pod), Wait::PreDeploy);
                plan.waiting.push(Waiting { app, pod, wait, until });
                return;
            }
            let Stop { signal, grace, .. } = stored.spec.stop;
            let limit = before.timeout;
            (Action::Stop { id, pod: pod.clone(), signal, grace }, Reason::TimedOut { limit })
        }
        ContainerState::Exited { .. } if failure(context, stored).is_none() => {
            let result = RolloutResult::PreDeployed { container: id };
            let what = "pre_deploy succeeded".to_owned();
            let (app, revision) = (name.clone(), stored.revision);
            let reason = Reason::RolloutRecorded { revision, what };
            (Action::RecordRollout { app, revision, result }, reason)
        }
        // The result on the revision says so.
        ContainerState::Exited { .. } | ContainerState::StartFailed { .. } => return,
        ContainerState::Paused | ContainerState::Removing => {
            end(context, hook, Reason::Paused, plan);
            return;
        }
    };
    let planned = Planned { app: Some(name.clone()), action, reason };
    backoff::plan_or_wait(context, name, Some(&pod), planned, plan);
}

/// Stops and removes it; no request ever goes to it.
fn end(context: &Context<'_>, hook: &ObservedPreDeploy, reason: Reason, plan: &mut Plan) {
    let app = &hook.labels.app;
    let (id, pod) = (hook.id.clone(), pre_deploy_pod_name(app));
    let action = match hook.state {
        ContainerState::Running { .. } | ContainerState::Paused => {
            let of_app = context.desired.apps.get(app).map(|stored| &stored.spec.stop);
            let of_deleted = context.desired.tombstones.get(app).map(|tombstone| &tombstone.stop);
            let stop = of_app.or(of_deleted).cloned().unwrap_or_default();
            let Stop { signal, grace, .. } = stop;
            Action::Stop { id, pod: pod.clone(), signal, grace }
        }
        ContainerState::Removing => {
            let (app, pod, wait) = (app.clone(), Some(pod), Wait::InProgress);
            plan.waiting.push(Waiting { app, pod, wait, until: None });
            return;
        }
        ContainerState::Created
        | ContainerState::StartFailed { .. }
        | ContainerState::Exited { .. } => Action::Remove { id, pod: pod.clone() },
    };
    let planned = Planned { app: Some(app.clone()), action, reason };
    backoff::plan_or_wait(context, app, Some(&pod), planned, plan);
}

/// Whether the app has a container of any such command.
pub(super) fn has_pre_deploy(context: &Context<'_>, name: &AppName) -> bool {
    context.observed.pre_deploys.iter().any(|hook| hook.labels.app == *name)
}
