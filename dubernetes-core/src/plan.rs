//! What is to be done now, what is waited for, and why: the whole output of [`crate::reconcile()`].

mod cause;
mod status;
mod text;

pub use cause::Cause;
pub use status::{AppStatus, Phase, PodState, PodStatus};

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use jiff::Timestamp;

use serde::{Deserialize, Serialize};

use crate::app::{AppName, Duration, ImageRef, PullPolicy, Signal};
use crate::ingress::RouteTable;
use crate::labels::{PreDeployLabels, ReplicaLabels};
use crate::runtime::{ContainerId, ContainerRequest};
use crate::state::{CallFailure, InFlight};

/// The result of one pass. Every action in it is safe now, in any order and with any part of
/// the others failed or left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// What to do.
    pub actions: Vec<Planned>,
    /// What is not done yet, and until when.
    pub waiting: Vec<Waiting>,
    /// What cannot be done until a person acts.
    pub blocked: Vec<Blocked>,
    /// What the ingress should serve, whole.
    pub routes: RouteTable,
    /// How each app is, whole.
    pub statuses: BTreeMap<AppName, AppStatus>,
}

impl Plan {
    /// When to look again if nothing happens before: the earliest time that anything waits for.
    pub fn requeue_at(&self) -> Option<Timestamp> {
        self.waiting.iter().filter_map(|waiting| waiting.until).min()
    }
}

/// An action with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// The app that it is for; `None` for the instance itself.
    pub app: Option<AppName>,
    /// What to do.
    pub action: Action,
    /// Why.
    pub reason: Reason,
}

/// One operation on the engine, or on the store's memory of a deleted app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Make sure that the instance's network exists.
    EnsureNetwork,
    /// Make sure that the engine has the image of a revision, and record its id.
    EnsureImage {
        /// The app.
        app: AppName,
        /// The revision.
        revision: u64,
        /// The image.
        image: ImageRef,
        /// When to pull.
        policy: PullPolicy,
    },
    /// Create a replica's container.
    Create(Box<ReplicaPlan>),
    /// Create the container of the command before a revision.
    CreatePreDeploy(Box<PreDeployPlan>),
    /// Start a container that was created.
    Start {
        /// The container.
        id: ContainerId,
        /// Its pod's name.
        pod: String,
    },
    /// Stop a running container: signal, grace, kill.
    Stop {
        /// The container.
        id: ContainerId,
        /// Its pod's name.
        pod: String,
        /// The signal, where it is not the image's own.
        signal: Option<Signal>,
        /// The time between signal and kill.
        grace: Duration,
    },
    /// Remove a container that does not run.
    Remove {
        /// The container.
        id: ContainerId,
        /// Its pod's name.
        pod: String,
    },
    /// Drop the tombstone of an app of which nothing is left.
    PurgeTombstone {
        /// The app.
        app: AppName,
    },
    /// Record what the rollout of an app's present revision has come to.
    RecordRollout {
        /// The app.
        app: AppName,
        /// The revision.
        revision: u64,
        /// What it has come to.
        result: RolloutResult,
    },
}

/// What a rollout has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RolloutResult {
    /// The command before it succeeded.
    PreDeployed {
        /// Its container, of which the last lines are kept.
        container: ContainerId,
    },
    /// All wanted replicas are ready, and no older one is left.
    Complete,
    /// It ran for a minute without an exit.
    Stable,
    /// It failed.
    Failed {
        /// Why, as a sentence fragment.
        reason: String,
        /// The pod that shows it, and its container, of which the last lines are kept.
        evidence: Option<(String, ContainerId)>,
        /// The revision that takes its place again, if one does.
        roll_back_to: Option<u64>,
        /// The newest revision seen on containers.
        newest_seen: u64,
    },
}

/// The command before a revision, as a container to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreDeployPlan {
    /// How it is shown, such as `web-pre-deploy`.
    pub pod: String,
    /// Whose it is.
    pub labels: PreDeployLabels,
    /// The container to create, labels included.
    pub request: ContainerRequest,
}

