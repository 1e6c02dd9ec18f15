//! The handle of a running orchestrator.

mod certificates;
mod secrets;

pub use certificates::HostCertificate;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use dubernetes_core::app::{AppName, AppSpec, Permissions, RevisionId, ValidSpec};
use dubernetes_core::call::{CallFailure, FailureKind, OperationKey};
use dubernetes_core::certificate::CertificateIssuer;
use dubernetes_core::clock::Clock;
use dubernetes_core::error;
use dubernetes_core::ingress::{
    AccessLog, AccessLogQuery, AnswerProblem, Ingress, IngressError, RequestCounts,
};
use dubernetes_core::plan::{AppStatus, Phase, Wait};
use dubernetes_core::runtime::{Capability, ContainerId, LogLine, Stdio, missing_capabilities};
use dubernetes_core::state::EngineStatus;
use dubernetes_core::store::{Put, PutApp, RolloutAction, RolloutCommand, Store, StoreError};
use thiserror::Error;
use tokio::sync::{mpsc, watch};

use crate::adapters::Adapters;
use crate::history::{AppHistory, History};
use crate::one_off::{OneOffClient, OneOffs};
use crate::previous_logs::PreviousLogs;
use crate::probe::{ProbeHistory, ProbeResult};
use crate::snapshot::Snapshot;

/// Changes and reads the apps of an orchestrator. Clones belong to the same one.
#[derive(Debug, Clone)]
pub struct Handle {
    store: Arc<dyn Store>,
    ingress: Arc<dyn Ingress>,
    clock: Arc<dyn Clock>,
    issuer: Option<Arc<dyn CertificateIssuer>>,
    /// Capabilities that the runtime does not have.
    lacks: BTreeSet<Capability>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    passes: mpsc::UnboundedSender<()>,
    probes: ProbeHistory,
    previous_logs: PreviousLogs,
    permissions: Permissions,
    one_offs: OneOffs,
    history: History,
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
    /// Something cannot be removed. The orchestrator goes on trying; a repeated request waits for
    /// that again.
    #[error("{0}")]
    Failed(String),
    /// The orchestrator has ended.
    #[error("the orchestrator has ended")]
    Stopped,
}

impl Handle {
    pub(crate) fn new(
        adapters: Adapters,
        snapshots: watch::Receiver<Arc<Snapshot>>,
        passes: mpsc::UnboundedSender<()>,
        probes: ProbeHistory,
        previous_logs: PreviousLogs,
        permissions: Permissions,
    ) -> Self {
        let lacks = missing_capabilities(&*adapters.runtime);
        let Adapters { store, ingress, clock, issuer, .. } = adapters;
        Self {
            store,
            ingress,
            clock,
            issuer,
            lacks,
            snapshots,
            passes,
            probes,
            previous_logs,
            permissions,
            one_offs: OneOffs::default(),
            history: History::default(),
        }
    }

    /// Stores an app. Returns once the change is durable; the rollout follows.
    ///
    /// # Errors
    ///
    /// Those of [`Handle::validate`] and [`Handle::put`].
    pub async fn apply(&self, spec: &AppSpec) -> Result<Put, StoreError> {
        self.put(PutApp::new(self.validate(spec.clone())?, self.clock.now())).await
    }

    /// Stores an app with the options of `put`; its `newest_seen` is raised to the newest revision
    /// that was observed.
    ///
    /// # Errors
    ///
    /// Those of [`Handle::check`] and [`Store::put`]; [`StoreError::Invalid`] if a host cannot be
    /// served over HTTPS, or with the certificate that the specification has.
    pub async fn put(&self, put: PutApp) -> Result<Put, StoreError> {
        self.check(&put.spec)?;
        self.check_certificates(&put.spec).await?;
        let newest_seen = put.newest_seen.max(self.newest_revision_seen(&put.spec.name));
        self.store.put(PutApp { newest_seen, ..put }).await
    }

    /// Checks a specification, and that it needs no permission that apps do not have and no
    /// capability that the runtime does not have.
    ///
    /// # Errors
    ///
    /// [`StoreError::Invalid`] with every problem.
    pub fn check(&self, spec: &AppSpec) -> Result<(), StoreError> {
        spec.check_with(&self.permissions)
            .and_then(|()| spec.check_for(&self.lacks))
            .map_err(|problems| StoreError::Invalid { name: spec.name.clone(), problems })
    }

    /// Validates a specification after [`Handle::check`].
    ///
    /// # Errors
    ///
    /// Those of [`Handle::check`].
    pub fn validate(&self, spec: AppSpec) -> Result<ValidSpec, StoreError> {
        self.check(&spec)?;
        let name = spec.name.clone();
        spec.validate().map_err(|problems| StoreError::Invalid { name, problems })
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
        let spec = self.validate(AppSpec { replicas, ..stored.spec.into_inner() })?;
        let newest_seen = self.newest_revision_seen(app);
        let put = PutApp::new(spec, self.clock.now());
        // Its certificate may have expired since it was applied.
        let expected_generation = Some(stored.generation);
        self.store.put(PutApp { expected_generation, newest_seen, ..put }).await
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
        !self.passes.is_closed()
    }

    /// Returns the newest revision of an app among the observed replicas, [`RevisionId::NONE`] if
    /// there is none.
    pub fn newest_revision_seen(&self, app: &AppName) -> RevisionId {
        let snapshot = self.snapshot();
        let replicas = snapshot.observed.replicas.iter().filter(|r| r.labels.app == *app);
        replicas.map(|replica| replica.labels.revision).max().unwrap_or(RevisionId::NONE)
    }

    /// Returns the last probe results of a replica, oldest first; none if it is not probed.
    pub fn probes(&self, id: &ContainerId) -> Vec<ProbeResult> {
        self.probes.results(id)
    }

