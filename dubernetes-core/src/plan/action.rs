//! Actions: one operation on the engine, the ingress or the store each.

use serde::{Serialize, Serializer};

use crate::app::{AppName, Artifact, Duration, HostName, PullPolicy, RevisionId, Signal};
use crate::call::{InFlight, OperationKey};
use crate::certificate::Authority;
use crate::event::EventReason;
use crate::labels::{OneOffLabels, PreDeployLabels, ReplicaLabels};
use crate::runtime::{ContainerId, ContainerRequest};
use crate::store::RolloutUpdate;

/// One operation on the engine, the ingress or the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Action {
    /// Creates the instance's network, if it does not exist.
    EnsureNetwork,
    /// Pulls the image of a revision, if the engine does not have it, and records its id.
    EnsureImage {
        /// The app.
        app: AppName,
        /// The revision.
        revision: RevisionId,
        /// The image, or a program, which has to exist.
        #[serde(flatten)]
        artifact: Artifact,
        /// When to pull.
        policy: PullPolicy,
    },
    /// Creates the container of a replica.
    Create(Box<ReplicaPlan>),
    /// Creates the container of a pre-deploy hook.
    CreatePreDeploy(Box<PreDeployPlan>),
    /// Creates a one-off container.
    CreateOneOff(Box<OneOffPlan>),
    /// Starts a created container.
    Start {
        /// The container.
        id: ContainerId,
    },
    /// Stops a running container: signal, grace, kill.
    Stop {
        /// The container.
        id: ContainerId,
        /// The signal, if it is not the image's own.
        signal: Option<Signal>,
        /// Grace period before SIGKILL.
        grace: Duration,
    },
    /// Removes a container that does not run.
    Remove {
        /// The container.
        id: ContainerId,
    },
    /// Removes the tombstone of a deleted app of which nothing is left.
    PurgeTombstone {
        /// The app.
        app: AppName,
    },
    /// Records the result of the rollout of an app's present revision.
    RecordRollout {
        /// The app.
        app: AppName,
        /// The revision.
        revision: RevisionId,
        /// The result, without a log.
        update: RolloutUpdate,
        /// The container whose last lines are recorded with the result.
        log_of: Option<ContainerId>,
    },
    /// Drops the request to replace a replica that is gone.
    ClearEviction {
        /// The app.
        app: AppName,
        /// The container that was to be replaced.
        id: ContainerId,
    },
    /// Obtains a certificate for a host, and stores it.
    IssueCertificate {
        /// The host.
        host: HostName,
        /// Who issues it.
        authority: Authority,
    },
    /// Drops what is stored about the certificate of a host that no app has any more.
    DropCertificate {
        /// The host.
        host: HostName,
    },
    /// Removes the proxy.
    RemoveIngress,
    /// Removes the instance's network.
    RemoveNetwork,
    /// Drops the request to tear the instance down, of which nothing is left.
    FinishTeardown,
}

/// A replica to be created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReplicaPlan {
    /// Identity of the replica.
    pub labels: ReplicaLabels,
    /// The container to create, labels included. Serialized as its name: an environment may hold
    /// secrets.
    #[serde(rename = "container", serialize_with = "container_name")]
    pub request: ContainerRequest,
}

/// The container of a pre-deploy hook to be created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PreDeployPlan {
    /// Identity of the hook.
    pub labels: PreDeployLabels,
    /// The container to create, labels included. Serialized as its name: an environment may hold
    /// secrets.
    #[serde(rename = "container", serialize_with = "container_name")]
    pub request: ContainerRequest,
}

/// A one-off container to be created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OneOffPlan {
    /// Its identity.
    pub labels: OneOffLabels,
    /// The container to create, labels included. Serialized as its name: an environment may hold
    /// secrets.
    #[serde(rename = "container", serialize_with = "container_name")]
    pub request: ContainerRequest,
}

fn container_name<S: Serializer>(
    request: &ContainerRequest,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&request.name)
}

/// The names of an action in texts and events.
#[derive(Debug, Clone, Copy)]
struct ActionRow {
    verb: &'static str,
    /// Reason of the event that records the failure.
    failed: EventReason,
    /// Reason of the event that records the success, if it is worth one.
    succeeded: Option<EventReason>,
}

impl ActionRow {
    const fn new(verb: &'static str, failed: EventReason) -> Self {
        Self { verb, failed, succeeded: None }
    }

    const fn succeeded(self, reason: EventReason) -> Self {
        Self { succeeded: Some(reason), ..self }
    }
}

