//! The loop: wait, observe, reconcile, execute, route, record, and round again.
//!
//! The loop is level-triggered: a trigger is a reason to look, and every pass begins from what is
//! seen then. It never sleeps for an app and never waits for an engine call: calls run beside it,
//! and their results are triggers.

mod approval;
mod cache;
mod events;
mod execute;
mod observe;
mod pass;
mod previous_logs;
mod probe;
mod probe_spec;
mod rate_limit;
mod tasks;
mod teardown;

pub use approval::{Approval, Approver, NextStep, PendingStep};

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use dubernetes_core::app::{Duration, InstanceName};
use dubernetes_core::clock::Clock;
use dubernetes_core::ingress::Ingress;
use dubernetes_core::plan::Plan;
use dubernetes_core::replay::Recorder;
use dubernetes_core::runtime::{ContainerId, ContainerRuntime, EngineVersion, LogLine};
use dubernetes_core::state::{DesiredState, ObservedState};
use dubernetes_core::store::Store;

pub use probe::ProbeResult;

use pass::Pass;
use previous_logs::PreviousLogs;
use probe::ProbeHistory;
use tasks::{TaskResult, Tasks};

/// The outside world, as the controller sees it.
#[derive(Debug, Clone)]
pub struct Adapters {
    /// The container engine.
    pub runtime: Arc<dyn ContainerRuntime>,
    /// What is desired.
    pub store: Arc<dyn Store>,
    /// The reverse proxy.
    pub ingress: Arc<dyn Ingress>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// How a controller works.
#[derive(Debug, Clone)]
pub struct Options {
    /// The instance whose containers it keeps.
    pub instance: InstanceName,
    /// Whether it acts, or only observes and plans.
    pub mode: Mode,
    /// The longest time between two full lists.
    pub resync: Duration,
    /// The host's port on which the ingress listens, for the addresses in events.
    pub http_port: u16,
    /// Who keeps the decisions that it makes, wherever their input or their plan is new.
    pub recorder: Option<Arc<dyn Recorder>>,
    /// Who is asked before each step; else nobody is.
    pub approver: Option<Arc<dyn Approver>>,
}

impl Options {
    /// The defaults: acts, and lists at least every 15 s; the ingress listens on port 80.
    pub fn new(instance: InstanceName) -> Self {
        let resync = Duration::from_secs(15);
        Self { instance, mode: Mode::Act, resync, http_port: 80, recorder: None, approver: None }
    }
}

/// Whether a controller acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It carries out its plans.
    Act,
    /// It observes and plans, and changes nothing.
    Observe,
}

/// What the controller knew and decided in its last pass.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// How many passes there were. 0: nothing is known yet.
    pub passes: u64,
    /// When the pass began.
    pub at: Option<Timestamp>,
    /// When the next pass begins if nothing happens before.
    pub requeue_at: Option<Timestamp>,
    /// What was desired.
    pub desired: DesiredState,
    /// What was observed.
    pub observed: ObservedState,
    /// What was decided.
    pub plan: Plan,
    /// Who the engine is; none while it does not answer.
    pub engine: Option<EngineVersion>,
    /// Why the store could not be read in the last try; the rest is from the last pass that could.
    pub store_problem: Option<String>,
}

/// What users of a running controller can do with it. Clones speak to the same one.
#[derive(Debug, Clone)]
pub struct ControllerHandle {
    snapshots: watch::Receiver<Arc<Snapshot>>,
    commands: mpsc::UnboundedSender<Command>,
    probes: ProbeHistory,
    previous: PreviousLogs,
}

impl ControllerHandle {
    /// The last pass, and a way to wait for the next.
    pub fn snapshots(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshots.clone()
    }

