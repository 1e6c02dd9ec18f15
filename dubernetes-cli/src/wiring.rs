//! Assembles an orchestrator from its adapters. Only this module and its submodules name adapters.

mod adapters;
pub(crate) mod diagnostics;
mod in_process;
mod shared_state;
pub(crate) mod state_files;

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dubernetes_api::server::{ApiState, OrchestratorInfo, SocketAccess, router, serve_unix};
use dubernetes_api::wire::Mode as Lifetime;
use dubernetes_controller::{Approver, Handle, Mode, Orchestrator};
use dubernetes_core::app::InstanceName;
use dubernetes_core::certificate::CertificateIssuer;
use dubernetes_core::clock::SystemClock;
use dubernetes_core::ingress::Ingress;
use dubernetes_core::replay::Recorder;
use dubernetes_core::runtime::{ContainerRuntime, Owner, RuntimeError};
use dubernetes_core::store::Store;
use dubernetes_sqlite::Role;
use futures_util::future::OptionFuture;
use tokio::net::UnixListener;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::args::{IngressArgs, StoreKind};
use crate::journal::{DecisionJournal, JournalFolder};
use crate::metrics::MetricsServer;
use crate::node_tunnel::NodeTunnels;
use crate::report::{self, CliError, Result};
use crate::settings::Settings;
use crate::version::VERSION;
pub(crate) use adapters::PROCESSES;
use adapters::{Engine, Opened, OwnedStore, StoreEnd, docker_runtime};
pub(crate) use in_process::InProcess;
pub(crate) use shared_state::{SharedState, is_shared};

/// How long calls and requests in flight may delay the shutdown. The API server gives up earlier.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(8);

/// How long an engine may take to answer before it counts as unreachable.
const ENGINE_TIMEOUT: Duration = Duration::from_secs(1);

/// Interval of state snapshots.
const SNAPSHOT_INTERVAL: Duration = Duration::from_secs(3600);

/// How often an orchestrator checks that the state folder is where it was.
const PLACE_INTERVAL: Duration = Duration::from_secs(5);

/// How long an orchestrator waits for another one.
const RIVAL_LOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a command waits for another one to release the state folder.
const COMMAND_LOCK_TIMEOUT: Duration = Duration::from_secs(3);

/// How long an orchestrator waits for a command to release the state folder. Longer than any
/// command that does not wait for a rollout.
const SERVE_LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// What a process opens the state for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To work until it is stopped.
    Serve {
        /// Takes over an instance that belongs to another state.
        adopt: bool,
    },
    /// For one command that changes something.
    Command,
    /// For one command that only reads.
    Read,
}

/// Parses the URL of an ACME directory.
pub(crate) fn parse_acme_directory(text: &str) -> std::result::Result<String, String> {
    dubernetes_tls::AcmeSettings::parse_directory(text)
}

/// Returns the endpoint of the engine in these settings. Does not call the engine.
pub(crate) fn engine_endpoint(args: &IngressArgs) -> Result<String> {
    args.runtime.endpoint(args)
}

/// Returns the engine of this machine, whose images can be sent, without calling it.
pub(crate) fn local_runtime(args: &IngressArgs) -> Result<Arc<dyn ContainerRuntime>> {
    Ok(Arc::new(docker_runtime(args)?))
}

/// Where the API is served.
#[derive(Debug)]
pub(crate) struct ApiSocket {
    /// The socket.
    pub(crate) listener: UnixListener,
    /// Who may use it.
    pub(crate) access: SocketAccess,
}

/// The adapters of an orchestrator that is not running yet.
#[derive(Debug)]
pub(crate) struct Adapters {
    store: Arc<dyn OwnedStore>,
    engine: Engine,
    ingress: Arc<dyn Ingress>,
    issuer: Arc<dyn CertificateIssuer>,
    approver: Option<Arc<dyn Approver>>,
    metrics: Option<MetricsServer>,
}

