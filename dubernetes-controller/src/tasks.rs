//! What runs beside the loop: calls to the adapters. Their results come back as messages.

use std::net::Ipv4Addr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use dubernetes_core::error::{self, Cause};
use dubernetes_core::ingress::{ApplyOutcome, IngressError, RouteTable};
use dubernetes_core::plan::{Action, OperationKey, Planned};
use dubernetes_core::runtime::{
    ContainerId, ContainerRuntime, ProbeAnswer, RuntimeError, RuntimeEvent, exec_without_limit,
};
use dubernetes_core::state::FailureKind;

use super::approval::{Approval, Approver, PendingStep};
use super::execute::{self, ActionError};
use super::previous_logs::PreviousLogs;
use super::probe_spec::{ProbeMethod, ProbeSpec};
use super::{Adapters, Options};

/// At most so many calls to the engine at a time; a wait for a pull or a stop is not counted.
const PARALLEL_CALLS: usize = 8;
/// The wait before the engine's events are spec for again.
const EVENTS_RETRY: Duration = Duration::from_secs(1);

/// The result of something that ran beside the loop.
#[derive(Debug)]
pub(super) enum TaskResult {
    /// An action ended.
    Acted(Planned, Result<(), ActionError>),
    /// A table was applied, or was not.
    Routed(RouteTable, Result<ApplyOutcome, IngressError>),
    /// The ingress looked whether its files are whole, and put back those that were not.
    Repaired(Result<bool, IngressError>),
    /// A probe came back, or could not be sent.
    Probed(ProbeSpec, Result<ProbeAnswer, RuntimeError>),
    /// The ingress said whether requests to an address are under way.
    Drained(Ipv4Addr, Result<bool, IngressError>),
    /// Something happened on the engine.
    Event(RuntimeEvent),
    /// The stream of events ended or failed: some may be lost.
    EventsLost,
    /// Somebody agreed to a step.
    Answered(OperationKey, Approval),
}

/// The calls that are under way. Dropped, they are all ended.
#[derive(Debug)]
pub(super) struct Tasks {
    results: mpsc::UnboundedSender<TaskResult>,
    adapters: Adapters,
    options: Options,
    previous: PreviousLogs,
    calls: Arc<Semaphore>,
    running: JoinSet<()>,
}

impl Tasks {
    pub(super) fn new(
        results: mpsc::UnboundedSender<TaskResult>,
        adapters: Adapters,
        options: Options,
        previous: PreviousLogs,
    ) -> Self {
        let calls = Arc::new(Semaphore::new(PARALLEL_CALLS));
        Self { results, adapters, options, previous, calls, running: JoinSet::new() }
    }

    /// FirstSeenExits everything that is under way.
    pub(super) fn stop(mut self) {
        self.running.abort_all();
    }

    /// Waits until no call that makes or removes something is under way.
    pub(super) async fn calls_ended(&self) {
        let all = u32::try_from(PARALLEL_CALLS).unwrap_or(1);
        // The semaphore is never closed.
        drop(self.calls.acquire_many(all).await);
    }

    /// Carries out an action.
    pub(super) fn act(&mut self, planned: Planned) {
        let (adapters, instance) = (self.adapters.clone(), self.options.instance.clone());
        let (calls, previous) = (Arc::clone(&self.calls), self.previous.clone());
        self.spawn(async move {
            let is_long =
                matches!(planned.action, Action::Stop { .. } | Action::EnsureImage { .. });
            // The semaphore is never closed.
            let permit = if is_long { None } else { calls.acquire_owned().await.ok() };
            let call = execute::execute(&adapters, &instance, &previous, &planned);
            let failed = |message| ActionError { kind: FailureKind::Transient, message };
            let result = catch_panic(call).await.unwrap_or_else(|bug| Err(failed(bug)));
            drop(permit);
            TaskResult::Acted(planned, result)
        });
    }

    /// Has the ingress serve a table.
    pub(super) fn route(&mut self, table: RouteTable) {
        let ingress = Arc::clone(&self.adapters.ingress);
        self.spawn(async move {
            let result = catch_panic(ingress.apply(&table)).await;
            TaskResult::Routed(table, result.unwrap_or_else(|bug| Err(broken(bug))))
        });
    }

