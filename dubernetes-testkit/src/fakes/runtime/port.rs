//! The traits of the fake engine.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::compat::{TokioAsyncReadCompatExt as _, TokioAsyncWriteCompatExt as _};

use jiff::SignedDuration;

use dubernetes_core::app::{AppName, Artifact, Duration, InstanceName, PullPolicy, Signal};
use dubernetes_core::clock::Clock as _;
use dubernetes_core::dial::{Connection, DialError, Dialer, Probe, ProbeAnswer};
use dubernetes_core::error::SharedError;
use dubernetes_core::labels;
use dubernetes_core::runtime::{
    Capability, Container, ContainerFile, ContainerId, ContainerRequest, ContainerRuntime,
    ContainerState, Exec, ExecOutput, ExecRequest, ExecSession, FileEntry, Files, ImageId,
    ImageProblem, LogLine, LogOptions, Logs, Network, NetworkAddress, Networks, OpenPorts, Owner,
    RuntimeError, RuntimeEvent, RuntimeInfo, RuntimeStream, Stats, StatsReader, Stdio,
};

use super::world::not_found;
use super::{FakeContainer, FakeRuntime, Operation};

/// How often an attached client looks for the exit of its container.
const EXIT_POLL: std::time::Duration = std::time::Duration::from_millis(10);

#[async_trait]
impl ContainerRuntime for FakeRuntime {
    async fn info(&self) -> Result<RuntimeInfo, RuntimeError> {
        self.enter(Operation::Info, None).await?;
        Ok(RuntimeInfo {
            name: "fake".to_owned(),
            version: "1.0".to_owned(),
            api_version: "1.0".to_owned(),
            platform: "memory/none".to_owned(),
        })
    }

    async fn list(&self, instance: &InstanceName) -> Result<Vec<Container>, RuntimeError> {
        self.enter(Operation::List, None).await?;
        let owner = Some(instance.as_str());
        let world = self.world();
        let all = world.containers.values().map(|c| &c.container);
        let now = self.clock.now();
        let is_shown = |c: &&Container| {
            let age = now.duration_since(c.created_at);
            age >= SignedDuration::try_from(world.list_lag).unwrap_or_default()
        };
        let is_owned = |c: &&Container| c.labels.get(labels::INSTANCE).map(String::as_str) == owner;
        Ok(all.filter(is_shown).filter(is_owned).cloned().collect())
    }

    async fn inspect(&self, id: &ContainerId) -> Result<Container, RuntimeError> {
        self.enter(Operation::Inspect, None).await?;
        self.container(id)
    }

    async fn resolve(
        &self,
        artifact: &Artifact,
        _policy: PullPolicy,
    ) -> Result<ImageId, RuntimeError> {
        self.enter(Operation::Resolve, None).await?;
        let world = self.world();
        let target = world.tags.get(artifact).unwrap_or(artifact);
        if world.images.contains_key(target) {
            return Ok(image_id(target));
        }
        Err(RuntimeError::Image {
            image: artifact.to_string(),
            problem: ImageProblem::Missing,
            message: "not on this engine, and no registry has it".to_owned(),
        })
    }

    async fn health_check(&self, image: &ImageId) -> Result<Option<Vec<String>>, RuntimeError> {
        let world = self.world();
        let mut images = world.images.iter();
        let found = images.find(|(reference, _)| image_id(reference) == *image);
        Ok(found.and_then(|(_, behaviour)| behaviour.health_check.clone()))
    }

    async fn create(&self, request: &ContainerRequest) -> Result<ContainerId, RuntimeError> {
        self.change(Operation::Create, &request.name, || self.make(request)).await
    }

    async fn start(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let name = self.container(id)?.name;
        self.change(Operation::Start, &name, || self.begin(&self.container(id)?.id)).await
    }

    async fn stop(
        &self,
        id: &ContainerId,
        _signal: Option<Signal>,
        _grace: Duration,
    ) -> Result<(), RuntimeError> {
        let Ok(container) = self.container(id) else { return Ok(()) };
        self.change(Operation::Stop, &container.name, || {
            self.end(&container.id, 143);
            Ok(())
        })
        .await
    }

