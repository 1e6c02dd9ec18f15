//! [`DockerRuntime`]: each method of the traits maps its request, calls the engine, and maps the
//! response.

mod inspect;
mod lifecycle;
mod list;
mod parts;
mod staging;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use dubernetes_core::app::{Artifact, Duration, ImageRef, InstanceName, PullPolicy, Signal};
use dubernetes_core::runtime::{
    Capability, Container, ContainerId, ContainerRequest, ContainerRuntime, Exec, Files, ImageId,
    Images, Logs, Networks, OpenPorts, Owner, Process, PullProgress, RuntimeError, RuntimeEvent,
    RuntimeInfo, RuntimeStream, StatsReader,
};

pub(crate) use self::inspect::require_running;
use self::staging::Staging;
use crate::cache::{CallGuard, InspectCache};
use crate::engine::{Engine, READ};
use crate::error::{CallError, unreadable};
use crate::ports::PortCache;
use crate::{events, from_docker, image, network, supported};

/// A Docker engine.
#[derive(Debug, Clone)]
pub struct DockerRuntime {
    pub(crate) engine: Arc<Engine>,
    cache: Arc<InspectCache>,
    ports: Arc<PortCache>,
    staging: Arc<Staging>,
}

impl DockerRuntime {
    /// Creates a runtime without calling the engine, for a controller that may start first.
    ///
    /// The engine is `host` (`unix:///path` or a path), else `DOCKER_HOST`, else
    /// `/var/run/docker.sock`.
    ///
    /// # Errors
    ///
    /// [`RuntimeError::Rejected`] for a host that is not a Unix socket.
    pub fn new(host: Option<&str>) -> Result<Self, RuntimeError> {
        Ok(Self {
            engine: Arc::new(Engine::new(host)?),
            cache: Arc::default(),
            ports: Arc::default(),
            staging: Arc::default(),
        })
    }

    /// Creates a runtime, and checks that the engine answers and is new enough.
    ///
    /// # Errors
    ///
    /// Those of [`DockerRuntime::new`]; [`RuntimeError::Unreachable`] if the engine does not
    /// answer; [`RuntimeError::Rejected`] if it is older than Docker Engine 20.10 or Podman 5.
    pub async fn connect(host: Option<&str>) -> Result<Self, RuntimeError> {
        let runtime = Self::new(host)?;
        runtime.info().await?;
        Ok(runtime)
    }

    /// Sets the state directory of the orchestrator, an absolute path without links. No container
    /// may mount it. Only the first call has an effect.
    #[must_use]
    pub fn with_state_dir(self, folder: &Path) -> Self {
        self.engine.state_dir.get_or_init(|| folder.to_owned());
        self
    }

    /// Lets containers mount folders and files of the system, such as the engine's socket. They
    /// give control of the machine.
    #[must_use]
    pub fn with_system_mounts(self) -> Self {
        self.engine.allow_system_mounts.store(true, Ordering::Relaxed);
        self
    }

    /// Makes the networks of instances span the nodes of the swarm that the engine manages.
    #[must_use]
    pub fn with_overlay(self) -> Self {
        self.engine.has_overlay.store(true, Ordering::Relaxed);
        self
    }

    /// Returns the address of the engine, such as `unix:///var/run/docker.sock`.
    pub fn endpoint(&self) -> String {
        self.engine.endpoint()
    }
}

#[async_trait]
impl ContainerRuntime for DockerRuntime {
    async fn info(&self) -> Result<RuntimeInfo, RuntimeError> {
        let operation = "report its version";
        let docker = self.engine.docker()?;
        let answer = self.engine.call(READ, operation, docker.version()).await;
        let answer = answer.map_err(CallError::into_runtime_error)?;
        let info = from_docker::parse_info(answer).map_err(|what| unreadable(operation, what))?;
        supported::check(&info)?;
        // Requests carry no version yet; a client that will send one must know this engine's.
        let negotiated = docker.clone().negotiate_version();
        let negotiated = self.engine.call(READ, operation, negotiated).await;
        negotiated.map_err(CallError::into_runtime_error)?;
        Ok(info)
    }

    async fn list(&self, instance: &InstanceName) -> Result<Vec<Container>, RuntimeError> {
        list::list(&self.engine, &self.cache, &self.staging, instance).await
    }

    async fn inspect(&self, id: &ContainerId) -> Result<Container, RuntimeError> {
        inspect::inspect(&self.engine, id).await
    }

    async fn resolve(
        &self,
        artifact: &Artifact,
        policy: PullPolicy,
    ) -> Result<ImageId, RuntimeError> {
        let Some(image) = artifact.image() else {
            return Err(RuntimeError::Unsupported { what: Capability::Programs.as_str() });
        };
        image::resolve(&self.engine, image, policy).await
    }

    fn pull_progress(&self, image: &ImageRef) -> Option<PullProgress> {
        self.engine.pulls.progress(&image.with_default_tag())
    }

    async fn health_check(&self, image: &ImageId) -> Result<Option<Vec<String>>, RuntimeError> {
        image::health_check(&self.engine, image).await
    }

    async fn create(&self, request: &ContainerRequest) -> Result<ContainerId, RuntimeError> {
        staging::create(&self.engine, &self.staging, request).await
    }

    async fn start(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let _call = CallGuard::new(&self.cache, &id.0);
        lifecycle::start(&self.engine, id).await
    }

    async fn stop(
        &self,
        id: &ContainerId,
        signal: Option<Signal>,
        grace: Duration,
    ) -> Result<(), RuntimeError> {
        let _call = CallGuard::new(&self.cache, &id.0);
        match signal {
            None => lifecycle::stop(&self.engine, id, grace).await,
            Some(signal) => lifecycle::stop_with_signal(&self.engine, id, signal, grace).await,
        }
    }

    async fn remove(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let _call = CallGuard::new(&self.cache, &id.0);
        lifecycle::remove(&self.engine, id).await
    }

    fn capabilities(&self) -> BTreeSet<Capability> {
        let mut offered = BTreeSet::from(Capability::ALL);
        offered.remove(&Capability::SeveralHosts);
        offered.remove(&Capability::Programs);
        offered
    }

    async fn claim(&self, instance: &InstanceName, owner: &Owner) -> Result<(), RuntimeError> {
        network::claim(&self.engine, instance, owner).await
    }

    async fn signal(&self, id: &ContainerId, signal: Signal) -> Result<(), RuntimeError> {
        let _call = CallGuard::new(&self.cache, &id.0);
        lifecycle::send_signal(&self.engine, id, signal).await
    }

    async fn processes(&self, id: &ContainerId) -> Result<Vec<Process>, RuntimeError> {
        inspect::list_processes(&self.engine, id).await
    }

    async fn open_ports(&self, id: &ContainerId, endpoint: SocketAddr) -> OpenPorts {
        self.ports.find(&self.engine, id, endpoint.ip()).await
    }

    async fn events(
        &self,
        instance: &InstanceName,
    ) -> Result<RuntimeStream<RuntimeEvent>, RuntimeError> {
        events::stream(&self.engine, &self.cache, instance).await
    }

    fn networks(&self) -> Option<&dyn Networks> {
        Some(self)
    }

    fn exec(&self) -> Option<&dyn Exec> {
        Some(self)
    }

    fn files(&self) -> Option<&dyn Files> {
        Some(self)
    }

    fn logs(&self) -> Option<&dyn Logs> {
        Some(self)
    }

    fn stats(&self) -> Option<&dyn StatsReader> {
        Some(self)
    }

    fn images(&self) -> Option<&dyn Images> {
        Some(self)
    }
}