    /// Has the ingress look whether its files are whole.
    pub(super) fn repair(&mut self) {
        let ingress = Arc::clone(&self.adapters.ingress);
        self.spawn(async move { TaskResult::Repaired(ingress.repair().await) });
    }

    /// Sends a probe.
    pub(super) fn probe(&mut self, probe_spec: ProbeSpec) {
        let runtime = Arc::clone(&self.adapters.runtime);
        self.spawn(async move {
            let spec = async {
                match &probe_spec.method {
                    ProbeMethod::Probe(target) => runtime.probe(target).await,
                    ProbeMethod::Command { command, timeout } => {
                        run(&*runtime, &probe_spec.id, command, timeout.to_std()).await
                    }
                }
            };
            let failed = |bug| {
                let (operation, cause) = ("send a probe".to_owned(), Cause::text(bug));
                RuntimeError::Failed { operation, cause }
            };
            let result = catch_panic(spec).await.unwrap_or_else(|bug| Err(failed(bug)));
            TaskResult::Probed(probe_spec, result)
        });
    }

    /// Asks whether requests to an address are under way.
    pub(super) fn check_drain(&mut self, address: Ipv4Addr) {
        let ingress = Arc::clone(&self.adapters.ingress);
        self.spawn(async move {
            let result = catch_panic(ingress.drained(address)).await;
            TaskResult::Drained(address, result.unwrap_or_else(|bug| Err(broken(bug))))
        });
    }

    /// Asks whether a step may be done.
    pub(super) fn ask(&mut self, approver: Arc<dyn Approver>, step: PendingStep) {
        self.spawn(async move {
            let key = step.next.key();
            let approval = approver.approve(step).await;
            TaskResult::Answered(key, approval)
        });
    }

    /// Follows the engine's events for ever.
    pub(super) fn follow_events(&mut self) {
        let (adapters, options) = (self.adapters.clone(), self.options.clone());
        let results = self.results.clone();
        self.running.spawn(async move {
            loop {
                match adapters.runtime.events(&options.instance).await {
                    Ok(mut events) => {
                        while let Some(Ok(event)) = events.next().await {
                            if results.send(TaskResult::Event(event)).is_err() {
                                return;
                            }
                        }
                    }
                    Err(error) => {
                        tracing::debug!(error = %error::chain(&error), "no events from the engine");
                    }
                }
                if results.send(TaskResult::EventsLost).is_err() {
                    return;
                }
                tokio::time::sleep(EVENTS_RETRY).await;
            }
        });
    }

    fn spawn(&mut self, task: impl Future<Output = TaskResult> + Send + 'static) {
        let results = self.results.clone();
        self.running.spawn(async move {
            // A loop that has ended wants no result.
            let _ = results.send(task.await);
        });
        // Ended tasks are taken away now and then, so that their number stays bounded.
        while self.running.try_join_next().is_some() {}
    }
}

/// The end of a call, or what to say of one that panicked: else it would seem to be under way for ever.
async fn catch_panic<T>(call: impl Future<Output = T>) -> Result<T, String> {
    // Whatever the call left half changed is its own: the next pass looks at the world anew.
    AssertUnwindSafe(call).catch_unwind().await.map_err(|panic| {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        format!("bug: {}", error::one_line(text.unwrap_or("it ended without a word")))
    })
}

fn broken(bug: String) -> IngressError {
    IngressError::Failed(Cause::text(bug))
}

/// Asks by a command. One that takes too long is left to itself: an engine cannot end it alone.
async fn run(
    runtime: &dyn ContainerRuntime,
    id: &ContainerId,
    command: &[String],
    timeout: Duration,
) -> Result<ProbeAnswer, RuntimeError> {
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    match tokio::time::timeout(timeout, exec_without_limit(runtime, id, &words, None)).await {
        Ok(Ok(ended)) => {
            let output = if ended.stdout.is_empty() { ended.stderr } else { ended.stdout };
            let output = String::from_utf8_lossy(&output).into_owned();
            Ok(ProbeAnswer::Exited { code: ended.code, output })
        }
        Ok(Err(error)) => Err(error),
        Err(_) => Ok(ProbeAnswer::Failed { reason: format!("it took longer than {timeout:?}") }),
    }
}
