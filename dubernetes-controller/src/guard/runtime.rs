//! The guard of a [`ContainerRuntime`] and of its parts.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use dubernetes_core::app::{
    AppName, Artifact, Duration as Span, ImageRef, InstanceName, PullPolicy, Signal,
};
use dubernetes_core::runtime::{
    Capability, Container, ContainerId, ContainerRequest, ContainerRuntime, Exec, ExecRequest,
    ExecSession, FileEntry, Files, ImageId, ImageLayers, Images, LogLine, LogOptions, Logs,
    Network, Networks, NodeInfo, Nodes, OpenPorts, Owner, Process, PullProgress, RuntimeError,
    RuntimeEvent, RuntimeInfo, RuntimeStream, Stats, StatsReader, Stdio, require,
};

use super::{Calls, PULL, READ, STOP_MARGIN, WRITE, catch_panic};

/// Deadline of the search for open ports, which only improves a message.
const OPEN_PORTS: Duration = Duration::from_secs(5);

/// A runtime whose calls have a deadline and do not panic. Streams are not guarded.
#[derive(Debug)]
pub(crate) struct GuardedRuntime(pub(crate) Arc<dyn ContainerRuntime>, pub(crate) Calls);

#[async_trait]
impl ContainerRuntime for GuardedRuntime {
    async fn info(&self) -> Result<RuntimeInfo, RuntimeError> {
        self.1.guard("read its version", READ, self.0.info()).await
    }

    async fn list(&self, instance: &InstanceName) -> Result<Vec<Container>, RuntimeError> {
        self.1.guard("list containers", READ, self.0.list(instance)).await
    }

    async fn inspect(&self, id: &ContainerId) -> Result<Container, RuntimeError> {
        self.1.guard("inspect a container", READ, self.0.inspect(id)).await
    }

    async fn resolve(
        &self,
        artifact: &Artifact,
        policy: PullPolicy,
    ) -> Result<ImageId, RuntimeError> {
        self.1.guard("resolve an image", PULL, self.0.resolve(artifact, policy)).await
    }

    fn pull_progress(&self, image: &ImageRef) -> Option<PullProgress> {
        self.0.pull_progress(image)
    }

    async fn health_check(&self, image: &ImageId) -> Result<Option<Vec<String>>, RuntimeError> {
        self.1.guard("inspect an image", READ, self.0.health_check(image)).await
    }

    async fn create(&self, request: &ContainerRequest) -> Result<ContainerId, RuntimeError> {
        self.1.guard("create a container", WRITE, self.0.create(request)).await
    }

    async fn start(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        self.1.guard("start a container", WRITE, self.0.start(id)).await
    }

    async fn stop(
        &self,
        id: &ContainerId,
        signal: Option<Signal>,
        grace: Span,
    ) -> Result<(), RuntimeError> {
        let limit = grace.to_std() + STOP_MARGIN;
        self.1.guard("stop a container", limit, self.0.stop(id, signal, grace)).await
    }

    async fn remove(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        self.1.guard("remove a container", WRITE, self.0.remove(id)).await
    }

    fn capabilities(&self) -> BTreeSet<Capability> {
        self.0.capabilities()
    }

    async fn claim(&self, instance: &InstanceName, owner: &Owner) -> Result<(), RuntimeError> {
        self.1.guard("claim the instance", READ, self.0.claim(instance, owner)).await
    }

    async fn signal(&self, id: &ContainerId, signal: Signal) -> Result<(), RuntimeError> {
        self.1.guard("send a signal", WRITE, self.0.signal(id, signal)).await
    }

    async fn processes(&self, id: &ContainerId) -> Result<Vec<Process>, RuntimeError> {
        self.1.guard("list the processes of a container", READ, self.0.processes(id)).await
    }

    async fn open_ports(&self, id: &ContainerId, endpoint: SocketAddr) -> OpenPorts {
        let call = catch_panic(self.0.open_ports(id, endpoint));
        match tokio::time::timeout(OPEN_PORTS, call).await {
            Ok(Ok(ports)) => ports,
            Ok(Err(_)) | Err(_) => OpenPorts::Unknown,
        }
    }

    async fn events(
        &self,
        instance: &InstanceName,
    ) -> Result<RuntimeStream<RuntimeEvent>, RuntimeError> {
        self.1.guard("subscribe to events", READ, self.0.events(instance)).await
    }

    fn networks(&self) -> Option<&dyn Networks> {
        let part: &dyn Networks = self;
        self.0.networks().map(|_| part)
    }

    fn exec(&self) -> Option<&dyn Exec> {
        let part: &dyn Exec = self;
        self.0.exec().map(|_| part)
    }

    fn files(&self) -> Option<&dyn Files> {
        let part: &dyn Files = self;
        self.0.files().map(|_| part)
    }

    fn logs(&self) -> Option<&dyn Logs> {
        let part: &dyn Logs = self;
        self.0.logs().map(|_| part)
    }

    fn stats(&self) -> Option<&dyn StatsReader> {
        let part: &dyn StatsReader = self;
        self.0.stats().map(|_| part)
    }

