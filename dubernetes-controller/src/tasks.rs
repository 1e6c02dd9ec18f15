//! The tasks beside the loop: calls to the adapters, whose results come back as messages.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dubernetes_core::app::InstanceName;
use dubernetes_core::call::{FailureKind, OperationKey};
use dubernetes_core::dial::ProbeAnswer;
use dubernetes_core::error;
use dubernetes_core::ingress::{ApplyOutcome, Drained, IngressError, RouteTable};
use dubernetes_core::plan::{Action, Planned};
use dubernetes_core::runtime::{
    ContainerId, ContainerRuntime, RuntimeError, RuntimeEvent, run_command,
};
use futures_util::StreamExt as _;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use crate::adapters::Adapters;
use crate::approval::{Approval, Approver, PendingStep};
use crate::execute::{self, ActionError};
use crate::guard::catch_panic;
use crate::history::{self, History};
use crate::observe::{self, LastSeen, Observation};
use crate::orchestrator::Options;
use crate::previous_logs::PreviousLogs;
use crate::probe_spec::{ProbeMethod, ProbeSpec};
use crate::snapshot::Snapshot;

/// Actions in flight at a time, without pulls, stops and orders of certificates.
const PARALLEL_CALLS: usize = 8;
/// Orders of certificates in flight at a time. Each may take minutes.
const PARALLEL_ORDERS: usize = 8;
/// Time before the engine's events are subscribed to again.
const EVENTS_RETRY: Duration = Duration::from_secs(1);

/// The result of a task.
#[derive(Debug)]
pub(crate) enum TaskResult {
    /// An observation for the next pass.
    Observed(Box<Observation>),
    /// An action ended; a create returns its container.
    Acted(Planned, Result<Option<ContainerId>, ActionError>),
    /// A route table was applied, or not.
    Routed(RouteTable, Result<ApplyOutcome, IngressError>),
    /// The ingress checked its files and settings, and says what it repaired.
    Repaired(Result<Option<String>, IngressError>),
    /// A probe was answered, or could not be sent.
    Probed(ProbeSpec, Result<ProbeAnswer, RuntimeError>),
    /// The ingress said whether requests to an endpoint are in flight.
    Drained(SocketAddr, Result<Drained, IngressError>),
    /// Something happened on the engine.
    Event(RuntimeEvent),
    /// The stream of events ended or failed, so some may be lost.
    EventsLost,
    /// A step was approved.
    Approved(OperationKey, Approval),
}

/// Starts tasks. When it is dropped, all of them end.
#[derive(Debug)]
pub(crate) struct Tasks {
    results: mpsc::UnboundedSender<TaskResult>,
    adapters: Adapters,
    options: Options,
    previous_logs: PreviousLogs,
    calls: Arc<Semaphore>,
    orders: Arc<Semaphore>,
    running: JoinSet<()>,
}

impl Tasks {
    pub(crate) fn new(
        results: mpsc::UnboundedSender<TaskResult>,
        adapters: &Adapters,
        options: &Options,
        previous_logs: PreviousLogs,
    ) -> Self {
        Self {
            results,
            adapters: adapters.clone(),
            options: options.clone(),
            previous_logs,
            calls: Arc::new(Semaphore::new(PARALLEL_CALLS)),
            orders: Arc::new(Semaphore::new(PARALLEL_ORDERS)),
            running: JoinSet::new(),
        }
    }

    /// Ends every task.
    pub(crate) fn abort(mut self) {
        self.running.abort_all();
    }

    /// Observes everything for the next pass.
    pub(crate) fn observe(&mut self, last: LastSeen) {
        let adapters = self.adapters.clone();
        let options = self.options.clone();
        self.spawn(async move {
            let observation = observe::observe(&adapters, &options, last).await;
            TaskResult::Observed(Box::new(observation))
        });
    }

    /// Executes an action.
    pub(crate) fn act(&mut self, planned: Planned) {
        let adapters = self.adapters.clone();
        let instance = self.options.instance.clone();
        let previous_logs = self.previous_logs.clone();
        let limit = match planned.action {
            Action::Stop { .. } | Action::EnsureImage { .. } => None,
            Action::IssueCertificate { .. } => Some(&self.orders),
            _ => Some(&self.calls),
        };
        let limit = limit.map(Arc::clone);
        self.spawn(async move {
            let permit = match limit {
                // The semaphore is never closed.
                Some(limit) => limit.acquire_owned().await.ok(),
                None => None,
            };
            let call = execute::execute(&adapters, &instance, &previous_logs, &planned);
            let failed = |message| ActionError { kind: FailureKind::Transient, message };
            let result = catch_panic(call).await.unwrap_or_else(|text| Err(failed(text)));
            drop(permit);
            TaskResult::Acted(planned, result)
        });
    }

    /// Publishes the names of a route table, and applies the table.
    pub(crate) fn apply_routes(&mut self, table: RouteTable) {
        let adapters = self.adapters.clone();
        let instance = self.options.instance.clone();
        self.spawn(async move {
            let result = match publish_names(&adapters, &instance, &table).await {
                Ok(()) => adapters.ingress.apply(&table).await,
                Err(error) => Err(error.into()),
            };
            TaskResult::Routed(table, result)
        });
    }

