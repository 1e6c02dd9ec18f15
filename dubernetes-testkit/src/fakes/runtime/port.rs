//! The trait, on the fake's world.

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::broadcast::error::RecvError;

use dubernetes_core::app::{Duration, ImageRef, InstanceName, PullPolicy, Signal};
use dubernetes_core::clock::Clock as _;
use dubernetes_core::error::Cause;
use dubernetes_core::labels;
use dubernetes_core::runtime::{
    ConnectTarget, Connection, Container, ContainerId, ContainerRequest, ContainerRuntime,
    ContainerState, EngineVersion, ExecOutput, ExecRequest, ExecSession, FileEntry, ImageId,
    ImageProblem, LogLine, LogOptions, Network, OpenPorts, Probe, ProbeAnswer, ProbeTarget,
    RuntimeError, RuntimeEvent, Stats,
};

use super::world::not_found;
use super::{FakeContainer, FakeRuntime};

#[async_trait]
impl ContainerRuntime for FakeRuntime {
    async fn version(&self) -> Result<EngineVersion, RuntimeError> {
        self.enter("version", None)?;
        Ok(EngineVersion {
            name: "fake".to_owned(),
            version: "1.0".to_owned(),
            api_version: "1.0".to_owned(),
            platform: "memory/none".to_owned(),
        })
    }

    async fn ensure_network(&self, instance: &InstanceName) -> Result<Network, RuntimeError> {
        if let Some(network) = self.find_network(instance).await? {
            return Ok(network);
        }
        self.enter("network", Some(instance.as_str()))?;
        let mut world = self.world();
        let third = u8::try_from(world.networks.len() * 4 % 256).unwrap_or(0);
        let failed = |error: &dyn std::fmt::Display| RuntimeError::Failed {
            operation: "make a network".to_owned(),
            cause: Cause::text(error.to_string()),
        };
        let address = std::net::Ipv4Addr::new(10, 1, third, 0);
        let subnet = ipnet::Ipv4Net::new(address, 22).map_err(|e| failed(&e))?;
        let network = Network { id: format!("net-{instance}"), subnet };
        world.networks.insert(instance.clone(), network.clone());
        Ok(network)
    }

    async fn find_network(&self, instance: &InstanceName) -> Result<Option<Network>, RuntimeError> {
        self.enter("find network", None)?;
        Ok(self.world().networks.get(instance).cloned())
    }

    async fn remove_network(&self, instance: &InstanceName) -> Result<(), RuntimeError> {
        self.enter("remove network", Some(instance.as_str()))?;
        self.world().networks.remove(instance);
        Ok(())
    }

    async fn list(&self, instance: &InstanceName) -> Result<Vec<Container>, RuntimeError> {
        self.enter("list", None)?;
        let owner = Some(instance.as_str());
        let world = self.world();
        let all = world.containers.values().map(|c| &c.container);
        Ok(all
            .filter(|c| c.labels.get(labels::INSTANCE).map(String::as_str) == owner)
            .cloned()
            .collect())
    }

    async fn inspect(&self, id: &ContainerId) -> Result<Container, RuntimeError> {
        self.enter("inspect", None)?;
        self.find(id)
    }

    async fn ensure_image(
        &self,
        image: &ImageRef,
        _policy: PullPolicy,
    ) -> Result<ImageId, RuntimeError> {
        self.enter("ensure image", None)?;
        let world = self.world();
        let meant = world.tags.get(image).unwrap_or(image);
        if world.images.contains_key(meant) {
            return Ok(image_id(meant));
        }
        Err(RuntimeError::Image {
            image: image.to_string(),
            problem: ImageProblem::Missing,
            message: "not on this engine, and no registry has it".to_owned(),
        })
    }

