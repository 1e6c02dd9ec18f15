//! Opens the adapters that the settings choose: runtime, store and ingress.
//!
//! To add another runtime, store or ingress, add a variant to its enum and an arm to its matches.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use dubernetes_controller::TcpDialer;
use dubernetes_core::app::{InstanceName, Permission, PullPolicy};
use dubernetes_core::certificate::CertificateIssuer;
use dubernetes_core::clock::SystemClock;
use dubernetes_core::dial::Dialer;
use dubernetes_core::error::chain;
use dubernetes_core::ingress::Ingress;
use dubernetes_core::runtime::{ContainerRuntime, Networks, Owner};
use dubernetes_core::store::Store;
use dubernetes_docker::DockerRuntime;
use dubernetes_nginx::{NginxConfig, NginxIngress};
use dubernetes_process::ProcessRuntime;
use dubernetes_proxy::ProxyIngress;
use dubernetes_sqlite::{EventRetention, Holder, OpenError, Role, SqliteStore};
use dubernetes_swarm::{EntryConnector, SwarmRuntime};
use dubernetes_tls::{AcmeSettings, TlsIssuer};
use jiff::Timestamp;

use crate::args::{IngressArgs, IngressKind, NodeAddress, RuntimeKind, StoreKind};
use crate::host::Host;
use crate::node_tunnel::NodeTunnels;
use crate::report::{CliError, Result, USAGE};
use crate::settings::Settings;
use crate::state_dir;

use super::Purpose;

/// A container engine and where it is.
#[derive(Debug)]
pub(super) struct Engine {
    /// Runtime.
    pub(super) runtime: Arc<dyn ContainerRuntime>,
    /// Opens connections to containers.
    pub(super) dialer: Arc<dyn Dialer>,
    /// Endpoint, such as `unix:///var/run/docker.sock`.
    pub(super) endpoint: String,
    /// The state that claims the instance on the engine.
    pub(super) owner: Owner,
    /// Connections to other machines.
    pub(super) tunnels: Option<NodeTunnels>,
}

/// Where the processes of this machine are, in the place of an engine's endpoint.
pub(crate) const PROCESSES: &str = "processes of this machine";

impl RuntimeKind {
    /// Creates the runtime for an orchestrator with its state in `state_dir`. Does not call an
    /// engine.
    pub(super) fn open(
        self,
        settings: &Settings,
        args: &IngressArgs,
        state_dir: &Path,
        owner: Owner,
    ) -> Result<Engine> {
        let endpoint = self.endpoint(args)?;
        let mut dialer = TcpDialer::default();
        let mut tunnels: Option<NodeTunnels> = None;
        let local = || -> Result<DockerRuntime> {
            let runtime = docker_runtime(args)?.with_state_dir(state_dir);
            Ok(match args.allow.allow(Permission::HostPaths) {
                true => runtime.with_system_mounts(),
                false => runtime,
            })
        };
        let runtime: Arc<dyn ContainerRuntime> = match self {
            Self::Docker => Arc::new(local()?),
            Self::Swarm => {
                let mut swarm = SwarmRuntime::new(local()?);
                if args.store == StoreKind::Swarm {
                    swarm = swarm.with_other_entries();
                }
                for NodeAddress { name, host } in &args.nodes {
                    let socket = match host {
                        Host::Ssh(host) => {
                            if tunnels.is_none() {
                                tunnels = Some(NodeTunnels::new(&settings.ssh)?);
                            }
                            tunnels.as_mut().map(|tunnels| tunnels.open(name, host.clone()))
                        }
                        Host::Unix(socket) => Some(socket.clone()),
                        Host::Http(_) => None,
                    };
                    let Some(socket) = socket else { continue };
                    let connected = swarm.with_node(name, &socket.to_string_lossy());
                    swarm = connected.map_err(|error| {
                        CliError::with_source("cannot use the engine of a node", &error)
                    })?;
                }
                dialer = TcpDialer::through(EntryConnector::new(&swarm, settings.instance.clone()));
                Arc::new(swarm)
            }
            Self::Process => {
                let opened = ProcessRuntime::open(state_dir.join("processes"));
                Arc::new(opened.map_err(|error| {
                    CliError::with_source("cannot take over the processes of this instance", &error)
                })?)
            }
        };
        Ok(Engine { runtime, dialer: Arc::new(dialer), endpoint, owner, tunnels })
    }

    /// Returns whether an engine has anything of the instance.
    pub(super) async fn has_instance(
        self,
        args: &IngressArgs,
        instance: &InstanceName,
    ) -> Result<bool> {
        match self {
            Self::Docker | Self::Swarm => {
                let mut runtime = docker_runtime(args)?;
                if self == Self::Swarm {
                    runtime = runtime.with_overlay();
                }
                let found = Networks::find(&runtime, instance).await;
                let network = found.map_err(|error| CliError::new(chain(&error)))?;
                Ok(network.is_some())
            }
            // They are in the state folder.
            Self::Process => Ok(false),
        }
    }

    /// Returns where the containers are. Does not call an engine.
    pub(super) fn endpoint(self, args: &IngressArgs) -> Result<String> {
        match self {
            Self::Docker | Self::Swarm => Ok(docker_runtime(args)?.endpoint()),
            Self::Process => Ok(PROCESSES.to_owned()),
        }
    }
}

