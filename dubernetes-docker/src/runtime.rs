//! The trait's methods: each maps its request, calls the engine, and maps the answer.

mod containers;
mod lifecycle;
mod survey;
mod unfinished;

pub use survey::EngineMachine;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use dubernetes_core::app::{Duration, ImageRef, InstanceName, PullPolicy, Signal};
use dubernetes_core::runtime::{
    ConnectTarget, Connection, Container, ContainerId, ContainerRequest, ContainerRuntime,
    EngineVersion, ExecRequest, ExecSession, FileEntry, ImageId, LogLine, LogOptions, Network,
    ProbeAnswer, ProbeTarget, RuntimeError, RuntimeEvent, Stats,
};
use futures_util::stream::BoxStream;

use self::unfinished::Unfinished;
use crate::cache::{Cache, ForgetOnDrop};
use crate::engine::{Engine, READ};
use crate::error::{Failure, unreadable};
use crate::ports::Ports;
use crate::{events, files, from_docker, image, network, probe, streams};

/// The oldest API that has all that is asked for here: that of Docker Engine 20.10.
const OLDEST_API: (u32, u32) = (1, 41);

/// Containers on a Docker engine.
#[derive(Debug, Clone)]
pub struct DockerRuntime {
    engine: Arc<Engine>,
    cache: Arc<Cache>,
    ports: Arc<Ports>,
    unfinished: Arc<Unfinished>,
}

impl DockerRuntime {
    /// Names an engine without calling it, for a controller that may start before its engine.
    ///
    /// `host` is `unix:///path` or a path; else `DOCKER_HOST` counts, else `/var/run/docker.sock`.
    ///
    /// # Errors
    ///
    /// [`RuntimeError::Rejected`] for a host that is not a Unix socket.
    pub fn new(host: Option<&str>) -> Result<Self, RuntimeError> {
        Ok(Self {
            engine: Arc::new(Engine::new(host)?),
            cache: Arc::default(),
            ports: Arc::default(),
            unfinished: Arc::default(),
        })
    }

    /// The same, and asks the engine whether it answers and is new enough.
    ///
    /// # Errors
    ///
    /// Also [`RuntimeError::Unreachable`] if no engine answers, and [`RuntimeError::Rejected`] if
    /// it is older than Docker Engine 20.10.
    pub async fn connect(host: Option<&str>) -> Result<Self, RuntimeError> {
        let runtime = Self::new(host)?;
        runtime.version().await?;
        Ok(runtime)
    }

    /// The same for an orchestrator with its state in `folder`, an absolute path without links: no
    /// container gets to see it, and an instance that belongs to another state is refused. Only
    /// the first call counts.
    #[must_use]
    pub fn working_from(self, folder: &Path) -> Self {
        self.engine.state_dir.get_or_init(|| folder.to_owned());
        self
    }

    /// Where the engine is, such as `unix:///var/run/docker.sock`.
    pub fn endpoint(&self) -> String {
        self.engine.endpoint()
    }
}

#[async_trait]
impl ContainerRuntime for DockerRuntime {
    async fn version(&self) -> Result<EngineVersion, RuntimeError> {
        let operation = "ask for its version";
        let docker = self.engine.docker()?;
        let answer = self.engine.call(READ, operation, docker.version()).await;
        let answer = answer.map_err(Failure::general)?;
        let version = from_docker::version(answer).map_err(|what| unreadable(operation, what))?;
        check_api(&version)?;
        // Requests carry no version yet; a client that will send one must know this engine's.
        let negotiated = docker.clone().negotiate_version();
        self.engine.call(READ, operation, negotiated).await.map_err(Failure::general)?;
        Ok(version)
    }

    async fn ensure_network(&self, instance: &InstanceName) -> Result<Network, RuntimeError> {
        network::ensure(&self.engine, instance).await
    }

    async fn find_network(&self, instance: &InstanceName) -> Result<Option<Network>, RuntimeError> {
        network::find(&self.engine, instance).await
    }

    async fn remove_network(&self, instance: &InstanceName) -> Result<(), RuntimeError> {
        network::remove(&self.engine, instance).await
    }

