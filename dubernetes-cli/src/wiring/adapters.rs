//! Chooses and opens the adapters: engine, store and ingress.
//!
//! To add another engine, store or ingress, add a variant to its enum and an arm to its match.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use dubernetes_controller::TcpDialer;
use dubernetes_core::app::{Permission, PullPolicy};
use dubernetes_core::error::chain;
use dubernetes_core::ingress::Ingress;
use dubernetes_core::runtime::ContainerRuntime;
use dubernetes_core::store::Store;
use dubernetes_docker::DockerRuntime;
use dubernetes_nginx::{NginxConfig, NginxIngress};
use dubernetes_sqlite::{EventRetention, OpenError, SqliteStore};
use jiff::Timestamp;

use crate::args::IngressArgs;
use crate::report::{CliError, Result};
use crate::settings::Settings;
use crate::state_dir;

/// Container engine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum EngineKind {
    /// Docker, or Podman with Docker's API.
    #[default]
    Docker,
}

/// Store of the desired state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum StoreKind {
    /// SQLite file in the state folder.
    #[default]
    Sqlite,
}

/// Reverse proxy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum IngressKind {
    /// nginx in a container.
    #[default]
    Nginx,
}

/// A container engine and where it is.
#[derive(Debug)]
pub(super) struct Engine {
    /// Runtime.
    pub(super) runtime: Arc<dyn ContainerRuntime>,
    /// Endpoint, such as `unix:///var/run/docker.sock`.
    pub(super) endpoint: String,
    /// Who claims the instance on the engine: the state folder.
    pub(super) owner: String,
}

impl EngineKind {
    /// Creates the runtime for an orchestrator with its state in `state_dir`. Does not call the
    /// engine.
    pub(super) fn open(self, args: &IngressArgs, state_dir: &Path) -> Result<Engine> {
        match self {
            Self::Docker => {
                let runtime = docker_runtime(args)?.with_state_dir(state_dir);
                let runtime = match args.allow.allow(Permission::HostPaths) {
                    true => runtime.with_system_mounts(),
                    false => runtime,
                };
                let endpoint = runtime.endpoint();
                Ok(Engine {
                    runtime: Arc::new(runtime),
                    endpoint,
                    owner: state_dir.display().to_string(),
                })
            }
        }
    }

    /// Returns the engine's endpoint. Does not call the engine.
    pub(super) fn endpoint(self, args: &IngressArgs) -> Result<String> {
        match self {
            Self::Docker => Ok(docker_runtime(args)?.endpoint()),
        }
    }
}

/// Creates the client of a Docker engine without calling it.
pub(super) fn docker_runtime(args: &IngressArgs) -> Result<DockerRuntime> {
    DockerRuntime::new(args.engine.as_deref())
        .map_err(|error| CliError::with_source("cannot use the container engine", &error))
}

/// A store that this process owns.
#[async_trait]
pub(super) trait OwnedStore: Store {
    /// Resolves if the store can no longer work.
    async fn failed(&self);

    /// Copies the state into the state folder, unless the newest copy has the same apps.
    async fn take_snapshot(&self) -> Result<(), String>;
}

#[async_trait]
impl OwnedStore for SqliteStore {
    async fn failed(&self) {
        self.broken().await;
    }

    async fn take_snapshot(&self) -> Result<(), String> {
        self.snapshot(Timestamp::now()).await.map(|_| ()).map_err(|error| chain(&error))
    }
}

/// Result of opening the store.
#[derive(Debug)]
pub(super) enum Opened {
    /// The store.
    Store(Arc<dyn OwnedStore>),
    /// Another process has the store open.
    Locked {
        /// State folder.
        folder: PathBuf,
        /// That process, if it is known.
        pid: Option<u32>,
        /// The store's own error.
        error: CliError,
    },
}

impl StoreKind {
    /// Locks the state folder and opens the store in it.
    pub(super) fn open(self, settings: &Settings, args: &IngressArgs) -> Result<Opened> {
        let folder = &settings.paths.state_dir;
        state_dir::check_owner(folder)?;
        match self {
            Self::Sqlite => {
                let store = match SqliteStore::open(folder) {
                    Ok(store) => store,
                    Err(error) => {
                        let cli_error = CliError::with_source("cannot open the state", &error);
                        let OpenError::Locked { folder, pid } = error else {
                            return Err(cli_error);
                        };
                        return Ok(Opened::Locked { folder, pid, error: cli_error });
                    }
                };
                state_dir::claim(folder, &settings.instance)?;
                let keep = EventRetention { count: args.events_keep, age: args.events_age };
                Ok(Opened::Store(Arc::new(store.with_event_retention(keep))))
            }
        }
    }
}

impl IngressKind {
    /// Creates the ingress on an engine. Does not call the engine.
    pub(super) fn open(
        self,
        settings: &Settings,
        args: &IngressArgs,
        engine: &Engine,
    ) -> Arc<dyn Ingress> {
        match self {
            Self::Nginx => {
                let runtime = Arc::clone(&engine.runtime);
                let config = NginxConfig {
                    instance: settings.instance.clone(),
                    image: args.ingress_image.clone(),
                    pull: PullPolicy::Missing,
                    http_bind: args.http_bind.0.clone(),
                    http_port: args.http_port,
                };
                Arc::new(NginxIngress::new(runtime, Arc::new(TcpDialer), config))
            }
        }
    }
}