    async fn create(&self, request: &ContainerRequest) -> Result<ContainerId, RuntimeError> {
        self.enter("create", Some(&request.name))?;
        let now = self.clock.now();
        let mut world = self.world();
        if world.containers.values().any(|c| c.container.name == request.name) {
            return Err(RuntimeError::NameTaken { name: request.name.clone() });
        }
        let image = world.images.iter().find(|(image, _)| {
            image.as_str() == request.image || image_id(image).0 == request.image
        });
        let Some((image, behaviour)) = image.map(|(i, b)| (image_id(i), b.clone())) else {
            let (image, message) = (request.image.clone(), "not on this engine".to_owned());
            let problem = ImageProblem::Missing;
            return Err(RuntimeError::Image { image, problem, message });
        };
        let app = request.labels.get(labels::APP);
        let command = request.command.first().and_then(|command| world.commands.get(command));
        let other = command.or_else(|| app.and_then(|app| world.apps.get(app)));
        let behaviour = other.cloned().unwrap_or(behaviour);
        if !world.networks.values().any(|n| n.id == request.network) {
            return Err(RuntimeError::NotFound { kind: "network", name: request.network.clone() });
        }
        world.made += 1;
        let id = ContainerId(format!("{:012x}", world.made));
        let container = Container {
            id: id.clone(),
            name: request.name.clone(),
            image_id: image,
            labels: request.labels.clone(),
            state: ContainerState::Created,
            created_at: now,
        };
        let made = FakeContainer { container, request: request.clone(), behaviour };
        world.containers.insert(id.clone(), made);
        drop(world);
        self.tell(&id, "create");
        Ok(id)
    }

    async fn start(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let name = self.find(id)?.name;
        self.enter("start", Some(&name))?;
        self.begin(&self.find(id)?.id)
    }

    async fn stop(
        &self,
        id: &ContainerId,
        _signal: Option<Signal>,
        _grace: Duration,
    ) -> Result<(), RuntimeError> {
        let Ok(container) = self.find(id) else { return Ok(()) };
        self.enter("stop", Some(&container.name))?;
        self.end(&container.id, 143);
        Ok(())
    }

    async fn remove(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let Ok(container) = self.find(id) else { return Ok(()) };
        self.enter("remove", Some(&container.name))?;
        self.take_away(&container.id);
        Ok(())
    }

    async fn signal(&self, id: &ContainerId, signal: Signal) -> Result<(), RuntimeError> {
        let container = self.running(id, "signal it")?;
        self.enter("signal", Some(&container.name))?;
        match signal {
            Signal::SigKill => self.end(&container.id, 137),
            Signal::SigTerm => self.end(&container.id, 143),
            Signal::SigInt => self.end(&container.id, 130),
            Signal::SigHup
            | Signal::SigQuit
            | Signal::SigUsr1
            | Signal::SigUsr2
            | Signal::SigWinch => {}
        }
        Ok(())
    }

    async fn put_files(&self, id: &ContainerId, _files: &[FileEntry]) -> Result<(), RuntimeError> {
        let name = self.find(id)?.name;
        self.enter("put files", Some(&name))
    }

    async fn exec(
        &self,
        id: &ContainerId,
        _request: &ExecRequest,
    ) -> Result<ExecSession, RuntimeError> {
        self.enter("exec", None)?;
        self.running(id, "run a command in it")?;
        let output = stream::once(async { Ok(ExecOutput::Exit(0)) }).boxed();
        Ok(ExecSession::new(Box::pin(tokio::io::sink()), output))
    }

    async fn probe(&self, target: &ProbeTarget) -> Result<ProbeAnswer, RuntimeError> {
        self.enter("probe", None)?;
        let now = self.clock.now();
        let world = self.world();
        let listens = world.containers.get(&target.id).and_then(|c| {
            let ContainerState::Running { started_at } = c.container.state else { return None };
            let ready = c.behaviour.ready_after.and_then(|d| started_at.saturating_add(d).ok());
            let refuses = world.not_ready.contains(&target.id);
            (c.request.address == target.address)
                .then(|| !refuses && ready.is_some_and(|at| at <= now))
        });
        Ok(match (&target.probe, listens) {
            (Probe::Tcp { .. }, Some(true)) => ProbeAnswer::Connected,
            (Probe::Http { .. }, Some(true)) => {
                ProbeAnswer::Http { status: 200, body: String::new() }
            }
            (Probe::Tcp { port } | Probe::Http { port, .. }, Some(false)) => {
                ProbeAnswer::Refused { port: *port, open: OpenPorts::Unknown }
            }
            (_, None) => ProbeAnswer::Failed { reason: "nobody has this address".to_owned() },
        })
    }