impl Action {
    /// One row per variant.
    const fn row(&self) -> ActionRow {
        match self {
            Self::EnsureNetwork => ActionRow::new("network", EventReason::NetworkFailed),
            Self::EnsureImage { artifact: Artifact::Program(_), .. } => {
                ActionRow::new("find", EventReason::ProgramMissing).succeeded(EventReason::Resolved)
            }
            Self::EnsureImage { artifact: Artifact::Image(_), .. } => {
                ActionRow::new("pull", EventReason::PullFailed).succeeded(EventReason::Resolved)
            }
            Self::Create(_) | Self::CreatePreDeploy(_) | Self::CreateOneOff(_) => {
                ActionRow::new("create", EventReason::CreateFailed).succeeded(EventReason::Created)
            }
            Self::Start { .. } => ActionRow::new("start", EventReason::StartFailed),
            Self::Stop { .. } => {
                ActionRow::new("stop", EventReason::StopFailed).succeeded(EventReason::Stopped)
            }
            Self::Remove { .. } | Self::RemoveIngress | Self::RemoveNetwork => {
                ActionRow::new("remove", EventReason::RemoveFailed)
            }
            Self::PurgeTombstone { .. } => {
                ActionRow::new("purge", EventReason::PurgeFailed).succeeded(EventReason::Deleted)
            }
            Self::IssueCertificate { .. } => {
                ActionRow::new("issue", EventReason::CertificateFailed)
                    .succeeded(EventReason::CertificateIssued)
            }
            Self::DropCertificate { .. } | Self::ClearEviction { .. } => {
                ActionRow::new("clear", EventReason::RecordFailed)
            }
            Self::FinishTeardown => {
                ActionRow::new("record", EventReason::RecordFailed).succeeded(EventReason::TornDown)
            }
            Self::RecordRollout { update, .. } => match update {
                RolloutUpdate::PreDeployed { .. } => {
                    ActionRow::new("record", EventReason::RecordFailed)
                        .succeeded(EventReason::PreDeployed)
                }
                RolloutUpdate::Complete => ActionRow::new("record", EventReason::RecordFailed)
                    .succeeded(EventReason::Complete),
                RolloutUpdate::Stable => ActionRow::new("record", EventReason::RecordFailed),
                RolloutUpdate::Failed { roll_back_to: Some(_), .. } => {
                    ActionRow::new("rollback", EventReason::RecordFailed)
                        .succeeded(EventReason::RolledBack)
                }
                RolloutUpdate::Failed { roll_back_to: None, .. } => {
                    ActionRow::new("fail", EventReason::RecordFailed)
                        .succeeded(EventReason::RevisionFailed)
                }
            },
        }
    }

    /// Returns the identity of the call that carries the action out.
    pub fn key(&self) -> OperationKey {
        match self {
            Self::EnsureNetwork => OperationKey::Network,
            Self::EnsureImage { app, revision, .. } => {
                OperationKey::Image { app: app.clone(), revision: *revision }
            }
            Self::Create(replica) => OperationKey::Create {
                app: replica.labels.app.clone(),
                ordinal: replica.labels.ordinal,
                revision: replica.labels.revision,
            },
            Self::CreatePreDeploy(hook) => OperationKey::CreatePreDeploy {
                app: hook.labels.app.clone(),
                revision: hook.labels.revision,
            },
            Self::CreateOneOff(one_off) => OperationKey::CreateOneOff {
                app: one_off.labels.app.clone(),
                id: one_off.labels.id.clone(),
            },
            Self::Start { id } | Self::Stop { id, .. } | Self::Remove { id } => {
                OperationKey::Container(id.clone())
            }
            Self::PurgeTombstone { app } => OperationKey::PurgeTombstone(app.clone()),
            Self::RecordRollout { app, revision, .. } => {
                OperationKey::RecordRollout { app: app.clone(), revision: *revision }
            }
            Self::ClearEviction { app, id } => {
                OperationKey::ClearEviction { app: app.clone(), id: id.clone() }
            }
            Self::IssueCertificate { host, .. } | Self::DropCertificate { host } => {
                OperationKey::Certificate(host.clone())
            }
            Self::RemoveIngress | Self::RemoveNetwork | Self::FinishTeardown => {
                OperationKey::Teardown
            }
        }
    }

    /// Returns the verb, such as `create`.
    pub fn verb(&self) -> &'static str {
        self.row().verb
    }

    /// Returns the reason of the event that records the success; `None` if it is worth none.
    pub fn success_event(&self) -> Option<EventReason> {
        self.row().succeeded
    }

    /// Returns the reason of the event that records the failure.
    pub fn failure_event(&self) -> EventReason {
        self.row().failed
    }

    /// Returns what to remember of the call while it is in flight.
    pub fn in_flight(&self) -> InFlight {
        if let Self::Create(replica) = self {
            let labels = &replica.labels;
            InFlight { address: labels.address, restarts: labels.restarts }
        } else if let Self::CreatePreDeploy(hook) = self {
            InFlight { address: hook.labels.address, ..InFlight::default() }
        } else if let Self::CreateOneOff(one_off) = self {
            InFlight { address: one_off.labels.address, ..InFlight::default() }
        } else {
            InFlight::default()
        }
    }

    /// Returns the result of a rollout that is recorded.
    pub fn rollout_update(&self) -> Option<&RolloutUpdate> {
        if let Self::RecordRollout { update, .. } = self { Some(update) } else { None }
    }

    /// Returns the part of the instance that an action without an app is done to.
    pub(super) fn instance_part(&self) -> String {
        match self {
            Self::RemoveIngress => "ingress".to_owned(),
            Self::EnsureNetwork | Self::RemoveNetwork => "network".to_owned(),
            Self::Start { id } | Self::Stop { id, .. } | Self::Remove { id } => format!("{id:.12}"),
            Self::EnsureImage { .. }
            | Self::Create(_)
            | Self::CreatePreDeploy(_)
            | Self::CreateOneOff(_)
            | Self::PurgeTombstone { .. }
            | Self::RecordRollout { .. }
            | Self::ClearEviction { .. }
            | Self::IssueCertificate { .. }
            | Self::DropCertificate { .. }
            | Self::FinishTeardown => "instance".to_owned(),
        }
    }

    /// Returns the host whose certificate is issued or dropped.
    pub fn certificate_host(&self) -> Option<&HostName> {
        if let Self::IssueCertificate { host, .. } | Self::DropCertificate { host } = self {
            Some(host)
        } else {
            None
        }
    }

    /// Returns the image that is pulled, or the program that is looked for.
    pub fn artifact(&self) -> Option<&Artifact> {
        if let Self::EnsureImage { artifact, .. } = self { Some(artifact) } else { None }
    }
}
