//! The state that all managers of a swarm share: this process stands by until it may act.

use std::fs::{DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dubernetes_api::server::{serve_unix, standby_router};
use dubernetes_core::error::chain;
use dubernetes_core::runtime::{Owner, RuntimeError};
use dubernetes_core::store::StoreError;
use dubernetes_docker::DockerRuntime;
use dubernetes_swarm::{Attempt, Candidate, SwarmStore};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::adapters::{Engine, OwnedStore, StoreEnd};
use super::{Adapters, ENGINE_TIMEOUT};
use crate::args::{IngressArgs, StoreKind};
use crate::report::{self, CliError, Result};
use crate::service_manager;
use crate::settings::Settings;
use crate::socket_group::SocketGroup;
use crate::state_dir::{self, SocketGuard};

/// Time between two attempts to act.
const ATTEMPT_INTERVAL: Duration = Duration::from_secs(1);
/// Attempts for one look at all containers: what is seen counts after a takeover, when the node of
/// the former one is silent.
const LOOK_EVERY: u32 = 5;
/// How long such a look may take.
const LOOK_LIMIT: Duration = Duration::from_secs(5);
/// How long a release of the lease may take. Otherwise it ends by itself.
const RELEASE_LIMIT: Duration = Duration::from_secs(3);
/// File in the state folder that is locked by the process that uses it.
const LOCK_FILE: &str = "shared-state.lock";

#[async_trait]
impl OwnedStore for SwarmStore {
    fn id(&self) -> String {
        self.id()
    }

    async fn failed(&self) -> StoreEnd {
        StoreEnd::Replaced(self.lost().await)
    }

    /// Swarm itself keeps a copy on each manager.
    async fn take_snapshot(&self) -> Result<(), String> {
        Ok(())
    }

    async fn close(&self, is_gone: bool) {
        let close = async {
            if is_gone && matches!(self.remove_disposable().await, Ok(true)) {
                tracing::info!("nothing is left of the instance: its state is removed");
                return Ok(());
            }
            self.release().await?;
            tracing::info!("another manager may act");
            Ok::<_, StoreError>(())
        };
        // Otherwise it is lost already, or ends by itself.
        let _ = tokio::time::timeout(RELEASE_LIMIT, close).await;
    }
}

/// What a process has of a shared state while it does not act, too.
#[derive(Debug)]
pub(crate) struct SharedState {
    candidate: Option<Candidate>,
    /// Locked: one process uses the folder.
    _lock: File,
}

/// Returns whether the state is in a swarm: these settings say so, or a process uses the folder for
/// such a state.
pub(crate) fn is_shared(folder: &Path, store: StoreKind) -> bool {
    let is_locked = |lock: File| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock));
    store == StoreKind::Swarm || File::open(folder.join(LOCK_FILE)).is_ok_and(is_locked)
}

/// Returns the error of a command that runs without an orchestrator.
pub(super) fn needs_serve() -> CliError {
    CliError::new("with `--store swarm`, this command needs a running orchestrator")
        .help("start `dubernetes serve` on each manager, and run the command where it acts")
}

