//! Puts the adapters together: the only file that knows every adapter.

pub(crate) mod diagnostics;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dubernetes_api::Client;
use dubernetes_api::server::{About, ApiState, router, serve_unix};
use dubernetes_api::wire::Mode as Lifetime;
use dubernetes_controller::{Approver, Controller, Mode, Options};
use dubernetes_core::app::{InstanceName, PullPolicy};
use dubernetes_core::clock::SystemClock;
use dubernetes_core::error::chain;
use dubernetes_core::replay::Recorder;
use dubernetes_core::runtime::{ContainerRuntime, RuntimeError};
use dubernetes_docker::DockerRuntime;
use dubernetes_nginx::{NginxConfig, NginxIngress};
use dubernetes_sqlite::{KeepEvents, OpenError, SqliteStore};
use jiff::Timestamp;
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::args::IngressArgs;
use crate::commands::VERSION;
use crate::journal::DecisionJournal;
use crate::report::{CliError, Result};
use crate::settings::Settings;
use crate::state_dir;

/// How long the last requests and calls may take once the orchestrator is to end. A serving
/// socket gives up by itself before.
const END_LIMIT: Duration = Duration::from_secs(8);

/// How long an engine may take to say who it is before it counts as away.
const ENGINE_LIMIT: Duration = Duration::from_secs(1);

/// How often the state is copied, where its apps have changed.
const SNAPSHOT_EVERY: Duration = Duration::from_secs(3600);

/// How long a command waits for another one to let go of the state folder.
const LOCK_LIMIT: Duration = Duration::from_secs(3);

/// Where the engine is that these settings mean. It is not called.
pub(crate) fn engine_place(args: &IngressArgs) -> Result<String> {
    Ok(Adapters::runtime(args)?.endpoint())
}

/// The adapters of an orchestrator, at rest.
#[derive(Debug)]
pub(crate) struct Adapters {
    store: Arc<SqliteStore>,
    runtime: Arc<DockerRuntime>,
    ingress: Arc<NginxIngress>,
    approve: Option<Arc<dyn Approver>>,
}

impl Adapters {
    /// Takes the lock of the state folder and opens what is in it. No engine is called.
    ///
    /// # Errors
    ///
    /// The lock is held, or a setting or the folder makes no sense.
    pub(crate) fn open(settings: &Settings, args: &IngressArgs) -> Result<Self> {
        Self::runtime(args).and_then(|runtime| {
            let store = open_store(settings, args)?
                .map_err(|error| CliError::with_source("the state cannot be opened", &error))?;
            Ok(Self::with(settings, args, runtime, store))
        })
    }

    /// The same, and waits a moment for the lock.
    async fn open_soon(settings: &Settings, args: &IngressArgs) -> Result<Self> {
        let runtime = Self::runtime(args)?;
        let start = tokio::time::Instant::now();
        let store = loop {
            match open_store(settings, args)? {
                Ok(store) => break store,
                Err(OpenError::Locked { .. }) if start.elapsed() < LOCK_LIMIT => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(OpenError::Locked { folder, pid }) => {
                    let who = pid.map_or_else(String::new, |pid| format!(", process {pid}"));
                    let place = settings.paths.socket.display();
                    return Err(CliError::new(format!(
                        "another command{who} works on `{}`, and none answers at `{place}`",
                        folder.display()
                    ))
                    .help("wait until it has ended, or let `dubernetes serve` run for all"));
                }
                Err(error) => {
                    return Err(CliError::with_source("the state cannot be opened", &error));
                }
            }
        };
        Ok(Self::with(settings, args, runtime, store))
    }

    fn runtime(args: &IngressArgs) -> Result<DockerRuntime> {
        DockerRuntime::new(args.engine.as_deref())
            .map_err(|error| CliError::with_source("no container engine can be used", &error))
    }

