//! When the image of the wanted revision is resolved: before anything else is done for the
//! revision, and again once the engine no longer has the image.
//!
//! Nothing old is given up for a revision whose image may not exist.

use crate::call::{FailureKind, OperationKey};
use crate::plan::{Action, Planned, Reason, Wait};
use crate::runtime::ImageId;
use crate::store::StoredApp;

use super::app::App;
use super::backoff;
use super::classify::Replicas;
use super::context::{Context, Observed};
use super::limits::Capacity;
use super::replica::Replica;
use super::step::Step;

/// Returns the image that replicas of the wanted revision are created from, if the engine has it.
pub(super) fn available<'a>(stored: &'a StoredApp, observed: &Observed<'_>) -> Option<&'a ImageId> {
    stored.image_id.as_ref().filter(|_| !is_gone(observed))
}

/// Whether a create failed because the engine lost the image. Resolving it clears the failure.
fn is_gone(observed: &Observed<'_>) -> bool {
    observed.failures.iter().any(|(key, failure)| {
        failure.kind == FailureKind::ImageGone && matches!(key, OperationKey::Create { .. })
    })
}

/// Resolves the image if replicas cannot be created without.
pub(super) fn plan(
    context: &Context<'_>,
    app: &App<'_>,
    replicas: &Replicas<'_>,
    capacity: Capacity,
) -> Option<Step> {
    let reason = reason(context, app, replicas, capacity)?;
    let artifact = &app.stored.spec.artifact;
    if let (Some(image), Some(progress)) =
        (artifact.image(), context.observed.pulls.get(app.name()))
    {
        let wait = Wait::Pull { image: image.clone(), progress: *progress };
        return Some(Step::wait(app.name(), None, wait, None));
    }
    let action = Action::EnsureImage {
        app: app.name().clone(),
        revision: app.stored.revision,
        artifact: artifact.clone(),
        policy: app.stored.spec.pull,
    };
    let planned = Planned::for_revision(app.name(), app.stored.revision, action, reason);
    Some(backoff::attempt(context, app.name(), planned))
}

fn reason(
    context: &Context<'_>,
    app: &App<'_>,
    replicas: &Replicas<'_>,
    capacity: Capacity,
) -> Option<Reason> {
    if app.template.image.is_some() {
        return None;
    }
    let adds_wanted = capacity.paused_at.is_none();
    if app.stored.image_id.is_none() {
        let is_needed = adds_wanted && app.limits.desired > 0;
        return is_needed.then_some(Reason::ImageUnresolved);
    }
    let is_due = |replica: &Replica<'_>| {
        let is_due = replica.restart.as_ref().is_some_and(|restart| restart.due <= context.now);
        is_due && app.has_wanted_spec(replica.observed) && !replicas.is_creating(replica)
    };
    let is_missing = capacity.missing(app.limits).min(capacity.slots) > 0;
    let is_adding = adds_wanted && is_missing && app.stored.is_deployable();
    (is_adding || replicas.kept().any(is_due)).then_some(Reason::ImageGone)
}