/// A replica to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaPlan {
    /// Its pod's name, such as `web-1`.
    pub pod: String,
    /// Who it is.
    pub labels: ReplicaLabels,
    /// The container to create, labels included.
    pub request: ContainerRequest,
}

/// The identity of a call, for the memory of what is under way and what failed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum OperationKey {
    /// [`Action::EnsureNetwork`].
    Network,
    /// [`Action::EnsureImage`].
    Image {
        /// The app.
        app: AppName,
        /// The revision.
        revision: u64,
    },
    /// [`Action::Create`].
    Create {
        /// The app.
        app: AppName,
        /// The ordinal.
        ordinal: u32,
        /// The revision.
        revision: u64,
    },
    /// [`Action::CreatePreDeploy`].
    CreatePreDeploy {
        /// The app.
        app: AppName,
        /// The revision.
        revision: u64,
    },
    /// [`Action::Start`], [`Action::Stop`] and [`Action::Remove`].
    Container(ContainerId),
    /// [`Action::PurgeTombstone`].
    PurgeTombstone(AppName),
    /// [`Action::RecordRollout`].
    RecordRollout {
        /// The app.
        app: AppName,
        /// The revision.
        revision: u64,
    },
    /// Applying the route table.
    Routes,
}

impl OperationKey {
    /// The app that the call is for; `None` where the key does not say.
    pub fn app(&self) -> Option<&AppName> {
        match self {
            Self::Image { app, .. }
            | Self::Create { app, .. }
            | Self::CreatePreDeploy { app, .. }
            | Self::PurgeTombstone(app)
            | Self::RecordRollout { app, .. } => Some(app),
            Self::Network | Self::Container(_) | Self::Routes => None,
        }
    }

    /// The container that the call starts, stops or removes.
    pub fn container(&self) -> Option<&ContainerId> {
        if let Self::Container(id) = self { Some(id) } else { None }
    }
}

impl Action {
    /// What to remember of the call while it is in flight.
    pub fn in_flight(&self) -> InFlight {
        let address = match self {
            Self::Create(replica) => Some(replica.labels.address),
            Self::CreatePreDeploy(job) => Some(job.labels.address),
            Self::EnsureNetwork
            | Self::EnsureImage { .. }
            | Self::Start { .. }
            | Self::Stop { .. }
            | Self::Remove { .. }
            | Self::PurgeTombstone { .. }
            | Self::RecordRollout { .. } => None,
        };
        InFlight { address }
    }

    /// The identity of the call that carries this out.
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
            Self::Start { id, .. } | Self::Stop { id, .. } | Self::Remove { id, .. } => {
                OperationKey::Container(id.clone())
            }
            Self::CreatePreDeploy(job) => OperationKey::CreatePreDeploy {
                app: job.labels.app.clone(),
                revision: job.labels.revision,
            },
            Self::PurgeTombstone { app } => OperationKey::PurgeTombstone(app.clone()),
            Self::RecordRollout { app, revision, .. } => {
                OperationKey::RecordRollout { app: app.clone(), revision: *revision }
            }
        }
    }
}