    /// What is sent comes back.
    async fn connect(&self, target: &ConnectTarget) -> Result<Connection, RuntimeError> {
        self.enter("connect", None)?;
        let (address, port) = (target.address, target.port);
        if !self.world().listens(&target.id, address, self.clock.now()) {
            let reason = "connection refused".to_owned();
            return Err(RuntimeError::NotConnected { address, port, reason });
        }
        let (ours, theirs) = tokio::io::duplex(1024);
        tokio::spawn(async move {
            let (mut said, mut echo) = tokio::io::split(theirs);
            // Whoever has gone already needs no echo.
            let _ = tokio::io::copy(&mut said, &mut echo).await;
            let _ = echo.shutdown().await;
        });
        let (reader, writer) = tokio::io::split(ours);
        Ok(Connection { reader: Box::pin(reader), writer: Box::pin(writer) })
    }

    async fn logs(
        &self,
        id: &ContainerId,
        options: &LogOptions,
    ) -> Result<BoxStream<'static, Result<LogLine, RuntimeError>>, RuntimeError> {
        self.enter("logs", None)?;
        let container = self.find(id)?;
        let mut lines = self.world().logs.get(&container.id).cloned().unwrap_or_default();
        lines.retain(|line| options.since.is_none_or(|since| line.time >= since));
        if let Some(tail) = options.tail.and_then(|tail| usize::try_from(tail).ok()) {
            let start = lines.len().saturating_sub(tail);
            lines.drain(..start);
        }
        Ok(stream::iter(lines.into_iter().map(Ok)).boxed())
    }

    async fn stats(&self, id: &ContainerId) -> Result<Stats, RuntimeError> {
        self.enter("stats", None)?;
        let container = self.running(id, "measure it")?;
        let read_at = self.clock.now();
        let since = match container.state {
            ContainerState::Running { started_at } => started_at,
            _ => read_at,
        };
        // A tenth of a core, as long as it runs.
        let used = read_at.duration_since(since).as_nanos() / 10;
        let cpu_nanos = u64::try_from(used).unwrap_or(0);
        Ok(Stats { cpu_nanos, memory_bytes: 1 << 20, read_at })
    }

    async fn events(
        &self,
        instance: &InstanceName,
    ) -> Result<BoxStream<'static, Result<RuntimeEvent, RuntimeError>>, RuntimeError> {
        self.enter("events", None)?;
        let (receiver, instance) = (self.events.subscribe(), instance.clone());
        let events = stream::unfold(receiver, move |mut receiver| {
            let instance = instance.clone();
            async move {
                loop {
                    match receiver.recv().await {
                        Ok(Some((owner, event))) if owner == instance => {
                            return Some((Ok(event), receiver));
                        }
                        // Events may be lost; that is the trait's own word.
                        Ok(Some(_)) | Err(RecvError::Lagged(_)) => {}
                        Ok(None) | Err(RecvError::Closed) => return None,
                    }
                }
            }
        });
        Ok(events.boxed())
    }
}

impl FakeRuntime {
    /// By id or by name.
    fn find(&self, id: &ContainerId) -> Result<Container, RuntimeError> {
        let world = self.world();
        let mut all = world.containers.values().map(|c| &c.container);
        all.find(|c| c.id == *id || c.name == id.0).cloned().ok_or_else(|| not_found(id))
    }

    fn running(&self, id: &ContainerId, operation: &str) -> Result<Container, RuntimeError> {
        let container = self.find(id)?;
        if matches!(container.state, ContainerState::Running { .. }) {
            return Ok(container);
        }
        let message = "the container does not run".to_owned();
        Err(RuntimeError::Rejected { operation: operation.to_owned(), message })
    }
}

fn image_id(image: &ImageRef) -> ImageId {
    ImageId(format!("sha256:{image}"))
}
