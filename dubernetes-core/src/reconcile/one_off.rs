//! One-off containers: created for a client, started once the client is attached, and removed as
//! soon as none waits for them. A killed orchestrator has lost its clients, so that the next one
//! removes what it left.

use crate::app::AppName;
use crate::call::{FailureKind, OperationKey};
use crate::plan::{Action, Plan, Planned, PodState, PodStatus, Reason, Wait};
use crate::runtime::ContainerState;
use crate::state::{ObservedOneOff, OneOff};
use crate::store::StoredApp;

use super::addresses::AddressPool;
use super::context::{Context, Observed};
use super::step::{Step, Steps};
use super::{backoff, create, terminate};

/// Returns the steps of all one-off containers. They follow those of the apps in `plan`, which they
/// never delay.
pub(super) fn plan(context: &Context<'_>, plan: &Plan, addresses: &mut AddressPool<'_>) -> Steps {
    let wanted = context.desired.one_offs.values();
    let wanted = wanted.filter_map(|one_off| next_step(context, plan, one_off, addresses));
    wanted.collect::<Steps>().and(garbage(context))
}

/// Returns the pods of the one-off containers of an app.
pub(super) fn statuses(observed: &Observed<'_>) -> Vec<PodStatus> {
    observed.one_offs.iter().copied().map(status).collect()
}

fn next_step(
    context: &Context<'_>,
    plan: &Plan,
    one_off: &OneOff,
    addresses: &mut AddressPool<'_>,
) -> Option<Step> {
    let stored = context.desired.apps.get(&one_off.app)?;
    let observed = context.observed_of(&one_off.app).one_offs.iter();
    let Some(found) = observed.copied().find(|found| found.labels.id == one_off.id) else {
        // One that is gone after its start has ended: a command never runs twice.
        if one_off.is_attached {
            return None;
        }
        return begin(context, plan, stored, one_off, addresses);
    };
    match found.state {
        ContainerState::Created if one_off.is_attached => {
            let action = Action::Start { id: found.id.clone() };
            Some(attempt(context, found, action, Reason::NotStarted))
        }
        ContainerState::Created => {
            Some(Step::wait(&one_off.app, Some(one_off.pod()), Wait::Attach, None))
        }
        // Its client still has to read the exit code.
        ContainerState::Exited(_)
        | ContainerState::StartFailed { .. }
        | ContainerState::Running { .. }
        | ContainerState::Paused
        | ContainerState::Removing => None,
    }
}

/// Creates the container, once the image is resolved. For a blocked app nothing is created.
fn begin(
    context: &Context<'_>,
    plan: &Plan,
    stored: &StoredApp,
    one_off: &OneOff,
    addresses: &mut AddressPool<'_>,
) -> Option<Step> {
    let name = &stored.spec.name;
    if plan.blocked.iter().any(|blocked| blocked.app.as_ref() == Some(name)) {
        return None;
    }
    Some(match stored.image_id.as_ref().filter(|_| !is_image_gone(context, name)) {
        Some(image) => create::one_off(context, stored, image, one_off, addresses)
            .unwrap_or_else(|obstacle| obstacle.step(context, name)),
        None => resolve(context, plan, stored),
    })
}

/// Resolves the image, unless a step of the app does so already. An app without replicas does not.
fn resolve(context: &Context<'_>, plan: &Plan, stored: &StoredApp) -> Step {
    let app = stored.spec.name.clone();
    let is_gone = stored.image_id.is_some();
    let reason = if is_gone { Reason::ImageGone } else { Reason::ImageUnresolved };
    let action = Action::EnsureImage {
        app: app.clone(),
        revision: stored.revision,
        artifact: stored.spec.artifact.clone(),
        policy: stored.spec.pull,
    };
    let key = action.key();
    if plan.actions.iter().any(|planned| planned.action.key() == key) {
        return Step::wait(&app, None, Wait::InProgress, None);
    }
    let planned = Planned::for_revision(&app, stored.revision, action, reason);
    backoff::attempt(context, &app, planned)
}

/// Whether the create of a one-off container failed because the engine lost the image. Resolving
/// it clears the failure.
fn is_image_gone(context: &Context<'_>, name: &AppName) -> bool {
    context.observed.failures.iter().any(|(key, failure)| {
        let is_own = matches!(key, OperationKey::CreateOneOff { app, .. } if app == name);
        is_own && failure.kind == FailureKind::ImageGone
    })
}

/// Stops and removes the containers that no client waits for, whatever became of their app.
fn garbage(context: &Context<'_>) -> Vec<Step> {
    let is_wanted = |found: &ObservedOneOff| {
        context.desired.one_offs.contains_key(&found.pod())
            && context.desired.apps.contains_key(&found.labels.app)
    };
    let left = context.observed.one_offs.iter().filter(|found| !is_wanted(found));
    left.map(|found| end(context, found)).collect()
}

/// Stops or removes a container. No request ever goes to it.
fn end(context: &Context<'_>, found: &ObservedOneOff) -> Step {
    let app = &found.labels.app;
    let of_app = context.desired.apps.get(app).map(|stored| &stored.spec.stop);
    let of_deleted = context.desired.tombstones.get(app).map(|tombstone| &tombstone.stop);
    let stop = of_app.or(of_deleted).cloned().unwrap_or_default();
    match terminate::stop_or_remove(&found.id, &found.state, &stop) {
        Some(action) => attempt(context, found, action, Reason::OneOffDone),
        None => Step::wait(app, Some(found.pod()), Wait::InProgress, None),
    }
}

fn attempt(context: &Context<'_>, found: &ObservedOneOff, action: Action, reason: Reason) -> Step {
    let app = &found.labels.app;
    let planned = Planned::for_pod(app, found.labels.revision, found.pod(), action, reason);
    backoff::attempt(context, app, planned)
}

fn status(one_off: &ObservedOneOff) -> PodStatus {
    let labels = &one_off.labels;
    let (state, started_at, message) = match &one_off.state {
        ContainerState::Created => (PodState::Starting, None, String::new()),
        ContainerState::Running { started_at } => {
            (PodState::Running, Some(*started_at), "one-off container".to_owned())
        }
        ContainerState::Paused => (PodState::Running, None, "paused".to_owned()),
        ContainerState::Exited(exit) => (PodState::Exited, None, exit.describe()),
        ContainerState::StartFailed { error, .. } => (PodState::Exited, None, error.clone()),
        ContainerState::Removing => (PodState::Stopping, None, String::new()),
    };
    PodStatus {
        name: one_off.pod(),
        app: labels.app.clone(),
        revision: labels.revision,
        state,
        ready: false,
        restarts: 0,
        address: labels.address,
        endpoint: None,
        container_id: Some(one_off.id.clone()),
        started_at,
        created_at: Some(one_off.created_at),
        changed_limits: None,
        message,
        next_try: None,
    }
}