impl Adapters {
    /// Opens the state folder and the adapters. Waits some seconds for a process that uses the
    /// folder.
    ///
    /// # Errors
    ///
    /// The folder is in use, a setting or the folder is invalid, or the folder has no state while
    /// the instance exists on the engine.
    pub(crate) async fn open(
        settings: &Settings,
        args: &IngressArgs,
        purpose: Purpose,
    ) -> Result<Self> {
        args.check()?;
        if args.store == StoreKind::Swarm {
            return Err(shared_state::needs_serve());
        }
        engine_endpoint(args)?;
        if matches!(purpose, Purpose::Serve { adopt: false } | Purpose::Command) {
            refuse_lost_state(settings, args).await?;
        }
        let adapters = Self::open_when_unlocked(settings, args, purpose).await?;
        match purpose {
            Purpose::Serve { adopt: true } => adapters.adopt(settings, args, purpose).await,
            Purpose::Serve { adopt: false } | Purpose::Command | Purpose::Read => Ok(adapters),
        }
    }

    async fn open_when_unlocked(
        settings: &Settings,
        args: &IngressArgs,
        purpose: Purpose,
    ) -> Result<Self> {
        let start = tokio::time::Instant::now();
        let mut announced = false;
        loop {
            let (folder, holder) = match adapters::open_sqlite(settings, args, purpose)? {
                Opened::Store(store) => return Self::with_store(settings, args, store),
                Opened::Locked { folder, holder } => (folder.display().to_string(), holder),
            };
            let is_served = || UnixStream::connect(&settings.paths.socket).is_ok();
            let (patience, help) = match (purpose, holder.role) {
                (Purpose::Serve { .. }, Some(Role::Orchestrator)) => {
                    // A moment, since a process that has just locked the folder has not written
                    // its role yet, and `doctor` writes none.
                    (
                        RIVAL_LOCK_TIMEOUT,
                        "stop that one, or choose another folder with `--state-dir`",
                    )
                }
                (Purpose::Serve { .. }, Some(Role::Command) | None) => {
                    (SERVE_LOCK_TIMEOUT, "wait until it ends, or stop it")
                }
                // An orchestrator has just started: the command talks to it.
                (Purpose::Command | Purpose::Read, _) if is_served() => (Duration::ZERO, ""),
                (Purpose::Command | Purpose::Read, _) => (
                    COMMAND_LOCK_TIMEOUT,
                    "wait until it exits, or run `dubernetes serve` for all commands",
                ),
            };
            let in_use = format!("the folder `{folder}` is in use by {holder}");
            if start.elapsed() >= patience {
                return Err(CliError::new(match purpose {
                    Purpose::Serve { .. } => in_use,
                    Purpose::Command | Purpose::Read => format!(
                        "{in_use}, and no orchestrator answers at `{}`",
                        settings.paths.socket.display()
                    ),
                })
                .help(help));
            }
            if !announced && matches!(purpose, Purpose::Serve { .. }) {
                report::note(&format!("waiting until {holder}, releases the folder `{folder}`"));
                announced = true;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Makes the state that of the instance on the engine, if that belongs to another state.
    async fn adopt(
        self,
        settings: &Settings,
        args: &IngressArgs,
        purpose: Purpose,
    ) -> Result<Self> {
        let claimed = self.engine.runtime.claim(&settings.instance, &self.engine.owner);
        let claimed = tokio::time::timeout(ENGINE_TIMEOUT, claimed).await;
        let claimed = claimed.map_err(|_| {
            CliError::new("cannot adopt the instance: the container engine does not answer")
        })?;
        let Err(RuntimeError::OwnedByOtherState { id: Some(id), .. }) = claimed else {
            return Ok(self);
        };
        // The store is closed first: it must not have two ids at a time.
        drop(self);
        adapters::set_sqlite_id(settings, &id)?;
        Self::open_when_unlocked(settings, args, purpose).await
    }

    fn with_store(
        settings: &Settings,
        args: &IngressArgs,
        store: Arc<dyn OwnedStore>,
    ) -> Result<Self> {
        let folder = &settings.paths.state_dir;
        // The open store has created the folder.
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.clone());
        let owner = Owner { id: store.id(), folder: folder.display().to_string() };
        let engine = args.runtime.open(settings, args, &folder, owner)?;
        let (ingress, issuer) = args.ingress().open(settings, args, &engine)?;
        Ok(Self { store, engine, ingress, issuer, approver: None, metrics: None })
    }

    /// Sets who approves each step.
    pub(crate) fn with_approver(self, approver: Option<Arc<dyn Approver>>) -> Self {
        Self { approver, ..self }
    }

    /// Sets where metrics are served.
    pub(crate) fn with_metrics(self, metrics: Option<MetricsServer>) -> Self {
        Self { metrics, ..self }
    }

    /// Refuses an engine that answers but is too old, or on which another state owns the instance.
    /// The controller waits for an engine that does not answer.
    pub(crate) async fn check_engine(&self, instance: &InstanceName) -> Result {
        let checked = async {
            self.engine.runtime.info().await?;
            self.engine.runtime.claim(instance, &self.engine.owner).await
        };
        match tokio::time::timeout(ENGINE_TIMEOUT, checked).await {
            Ok(Err(error @ RuntimeError::Rejected { .. })) => Err(refused(&error)),
            Ok(Err(error @ RuntimeError::OwnedByOtherState { .. })) => {
                Err(CliError::new(error.to_string()).help(
                    "use that state with `--state-dir`, or choose another `--instance`; to \
                     continue with this state, stop that orchestrator and run \
                     `dubernetes serve --adopt`",
                ))
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Starts the controller and serves the API at `socket`.
    pub(crate) fn start(
        self,
        settings: &Settings,
        args: &IngressArgs,
        mode: Mode,
        lifetime: Lifetime,
        socket: ApiSocket,
    ) -> RunningOrchestrator {
        let Self { store, engine, ingress, issuer, approver, metrics } = self;
        let Engine { runtime, dialer, endpoint, owner, tunnels } = engine;
        let desired: Arc<dyn Store> = Arc::<dyn OwnedStore>::clone(&store);
        let mut builder = Orchestrator::builder(settings.instance.clone())
            .runtime(Arc::clone(&runtime))
            .store(Arc::clone(&desired))
            .ingress(ingress)
            .dialer(Arc::clone(&dialer))
            .certificates(issuer)
            .owner(owner)
            .http_port(args.http_port)
            .default_tls(args.default_tls)
            .permissions(args.allow.clone())
            .short_lived(lifetime == Lifetime::InProcess)
            .mode(mode);
        if let Some(approver) = approver {
            builder = builder.approver(approver);
        }
        if let Some(metrics) = &metrics {
            builder = builder.meter(metrics.meter());
        }
        if mode == Mode::Act
            && let Some(journal) = open_journal(&settings.paths.state_dir)
        {
            builder = builder.recorder(journal);
        }
        let orchestrator = builder.build();
        let info = OrchestratorInfo {
            instance: settings.instance.clone(),
            version: VERSION.to_owned(),
            http_bind: args.http_bind.0.clone(),
            http_port: args.http_port,
            https_port: args.https_port,
            trusted_proxies: args.trusted_proxies.clone(),
            proxy_protocol: args.proxy_protocol,
            engine: Some(endpoint),
            state_dir: settings.paths.state_dir.clone(),
            pid: std::process::id(),
            mode: lifetime,
            access: socket.access,
        };
        let stop = CancellationToken::new();
        if lifetime == Lifetime::Serve {
            tokio::spawn(take_snapshots(Arc::clone(&store), stop.clone()));
            tokio::spawn(watch_place(Arc::clone(&store), stop.clone()));
        }
        let state = ApiState {
            store: desired,
            runtime,
            controller: orchestrator.handle(),
            dialer,
            clock: Arc::new(SystemClock),
            journal: Some(Arc::new(JournalFolder(settings.paths.state_dir.clone()))),
            info,
        };
        let metrics = metrics.map(|metrics| metrics.serve(orchestrator.handle(), stop.clone()));
        RunningOrchestrator {
            _tunnels: tunnels,
            store,
            handle: orchestrator.handle(),
            metrics,
            controller: tokio::spawn(orchestrator.run(stop.clone())),
            server: tokio::spawn(serve_unix(socket.listener, router(state), stop.clone())),
            stop,
        }
    }
}

/// Returns the error of an engine that is too old.
fn refused(error: &RuntimeError) -> CliError {
    CliError::with_source("cannot use this container engine", error)
        .help("update it, or name another one with DOCKER_HOST or DUBERNETES_ENGINE")
}

/// Refuses to create an empty state for an instance that exists on the engine: its state is
/// somewhere else, or lost. An engine that does not answer is asked again by the controller.
async fn refuse_lost_state(settings: &Settings, args: &IngressArgs) -> Result {
    if adapters::sqlite_exists(settings) {
        return Ok(());
    }
    let exists = args.runtime.has_instance(args, &settings.instance);
    match tokio::time::timeout(ENGINE_TIMEOUT, exists).await {
        Ok(Ok(true)) => Err(CliError::new(format!(
            "instance `{}` exists on this engine, but there is no state in `{}`",
            settings.instance,
            settings.paths.state_dir.display()
        ))
        .help(
            "use its state with `--state-dir`, or choose another `--instance`; if its state is \
             lost, `dubernetes serve --adopt` takes the instance over with an empty one",
        )),
        Ok(Ok(false) | Err(_)) | Err(_) => Ok(()),
    }
}

/// Opens the journal of decisions. Without it everything but `replay` works.
fn open_journal(folder: &Path) -> Option<Arc<dyn Recorder>> {
    match DecisionJournal::open(folder) {
        Ok(journal) => Some(Arc::new(journal)),
        Err(error) => {
            tracing::warn!(%error, "cannot record decisions");
            None
        }
    }
}

/// Takes snapshots of the store, in case its file is damaged.
async fn take_snapshots(store: Arc<dyn OwnedStore>, stop: CancellationToken) {
    loop {
        if let Err(error) = store.take_snapshot().await {
            tracing::warn!(error, "cannot take a snapshot of the state");
        }
        // Both arms are cancel-safe: the token stays cancelled, and the interval restarts.
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(SNAPSHOT_INTERVAL) => {}
        }
    }
}

/// Says in the log if the state folder is moved or removed while the store is open.
async fn watch_place(store: Arc<dyn OwnedStore>, stop: CancellationToken) {
    let mut was_displaced = false;
    loop {
        let displacement = store.displacement();
        if let (Some(displacement), false) = (&displacement, was_displaced) {
            tracing::error!("{displacement}");
        }
        was_displaced = displacement.is_some();
        // Both arms are cancel-safe: the token stays cancelled, and the interval restarts.
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PLACE_INTERVAL) => {}
        }
    }
}

/// Why an orchestrator ends by itself.
#[derive(Debug)]
pub(crate) enum Failed {
    /// A part of it failed.
    Error(CliError),
    /// It must not act any more, for this reason; it may stand by.
    Replaced(String),
}

/// A running orchestrator.
#[derive(Debug)]
pub(crate) struct RunningOrchestrator {
    /// Connections to other machines.
    _tunnels: Option<NodeTunnels>,
    store: Arc<dyn OwnedStore>,
    handle: Handle,
    metrics: Option<JoinHandle<()>>,
    controller: JoinHandle<()>,
    server: JoinHandle<std::io::Result<()>>,
    stop: CancellationToken,
}

impl RunningOrchestrator {
    /// Resolves if a part of the orchestrator ends unexpectedly, or if another manager may act from
    /// now on.
    pub(crate) async fn failed(&mut self) -> Failed {
        let crashed = |error: JoinError| CliError::with_source("the orchestrator crashed", &error);
        // All arms are cancel-safe: a task that has ended stays so.
        let error = tokio::select! {
            ended = &mut self.controller => match ended {
                Err(error) => crashed(error),
                Ok(()) => CliError::new("the controller exited unexpectedly"),
            },
            ended = &mut self.server => match ended {
                Err(error) => crashed(error),
                Ok(Err(error)) => CliError::with_source("cannot serve the API", &error),
                Ok(Ok(())) => CliError::new("the API server exited unexpectedly"),
            },
            end = self.store.failed() => match end {
                StoreEnd::Crashed => CliError::new("the store crashed")
                    .help("its data is intact; start the orchestrator again"),
                StoreEnd::Replaced(why) => return Failed::Replaced(why),
            },
        };
        Failed::Error(error)
    }

    /// Stops the orchestrator. Pods keep running, and so does an ingress that is a container.
    pub(crate) async fn shut_down(self) {
        self.stop.cancel();
        let ended = async {
            // How they end does not matter here.
            let _ = tokio::join!(self.server, self.controller, OptionFuture::from(self.metrics));
        };
        if tokio::time::timeout(SHUTDOWN_TIMEOUT, ended).await.is_err() {
            tracing::warn!("some calls were still in flight at the end of the shutdown");
        }
        let last = self.handle.snapshot();
        let seen = &last.observed;
        let is_gone = last.engine.is_some() && seen.network.is_none() && seen.replicas.is_empty();
        self.store.close(is_gone).await;
    }
}
