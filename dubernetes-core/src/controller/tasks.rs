//! What runs beside the loop: calls to the ports. Their results come back as messages.

use std::net::Ipv4Addr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::error::{self, Cause};
use crate::ingress::{Applied, IngressError, RouteTable};
use crate::plan::{Action, CallKey, Planned};
use crate::runtime::{
    ContainerId, ContainerRuntime, ProbeAnswer, RuntimeError, RuntimeEvent, exec_without_limit,
};
use crate::state::FailureKind;

use super::execute::{self, Failed};
use super::previous::Previous;
use super::question::{Ask, Question};
use super::step::{Approval, Approve, Step};
use super::{Options, Ports};

/// At most so many calls to the engine at a time; a wait for a pull or a stop is not counted.
const PARALLEL_CALLS: usize = 8;
/// The wait before the engine's events are asked for again.
const EVENTS_RETRY: Duration = Duration::from_secs(1);

/// The result of something that ran beside the loop.
#[derive(Debug)]
pub(super) enum TaskResult {
    /// An action ended.
    Acted(Planned, Result<(), Failed>),
    /// A table was applied, or was not.
    Routed(RouteTable, Result<Applied, IngressError>),
    /// The ingress looked whether its files are whole, and put back those that were not.
    Mended(Result<bool, IngressError>),
    /// A probe came back, or could not be sent.
    Probed(Question, Result<ProbeAnswer, RuntimeError>),
    /// The ingress said whether requests to an address are under way.
    Drained(Ipv4Addr, Result<bool, IngressError>),
    /// Something happened on the engine.
    Event(RuntimeEvent),
    /// The stream of events ended or failed: some may be lost.
    EventsLost,
    /// Somebody agreed to a step.
    Answered(CallKey, Approval),
}

/// The calls that are under way. Dropped, they are all ended.
#[derive(Debug)]
pub(super) struct Tasks {
    results: mpsc::UnboundedSender<TaskResult>,
    ports: Ports,
    options: Options,
    previous: Previous,
    calls: Arc<Semaphore>,
    running: JoinSet<()>,
}

impl Tasks {
    pub(super) fn new(
        results: mpsc::UnboundedSender<TaskResult>,
        ports: Ports,
        options: Options,
        previous: Previous,
    ) -> Self {
        let calls = Arc::new(Semaphore::new(PARALLEL_CALLS));
        Self { results, ports, options, previous, calls, running: JoinSet::new() }
    }

    /// Ends everything that is under way.
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
        let (ports, instance) = (self.ports.clone(), self.options.instance.clone());
        let (calls, previous) = (Arc::clone(&self.calls), self.previous.clone());
        self.spawn(async move {
            let is_long =
                matches!(planned.action, Action::Stop { .. } | Action::EnsureImage { .. });
            // The semaphore is never closed.
            let permit = if is_long { None } else { calls.acquire_owned().await.ok() };
            let call = execute::execute(&ports, &instance, &previous, &planned);
            let failed = |message| Failed { kind: FailureKind::Passing, message };
            let result = guarded(call).await.unwrap_or_else(|bug| Err(failed(bug)));
            drop(permit);
            TaskResult::Acted(planned, result)
        });
    }

    /// Has the ingress serve a table.
    pub(super) fn route(&mut self, table: RouteTable) {
        let ingress = Arc::clone(&self.ports.ingress);
        self.spawn(async move {
            let result = guarded(ingress.apply(&table)).await;
            TaskResult::Routed(table, result.unwrap_or_else(|bug| Err(broken(bug))))
        });
    }

    /// Has the ingress look whether its files are whole.
    pub(super) fn mend(&mut self) {
        let ingress = Arc::clone(&self.ports.ingress);
        self.spawn(async move { TaskResult::Mended(ingress.mend().await) });
    }

    /// Sends a probe.
    pub(super) fn probe(&mut self, question: Question) {
        let runtime = Arc::clone(&self.ports.runtime);
        self.spawn(async move {
            let asked = async {
                match &question.ask {
                    Ask::Probe(target) => runtime.probe(target).await,
                    Ask::Command { command, timeout } => {
                        run(&*runtime, &question.id, command, timeout.to_std()).await
                    }
                }
            };
            let failed = |bug| {
                let (operation, cause) = ("send a probe".to_owned(), Cause::text(bug));
                RuntimeError::Failed { operation, cause }
            };
            let result = guarded(asked).await.unwrap_or_else(|bug| Err(failed(bug)));
            TaskResult::Probed(question, result)
        });
    }

    /// Asks whether requests to an address are under way.
    pub(super) fn check_drain(&mut self, address: Ipv4Addr) {
        let ingress = Arc::clone(&self.ports.ingress);
        self.spawn(async move {
            let result = guarded(ingress.drained(address)).await;
            TaskResult::Drained(address, result.unwrap_or_else(|bug| Err(broken(bug))))
        });
    }

    /// Asks whether a step may be done.
    pub(super) fn ask(&mut self, approve: Arc<dyn Approve>, step: Step) {
        self.spawn(async move {
            let key = step.next.key();
            let approval = approve.approve(step).await;
            TaskResult::Answered(key, approval)
        });
    }

    /// Follows the engine's events for ever.
    pub(super) fn follow_events(&mut self) {
        let (ports, options) = (self.ports.clone(), self.options.clone());
        let results = self.results.clone();
        self.running.spawn(async move {
            loop {
                match ports.runtime.events(&options.instance).await {
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
async fn guarded<T>(call: impl Future<Output = T>) -> Result<T, String> {
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
