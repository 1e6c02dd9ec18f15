//! One-off containers: what their clients want, in memory, and the client's side of one.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dubernetes_core::app::{AppName, OneOffId, PodName};
use dubernetes_core::call::OperationKey;
use dubernetes_core::runtime::{ContainerId, ContainerState, Stdio};
use dubernetes_core::state::{EngineStatus, ObservedOneOff, OneOff};
use thiserror::Error;

use crate::handle::Handle;
use crate::snapshot::Snapshot;

/// How long the removal of an ended container is waited for.
const REMOVAL_LIMIT: Duration = Duration::from_secs(30);

/// The one-off containers that clients wait for. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct OneOffs {
    wanted: Arc<Mutex<BTreeMap<PodName, OneOff>>>,
}

impl OneOffs {
    /// Returns what is wanted now.
    pub(crate) fn wanted(&self) -> BTreeMap<PodName, OneOff> {
        self.with(|wanted| wanted.clone())
    }

    /// Adds one, and returns its pod.
    pub(crate) fn add(&self, app: &AppName, command: Vec<String>, stdio: Stdio) -> PodName {
        self.with(|wanted| {
            let id = new_id();
            let one_off = OneOff { app: app.clone(), id, command, stdio, is_attached: false };
            let pod = one_off.pod();
            wanted.insert(pod.clone(), one_off);
            pod
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<PodName, OneOff>) -> T) -> T {
        // A panic leaves the map whole.
        work(&mut self.wanted.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Returns a random id: the container of an orchestrator that was killed may still have any other.
fn new_id() -> OneOffId {
    loop {
        let mut random = RandomState::new().hash_one(());
        let letters = std::iter::repeat_with(|| {
            let letter = u8::try_from(random % 26).unwrap_or_default();
            random /= 26;
            char::from(b'a' + letter)
        });
        // Five letters are an id.
        if let Ok(id) = OneOffId::parse(&letters.take(5).collect::<String>()) {
            return id;
        }
    }
}

/// Why a one-off container has not started.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OneOffError {
    /// The container cannot be created or started.
    #[error("{0}")]
    Failed(String),
    /// Its command cannot be run.
    #[error("{error}")]
    NotStarted {
        /// The engine's error.
        error: String,
        /// The exit code that stands for it: 126 or 127.
        code: i64,
    },
    /// The app is not there any more.
    #[error("app `{0}` was deleted")]
    Deleted(AppName),
    /// The orchestrator has ended.
    #[error("the orchestrator has ended")]
    Stopped,
}

/// The client of a one-off container, which exists as long as the client does.
///
/// The order is: [`OneOffClient::created`], attach to the container, [`OneOffClient::start`], and
/// at the end [`OneOffClient::remove`].
#[derive(Debug)]
pub struct OneOffClient {
    handle: Handle,
    pod: PodName,
}

impl OneOffClient {
    pub(crate) fn new(handle: Handle, pod: PodName) -> Self {
        Self { handle, pod }
    }

    /// Returns the name of the pod, such as `web-run-qhzkt`.
    pub fn pod(&self) -> &PodName {
        &self.pod
    }

    /// Waits until the container is created. Its image may have to be pulled before.
    ///
    /// # Errors
    ///
    /// [`OneOffError`], after the first failure.
    pub async fn created(&self) -> Result<ContainerId, OneOffError> {
        self.wait(|snapshot| self.find(snapshot).map(|found| Ok(found.id.clone()))).await
    }

    /// Starts the container, to which the caller is attached, and waits until it has started.
    ///
    /// # Errors
    ///
    /// [`OneOffError`], after the first failure.
    pub async fn start(&self) -> Result<(), OneOffError> {
        self.handle.one_offs().with(|wanted| {
            if let Some(one_off) = wanted.get_mut(&self.pod) {
                one_off.is_attached = true;
            }
        });
        self.handle.run_pass();
        self.wait(|snapshot| match &self.find(snapshot)?.state {
            ContainerState::Created => None,
            ContainerState::StartFailed { error, code } => {
                Some(Err(OneOffError::NotStarted { error: error.clone(), code: *code }))
            }
            ContainerState::Running { .. }
            | ContainerState::Paused
            | ContainerState::Exited(_)
            | ContainerState::Removing => Some(Ok(())),
        })
        .await
    }

    /// Removes the container, and waits until it is gone.
    pub async fn remove(self) {
        let mut snapshots = self.handle.snapshots();
        let pod = self.pod.clone();
        drop(self);
        let gone = snapshots.wait_for(|snapshot| {
            let is_left = snapshot.observed.one_offs.iter().any(|found| found.pod() == pod);
            !is_left && !snapshot.desired.one_offs.contains_key(&pod)
        });
        // Otherwise the orchestrator goes on trying, and reports why.
        let _ = tokio::time::timeout(REMOVAL_LIMIT, gone).await;
    }

    /// Waits for a pass with an outcome, or with a failure that is about this container.
    async fn wait<T>(
        &self,
        outcome: impl Fn(&Snapshot) -> Option<Result<T, OneOffError>>,
    ) -> Result<T, OneOffError> {
        let mut snapshots = self.handle.snapshots();
        loop {
            {
                let snapshot = snapshots.borrow_and_update();
                // An earlier pass knows nothing of it.
                if snapshot.desired.one_offs.contains_key(&self.pod) {
                    if let Some(outcome) = outcome(&snapshot) {
                        return outcome;
                    }
                    if let Some(error) = self.problem(&snapshot) {
                        return Err(error);
                    }
                }
            }
            snapshots.changed().await.map_err(|_| OneOffError::Stopped)?;
        }
    }

    fn find<'a>(&self, snapshot: &'a Snapshot) -> Option<&'a ObservedOneOff> {
        snapshot.observed.one_offs.iter().find(|found| found.pod() == self.pod)
    }

    /// Returns why it cannot be created or started, if so.
    fn problem(&self, snapshot: &Snapshot) -> Option<OneOffError> {
        let app = self.pod.app();
        let Some(stored) = snapshot.desired.apps.get(&app) else {
            return Some(OneOffError::Deleted(app));
        };
        if let EngineStatus::Unreachable { reason, .. } = &snapshot.observed.engine {
            return Some(OneOffError::Failed(reason.clone()));
        }
        let is_own = |key: &OperationKey| match key {
            OperationKey::CreateOneOff { app, id } => PodName::one_off(app, id) == self.pod,
            OperationKey::Container(id) => self.find(snapshot).is_some_and(|f| f.id == *id),
            OperationKey::Image { app: other, revision } => {
                *other == app && *revision == stored.revision && stored.image_id.is_none()
            }
            OperationKey::Network => snapshot.observed.network.is_none(),
            OperationKey::Create { .. }
            | OperationKey::CreatePreDeploy { .. }
            | OperationKey::PurgeTombstone(_)
            | OperationKey::RecordRollout { .. }
            | OperationKey::ClearEviction { .. }
            | OperationKey::Teardown
            | OperationKey::Certificate(_)
            | OperationKey::Routes
            | OperationKey::DrainCheck(_) => false,
        };
        let mut failures = snapshot.observed.failures.iter();
        if let Some((_, failure)) = failures.find(|(key, _)| is_own(key)) {
            return Some(OneOffError::Failed(failure.message.clone()));
        }
        let mut blocked = snapshot.plan.blocked.iter();
        let blocked = blocked.find(|blocked| blocked.app.as_ref() == Some(&app));
        blocked.map(|blocked| OneOffError::Failed(blocked.block.to_string()))
    }
}

impl Drop for OneOffClient {
    fn drop(&mut self) {
        self.handle.one_offs().with(|wanted| wanted.remove(&self.pod));
        self.handle.run_pass();
    }
}