    fn images(&self) -> Option<&dyn Images> {
        let part: &dyn Images = self;
        self.0.images().map(|_| part)
    }

    fn nodes(&self) -> Option<&dyn Nodes> {
        let part: &dyn Nodes = self;
        self.0.nodes().map(|_| part)
    }
}

#[async_trait]
impl Networks for GuardedRuntime {
    async fn ensure(&self, instance: &InstanceName) -> Result<Network, RuntimeError> {
        let networks = require(self.0.networks(), Capability::PlannedAddresses)?;
        self.1.guard("create a network", WRITE, networks.ensure(instance)).await
    }

    async fn find(&self, instance: &InstanceName) -> Result<Option<Network>, RuntimeError> {
        let networks = require(self.0.networks(), Capability::PlannedAddresses)?;
        self.1.guard("inspect a network", READ, networks.find(instance)).await
    }

    fn held_addresses(&self, instance: &InstanceName) -> BTreeSet<IpAddr> {
        let networks = self.0.networks();
        networks.map(|networks| networks.held_addresses(instance)).unwrap_or_default()
    }

    async fn remove(&self, instance: &InstanceName) -> Result<(), RuntimeError> {
        let networks = require(self.0.networks(), Capability::PlannedAddresses)?;
        self.1.guard("remove a network", WRITE, networks.remove(instance)).await
    }

    async fn publish_names(
        &self,
        instance: &InstanceName,
        names: &BTreeMap<AppName, Ipv4Addr>,
    ) -> Result<(), RuntimeError> {
        let networks = require(self.0.networks(), Capability::PlannedAddresses)?;
        self.1.guard("publish names", WRITE, networks.publish_names(instance, names)).await
    }
}

#[async_trait]
impl Nodes for GuardedRuntime {
    async fn list(&self) -> Result<Vec<NodeInfo>, RuntimeError> {
        let nodes = require(self.0.nodes(), Capability::SeveralHosts)?;
        self.1.guard("list nodes", READ, nodes.list()).await
    }

    fn places(&self) -> BTreeMap<ContainerId, String> {
        self.0.nodes().map(|nodes| nodes.places()).unwrap_or_default()
    }

    fn leaving(&self) -> BTreeSet<ContainerId> {
        self.0.nodes().map(|nodes| nodes.leaving()).unwrap_or_default()
    }
}

#[async_trait]
impl Exec for GuardedRuntime {
    async fn exec(
        &self,
        id: &ContainerId,
        request: &ExecRequest,
    ) -> Result<ExecSession, RuntimeError> {
        let exec = require(self.0.exec(), Capability::Exec)?;
        self.1.guard("run a command in a container", WRITE, exec.exec(id, request)).await
    }

    async fn attach(&self, id: &ContainerId, stdio: Stdio) -> Result<ExecSession, RuntimeError> {
        let exec = require(self.0.exec(), Capability::Exec)?;
        self.1.guard("attach to a container", WRITE, exec.attach(id, stdio)).await
    }
}

#[async_trait]
impl Files for GuardedRuntime {
    async fn put(&self, id: &ContainerId, files: &[FileEntry]) -> Result<(), RuntimeError> {
        let part = require(self.0.files(), Capability::Files)?;
        self.1.guard("put files into a container", WRITE, part.put(id, files)).await
    }

    async fn read(
        &self,
        id: &ContainerId,
        directory: &str,
    ) -> Result<BTreeMap<String, Bytes>, RuntimeError> {
        let part = require(self.0.files(), Capability::Files)?;
        self.1.guard("read files of a container", READ, part.read(id, directory)).await
    }
}

#[async_trait]
impl Logs for GuardedRuntime {
    async fn read(
        &self,
        id: &ContainerId,
        options: &LogOptions,
    ) -> Result<RuntimeStream<LogLine>, RuntimeError> {
        let logs = require(self.0.logs(), Capability::Logs)?;
        self.1.guard("read the logs of a container", READ, logs.read(id, options)).await
    }
}

#[async_trait]
impl StatsReader for GuardedRuntime {
    async fn read(&self, id: &ContainerId) -> Result<Stats, RuntimeError> {
        let stats = require(self.0.stats(), Capability::Stats)?;
        self.1.guard("measure a container", READ, stats.read(id)).await
    }
}

#[async_trait]
impl Images for GuardedRuntime {
    async fn layers(&self) -> Result<Vec<ImageLayers>, RuntimeError> {
        let images = require(self.0.images(), Capability::Images)?;
        self.1.guard("list the layers of images", WRITE, images.layers()).await
    }

    async fn save(&self, image: &ImageRef) -> Result<RuntimeStream<Bytes>, RuntimeError> {
        let images = require(self.0.images(), Capability::Images)?;
        self.1.guard("save an image", READ, images.save(image)).await
    }

    async fn load(&self, archive: RuntimeStream<Bytes>) -> Result<(), RuntimeError> {
        let images = require(self.0.images(), Capability::Images)?;
        self.1.guard("load an image", PULL, images.load(archive)).await
    }
}
