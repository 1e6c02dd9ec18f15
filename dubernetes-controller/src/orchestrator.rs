//! The orchestrator: its builder, and the loop that waits for triggers.

use std::sync::Arc;

use dubernetes_core::app::{Duration, InstanceName, IssuedTls, Permissions, Tls};
use dubernetes_core::certificate::CertificateIssuer;
use dubernetes_core::clock::{Clock, SystemClock};
use dubernetes_core::dial::Dialer;
use dubernetes_core::ingress::Ingress;
use dubernetes_core::replay::Recorder;
use dubernetes_core::runtime::{ContainerRuntime, Owner};
use dubernetes_core::store::Store;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::adapters::Adapters;
use crate::approval::Approver;
use crate::dial::TcpDialer;
use crate::event_writer::EventWriter;
use crate::handle::Handle;
use crate::meter::{Meter, Metering};
use crate::pass::Pass;
use crate::previous_logs::PreviousLogs;
use crate::probe::ProbeHistory;
use crate::snapshot::{Mode, Snapshot};
use crate::tasks::{TaskResult, Tasks};

/// Longest time between two full lists, unless the builder says otherwise.
const RESYNC: Duration = Duration::from_secs(15);

/// How an orchestrator works.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// The instance whose containers it manages.
    pub(crate) instance: InstanceName,
    /// The state that claims the instance on the runtime.
    pub(crate) owner: Option<Owner>,
    pub(crate) mode: Mode,
    /// Longest time between two full lists.
    pub(crate) resync: Duration,
    /// The host's port on which the ingress listens, for the URLs in events.
    pub(crate) http_port: u16,
    /// Where the certificates of hosts without `tls` come from.
    pub(crate) default_tls: Option<Tls>,
    /// Keeps each decision whose input or plan is new.
    pub(crate) recorder: Option<Arc<dyn Recorder>>,
    /// Is asked before each step.
    pub(crate) approver: Option<Arc<dyn Approver>>,
    /// The process may end at any time.
    pub(crate) short_lived: bool,
    /// Counts what happens.
    pub(crate) meter: Metering,
}

/// Runs the apps of one instance: made by [`Orchestrator::builder`], it works while
/// [`Orchestrator::run`] does.
///
/// # Examples
///
/// An orchestrator on fakes; with real adapters the rest is the same.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use dubernetes_controller::Orchestrator;
/// use dubernetes_core::app::{AppName, AppSpec, ImageRef, InstanceName};
/// use dubernetes_testkit::{Behaviour, FakeIngress, FakeRuntime, MemoryStore, TokioClock};
/// use tokio_util::sync::CancellationToken;
///
/// let clock = TokioClock::new();
/// let runtime = FakeRuntime::new(clock);
/// runtime.add_image("web:1", Behaviour::default());
/// let orchestrator = Orchestrator::builder(InstanceName::default())
///     .runtime(Arc::new(runtime.clone()))
///     .store(Arc::new(MemoryStore::default()))
///     .ingress(Arc::new(FakeIngress::default()))
///     .dialer(Arc::new(runtime))
///     .clock(Arc::new(clock))
///     .build();
/// let handle = orchestrator.handle();
/// let stop = CancellationToken::new();
/// let running = tokio::spawn(orchestrator.run(stop.clone()));
///
/// let web = AppSpec::new(AppName::parse("web")?, ImageRef::parse("web:1")?);
/// handle.apply(&web).await?;
/// let status = handle.until_ready(&web.name, Duration::from_secs(60)).await?;
/// assert_eq!(status.ready, 1);
///
/// stop.cancel();
/// running.await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Orchestrator {
    options: Options,
    adapters: Adapters,
    handle: Handle,
    passes: mpsc::UnboundedReceiver<()>,
    snapshots: watch::Sender<Arc<Snapshot>>,
    probes: ProbeHistory,
    previous_logs: PreviousLogs,
}

impl Orchestrator {
    /// Starts to build an orchestrator for an instance: first its runtime, then its store, then
    /// its ingress.
    pub fn builder(instance: InstanceName) -> NeedsRuntime {
        NeedsRuntime { instance }
    }