/// Why an action is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// A container is to be created, and there is no network for it.
    NoNetwork,
    /// The revision's image is not resolved yet.
    ImageUnresolved,
    /// The engine no longer has the image that the revision was resolved to.
    ImageGone,
    /// Fewer replicas exist than are wanted.
    BelowReplicas {
        /// So many are wanted.
        desired: u32,
        /// So many exist.
        existing: u32,
    },
    /// More replicas exist than are wanted.
    AboveReplicas {
        /// So many are wanted.
        desired: u32,
        /// So many exist.
        existing: u32,
    },
    /// Replicas of an older revision exist.
    NewRevision {
        /// The revision that is wanted.
        revision: u64,
        /// So many of it exist.
        existing: u32,
        /// So many are wanted.
        desired: u32,
    },
    /// A replica of the wanted revision takes its place.
    Replaced {
        /// The revision that replaces it.
        by: u64,
    },
    /// The replica's process ended.
    Exited {
        /// The exit code.
        code: i64,
        /// Whether it needed more memory than its limit.
        out_of_memory: bool,
        /// The restart that follows is the n-th, from 1.
        restart: u32,
    },
    /// The replica did no good and was stopped.
    Stopped {
        /// Why it was.
        why: String,
        /// The restart that follows is the n-th, from 1.
        restart: u32,
    },
    /// The replica's container could not be started.
    StartFailed {
        /// The engine's text.
        error: String,
        /// The try that follows is the n-th restart, from 1.
        restart: u32,
    },
    /// Somebody froze the replica.
    Paused,
    /// So many probes of the replica failed in a row that it is replaced.
    Unhealthy {
        /// What the last one got.
        reason: String,
    },
    /// A command has to succeed before the revision replaces anything.
    BeforeRevision {
        /// The revision.
        revision: u64,
    },
    /// The command before a revision has had its time.
    TimedOut {
        /// So much.
        limit: Duration,
    },
    /// The command before a revision has ended, or is not needed any more.
    PreDeployDone,
    /// A rollout has come to this.
    RolloutRecorded {
        /// The revision.
        revision: u64,
        /// As a sentence fragment.
        what: String,
    },
    /// A container was created and not started yet.
    NotStarted,
    /// A newer container has the replica's ordinal.
    Superseded,
    /// A user asked for another one in its place.
    Evicted,
    /// The app was deleted.
    AppDeleted,
    /// Nothing of the deleted app is left.
    NothingLeft,
}

/// Something that is not done yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The app.
    pub app: AppName,
    /// The pod, if it is about one.
    pub pod: Option<String>,
    /// What for.
    pub wait: Wait,
    /// When it ends at the latest, where that is known.
    pub until: Option<Timestamp>,
}

/// What is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wait {
    /// A call for it is under way.
    InProgress,
    /// A running replica is not ready.
    Ready {
        /// What the last probe got.
        reason: String,
    },
    /// The ingress has not acknowledged a table without this replica.
    AwaitingUnroute,
    /// Requests to the replica may be under way.
    Drained {
        /// Its address; the caller finds out and tells by [`crate::state::ObservedState::drains`].
        address: Ipv4Addr,
    },
    /// The next restart, after the replica failed.
    BackOff {
        /// What happened.
        cause: String,
        /// So many restarts have been made.
        restarts: u32,
    },
    /// The next try of a call that failed.
    Retry(CallFailure),
    /// As many replicas are up as are allowed at one time.
    SurgeLimit {
        /// So many.
        limit: u32,
    },
    /// A late container of a deleted app may still appear.
    Tombstone,
    /// The command before the revision runs.
    PreDeploy,
    /// A new replica is ready, and counts if it stays so for a moment.
    MinReady,
    /// The revision fails if it makes no progress until then.
    Deadline,
    /// The revision counts as stable if no replica exits until then.
    Stable,
    /// The rollout is paused, or has failed: no replica is replaced by a newer revision.
    Paused {
        /// Whether a user paused the rollout; otherwise it failed with `on_failure: pause`.
        by_user: bool,
    },
}

impl Wait {
    /// Whether nothing is missing while it lasts.
    pub fn is_steady(&self) -> bool {
        matches!(self, Self::Deadline | Self::Stable)
    }
}

/// Something that cannot be done until a person acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    /// The app; `None` for the instance itself.
    pub app: Option<AppName>,
    /// The pod, if it is about one.
    pub pod: Option<String>,
    /// Why.
    pub block: Block,
}

/// Why something is blocked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Block {
    /// Containers of an app that the store does not hold; they are left alone.
    Orphans {
        /// The containers' names.
        containers: Vec<String>,
    },
    /// A container with our label whose other labels make no sense; it is left alone.
    Unreadable {
        /// The container.
        id: ContainerId,
        /// What is wrong.
        reason: String,
    },
    /// Containers of a revision above the stored one, with other content: the store is older.
    NewerThanStore {
        /// The stored revision.
        stored: u64,
        /// The revision that runs.
        running: u64,
    },
    /// Another app has the host and path.
    RouteTaken {
        /// The conflict as a sentence fragment.
        conflict: String,
    },
    /// The network has no free address.
    NoAddress {
        /// So many addresses it has for replicas.
        capacity: u32,
    },
}
