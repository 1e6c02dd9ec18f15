//! One action, carried out: one match, each arm one call.

use crate::error;
use crate::labels::ReplicaLabels;
use crate::plan::{Action, Planned, Reason, ReplicaPlan};
use crate::runtime::{ContainerId, ImageProblem, RuntimeError};
use crate::state::FailureKind;
use crate::store::StoreError;

use super::Ports;

/// Why an action failed, as it is remembered.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) kind: FailureKind,
    pub(super) message: String,
}

/// Carries out one action.
pub(super) async fn execute(
    ports: &Ports,
    instance: &crate::app::InstanceName,
    planned: &Planned,
) -> Result<(), Failed> {
    let runtime = &ports.runtime;
    match &planned.action {
        Action::EnsureNetwork => {
            runtime.ensure_network(instance).await?;
        }
        Action::EnsureImage { app, revision, image, policy } => {
            let id = runtime.ensure_image(image, *policy).await?;
            let replace = planned.reason == Reason::ImageGone;
            ports.store.pin_image(app, *revision, &id, replace).await?;
        }
        Action::Create(replica) => create(ports, replica).await?,
        Action::Start { id, .. } => runtime.start(id).await?,
        Action::Stop { id, signal, grace, .. } => runtime.stop(id, *signal, *grace).await?,
        Action::Remove { id, .. } => runtime.remove(id).await?,
        Action::Forget { app } => ports.store.forget(app).await?,
    }
    Ok(())
}

/// Creates a replica. Its name is derived: where the name is taken, an earlier create whose answer
/// was lost may have made just this container.
async fn create(ports: &Ports, replica: &ReplicaPlan) -> Result<(), Failed> {
    match ports.runtime.create(&replica.request).await {
        Ok(_) => Ok(()),
        Err(RuntimeError::NameTaken { name }) => {
            let holder = ports.runtime.inspect(&ContainerId(name.clone())).await?;
            let ours = replica.request.labels.iter().all(|(k, v)| holder.labels.get(k) == Some(v))
                && ReplicaLabels::from_map(&holder.labels).is_ok();
            if ours {
                return Ok(());
            }
            Err(Failed {
                kind: FailureKind::Lasting,
                message: format!(
                    "the name `{name}` is taken by container {:.12}, which is not ours",
                    holder.id
                ),
            })
        }
        Err(error @ RuntimeError::Image { .. }) => {
            Err(Failed { kind: FailureKind::ImageGone, message: error::chain(&error) })
        }
        Err(error) => Err(error.into()),
    }
}

impl Failed {
    /// What kind of failure an error of the engine is.
    pub(super) fn class(error: &RuntimeError) -> FailureKind {
        match error {
            RuntimeError::Image { problem: ImageProblem::Missing, .. } => FailureKind::ImageMissing,
            RuntimeError::Image { problem: ImageProblem::Denied, .. } => FailureKind::ImageDenied,
            RuntimeError::Image { problem: ImageProblem::Unavailable, .. }
            | RuntimeError::Rejected { .. } => FailureKind::Lasting,
            RuntimeError::Unreachable { .. }
            | RuntimeError::Timeout { .. }
            | RuntimeError::NotFound { .. }
            | RuntimeError::NameTaken { .. }
            | RuntimeError::Failed { .. } => FailureKind::Passing,
        }
    }
}

impl From<RuntimeError> for Failed {
    fn from(error: RuntimeError) -> Self {
        Self { kind: Self::class(&error), message: error::chain(&error) }
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self { kind: FailureKind::Passing, message: error::chain(&error) }
    }
}