    /// Returns a handle. Handles stay valid while the orchestrator runs, and after it has ended
    /// they still return the last snapshot.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Works until `stop` is cancelled, and then returns within a second, whatever an adapter
    /// does. Everything stays as it is: replicas and ingress go on, and the next orchestrator
    /// takes them over.
    pub async fn run(self, stop: CancellationToken) {
        let Self { options, adapters, handle, mut passes, snapshots, probes, previous_logs } = self;
        let one_offs = handle.one_offs().clone();
        let history = handle.histories().clone();
        // A handle of its own would keep the channel of passes open.
        drop(handle);
        let published = snapshots.subscribe();
        let (results_in, mut results) = mpsc::unbounded_channel();
        let mut changes = adapters.store.changes();
        let events = EventWriter::start(Arc::clone(&adapters.store));
        let mut tasks = Tasks::new(results_in, &adapters, &options, previous_logs.clone());
        tasks.follow_events();
        tasks.sample(history, published.clone());
        let mut pass = Pass::new(options, &adapters, snapshots, probes, events, one_offs);
        loop {
            pass.advance(&mut tasks, &mut || discard_pending(&mut changes));
            let trigger = tokio::select! {
                // In this order, so that runs on virtual time are reproducible. No arm starves:
                // what the later arms do is also part of every pass.
                biased;
                // Cancel-safe: the token stays cancelled.
                () = stop.cancelled() => break,
                // Cancel-safe: a message that was not received stays in the channel. A closed
                // channel means that all handles were dropped.
                Some(()) = passes.recv() => Trigger::RunPass,
                // Cancel-safe as above; the sender lives as long as the tasks do.
                Some(result) = results.recv() => Trigger::Result(Box::new(result)),
                // Cancel-safe: a change that was not received stays unseen.
                Some(()) = changes.next() => Trigger::StoreChanged,
                // Cancel-safe: time passes anyway.
                () = tokio::time::sleep_until(pass.next_wake()) => Trigger::Timer,
            };
            pass.handle_trigger(trigger, &mut tasks);
            // Results that are there already belong to the same pass.
            while let Ok(result) = results.try_recv() {
                pass.handle_trigger(Trigger::Result(Box::new(result)), &mut tasks);
            }
            previous_logs.retain_pods_of(&published.borrow().plan);
        }
        tasks.abort();
        pass.close().await;
    }
}

/// Drops the notifications of changes that the pass about to start will see anyway.
fn discard_pending(changes: &mut BoxStream<'static, ()>) {
    while let Some(Some(())) = changes.next().now_or_never() {}
}

/// Why the loop woke up.
#[derive(Debug)]
pub(crate) enum Trigger {
    RunPass,
    Result(Box<TaskResult>),
    StoreChanged,
    Timer,
}

/// A builder that lacks a runtime.
#[derive(Debug)]
pub struct NeedsRuntime {
    instance: InstanceName,
}

impl NeedsRuntime {
    /// Sets what runs the containers.
    pub fn runtime(self, runtime: Arc<dyn ContainerRuntime>) -> NeedsStore {
        NeedsStore { instance: self.instance, runtime }
    }
}

/// A builder that lacks a store.
#[derive(Debug)]
pub struct NeedsStore {
    instance: InstanceName,
    runtime: Arc<dyn ContainerRuntime>,
}

impl NeedsStore {
    /// Sets what holds the desired state.
    pub fn store(self, store: Arc<dyn Store>) -> NeedsIngress {
        NeedsIngress { instance: self.instance, runtime: self.runtime, store }
    }
}

/// A builder that lacks an ingress.
#[derive(Debug)]
pub struct NeedsIngress {
    instance: InstanceName,
    runtime: Arc<dyn ContainerRuntime>,
    store: Arc<dyn Store>,
}

impl NeedsIngress {
    /// Sets the reverse proxy. Everything else has a default.
    pub fn ingress(self, ingress: Arc<dyn Ingress>) -> Builder {
        Builder {
            adapters: Adapters {
                runtime: self.runtime,
                store: self.store,
                ingress,
                dialer: Arc::new(TcpDialer::default()),
                issuer: None,
                accounts: Arc::default(),
                clock: Arc::new(SystemClock),
            },
            options: Options {
                instance: self.instance,
                owner: None,
                mode: Mode::Act,
                resync: RESYNC,
                http_port: 80,
                default_tls: None,
                recorder: None,
                approver: None,
                short_lived: false,
                meter: Metering::default(),
            },
            permissions: Permissions::default(),
        }
    }
}