    /// Starts a pass now. Changes in the store do that by themselves.
    pub fn run_pass(&self) {
        // An orchestrator that has ended runs no pass.
        let _ = self.passes.send(());
    }

    /// Replaces the replica with this container by a new one, by the rules of a rollout. Returns
    /// once the request is durable.
    ///
    /// # Errors
    ///
    /// Those of [`Store::evict`].
    pub async fn evict(&self, app: &AppName, id: &ContainerId) -> Result<(), StoreError> {
        self.store.evict(app, id).await
    }

    /// Returns the last 200 lines of the container that crashed before the pod's present one,
    /// oldest first. `None` if this orchestrator has seen no crash of the pod.
    pub fn previous_logs(&self, pod: &str) -> Option<Arc<[LogLine]>> {
        self.previous_logs.lines(pod)
    }

    /// Returns recent answers of replicas that the ingress could not pass on; none if that cannot
    /// be read.
    pub async fn answer_problems(&self) -> Vec<AnswerProblem> {
        self.ingress.answer_problems().await.unwrap_or_default()
    }

    /// Returns requests to an app, as [`Ingress::access_log`] does.
    ///
    /// # Errors
    ///
    /// Those of [`Ingress::access_log`].
    pub async fn access_log(
        &self,
        query: &AccessLogQuery,
    ) -> Result<Option<AccessLog>, IngressError> {
        self.ingress.access_log(query).await
    }

    /// Returns the requests to each app that were answered, as [`Ingress::request_counts`] does.
    ///
    /// # Errors
    ///
    /// Those of [`Ingress::request_counts`].
    pub async fn request_counts(
        &self,
    ) -> Result<Option<BTreeMap<AppName, RequestCounts>>, IngressError> {
        self.ingress.request_counts().await
    }

    /// Returns what an app used in the last hour, as far as this orchestrator has run.
    pub fn history(&self, app: &AppName) -> AppHistory {
        self.history.of_app(app)
    }

    pub(crate) fn histories(&self) -> &History {
        &self.history
    }

    /// Asks for a one-off container of an app: its image, environment, files, volumes and limits,
    /// with this command, or with its own if that is empty. The container exists for the returned
    /// client alone: it is removed once that is dropped.
    pub fn run_one_off(&self, app: &AppName, command: Vec<String>, stdio: Stdio) -> OneOffClient {
        let pod = self.one_offs.add(app, command, stdio);
        self.run_pass();
        OneOffClient::new(self.clone(), pod)
    }

    pub(crate) fn one_offs(&self) -> &OneOffs {
        &self.one_offs
    }

    /// Removes everything that the instance owns: apps, replicas (orphans included), ingress and
    /// network. Named volumes stay. Returns once all is gone.
    ///
    /// The request is stored: an orchestrator that ends before goes on after its next start, and so
    /// does one whose teardown has failed. Until all is gone, no app can be stored.
    ///
    /// # Errors
    ///
    /// [`TeardownError`]: what cannot be removed, and why.
    pub async fn teardown(&self) -> Result<(), TeardownError> {
        if !self.is_running() {
            return Err(TeardownError::Stopped);
        }
        let mut snapshots = self.snapshots();
        let is_observed = |seen: &Arc<Snapshot>| seen.passes > 0 || seen.store_problem.is_some();
        let seen = snapshots.wait_for(is_observed).await.map(|seen| Arc::clone(&seen));
        let seen = seen.map_err(|_| TeardownError::Stopped)?;
        // Nothing is requested that cannot begin: the instance may belong to another state.
        if let Some(problem) = unreachable(&seen) {
            return Err(TeardownError::Failed(problem.to_owned()));
        }
        let before = &seen.observed.failures;
        let failed = |error: StoreError| TeardownError::Failed(error::chain(&error));
        self.store.request_teardown(self.clock.now()).await.map_err(failed)?;
        loop {
            snapshots.changed().await.map_err(|_| TeardownError::Stopped)?;
            let snapshot = Arc::clone(&snapshots.borrow_and_update());
            if let Some(problem) = teardown_problem(&snapshot, before) {
                return Err(TeardownError::Failed(problem));
            }
            // The snapshot may be from before the request.
            let may_be_done = snapshot.desired.teardown.is_none();
            if may_be_done && self.store.list().await.map_err(failed)?.teardown.is_none() {
                return Ok(());
            }
        }
    }
}

/// Failures of one call after which a teardown counts as failed, even if they may go away.
const TEARDOWN_ATTEMPTS: u32 = 3;

/// Returns why the store or the engine cannot be read, if so.
fn unreachable(snapshot: &Snapshot) -> Option<&str> {
    match (&snapshot.store_problem, &snapshot.observed.engine) {
        (Some(problem), _) => Some(problem),
        (None, EngineStatus::Unreachable { reason, .. }) => Some(reason),
        (None, EngineStatus::Reachable) => None,
    }
}

/// Returns what a teardown cannot remove, if anything. Failures from `before` its request do not
/// count.
fn teardown_problem(
    snapshot: &Snapshot,
    before: &BTreeMap<OperationKey, CallFailure>,
) -> Option<String> {
    if let Some(problem) = unreachable(snapshot) {
        return Some(problem.to_owned());
    }
    snapshot.plan.waiting.iter().find_map(|waiting| {
        let Wait::Retry { call, failure } = &waiting.wait else { return None };
        let is_given_up =
            failure.kind != FailureKind::Transient || failure.count >= TEARDOWN_ATTEMPTS;
        let is_new = before.get(call) != Some(failure);
        (is_given_up && is_new).then(|| format!("{}: {}", waiting.object(), waiting.wait))
    })
}