    async fn list(&self, instance: &InstanceName) -> Result<Vec<Container>, RuntimeError> {
        containers::list(&self.engine, &self.cache, &self.unfinished, instance).await
    }

    async fn inspect(&self, id: &ContainerId) -> Result<Container, RuntimeError> {
        containers::inspect(&self.engine, id).await
    }

    async fn ensure_image(
        &self,
        image: &ImageRef,
        policy: PullPolicy,
    ) -> Result<ImageId, RuntimeError> {
        image::ensure(&self.engine, image, policy).await
    }

    async fn create(&self, request: &ContainerRequest) -> Result<ContainerId, RuntimeError> {
        unfinished::create(&self.engine, &self.unfinished, request).await
    }

    async fn start(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let _forget = ForgetOnDrop::new(&self.cache, &id.0);
        lifecycle::start(&self.engine, id).await
    }

    async fn stop(
        &self,
        id: &ContainerId,
        signal: Option<Signal>,
        grace: Duration,
    ) -> Result<(), RuntimeError> {
        let _forget = ForgetOnDrop::new(&self.cache, &id.0);
        match signal {
            None => lifecycle::stop(&self.engine, id, grace).await,
            Some(signal) => lifecycle::stop_by(&self.engine, id, signal, grace).await,
        }
    }

    async fn remove(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let _forget = ForgetOnDrop::new(&self.cache, &id.0);
        lifecycle::remove(&self.engine, id).await
    }

    async fn signal(&self, id: &ContainerId, signal: Signal) -> Result<(), RuntimeError> {
        let _forget = ForgetOnDrop::new(&self.cache, &id.0);
        lifecycle::signal(&self.engine, id, signal).await
    }

    async fn put_files(&self, id: &ContainerId, files: &[FileEntry]) -> Result<(), RuntimeError> {
        files::put(&self.engine, id, files).await
    }

    async fn exec(
        &self,
        id: &ContainerId,
        request: &ExecRequest,
    ) -> Result<ExecSession, RuntimeError> {
        streams::exec(&self.engine, id, request).await
    }

    async fn probe(&self, target: &ProbeTarget) -> Result<ProbeAnswer, RuntimeError> {
        let open = async || self.ports.find(&self.engine, target).await;
        Ok(probe::send(target, open).await)
    }

    async fn connect(&self, target: &ConnectTarget) -> Result<Connection, RuntimeError> {
        probe::open(target).await
    }

    async fn logs(
        &self,
        id: &ContainerId,
        options: &LogOptions,
    ) -> Result<BoxStream<'static, Result<LogLine, RuntimeError>>, RuntimeError> {
        streams::logs(&self.engine, id, options).await
    }

    async fn stats(&self, id: &ContainerId) -> Result<Stats, RuntimeError> {
        containers::stats(&self.engine, id).await
    }

    async fn events(
        &self,
        instance: &InstanceName,
    ) -> Result<BoxStream<'static, Result<RuntimeEvent, RuntimeError>>, RuntimeError> {
        events::watch(&self.engine, &self.cache, instance).await
    }
}

fn check_api(version: &EngineVersion) -> Result<(), RuntimeError> {
    let parts = version.api_version.split_once('.');
    let parsed = parts.and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    match parsed {
        Some(api) if api >= OLDEST_API => Ok(()),
        Some(_) | None => Err(RuntimeError::Rejected {
            operation: "work with Dubernetes".to_owned(),
            message: format!(
                "{} {} speaks version {} of the API; {}.{} or later is needed, which Docker Engine \
                 20.10 has",
                version.name, version.version, version.api_version, OLDEST_API.0, OLDEST_API.1
            ),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_that_is_too_old_is_told_what_is_needed() {
        let of = |api: &str| {
            check_api(&EngineVersion {
                name: "Docker Engine".into(),
                version: "1".into(),
                api_version: api.into(),
                platform: "linux/amd64".into(),
            })
        };
        for api in ["1.41", "1.52", "2.0"] {
            assert!(of(api).is_ok(), "{api}");
        }
        for api in ["1.40", "1.9", "0.99", "none", ""] {
            assert!(of(api).unwrap_err().to_string().contains("1.41"), "{api}");
        }
    }
}