/// Creates the client of a Docker engine without calling it.
pub(super) fn docker_runtime(args: &IngressArgs) -> Result<DockerRuntime> {
    DockerRuntime::new(args.engine.as_deref())
        .map_err(|error| CliError::with_source("cannot use the container engine", &error))
}

/// Why a store can no longer work.
#[derive(Debug)]
pub(super) enum StoreEnd {
    /// It failed.
    Crashed,
    /// Another process may own it from now on, for this reason.
    Replaced(String),
}

/// A store that this process owns.
#[async_trait]
pub(super) trait OwnedStore: Store {
    /// Returns the random id of the store, which it keeps wherever it is moved.
    fn id(&self) -> String;

    /// Resolves if the store can no longer work.
    async fn failed(&self) -> StoreEnd;

    /// Lets another process use the state at once. Every later call fails. `is_gone` means that
    /// nothing is left of the instance but its state.
    async fn close(&self, is_gone: bool);

    /// Copies the state into the state folder, unless the newest copy has the same apps.
    async fn take_snapshot(&self) -> Result<(), String>;
}

#[async_trait]
impl OwnedStore for SqliteStore {
    fn id(&self) -> String {
        self.id().to_owned()
    }

    async fn failed(&self) -> StoreEnd {
        self.broken().await;
        StoreEnd::Crashed
    }

    // Its lock ends with it.
    async fn close(&self, _is_gone: bool) {}

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
        /// That process.
        holder: Holder,
    },
}

/// Returns whether the state folder has a store.
pub(super) fn sqlite_exists(settings: &Settings) -> bool {
    SqliteStore::exists(&settings.paths.state_dir)
}

/// Sets the id of the store in the state folder, which is closed.
pub(super) fn set_sqlite_id(settings: &Settings, id: &str) -> Result {
    SqliteStore::set_id(&settings.paths.state_dir, id)
        .map_err(|error| CliError::with_source("cannot adopt the instance", &error))
}

/// Opens the store in the state folder, and locks the folder unless for reading.
pub(super) fn open_sqlite(
    settings: &Settings,
    args: &IngressArgs,
    purpose: Purpose,
) -> Result<Opened> {
    let folder = &settings.paths.state_dir;
    state_dir::check_owner(folder)?;
    let opened = match purpose {
        Purpose::Serve { .. } => SqliteStore::open_as(folder, Role::Orchestrator),
        Purpose::Command => SqliteStore::open_as(folder, Role::Command),
        Purpose::Read => SqliteStore::open_for_reading(folder),
    };
    let store = match opened {
        Ok(store) => store,
        Err(OpenError::Locked { folder, holder }) => {
            return Ok(Opened::Locked { folder, holder });
        }
        Err(error) => {
            return Err(CliError::with_source("cannot open the state", &error));
        }
    };
    if !state_dir::is_claimed(folder, &settings.instance)? && purpose != Purpose::Read {
        state_dir::claim(folder, &settings.instance)?;
    }
    let keep = EventRetention { count: args.events_keep, age: args.events_age };
    Ok(Opened::Store(Arc::new(store.with_event_retention(keep))))
}

impl IngressKind {
    /// Creates the ingress for a runtime. Does not call the engine.
    ///
    /// # Errors
    ///
    /// The runtime lacks what the ingress needs.
    pub(super) fn open(
        self,
        settings: &Settings,
        args: &IngressArgs,
        engine: &Engine,
    ) -> Result<(Arc<dyn Ingress>, Arc<dyn CertificateIssuer>)> {
        let issuer = TlsIssuer::new(settings.instance.as_str(), Arc::new(SystemClock));
        match self {
            Self::Proxy => {
                let proxy = ProxyIngress::new(args.http_bind.with_port(args.http_port));
                Ok((Arc::new(proxy), Arc::new(issuer)))
            }
            Self::Nginx => {
                let offered = engine.runtime.capabilities();
                if let Some(missing) = NginxIngress::NEEDS.iter().find(|c| !offered.contains(c)) {
                    let what = format!(
                        "the ingress `nginx` cannot run on {}: it needs {}",
                        engine.endpoint,
                        missing.as_str()
                    );
                    return Err(CliError::with_exit(USAGE, what).help("omit `--ingress nginx`"));
                }
                let runtime = Arc::clone(&engine.runtime);
                let config = NginxConfig {
                    instance: settings.instance.clone(),
                    image: args.ingress_image.clone(),
                    pull: PullPolicy::Missing,
                    http_bind: args.http_bind.0.clone(),
                    http_port: args.http_port,
                    https_port: args.https_port,
                    keepalive_window: args.keepalive_window,
                    trusted_proxies: args.trusted_proxies.clone(),
                    proxy_protocol: args.proxy_protocol,
                    access_log: args.access_log,
                    count_requests: args.metrics_listen.is_some(),
                };
                let dialer = Arc::clone(&engine.dialer);
                let nginx = Arc::new(NginxIngress::new(runtime, dialer, config));
                let acme = AcmeSettings {
                    directory: args.acme_directory.clone(),
                    contact: args.acme_contact.as_ref().map(|mail| format!("mailto:{mail}")),
                    root: args.acme_root.clone(),
                };
                let responder = Arc::<NginxIngress>::clone(&nginx);
                Ok((nginx, Arc::new(issuer.with_acme(acme, responder))))
            }
        }
    }
}