    /// The last pass.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshots.borrow())
    }

    /// The last answers of a replica to probes, oldest first; none of one that is not asked.
    pub fn probes(&self, id: &ContainerId) -> Vec<ProbeResult> {
        self.probes.of(id)
    }

    /// Asks for a pass now. Changes in the store do so by themselves.
    pub fn wake(&self) {
        // A controller that has ended has nothing to wake.
        let _ = self.commands.send(Command::RunPass);
    }

    /// Has one replica replaced by a new one, by the rules of a rollout. The wish is forgotten
    /// with the controller.
    pub fn evict(&self, id: ContainerId) {
        let _ = self.commands.send(Command::Evict(id));
    }

    /// The last 200 lines of the container that crashed before the pod's present one, oldest
    /// first. `None` if this controller has seen none crash. They are forgotten with the pod and
    /// with the controller.
    pub fn previous_output(&self, pod: &str) -> Option<Arc<[LogLine]>> {
        self.previous.of(pod)
    }

    /// Removes everything that the instance owns: apps, replicas (orphans too), ingress, network.
    /// Named volumes stay. Returns once all is gone.
    ///
    /// # Errors
    ///
    /// What could not be removed and why, as a sentence fragment.
    pub async fn teardown(&self) -> Result<(), String> {
        let (answer, answered) = oneshot::channel();
        let gone = || "the controller has ended".to_owned();
        self.commands.send(Command::TearDown(answer)).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

/// A wish of a handle.
#[derive(Debug)]
enum Command {
    RunPass,
    Evict(ContainerId),
    TearDown(oneshot::Sender<Result<(), String>>),
}

/// The loop itself. Made with [`Controller::new`], it works while [`Controller::run`] does.
#[derive(Debug)]
pub struct Controller {
    options: Options,
    adapters: Adapters,
    commands: mpsc::UnboundedReceiver<Command>,
    snapshots: watch::Sender<Arc<Snapshot>>,
    probes: ProbeHistory,
    previous: PreviousLogs,
}

impl Controller {
    /// A controller that does not run yet, and a handle to it.
    pub fn new(options: Options, adapters: Adapters) -> (Self, ControllerHandle) {
        let (commands_in, commands) = mpsc::unbounded_channel();
        let (snapshots, snapshots_out) = watch::channel(Arc::new(Snapshot::default()));
        let probes = ProbeHistory::default();
        let previous = PreviousLogs::default();
        let handle = ControllerHandle {
            snapshots: snapshots_out,
            commands: commands_in,
            probes: probes.clone(),
            previous: previous.clone(),
        };
        (Self { options, adapters, commands, snapshots, probes, previous }, handle)
    }

    /// Works until `stop` is cancelled. Then it ends at once and leaves everything as it is:
    /// replicas and ingress go on, and the next controller takes them over.
    pub async fn run(self, stop: CancellationToken) {
        let Self { options, adapters, mut commands, snapshots, probes, previous } = self;
        let looked = snapshots.subscribe();
        let (results_in, mut results) = mpsc::unbounded_channel();
        let mut changes = adapters.store.watch();
        let mut tasks = Tasks::new(results_in, adapters.clone(), options.clone(), previous.clone());
        tasks.follow_events();
        let mut pass = Pass::new(options, adapters, snapshots, probes);
        let mut next = Instant::now();
        loop {
            let trigger = tokio::select! {
                // In this order, so that equal runs on virtual time are equal. None is left out
                // for long: what ends late in the list is done by every pass as well.
                biased;
                // Cancel-safe: the token stays cancelled.
                () = stop.cancelled() => break,
                // Cancel-safe: a message that was not received stays in the channel. A closed
                // channel means that nobody can wish anything any more.
                Some(command) = commands.recv() => Trigger::Command(command),
                // Cancel-safe as above; the sender lives as long as the tasks do.
                Some(result) = results.recv() => Trigger::Result(Box::new(result)),
                // Cancel-safe: an unseen change stays unseen.
                Ok(()) = changes.changed() => Trigger::StoreChanged,
                // Cancel-safe: time passes anyway.
                () = tokio::time::sleep_until(next) => Trigger::Time,
            };
            let mut look = pass.handle_trigger(trigger, &mut tasks).await;
            // What came in the meantime is part of the same pass.
            while let Ok(result) = results.try_recv() {
                look |= pass.handle_trigger(Trigger::Result(Box::new(result)), &mut tasks).await;
            }
            if look {
                changes.borrow_and_update();
                pass.run(&mut tasks).await;
                previous.forget_all_but(&looked.borrow().plan);
            }
            next = pass.next_wake();
        }
        tasks.stop();
    }
}

/// Why the loop woke.
#[derive(Debug)]
enum Trigger {
    Command(Command),
    Result(Box<TaskResult>),
    StoreChanged,
    Time,
}
