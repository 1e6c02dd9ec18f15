//! Executes one action: one match, each arm one call.

use std::collections::BTreeMap;
use std::time::Duration;

use dubernetes_core::app::{AppName, Artifact, InstanceName, RevisionId};
use dubernetes_core::call::FailureKind;
use dubernetes_core::certificate::CertificateError;
use dubernetes_core::error;
use dubernetes_core::event::{EventKind, EventReason, NewEvent};
use dubernetes_core::ingress::IngressError;
use dubernetes_core::labels::{OneOffLabels, PreDeployLabels, ReplicaLabels};
use dubernetes_core::plan::{Action, Planned, Reason};
use dubernetes_core::runtime::{
    Capability, ContainerId, ContainerRequest, ImageId, LogOptions, RuntimeError, require,
};
use dubernetes_core::store::{RevisionCause, StoreError};
use futures_util::StreamExt as _;

use crate::adapters::Adapters;
use crate::certificates;
use crate::previous_logs::PreviousLogs;

/// Last lines of output that are kept as evidence of a failed revision.
const LOG_LINES: u32 = 20;
/// Characters kept of each line.
const LINE_LENGTH: usize = 500;
/// How long reading them may take.
const LOG_LIMIT: Duration = Duration::from_secs(5);

/// Why an action failed.
#[derive(Debug)]
pub(crate) struct ActionError {
    pub(crate) kind: FailureKind,
    /// The error with its causes, on one line.
    pub(crate) message: String,
}

/// Executes one action. A create returns its container.
pub(crate) async fn execute(
    adapters: &Adapters,
    instance: &InstanceName,
    previous_logs: &PreviousLogs,
    planned: &Planned,
) -> Result<Option<ContainerId>, ActionError> {
    let runtime = &adapters.runtime;
    match &planned.action {
        Action::EnsureNetwork => {
            let networks = require(runtime.networks(), Capability::PlannedAddresses)?;
            networks.ensure(instance).await?;
        }
        Action::EnsureImage { app, revision, artifact, policy } => {
            let id = runtime.resolve(artifact, *policy).await?;
            let replace = planned.reason == Reason::ImageGone;
            if replace {
                refuse_other_image(adapters, app, *revision, artifact, &id).await?;
            }
            adapters.store.pin_image(app, *revision, &id, replace).await?;
            if !replace {
                note_unused_health_check(adapters, app, *revision, &id).await;
            }
        }
        Action::Create(replica) => {
            let is_ours = |labels: &_| ReplicaLabels::from_map(labels).is_ok();
            return create(adapters, &replica.request, is_ours).await.map(Some);
        }
        Action::CreatePreDeploy(hook) => {
            let is_ours = |labels: &_| PreDeployLabels::from_map(labels).is_some_and(|l| l.is_ok());
            return create(adapters, &hook.request, is_ours).await.map(Some);
        }
        Action::CreateOneOff(one_off) => {
            let is_ours = |labels: &_| OneOffLabels::from_map(labels).is_some_and(|l| l.is_ok());
            return create(adapters, &one_off.request, is_ours).await.map(Some);
        }
        Action::Start { id } => runtime.start(id).await?,
        Action::Stop { id, signal, grace } => runtime.stop(id, *signal, *grace).await?,
        Action::Remove { id } => {
            if let (Reason::Superseded, Some(pod)) = (&planned.reason, &planned.pod) {
                previous_logs.keep(runtime.as_ref(), pod, id).await;
            }
            runtime.remove(id).await?;
        }
        Action::PurgeTombstone { app } => adapters.store.purge(app).await?,
        Action::ClearEviction { app, id } => adapters.store.clear_eviction(app, id).await?,
        Action::IssueCertificate { host, authority } => {
            certificates::issue(adapters, host, *authority).await?;
        }
        Action::DropCertificate { host } => adapters.store.drop_certificate(host).await?,
        Action::RemoveIngress => adapters.ingress.remove().await?,
        Action::RemoveNetwork => {
            require(runtime.networks(), Capability::PlannedAddresses)?.remove(instance).await?;
        }
        Action::FinishTeardown => adapters.store.finish_teardown().await?,
        Action::RecordRollout { app, revision, update, log_of } => {
            let log = match log_of {
                Some(id) => last_lines(adapters, id).await,
                None => Vec::new(),
            };
            let update = update.clone().with_log(log);
            adapters.store.record_rollout(app, *revision, &update, adapters.clock.now()).await?;
        }
    }
    Ok(None)
}