impl SharedState {
    /// Locks the state folder, which has the socket, the journal and files for containers.
    pub(crate) fn new(settings: &Settings) -> Result<Self> {
        let folder = &settings.paths.state_dir;
        let failed = |error: std::io::Error| {
            let what = format!("cannot use the folder `{}`", folder.display());
            CliError::with_source(&what, &error)
        };
        state_dir::check_owner(folder)?;
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        let lock = File::create(folder.join(LOCK_FILE)).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(error)) => return Err(failed(error)),
            Err(TryLockError::WouldBlock) => {
                let folder = folder.display();
                let what = format!("the folder `{folder}` is in use by another orchestrator");
                return Err(CliError::new(what)
                    .help("stop that one, or choose another folder with `--state-dir`"));
            }
        }
        if !state_dir::is_claimed(folder, &settings.instance)? {
            state_dir::claim(folder, &settings.instance)?;
        }
        tracing::info!(
            "the state is in configs of the swarm, with secrets: anyone with access to a manager's \
             engine can read them"
        );
        Ok(Self { candidate: None, _lock: lock })
    }

    /// Stands by until this process may act, and opens the adapters then.
    ///
    /// # Errors
    ///
    /// A setting is invalid, the engine manages no swarm, or the swarm has no state while the
    /// instance exists.
    pub(crate) async fn open(
        &mut self,
        settings: &Settings,
        args: &IngressArgs,
        adopt: bool,
        group: Option<SocketGroup>,
    ) -> Result<Adapters> {
        args.check()?;
        let folder = &settings.paths.state_dir;
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.clone());
        let owner = Owner { id: String::new(), folder: folder.display().to_string() };
        let mut engine = args.runtime.open(settings, args, &folder, owner)?;
        let store = self.stand_by(settings, args, &engine, adopt, group).await?;
        engine.owner.id = store.id();
        if adopt {
            take_over(settings, &mut engine, &store).await?;
        }
        let (ingress, issuer) = args.ingress().open(settings, args, &engine)?;
        let store = Arc::new(store);
        Ok(Adapters { store, engine, ingress, issuer, approver: None, metrics: None })
    }

    async fn stand_by(
        &mut self,
        settings: &Settings,
        args: &IngressArgs,
        engine: &Engine,
        adopt: bool,
        group: Option<SocketGroup>,
    ) -> Result<SwarmStore> {
        let mut standby: Option<Standby> = None;
        let mut is_checked = adopt;
        let mut last_error = String::new();
        let mut attempts = 0_u32;
        loop {
            match self.attempt(settings, args, engine, is_checked).await {
                Ok(Some(Attempt::Acts(store))) => {
                    tracing::info!("this manager acts for instance {}", settings.instance);
                    return Ok(store);
                }
                Ok(Some(Attempt::StandsBy { node })) => {
                    is_checked = true;
                    last_error.clear();
                    let who = format!(
                        "this manager stands by: node `{node}` acts for instance {}",
                        settings.instance
                    );
                    match &standby {
                        Some(standby) => standby.set(&who),
                        None => standby = Some(Standby::start(settings, group, who)?),
                    }
                }
                Ok(None) => return Err(no_state(settings)),
                Err(RuntimeError::Rejected { operation, message }) => {
                    return Err(CliError::new(format!("cannot {operation}: {message}")));
                }
                Err(error) => {
                    let error = chain(&error);
                    if error != last_error {
                        tracing::warn!(error, "cannot read the state in the swarm; trying again");
                    }
                    last_error = error;
                }
            }
            attempts = attempts.wrapping_add(1);
            if attempts.is_multiple_of(LOOK_EVERY) {
                let look = engine.runtime.list(&settings.instance);
                // Only what it remembers counts.
                let _ = tokio::time::timeout(LOOK_LIMIT, look).await;
            }
            tokio::time::sleep(ATTEMPT_INTERVAL).await;
        }
    }

    /// Tries to act. Returns `None` if the instance exists, and the swarm has no state of it.
    async fn attempt(
        &mut self,
        settings: &Settings,
        args: &IngressArgs,
        engine: &Engine,
        is_checked: bool,
    ) -> Result<Option<Attempt>, RuntimeError> {
        let candidate = self.candidate(settings, args).await?;
        if !is_checked
            && !candidate.state_exists().await?
            && let Some(networks) = engine.runtime.networks()
            && networks.find(&settings.instance).await?.is_some()
        {
            return Ok(None);
        }
        candidate.attempt().await.map(Some)
    }

    async fn candidate(
        &mut self,
        settings: &Settings,
        args: &IngressArgs,
    ) -> Result<&mut Candidate, RuntimeError> {
        let candidate = match self.candidate.take() {
            Some(candidate) => candidate,
            None => {
                let manager = DockerRuntime::new(args.engine.as_deref())?;
                Candidate::new(&manager, &settings.instance).await?
            }
        };
        Ok(self.candidate.insert(candidate))
    }
}

fn no_state(settings: &Settings) -> CliError {
    let instance = &settings.instance;
    CliError::new(format!("instance `{instance}` exists, but the swarm has no state of it")).help(
        "use its state with `--store sqlite`, or choose another `--instance`; if its state is \
         lost, or to begin with `--store swarm`, `dubernetes serve --adopt` takes the instance \
         over with an empty one",
    )
}

/// Makes the state that of the instance on the engine, if that belongs to another state.
async fn take_over(settings: &Settings, engine: &mut Engine, store: &SwarmStore) -> Result {
    let claimed = engine.runtime.claim(&settings.instance, &engine.owner);
    let claimed = tokio::time::timeout(ENGINE_TIMEOUT, claimed).await;
    let claimed = claimed.map_err(|_| {
        CliError::new("cannot adopt the instance: the container engine does not answer")
    })?;
    if let Err(RuntimeError::OwnedByOtherState { id: Some(id), .. }) = claimed {
        let set = store.set_id(&id).await;
        set.map_err(|error| CliError::with_source("cannot adopt the instance", &error))?;
        engine.owner.id = id;
    }
    Ok(())
}

/// Answers commands while another manager acts: says which.
#[derive(Debug)]
struct Standby {
    who: watch::Sender<String>,
    stop: CancellationToken,
    server: JoinHandle<std::io::Result<()>>,
    _guard: SocketGuard,
}

impl Standby {
    fn start(settings: &Settings, group: Option<SocketGroup>, who: String) -> Result<Self> {
        let (listener, guard) = state_dir::listen(&settings.paths.socket, group)?;
        report::print_line(&format!("dubernetes is ready: {who}"));
        tracing::info!("{who}");
        let (who, receiver) = watch::channel(who);
        let stop = CancellationToken::new();
        let server = tokio::spawn(serve_unix(listener, standby_router(receiver), stop.clone()));
        service_manager::notify_ready();
        Ok(Self { who, stop, server, _guard: guard })
    }

    fn set(&self, who: &str) {
        self.who.send_if_modified(|last| {
            let is_new = last != who;
            if is_new {
                tracing::info!("{who}");
                who.clone_into(last);
            }
            is_new
        });
    }
}

impl Drop for Standby {
    fn drop(&mut self) {
        self.stop.cancel();
        self.server.abort();
    }
}