/// Builds an [`Orchestrator`]; every setting has a default.
#[derive(Debug)]
#[must_use]
pub struct Builder {
    adapters: Adapters,
    options: Options,
    permissions: Permissions,
}

impl Builder {
    /// Sets the time; by default the system's clock.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.adapters.clock = clock;
        self
    }

    /// Sets what probes replicas; by default [`TcpDialer`].
    pub fn dialer(mut self, dialer: Arc<dyn Dialer>) -> Self {
        self.adapters.dialer = dialer;
        self
    }

    /// Sets who issues and checks certificates; by default none are issued, and those of users are
    /// not checked.
    pub fn certificates(mut self, issuer: Arc<dyn CertificateIssuer>) -> Self {
        self.adapters.issuer = Some(issuer);
        self
    }

    /// Serves hosts whose apps say nothing about `tls` over HTTPS, too, with certificates of this
    /// authority. The ingress has to take requests over HTTPS. By default HTTP alone.
    pub fn default_tls(mut self, tls: IssuedTls) -> Self {
        self.options.default_tls = Some(Tls::Issued(tls)).filter(Tls::is_on);
        self
    }

    /// Sets the state that claims the instance on the runtime: an instance that another state has
    /// claimed is not touched. By default nothing is claimed.
    pub fn owner(mut self, owner: Owner) -> Self {
        self.options.owner = Some(owner);
        self
    }

    /// Sets whether the orchestrator acts; by default it does.
    pub fn mode(mut self, mode: Mode) -> Self {
        self.options.mode = mode;
        self
    }

    /// Sets the longest time between two full lists; by default 15 s.
    pub fn resync(mut self, resync: Duration) -> Self {
        self.options.resync = resync;
        self
    }

    /// Sets the host's port on which the ingress listens, for the URLs in events; by default 80.
    pub fn http_port(mut self, port: u16) -> Self {
        self.options.http_port = port;
        self
    }

    /// Sets that the process may end at any time, as that of a command does: it leaves upkeep that
    /// must not be cut off, such as a replacement of the ingress, to one that stays.
    pub fn short_lived(mut self, short_lived: bool) -> Self {
        self.options.short_lived = short_lived;
        self
    }

    /// Sets who keeps each decision whose input or plan is new; by default nothing is kept.
    pub fn recorder(mut self, recorder: Arc<dyn Recorder>) -> Self {
        self.options.recorder = Some(recorder);
        self
    }

    /// Sets who counts what the orchestrator does; by default nothing is measured.
    pub fn meter(mut self, meter: Arc<dyn Meter>) -> Self {
        self.options.meter = Metering(Some(meter));
        self
    }

    /// Sets who is asked before each step; by default no step needs an approval.
    pub fn approver(mut self, approver: Arc<dyn Approver>) -> Self {
        self.options.approver = Some(approver);
        self
    }

    /// Sets what apps may do to the host; by default nothing. Apps that are stored already keep
    /// what they were applied with.
    pub fn permissions(mut self, permissions: Permissions) -> Self {
        self.permissions = permissions;
        self
    }

    /// Builds the orchestrator. It does nothing until [`Orchestrator::run`].
    pub fn build(self) -> Orchestrator {
        let adapters = self.adapters.guarded(&self.options.meter);
        let (passes_in, passes) = mpsc::unbounded_channel();
        let (snapshots, snapshots_out) = watch::channel(Arc::new(Snapshot::default()));
        let probes = ProbeHistory::default();
        let previous_logs = PreviousLogs::default();
        let handle = Handle::new(
            adapters.clone(),
            snapshots_out,
            passes_in,
            probes.clone(),
            previous_logs.clone(),
            self.permissions,
        );
        let options = self.options;
        Orchestrator { options, adapters, handle, passes, snapshots, probes, previous_logs }
    }
}