/// A rollback must run the original image; refuses a different one under the same tag.
async fn refuse_other_image(
    adapters: &Adapters,
    app: &AppName,
    revision: RevisionId,
    artifact: &Artifact,
    found: &ImageId,
) -> Result<(), ActionError> {
    let stored = adapters.store.get(app).await?;
    let cause = &stored.rollout.cause;
    let is_rollback = matches!(cause, RevisionCause::Undo { .. } | RevisionCause::RollBack { .. });
    match &stored.image_id {
        Some(pinned) if is_rollback && stored.revision == revision && pinned != found => {
            Err(ActionError {
                kind: FailureKind::Permanent,
                message: format!(
                    "the original image ({pinned:.19}) is gone, and `{artifact}` is a different \
                     one now"
                ),
            })
        }
        _ => Ok(()),
    }
}

/// Records that the image declares a health check that nothing uses. It is advice, so a failure
/// does not matter.
async fn note_unused_health_check(
    adapters: &Adapters,
    app: &AppName,
    revision: RevisionId,
    image: &ImageId,
) {
    let Ok(Some(command)) = adapters.runtime.health_check(image).await else { return };
    let Ok(stored) = adapters.store.get(app).await else { return };
    if stored.spec.health.is_some() {
        return;
    }
    let words: Vec<String> = command.iter().map(|word| format!("{word:?}")).collect();
    let event = NewEvent {
        time: adapters.clock.now(),
        kind: EventKind::Warning,
        app: Some(app.clone()),
        pod: None,
        revision: Some(revision),
        reason: EventReason::HealthCheckUnused,
        message: format!(
            "the image has a HEALTHCHECK, which is not used; to use it, write `health: {{ exec: \
             [{}] }}`",
            words.join(", ")
        ),
    };
    let _ = adapters.store.append(&[event]).await;
}

/// Reads the last lines of a container's output; none if they cannot be read.
async fn last_lines(adapters: &Adapters, id: &ContainerId) -> Vec<String> {
    let options = LogOptions { tail: Some(LOG_LINES), ..LogOptions::default() };
    let read = async {
        let lines = adapters.runtime.logs()?.read(id, &options).await.ok()?;
        let lines: Vec<_> = lines.collect().await;
        let readable = lines.into_iter().flatten();
        Some(readable.map(|line| line.text.chars().take(LINE_LENGTH).collect()).collect())
    };
    tokio::time::timeout(LOG_LIMIT, read).await.ok().flatten().unwrap_or_default()
}

/// Creates a container. Its name is derived: if the name is in use, an earlier create whose answer
/// was lost may have made this very container.
async fn create(
    adapters: &Adapters,
    request: &ContainerRequest,
    is_ours: impl Fn(&BTreeMap<String, String>) -> bool,
) -> Result<ContainerId, ActionError> {
    match adapters.runtime.create(request).await {
        Ok(id) => Ok(id),
        Err(RuntimeError::NameTaken { name }) => {
            let holder = adapters.runtime.inspect(&ContainerId(name.clone().into())).await?;
            let same = request.labels.iter().all(|(k, v)| holder.labels.get(k) == Some(v));
            if same && is_ours(&holder.labels) {
                return Ok(holder.id);
            }
            Err(ActionError {
                kind: FailureKind::Permanent,
                message: format!(
                    "the name `{name}` is in use by container {:.12}, which is not ours",
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

impl From<RuntimeError> for ActionError {
    fn from(error: RuntimeError) -> Self {
        Self { kind: error.failure_kind(), message: error::chain(&error) }
    }
}

impl From<IngressError> for ActionError {
    fn from(error: IngressError) -> Self {
        Self { kind: error.failure_kind(), message: error::chain(&error) }
    }
}

impl From<CertificateError> for ActionError {
    fn from(error: CertificateError) -> Self {
        Self { kind: error.failure_kind(), message: error::chain(&error) }
    }
}

impl From<StoreError> for ActionError {
    fn from(error: StoreError) -> Self {
        Self { kind: FailureKind::Transient, message: error::chain(&error) }
    }
}
