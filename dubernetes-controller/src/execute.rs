//! One action, carried out: one match, each arm one call.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt as _;

use dubernetes_core::app::{AppName, ImageRef};
use dubernetes_core::error;
use dubernetes_core::labels::{PreDeployLabels, ReplicaLabels};
use dubernetes_core::plan::{Action, Planned, Reason};
use dubernetes_core::runtime::{
    ContainerId, ContainerRequest, ImageId, ImageProblem, LogOptions, RuntimeError,
};
use dubernetes_core::state::FailureKind;
use dubernetes_core::store::{RevisionCause, StoreError};

use super::Adapters;
use super::previous_logs::PreviousLogs;

/// So many of the last lines of a container that shows a result are kept.
const LINES: u32 = 20;
/// So many characters of each.
const LINE_LENGTH: usize = 500;
/// How long they may take.
const LINES_LIMIT: Duration = Duration::from_secs(5);

/// Why an action failed, as it is remembered.
#[derive(Debug)]
pub(super) struct ActionError {
    pub(super) kind: FailureKind,
    pub(super) message: String,
}

/// Carries out one action.
pub(super) async fn execute(
    adapters: &Adapters,
    instance: &dubernetes_core::app::InstanceName,
    previous: &PreviousLogs,
    planned: &Planned,
) -> Result<(), ActionError> {
    let runtime = &adapters.runtime;
    match &planned.action {
        Action::EnsureNetwork => {
            runtime.ensure_network(instance).await?;
        }
        Action::EnsureImage { app, revision, image, policy } => {
            let id = runtime.ensure_image(image, *policy).await?;
            let replace = planned.reason == Reason::ImageGone;
            if replace {
                refuse_another_image(adapters, app, *revision, image, &id).await?;
            }
            adapters.store.pin_image(app, *revision, &id, replace).await?;
        }
        Action::Create(replica) => {
            let is_ours = |labels: &_| ReplicaLabels::from_map(labels).is_ok();
            create(adapters, &replica.request, is_ours).await?;
        }
        Action::CreatePreDeploy(job) => {
            let is_ours = |labels: &_| PreDeployLabels::from_map(labels).is_some_and(|l| l.is_ok());
            create(adapters, &job.request, is_ours).await?;
        }
        Action::Start { id } => runtime.start(id).await?,
        Action::Stop { id, signal, grace } => runtime.stop(id, *signal, *grace).await?,
        Action::Remove { id } => {
            if let (Reason::Superseded, Some(pod)) = (&planned.reason, &planned.pod) {
                previous.keep(runtime.as_ref(), pod, id).await;
            }
            runtime.remove(id).await?;
        }
        Action::PurgeTombstone { app } => adapters.store.purge(app).await?,
        Action::RecordRollout { app, revision, update, log_of } => {
            let log = match log_of {
                Some(id) => last_lines(adapters, id).await,
                None => Vec::new(),
            };
            let (update, now) = (update.clone().with_log(log), adapters.clock.now());
            adapters.store.record_rollout(app, *revision, &update, now).await?;
        }
    }
    Ok(())
}

/// Whoever goes back wants what ran then: an image that is gone is not replaced by another one that
/// has its tag now.
async fn refuse_another_image(
    adapters: &Adapters,
    app: &AppName,
    revision: u64,
    image: &ImageRef,
    found: &ImageId,
) -> Result<(), ActionError> {
    let stored = adapters.store.get(app).await?;
    let goes_back = match stored.rollout.cause {
        RevisionCause::Undo { .. } | RevisionCause::RollBack { .. } => true,
        RevisionCause::Apply | RevisionCause::Retry { .. } | RevisionCause::Restart => false,
    };
    match &stored.image_id {
        Some(pinned) if goes_back && stored.revision == revision && pinned != found => {
            Err(ActionError {
                kind: FailureKind::Permanent,
                message: format!(
                    "the image of that time ({pinned:.19}) is gone, and `{image}` is another one now"
                ),
            })
        }
        _ => Ok(()),
    }
}

/// The last lines of a container's output. A result stands without them.
async fn last_lines(adapters: &Adapters, id: &ContainerId) -> Vec<String> {
    let options = LogOptions { tail: Some(LINES), ..LogOptions::default() };
    let read = async {
        let lines = adapters.runtime.logs(id, &options).await.ok()?;
        let lines: Vec<_> = lines.filter_map(async |line| line.ok()).collect().await;
        Some(lines.into_iter().map(|line| line.text.chars().take(LINE_LENGTH).collect()).collect())
    };
    tokio::time::timeout(LINES_LIMIT, read).await.ok().flatten().unwrap_or_default()
}

/// Creates a container. Its name is derived: where the name is taken, an earlier create whose answer
/// was lost may have made just this one.
async fn create(
    adapters: &Adapters,
    request: &ContainerRequest,
    is_ours: impl Fn(&BTreeMap<String, String>) -> bool,
) -> Result<(), ActionError> {
    match adapters.runtime.create(request).await {
        Ok(_) => Ok(()),
        Err(RuntimeError::NameTaken { name }) => {
            let holder = adapters.runtime.inspect(&ContainerId(name.clone())).await?;
            let same = request.labels.iter().all(|(k, v)| holder.labels.get(k) == Some(v));
            if same && is_ours(&holder.labels) {
                return Ok(());
            }
            Err(ActionError {
                kind: FailureKind::Permanent,
                message: format!(
                    "the name `{name}` is taken by container {:.12}, which is not ours",
                    holder.id
                ),
            })
        }
        Err(error @ RuntimeError::Image { .. }) => {
            Err(ActionError { kind: FailureKind::ImageGone, message: error::chain(&error) })
        }
        Err(error) => Err(error.into()),
    }
}

impl ActionError {
    /// What kind of failure an error of the engine is.
    pub(super) fn classify(error: &RuntimeError) -> FailureKind {
        match error {
            RuntimeError::Image { problem: ImageProblem::Missing, .. } => FailureKind::ImageMissing,
            RuntimeError::Image { problem: ImageProblem::Denied, .. } => FailureKind::ImageDenied,
            RuntimeError::Image { problem: ImageProblem::Unavailable, .. }
            | RuntimeError::Rejected { .. } => FailureKind::Permanent,
            RuntimeError::Unreachable { .. }
            | RuntimeError::Timeout { .. }
            | RuntimeError::NotFound { .. }
            | RuntimeError::NameTaken { .. }
            | RuntimeError::OwnedByOtherState { .. }
            | RuntimeError::NotConnected { .. }
            | RuntimeError::Failed { .. } => FailureKind::Transient,
        }
    }
}

impl From<RuntimeError> for ActionError {
    fn from(error: RuntimeError) -> Self {
        Self { kind: Self::classify(&error), message: error::chain(&error) }
    }
}

impl From<StoreError> for ActionError {
    fn from(error: StoreError) -> Self {
        Self { kind: FailureKind::Transient, message: error::chain(&error) }
    }
}
