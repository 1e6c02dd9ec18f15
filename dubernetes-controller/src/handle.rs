//! The handle of a running orchestrator.

use std::sync::Arc;
use std::time::Duration;

use dubernetes_core::app::{AppName, AppSpec, Permissions};
use dubernetes_core::clock::Clock;
use dubernetes_core::plan::{AppStatus, Phase};
use dubernetes_core::runtime::{ContainerId, LogLine};
use dubernetes_core::store::{Put, PutApp, RolloutAction, RolloutCommand, Store, StoreError};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};

use crate::previous_logs::PreviousLogs;
use crate::probe::{ProbeHistory, ProbeResult};
use crate::snapshot::Snapshot;

/// Changes and reads the apps of an orchestrator. Clones belong to the same one.
#[derive(Debug, Clone)]
pub struct Handle {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    commands: mpsc::UnboundedSender<Command>,
    probes: ProbeHistory,
    previous_logs: PreviousLogs,
    permissions: Permissions,
}

/// A request of a handle to the loop.
#[derive(Debug)]
pub(crate) enum Command {
    RunPass,
    Evict(ContainerId),
    Teardown(oneshot::Sender<Result<(), TeardownError>>),
}

/// Why an app did not become ready.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WaitError {
    /// The app's rollout failed, or the app needs a person.
    #[error("app `{app}` failed: {reason}")]
    Failed {
        /// The app.
        app: AppName,
        /// Why.
        reason: String,
    },
    /// The app was not ready in time.
    #[error("app `{app}` is not ready after {limit:?}: {reason}")]
    TimedOut {
        /// The app.
        app: AppName,
        /// How long was waited.
        limit: Duration,
        /// What the app waits for.
        reason: String,
    },
    /// The orchestrator has ended.
    #[error("the orchestrator has ended")]
    Stopped,
    /// The store failed, or has no such app.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a teardown failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TeardownError {
    /// Something could not be removed. A teardown may be repeated.
    #[error("{0}")]
    Failed(String),
    /// The orchestrator has ended.
    #[error("the orchestrator has ended")]
    Stopped,
}

