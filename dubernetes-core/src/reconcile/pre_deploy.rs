//! The pre-deploy hook: a command that runs once, in the image of a revision, before the revision
//! replaces anything.

use crate::app::{AppName, Duration, PodName, PreDeploy, Stop};
use crate::format;
use crate::plan::{Action, Planned, Reason, Wait};
use crate::runtime::ContainerState;
use crate::state::ObservedPreDeploy;
use crate::store::StoredApp;

use super::addresses::AddressPool;
use super::app::{App, is_paused};
use super::context::Context;
use super::step::Step;
use super::{backoff, create, terminate};

/// The hook of the wanted revision.
pub(super) enum Hook<'a> {
    /// There is none, it has succeeded, or it may not run yet.
    NotDue,
    /// It has no container yet. The hook of an older revision ends first: two migrations never run
    /// at once.
    Missing,
    /// Its container has not ended yet.
    Running {
        hook: &'a ObservedPreDeploy,
        timeout: Duration,
    },
    Succeeded(&'a ObservedPreDeploy),
    Failed {
        hook: &'a ObservedPreDeploy,
        reason: String,
    },
}

impl<'a> Hook<'a> {
    pub(super) fn new(context: &Context<'a>, app: &App<'a>) -> Self {
        let pre_deploy = app.stored.spec.pre_deploy.as_ref().filter(|_| is_due(app.stored));
        let Some(PreDeploy { timeout, .. }) = pre_deploy else { return Self::NotDue };
        let Some(hook) = container(app) else { return Self::Missing };
        let limit = timeout.to_signed();
        let failed = |reason| Self::Failed { hook, reason };
        match &hook.state {
            ContainerState::Exited(exit) => match exit.code {
                _ if exit.out_of_memory => failed("pre-deploy hook ran out of memory".to_owned()),
                // Whatever its exit code: it was stopped before it was done.
                _ if exit.ran() >= limit => failed(format!(
                    "pre-deploy hook exceeded its time limit of {}",
                    format::span(limit)
                )),
                0 => Self::Succeeded(hook),
                _ => failed(match context.observed.stop_reason(&hook.id) {
                    Some(reason) => format!("pre-deploy hook: {reason}"),
                    None => format!("pre-deploy hook: {}", exit.describe()),
                }),
            },
            ContainerState::StartFailed { error, .. } => {
                failed(format!("pre-deploy hook: {error}"))
            }
            ContainerState::Created
            | ContainerState::Running { .. }
            | ContainerState::Paused
            | ContainerState::Removing => Self::Running { hook, timeout: *timeout },
        }
    }
}

/// Returns the container of the hook of the wanted revision.
pub(super) fn container<'a>(app: &App<'a>) -> Option<&'a ObservedPreDeploy> {
    app.observed.pre_deploys.iter().find(|hook| is_of(hook, app.stored)).copied()
}

/// Returns the next step of the hook, until it has ended: its result is part of the rollout.
pub(super) fn plan(
    context: &Context<'_>,
    app: &App<'_>,
    hook: &Hook<'_>,
    addresses: &mut AddressPool<'_>,
) -> Option<Step> {
    match hook {
        Hook::NotDue | Hook::Succeeded(_) | Hook::Failed { .. } => None,
        Hook::Missing if app.observed.has_pre_deploy() => {
            let pod = PodName::pre_deploy(app.name());
            Some(Step::wait(app.name(), Some(pod), Wait::InProgress, None))
        }
        Hook::Missing => {
            let image = app.stored.image_id.as_ref()?;
            let created = create::pre_deploy(context, app.stored, image, addresses);
            Some(created.unwrap_or_else(|obstacle| obstacle.step(context, app.name())))
        }
        Hook::Running { hook, timeout } => Some(run(context, app.stored, hook, *timeout)),
    }
}

/// Ends the hooks that are over, or that no revision waits for any more.
pub(super) fn garbage(context: &Context<'_>) -> Vec<Step> {
    let mut steps = Vec::new();
    for (name, observed) in &context.apps {
        let stored = context.desired.apps.get(*name);
        let is_known = stored.is_some()
            || context.desired.tombstones.contains_key(*name)
            || context.desired.teardown.is_some();
        for hook in observed.pre_deploys.iter().filter(|_| is_known) {
            if !stored.is_some_and(|stored| is_of(hook, stored) && is_due(stored)) {
                steps.push(end(context, name, hook, Reason::PreDeployDone));
            }
        }
    }
    steps
}

/// Whether it is for this attempt of the wanted revision.
fn is_of(hook: &ObservedPreDeploy, stored: &StoredApp) -> bool {
    let labels = &hook.labels;
    (labels.revision, labels.attempts) == (stored.revision, stored.rollout.attempts)
}

/// Whether the hook of the wanted revision has still to succeed, and may run.
fn is_due(stored: &StoredApp) -> bool {
    let is_open = stored.spec.pre_deploy.is_some() && !stored.rollout.pre_deployed;
    is_open && stored.image_id.is_some() && stored.spec.replicas > 0 && !is_paused(stored)
}

/// Starts the hook, waits for it, and stops it when its time is over.
fn run(
    context: &Context<'_>,
    stored: &StoredApp,
    hook: &ObservedPreDeploy,
    timeout: Duration,
) -> Step {
    let name = &stored.spec.name;
    let id = hook.id.clone();
    let (action, reason) = match &hook.state {
        ContainerState::Created => (Action::Start { id }, Reason::NotStarted),
        ContainerState::Running { started_at } => {
            let until = started_at.min(&context.now).saturating_add(timeout.to_signed()).ok();
            if until.is_some_and(|until| until > context.now) {
                let pod = PodName::pre_deploy(name);
                return Step::wait(name, Some(pod), Wait::PreDeploy, until);
            }
            let Stop { signal, grace, .. } = stored.spec.stop;
            (Action::Stop { id, signal, grace }, Reason::TimedOut { limit: timeout })
        }
        ContainerState::Paused
        | ContainerState::Removing
        | ContainerState::Exited(_)
        | ContainerState::StartFailed { .. } => return end(context, name, hook, Reason::Paused),
    };
    attempt(context, name, hook, action, reason)
}

/// Stops or removes the container of a hook. No request ever goes to it.
fn end(context: &Context<'_>, name: &AppName, hook: &ObservedPreDeploy, reason: Reason) -> Step {
    let of_app = context.desired.apps.get(name).map(|stored| &stored.spec.stop);
    let of_deleted = context.desired.tombstones.get(name).map(|tombstone| &tombstone.stop);
    let stop = of_app.or(of_deleted).cloned().unwrap_or_default();
    match terminate::stop_or_remove(&hook.id, &hook.state, &stop) {
        Some(action) => attempt(context, name, hook, action, reason),
        None => Step::wait(name, Some(PodName::pre_deploy(name)), Wait::InProgress, None),
    }
}

fn attempt(
    context: &Context<'_>,
    name: &AppName,
    hook: &ObservedPreDeploy,
    action: Action,
    reason: Reason,
) -> Step {
    let pod = PodName::pre_deploy(name);
    let planned = Planned::for_pod(name, hook.labels.revision, pod, action, reason);
    backoff::attempt(context, name, planned)
}