    fn with(
        settings: &Settings,
        args: &IngressArgs,
        runtime: DockerRuntime,
        store: SqliteStore,
    ) -> Self {
        let folder = &settings.paths.state_dir;
        // It exists since the store is open.
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.clone());
        let runtime = Arc::new(runtime.working_from(&folder));
        let config = NginxConfig {
            instance: settings.instance.clone(),
            image: args.ingress_image.clone(),
            pull: PullPolicy::Missing,
            http_bind: args.http_bind,
            http_port: args.http_port,
        };
        let engine: Arc<dyn ContainerRuntime> = Arc::<DockerRuntime>::clone(&runtime);
        let ingress = Arc::new(NginxIngress::new(engine, config));
        Self { store: Arc::new(store), runtime, ingress, approve: None }
    }

    /// Has somebody asked before each step.
    pub(crate) fn asking(self, approve: Option<Arc<dyn Approver>>) -> Self {
        Self { approve, ..self }
    }

    /// Refuses an engine that answers and is too old, or on which the instance belongs to another
    /// state. One that is away is waited for later on.
    pub(crate) async fn check_engine(&self, instance: &InstanceName) -> Result {
        let asked = async {
            self.runtime.version().await?;
            self.runtime.find_network(instance).await
        };
        match tokio::time::timeout(ENGINE_LIMIT, asked).await {
            Ok(Err(error @ RuntimeError::Rejected { .. })) => {
                Err(CliError::with_source("this engine cannot be used", &error)
                    .help("update it, or name another one with DOCKER_HOST or DUBERNETES_ENGINE"))
            }
            Ok(Err(error @ RuntimeError::OwnedByOtherState { .. })) => {
                Err(of_another_state(&error))
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Starts the controller, and serves the API at `listener`.
    pub(crate) fn start(
        self,
        settings: &Settings,
        args: &IngressArgs,
        mode: Mode,
        lifetime: Lifetime,
        listener: UnixListener,
    ) -> RunningOrchestrator {
        let Self { store, runtime, ingress, approve } = self;
        let clock = Arc::new(SystemClock);
        let mut options = Options::new(settings.instance.clone());
        options.approver = approve;
        options.http_port = args.http_port;
        options.mode = mode;
        if mode == Mode::Act {
            options.recorder = recorder(&settings.paths.state_dir);
        }
        let adapters = dubernetes_controller::Adapters {
            runtime: Arc::<DockerRuntime>::clone(&runtime),
            store: Arc::<SqliteStore>::clone(&store),
            ingress,
            clock: Arc::<SystemClock>::clone(&clock),
        };
        let (controller, handle) = Controller::new(options, adapters);
        let about = About {
            instance: settings.instance.clone(),
            version: VERSION.to_owned(),
            http_bind: args.http_bind,
            http_port: args.http_port,
            engine: Some(runtime.endpoint()),
            state_dir: settings.paths.state_dir.clone(),
            pid: std::process::id(),
            mode: lifetime,
        };
        let stop = CancellationToken::new();
        if lifetime == Lifetime::Serve {
            tokio::spawn(take_snapshots(Arc::clone(&store), stop.clone()));
        }
        let kept = Arc::clone(&store);
        let router = router(ApiState { store, runtime, controller: handle, clock, about });
        RunningOrchestrator {
            store: kept,
            controller: tokio::spawn(controller.run(stop.clone())),
            server: tokio::spawn(serve_unix(listener, router, stop.clone())),
            stop,
        }
    }
}

fn of_another_state(error: &RuntimeError) -> CliError {
    CliError::new(error.to_string()).help(
        "mode with that one by its `--state-dir`, or choose another `--instance`; to go on with \
         this state instead, end that orchestrator and move its folder away",
    )
}

/// Who keeps the decisions. Without one everything works, but for `replay`.
fn recorder(folder: &Path) -> Option<Arc<dyn Recorder>> {
    match DecisionJournal::open(folder) {
        Ok(decisions) => Some(Arc::new(decisions)),
        Err(error) => {
            tracing::warn!(%error, "decisions cannot be kept");
            None
        }
    }
}

fn open_store(settings: &Settings, args: &IngressArgs) -> Result<Result<SqliteStore, OpenError>> {
    let folder = &settings.paths.state_dir;
    state_dir::check_owner(folder)?;
    let store = SqliteStore::open(folder);
    if store.is_ok() {
        state_dir::claim(folder, &settings.instance)?;
    }
    let keep = KeepEvents { count: args.events_keep, age: args.events_age };
    Ok(store.map(|store| store.keeping(keep)))
}

/// Keeps copies of the store for the day on which it is damaged.
async fn take_snapshots(store: Arc<SqliteStore>, stop: CancellationToken) {
    loop {
        if let Err(error) = store.snapshot(Timestamp::now()).await {
            tracing::warn!(error = chain(&error), "no snapshot of the state could be made");
        }
        // Both arms are cancel-safe: the token lifetime cancelled, and time passes anyway.
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(SNAPSHOT_EVERY) => {}
        }
    }
}

/// An orchestrator at mode.
#[derive(Debug)]
pub(crate) struct RunningOrchestrator {
    store: Arc<SqliteStore>,
    controller: JoinHandle<()>,
    server: JoinHandle<std::io::Result<()>>,
    stop: CancellationToken,
}

impl RunningOrchestrator {
    /// Returns if a part ends that should not.
    pub(crate) async fn broken(&mut self) -> CliError {
        let crashed = |error: JoinError| CliError::with_source("the orchestrator crashed", &error);
        // All arms are cancel-safe: what has ended lifetime so.
        tokio::select! {
            ended = &mut self.controller => match ended {
                Err(error) => crashed(error),
                Ok(()) => CliError::new("the controller ended by itself"),
            },
            ended = &mut self.server => match ended {
                Err(error) => crashed(error),
                Ok(Err(error)) => CliError::with_source("the API cannot be served", &error),
                Ok(Ok(())) => CliError::new("the API's server ended by itself"),
            },
            () = self.store.broken() => CliError::new("the store crashed")
                .help("its data is as it was; start the orchestrator again"),
        }
    }

    /// Ends it. Pods and ingress go on.
    pub(crate) async fn end(self) {
        self.stop.cancel();
        let adapters = async {
            // Whatever they end with, they have ended.
            let _ = tokio::join!(self.server, self.controller);
        };
        if tokio::time::timeout(END_LIMIT, adapters).await.is_err() {
            tracing::warn!("some calls were still under way at the end");
        }
    }
}

/// An orchestrator that serves one command, in that command's process.
#[derive(Debug)]
pub(crate) struct InProcess {
    running: RunningOrchestrator,
    client: Client,
    /// Holds the socket; private to this user, and removed when this is dropped.
    _folder: TempDir,
}

impl InProcess {
    /// Starts it. One that is to act needs an engine that answers.
    pub(crate) async fn start(settings: &Settings, args: &IngressArgs, mode: Mode) -> Result<Self> {
        let adapters = Adapters::open_soon(settings, args).await?;
        if mode == Mode::Act {
            adapters.runtime.version().await.map_err(|error| {
                CliError::with_source("nothing can be done", &error)
                    .help("start the engine, or name it with DOCKER_HOST or DUBERNETES_ENGINE")
            })?;
            adapters.check_engine(&settings.instance).await?;
        }
        let cannot =
            |error: std::io::Error| CliError::with_source("no private socket can be made", &error);
        let folder = tempfile::Builder::new().prefix("dubernetes-").tempdir().map_err(cannot)?;
        let socket = folder.path().join("socket");
        let listener = UnixListener::bind(&socket).map_err(cannot)?;
        let client = Client::unix(socket)?;
        let running = adapters.start(settings, args, mode, Lifetime::InProcess, listener);
        Ok(Self { running, client, _folder: folder })
    }

    /// Speaks with it.
    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    /// Ends it. Pods and ingress go on.
    pub(crate) async fn close(self) {
        drop(self.client);
        self.running.end().await;
    }
}