impl Handle {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        snapshots: watch::Receiver<Arc<Snapshot>>,
        commands: mpsc::UnboundedSender<Command>,
        probes: ProbeHistory,
        previous_logs: PreviousLogs,
        permissions: Permissions,
    ) -> Self {
        Self { store, clock, snapshots, commands, probes, previous_logs, permissions }
    }

    /// Stores an app. Returns once the change is durable; the rollout follows.
    ///
    /// # Errors
    ///
    /// Those of [`Handle::put`].
    pub async fn apply(&self, spec: &AppSpec) -> Result<Put, StoreError> {
        self.put(PutApp::new(spec.clone(), self.clock.now())).await
    }

    /// Stores an app with the options of `put`; its `newest_seen` is raised to the newest revision
    /// that was observed.
    ///
    /// # Errors
    ///
    /// Those of [`Handle::check`] and [`Store::put`].
    pub async fn put(&self, put: PutApp) -> Result<Put, StoreError> {
        self.check(&put.spec)?;
        let newest_seen = put.newest_seen.max(self.newest_revision_seen(&put.spec.name));
        self.store.put(PutApp { newest_seen, ..put }).await
    }

    /// Checks a specification, and that it needs no permission that apps do not have.
    ///
    /// # Errors
    ///
    /// [`StoreError::Invalid`] with every problem.
    pub fn check(&self, spec: &AppSpec) -> Result<(), StoreError> {
        spec.check_with(&self.permissions)
            .map_err(|problems| StoreError::Invalid { name: spec.name.clone(), problems })
    }

    /// Returns what apps may do to the host.
    pub fn permissions(&self) -> &Permissions {
        &self.permissions
    }

    /// Deletes an app. Returns once the request is durable; its replicas are terminated after
    /// that.
    ///
    /// # Errors
    ///
    /// Those of [`Store::delete`].
    pub async fn delete(&self, app: &AppName) -> Result<(), StoreError> {
        self.store.delete(app, self.clock.now()).await
    }

    /// Changes the number of replicas, until the next [`Handle::apply`].
    ///
    /// # Errors
    ///
    /// Those of [`Store::get`] and [`Handle::put`]; [`StoreError::StaleGeneration`] if the app was
    /// changed meanwhile.
    pub async fn scale(&self, app: &AppName, replicas: u16) -> Result<Put, StoreError> {
        let stored = self.store.get(app).await?;
        let spec = AppSpec { replicas, ..stored.spec };
        let expected_generation = Some(stored.generation);
        self.put(PutApp { expected_generation, ..PutApp::new(spec, self.clock.now()) }).await
    }

    /// Pauses, resumes, restarts or undoes a rollout.
    ///
    /// # Errors
    ///
    /// Those of [`Store::update_rollout`].
    pub async fn update_rollout(
        &self,
        app: &AppName,
        action: RolloutAction,
    ) -> Result<Put, StoreError> {
        let newest_seen = self.newest_revision_seen(app);
        let now = self.clock.now();
        let command = RolloutCommand { name: app.clone(), action, newest_seen, now };
        self.store.update_rollout(command).await
    }

    /// Waits until the stored generation of an app is ready, and returns its status.
    ///
    /// # Errors
    ///
    /// [`WaitError`]; a failed rollout ends the wait at once.
    pub async fn until_ready(
        &self,
        app: &AppName,
        limit: Duration,
    ) -> Result<AppStatus, WaitError> {
        let generation = self.store.get(app).await?.generation;
        let mut snapshots = self.snapshots();
        let outcome = |snapshot: &Snapshot| {
            let status = snapshot.plan.statuses.get(app)?;
            if status.observed_generation < generation {
                return None;
            }
            match status.phase {
                Phase::Ready => Some(Ok(status.clone())),
                Phase::Failed => Some(Err(WaitError::Failed {
                    app: app.clone(),
                    reason: status.message.clone(),
                })),
                Phase::Pending | Phase::Progressing | Phase::Degraded | Phase::Deleting => None,
            }
        };
        let wait = snapshots.wait_for(|snapshot| outcome(snapshot).is_some());
        match tokio::time::timeout(limit, wait).await {
            Ok(Ok(snapshot)) => outcome(&snapshot).unwrap_or(Err(WaitError::Stopped)),
            Ok(Err(_)) => Err(WaitError::Stopped),
            Err(_) => {
                let snapshot = self.snapshot();
                let status = snapshot.plan.statuses.get(app);
                let reason = status.map(|status| status.message.clone()).unwrap_or_default();
                Err(WaitError::TimedOut { app: app.clone(), limit, reason })
            }
        }
    }

    /// Returns a receiver of snapshots, to wait for the next pass.
    pub fn snapshots(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshots.clone()
    }

    /// Returns the last pass.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshots.borrow())
    }

    /// Returns whether the orchestrator has not ended. One that does not run yet counts as
    /// running.
    pub fn is_running(&self) -> bool {
        !self.commands.is_closed()
    }

    /// Returns the newest revision of an app among the observed replicas, 0 if there is none.
    pub fn newest_revision_seen(&self, app: &AppName) -> u64 {
        let snapshot = self.snapshot();
        let replicas = snapshot.observed.replicas.iter().filter(|r| r.labels.app == *app);
        replicas.map(|replica| replica.labels.revision).max().unwrap_or(0)
    }

    /// Returns the last probe results of a replica, oldest first; none if it is not probed.
    pub fn probes(&self, id: &ContainerId) -> Vec<ProbeResult> {
        self.probes.results(id)
    }

    /// Starts a pass now. Changes in the store do that by themselves.
    pub fn run_pass(&self) {
        // An orchestrator that has ended runs no pass.
        let _ = self.commands.send(Command::RunPass);
    }

    /// Replaces one replica by a new one, by the rules of a rollout.
    pub fn evict(&self, id: ContainerId) {
        // An orchestrator that has ended replaces nothing.
        let _ = self.commands.send(Command::Evict(id));
    }

    /// Returns the last 200 lines of the container that crashed before the pod's present one,
    /// oldest first. `None` if this orchestrator has seen no crash of the pod.
    pub fn previous_logs(&self, pod: &str) -> Option<Arc<[LogLine]>> {
        self.previous_logs.lines(pod)
    }

    /// Removes everything that the instance owns: apps, replicas (orphans included), ingress and
    /// network. Named volumes stay. Returns once all is gone.
    ///
    /// # Errors
    ///
    /// [`TeardownError`]: what could not be removed, and why.
    pub async fn teardown(&self) -> Result<(), TeardownError> {
        let (answer, answered) = oneshot::channel();
        let command = Command::Teardown(answer);
        self.commands.send(command).map_err(|_| TeardownError::Stopped)?;
        answered.await.map_err(|_| TeardownError::Stopped)?
    }
}