    async fn remove(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let Ok(container) = self.container(id) else { return Ok(()) };
        self.change(Operation::Remove, &container.name, || {
            self.delete(&container.id);
            Ok(())
        })
        .await
    }

    fn capabilities(&self) -> BTreeSet<Capability> {
        let mut all = BTreeSet::from(Capability::ALL);
        all.remove(&Capability::SeveralHosts);
        // A container of the fake has no layers.
        all.remove(&Capability::Images);
        if self.world().unplanned {
            all.remove(&Capability::PlannedAddresses);
        }
        all
    }

    async fn claim(&self, instance: &InstanceName, owner: &Owner) -> Result<(), RuntimeError> {
        let held = self.world().owners.get(instance).cloned();
        let Some(Owner { id, folder }) = held else {
            return self
                .change_unseen(Operation::Claim, instance.as_str(), || {
                    self.world().owners.insert(instance.clone(), owner.clone());
                    Ok(())
                })
                .await;
        };
        self.enter(Operation::Claim, None).await?;
        if id == owner.id {
            return Ok(());
        }
        Err(RuntimeError::OwnedByOtherState { instance: instance.clone(), folder, id: Some(id) })
    }

    fn networks(&self) -> Option<&dyn Networks> {
        (!self.world().unplanned).then_some(self)
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

    async fn signal(&self, id: &ContainerId, signal: Signal) -> Result<(), RuntimeError> {
        let container = self.running(id, "signal it")?;
        self.enter(Operation::Signal, Some(&container.name)).await?;
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

    async fn events(
        &self,
        instance: &InstanceName,
    ) -> Result<RuntimeStream<RuntimeEvent>, RuntimeError> {
        self.enter(Operation::Events, None).await?;
        let (receiver, instance) = (self.events.subscribe(), instance.clone());
        let events = stream::unfold(receiver, move |mut receiver| {
            let instance = instance.clone();
            async move {
                loop {
                    match receiver.recv().await {
                        Ok(Some((owner, event))) if owner == instance => {
                            return Some((Ok(event), receiver));
                        }
                        // The trait allows lost events.
                        Ok(Some(_)) | Err(RecvError::Lagged(_)) => {}
                        Ok(None) | Err(RecvError::Closed) => return None,
                    }
                }
            }
        });
        Ok(events.boxed())
    }
}

#[async_trait]
impl Networks for FakeRuntime {
    async fn ensure(&self, instance: &InstanceName) -> Result<Network, RuntimeError> {
        if let Some(network) = self.find(instance).await? {
            return Ok(network);
        }
        self.change(Operation::EnsureNetwork, instance.as_str(), || {
            let mut world = self.world();
            let third = u8::try_from(world.networks.len() * 4 % 256).unwrap_or(0);
            let failed = |error: &dyn std::fmt::Display| RuntimeError::Failed {
                operation: "create a network".to_owned(),
                cause: SharedError::text(error.to_string()),
            };
            let address = std::net::Ipv4Addr::new(10, 1, third, 0);
            let subnet = ipnet::Ipv4Net::new(address, 22).map_err(|e| failed(&e))?;
            let network = Network { id: format!("net-{instance}"), subnet };
            world.networks.insert(instance.clone(), network.clone());
            Ok(network)
        })
        .await
    }

    async fn find(&self, instance: &InstanceName) -> Result<Option<Network>, RuntimeError> {
        self.enter(Operation::FindNetwork, None).await?;
        Ok(self.world().networks.get(instance).cloned())
    }

    async fn remove(&self, instance: &InstanceName) -> Result<(), RuntimeError> {
        self.change(Operation::RemoveNetwork, instance.as_str(), || {
            let mut world = self.world();
            world.networks.remove(instance);
            world.owners.remove(instance);
            world.names.clear();
            Ok(())
        })
        .await
    }

    async fn publish_names(
        &self,
        instance: &InstanceName,
        names: &BTreeMap<AppName, Ipv4Addr>,
    ) -> Result<(), RuntimeError> {
        if self.world().names == *names {
            return self.enter(Operation::PublishNames, None).await;
        }
        self.change_unseen(Operation::PublishNames, instance.as_str(), || {
            self.world().names.clone_from(names);
            Ok(())
        })
        .await
    }
}

#[async_trait]
impl Files for FakeRuntime {
    async fn put(&self, id: &ContainerId, files: &[FileEntry]) -> Result<(), RuntimeError> {
        let container = self.container(id)?;
        self.enter(Operation::PutFiles, Some(&container.name)).await?;
        let mut world = self.world();
        let held = world.files.entry(container.id).or_default();
        for file in files {
            match file {
                FileEntry::File { path, contents } | FileEntry::PrivateFile { path, contents } => {
                    held.insert(path.clone(), contents.clone());
                }
                FileEntry::Directory { .. } | FileEntry::Symlink { .. } => {}
            }
        }
        Ok(())
    }

    async fn read(
        &self,
        id: &ContainerId,
        directory: &str,
    ) -> Result<BTreeMap<String, Bytes>, RuntimeError> {
        let id = self.container(id)?.id;
        self.enter(Operation::ReadFiles, None).await?;
        let world = self.world();
        let held = world.files.get(&id).into_iter().flatten();
        let below = held.filter_map(|(path, contents)| {
            let path = path.strip_prefix(directory)?.strip_prefix('/')?;
            Some((path.to_owned(), contents.clone()))
        });
        let found: BTreeMap<_, _> = below.collect();
        if found.is_empty() {
            let name = directory.to_owned();
            return Err(RuntimeError::NotFound { kind: "directory", name });
        }
        Ok(found)
    }
}

#[async_trait]
impl Exec for FakeRuntime {
    async fn exec(
        &self,
        id: &ContainerId,
        _request: &ExecRequest,
    ) -> Result<ExecSession, RuntimeError> {
        self.enter(Operation::Exec, None).await?;
        self.running(id, "run a command in it")?;
        let output = stream::once(async { Ok(ExecOutput::Exit(0)) }).boxed();
        Ok(ExecSession::new(Box::pin(futures_util::io::sink()), output))
    }

    async fn attach(&self, id: &ContainerId, _stdio: Stdio) -> Result<ExecSession, RuntimeError> {
        self.enter(Operation::Exec, None).await?;
        let id = self.container(id)?.id;
        let fake = self.clone();
        let output = stream::once(async move { fake.exit_code(&id).await.map(ExecOutput::Exit) });
        Ok(ExecSession::new(Box::pin(futures_util::io::sink()), output.boxed()))
    }
}

#[async_trait]
impl Logs for FakeRuntime {
    async fn read(
        &self,
        id: &ContainerId,
        options: &LogOptions,
    ) -> Result<RuntimeStream<LogLine>, RuntimeError> {
        self.enter(Operation::Logs, None).await?;
        let container = self.container(id)?;
        let mut lines = self.world().logs.get(&container.id).cloned().unwrap_or_default();
        lines.retain(|line| options.since.is_none_or(|since| line.time >= since));
        if let Some(tail) = options.tail.and_then(|tail| usize::try_from(tail).ok()) {
            let start = lines.len().saturating_sub(tail);
            lines.drain(..start);
        }
        Ok(stream::iter(lines.into_iter().map(Ok)).boxed())
    }
}

#[async_trait]
impl StatsReader for FakeRuntime {
    async fn read(&self, id: &ContainerId) -> Result<Stats, RuntimeError> {
        self.enter(Operation::Stats, None).await?;
        let container = self.running(id, "measure it")?;
        let read_at = self.clock.now();
        let since = match container.state {
            ContainerState::Running { started_at } => started_at,
            _ => read_at,
        };
        // A running container uses a tenth of a CPU.
        let used = read_at.duration_since(since).as_nanos() / 10;
        let cpu_nanos = u64::try_from(used).unwrap_or(0);
        Ok(Stats { cpu_nanos, memory_bytes: 1 << 20, read_at })
    }
}

#[async_trait]
impl Dialer for FakeRuntime {
    async fn probe(&self, endpoint: SocketAddr, probe: &Probe, _timeout: Duration) -> ProbeAnswer {
        let failed = |reason: String| ProbeAnswer::Failed { reason };
        if let Err(error) = self.enter(Operation::Probe, None).await {
            return failed(error.to_string());
        }
        let accepts = self.world().accepts(endpoint, self.clock.now());
        match (probe, accepts) {
            (Probe::Tcp, Some(true)) => ProbeAnswer::Connected,
            (Probe::Http { .. }, Some(true)) => {
                ProbeAnswer::Http { status: 200, body: String::new() }
            }
            (_, Some(false)) => {
                ProbeAnswer::Refused { port: endpoint.port(), open: OpenPorts::Unknown }
            }
            (_, None) => failed("no route to host".to_owned()),
        }
    }

    /// Opens a connection that echoes what is sent.
    async fn connect(&self, endpoint: SocketAddr) -> Result<Connection, DialError> {
        let error = |reason: String| DialError { endpoint, reason };
        self.enter(Operation::Connect, None).await.map_err(|e| error(e.to_string()))?;
        if self.world().accepts(endpoint, self.clock.now()) != Some(true) {
            return Err(error("connection refused".to_owned()));
        }
        let (ours, theirs) = tokio::io::duplex(1024);
        tokio::spawn(async move {
            let (mut received, mut echo) = tokio::io::split(theirs);
            // A caller that has gone away needs no echo.
            let _ = tokio::io::copy(&mut received, &mut echo).await;
            let _ = echo.shutdown().await;
        });
        let (reader, writer) = tokio::io::split(ours);
        Ok(Connection {
            reader: Box::pin(reader.compat()),
            writer: Box::pin(writer.compat_write()),
        })
    }
}

impl FakeRuntime {
    /// Makes a container.
    fn make(&self, request: &ContainerRequest) -> Result<ContainerId, RuntimeError> {
        request.check_for(&self.capabilities())?;
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
        match &request.network {
            Some(NetworkAddress { network, .. })
                if !world.networks.values().any(|n| n.id == *network) =>
            {
                return Err(RuntimeError::NotFound { kind: "network", name: network.clone() });
            }
            Some(_) | None => {}
        }
        world.created += 1;
        let id = ContainerId(format!("{:012x}", world.created).into());
        let container = Container {
            id: id.clone(),
            name: request.name.clone(),
            image_id: image,
            labels: request.labels.clone(),
            state: ContainerState::Created,
            created_at: now,
            endpoint: None,
            limits: Some(request.resources.clone()),
        };
        let content = |file: &ContainerFile| Bytes::copy_from_slice(file.content.reveal());
        let files = request.files.iter().map(|file| (file.target.to_string(), content(file)));
        world.files.insert(id.clone(), files.collect());
        let created = FakeContainer { container, request: request.clone(), behaviour };
        world.containers.insert(id.clone(), created);
        drop(world);
        self.emit(&id, "create");
        Ok(id)
    }

    /// Returns a container by id or name.
    fn container(&self, id: &ContainerId) -> Result<Container, RuntimeError> {
        let world = self.world();
        let mut all = world.containers.values().map(|c| &c.container);
        all.find(|c| c.id == *id || c.name == id.0).cloned().ok_or_else(|| not_found(id))
    }

    /// Waits until a container has ended.
    async fn exit_code(&self, id: &ContainerId) -> Result<i64, RuntimeError> {
        loop {
            if let ContainerState::Exited(exit) = self.container(id)?.state {
                return Ok(exit.code);
            }
            tokio::time::sleep(EXIT_POLL).await;
        }
    }

    fn running(&self, id: &ContainerId, operation: &str) -> Result<Container, RuntimeError> {
        let container = self.container(id)?;
        if matches!(container.state, ContainerState::Running { .. }) {
            return Ok(container);
        }
        let message = "the container is not running".to_owned();
        Err(RuntimeError::NotRunning { operation: operation.to_owned(), message })
    }
}

fn image_id(artifact: &Artifact) -> ImageId {
    ImageId(format!("sha256:{artifact}"))
}