    /// Checks and restores the files of the ingress, and the names of the served table.
    pub(crate) fn repair_ingress(&mut self, table: RouteTable) {
        let adapters = self.adapters.clone();
        let instance = self.options.instance.clone();
        self.spawn(async move {
            let result = match publish_names(&adapters, &instance, &table).await {
                Ok(()) => adapters.ingress.repair().await,
                Err(error) => Err(error.into()),
            };
            TaskResult::Repaired(result)
        });
    }

    /// Sends a probe.
    pub(crate) fn probe(&mut self, spec: ProbeSpec) {
        let runtime = Arc::clone(&self.adapters.runtime);
        let dialer = Arc::clone(&self.adapters.dialer);
        self.spawn(async move {
            let result = match &spec.method {
                ProbeMethod::Dial { endpoint: None, .. } => {
                    Ok(ProbeAnswer::Failed { reason: "its endpoint is not known yet".to_owned() })
                }
                ProbeMethod::Dial { endpoint: Some(endpoint), probe, timeout, .. } => {
                    let answer = dialer.probe(*endpoint, probe, *timeout).await;
                    Ok(with_open_ports(&*runtime, &spec.id, *endpoint, answer).await)
                }
                ProbeMethod::Command { command, timeout } => {
                    probe_by_command(&*runtime, &spec.id, command, timeout.to_std()).await
                }
            };
            TaskResult::Probed(spec, result)
        });
    }

    /// Checks whether requests to an endpoint are in flight.
    pub(crate) fn check_drain(&mut self, endpoint: SocketAddr) {
        let ingress = Arc::clone(&self.adapters.ingress);
        self.spawn(async move { TaskResult::Drained(endpoint, ingress.drained(endpoint).await) });
    }

    /// Asks for an approval.
    pub(crate) fn ask(&mut self, approver: Arc<dyn Approver>, step: PendingStep) {
        self.spawn(async move {
            let key = step.next.key();
            let approval = approver.approve(step).await;
            TaskResult::Approved(key, approval)
        });
    }

    /// Follows the engine's events for ever.
    pub(crate) fn follow_events(&mut self) {
        let runtime = Arc::clone(&self.adapters.runtime);
        let instance = self.options.instance.clone();
        let results = self.results.clone();
        self.running.spawn(async move {
            loop {
                let followed = catch_panic(async {
                    let mut events = runtime.events(&instance).await?;
                    while let Some(event) = events.next().await {
                        if results.send(TaskResult::Event(event?)).is_err() {
                            break;
                        }
                    }
                    Ok::<(), RuntimeError>(())
                });
                match followed.await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => {
                        tracing::debug!(error = %error::chain(&error), "no events from the engine");
                    }
                    Err(error) => tracing::warn!(error, "the stream of engine events panicked"),
                }
                if results.send(TaskResult::EventsLost).is_err() {
                    return;
                }
                tokio::time::sleep(EVENTS_RETRY).await;
            }
        });
    }

    /// Samples what apps use, for ever. A process that may end at any time keeps no history.
    pub(crate) fn sample(&mut self, history: History, passes: watch::Receiver<Arc<Snapshot>>) {
        if !self.options.short_lived {
            self.running.spawn(history::sample(self.adapters.clone(), history, passes));
        }
    }

    fn spawn(&mut self, task: impl Future<Output = TaskResult> + Send + 'static) {
        let results = self.results.clone();
        self.running.spawn(async move {
            // A loop that has ended needs no result.
            let _ = results.send(task.await);
        });
        // Reaps ended tasks, so that their number stays bounded.
        while self.running.try_join_next().is_some() {}
    }
}

/// Publishes the names of a table, if the runtime has networks.
async fn publish_names(
    adapters: &Adapters,
    instance: &InstanceName,
    table: &RouteTable,
) -> Result<(), RuntimeError> {
    match adapters.runtime.networks() {
        Some(networks) => networks.publish_names(instance, &table.names()).await,
        None => Ok(()),
    }
}

/// Adds to a refused connection where the container listens instead.
async fn with_open_ports(
    runtime: &dyn ContainerRuntime,
    id: &ContainerId,
    endpoint: SocketAddr,
    answer: ProbeAnswer,
) -> ProbeAnswer {
    match answer {
        ProbeAnswer::Refused { port, .. } => {
            ProbeAnswer::Refused { port, open: runtime.open_ports(id, endpoint).await }
        }
        ProbeAnswer::Connected
        | ProbeAnswer::Http { .. }
        | ProbeAnswer::Exited { .. }
        | ProbeAnswer::Failed { .. } => answer,
    }
}

/// Probes by a command. A command that takes too long is abandoned: an engine cannot end it alone.
async fn probe_by_command(
    runtime: &dyn ContainerRuntime,
    id: &ContainerId,
    command: &[String],
    timeout: Duration,
) -> Result<ProbeAnswer, RuntimeError> {
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    match tokio::time::timeout(timeout, run_command(runtime, id, &words, None)).await {
        Ok(Ok(result)) => {
            let output = if result.stdout.is_empty() { result.stderr } else { result.stdout };
            let output = String::from_utf8_lossy(&output).into_owned();
            Ok(ProbeAnswer::Exited { code: result.code, output })
        }
        Ok(Err(error)) => Err(error),
        Err(_) => Ok(ProbeAnswer::Failed { reason: format!("no result within {timeout:?}") }),
    }
}
