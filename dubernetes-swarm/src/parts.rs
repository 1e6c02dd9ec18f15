//! The optional parts of the runtime.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use dubernetes_core::app::{AppName, ImageRef, InstanceName};
use dubernetes_core::runtime::{
    ContainerId, Exec, ExecRequest, ExecSession, FileEntry, Files, ImageLayers, Images, LogLine,
    LogOptions, Logs, Network, Networks, NodeInfo, Nodes, RuntimeError, RuntimeStream, Stats,
    StatsReader, Stdio,
};
use tokio::time::{Instant, sleep};

use crate::runtime::SwarmRuntime;

/// How long Swarm may count containers on a network that were removed.
const RELEASE_LIMIT: Duration = Duration::from_secs(10);
const RELEASE_PAUSE: Duration = Duration::from_millis(200);

#[async_trait]
impl Networks for SwarmRuntime {
    async fn ensure(&self, instance: &InstanceName) -> Result<Network, RuntimeError> {
        self.manager.ensure(instance).await
    }

    async fn find(&self, instance: &InstanceName) -> Result<Option<Network>, RuntimeError> {
        self.manager.find(instance).await
    }

    fn held_addresses(&self, instance: &InstanceName) -> BTreeSet<IpAddr> {
        self.memory.held(instance)
    }

    async fn remove(&self, instance: &InstanceName) -> Result<(), RuntimeError> {
        let deadline = Instant::now() + RELEASE_LIMIT;
        loop {
            match Networks::remove(&self.manager, instance).await {
                Err(RuntimeError::Rejected { .. } | RuntimeError::Failed { .. })
                    if Instant::now() < deadline =>
                {
                    sleep(RELEASE_PAUSE).await;
                }
                result => return result,
            }
        }
    }

    async fn publish_names(
        &self,
        instance: &InstanceName,
        names: &BTreeMap<AppName, Ipv4Addr>,
    ) -> Result<(), RuntimeError> {
        self.manager.publish_names(instance, names).await?;
        self.publish_to_others(instance, names).await
    }
}

#[async_trait]
impl Nodes for SwarmRuntime {
    async fn list(&self) -> Result<Vec<NodeInfo>, RuntimeError> {
        let nodes = self.nodes_and_engines().await?.into_iter();
        let info = nodes.map(|(node, engine, is_entry)| NodeInfo {
            name: node.name,
            address: node.address,
            is_ready: node.is_ready,
            is_active: node.is_active,
            is_drained: node.is_drained,
            is_connected: engine.is_some(),
            is_entry,
        });
        Ok(info.collect())
    }

    fn places(&self) -> BTreeMap<ContainerId, String> {
        self.memory.places()
    }

    fn leaving(&self) -> BTreeSet<ContainerId> {
        self.memory.leaving()
    }
}

#[async_trait]
impl Exec for SwarmRuntime {
    async fn exec(
        &self,
        id: &ContainerId,
        request: &ExecRequest,
    ) -> Result<ExecSession, RuntimeError> {
        self.engine_of(id).await?.exec(id, request).await
    }

    async fn attach(&self, id: &ContainerId, stdio: Stdio) -> Result<ExecSession, RuntimeError> {
        self.engine_of(id).await?.attach(id, stdio).await
    }
}

#[async_trait]
impl Files for SwarmRuntime {
    async fn put(&self, id: &ContainerId, files: &[FileEntry]) -> Result<(), RuntimeError> {
        self.engine_of(id).await?.put(id, files).await
    }

    async fn read(
        &self,
        id: &ContainerId,
        directory: &str,
    ) -> Result<BTreeMap<String, Bytes>, RuntimeError> {
        Files::read(&self.engine_of(id).await?, id, directory).await
    }
}

#[async_trait]
impl Logs for SwarmRuntime {
    async fn read(
        &self,
        id: &ContainerId,
        options: &LogOptions,
    ) -> Result<RuntimeStream<LogLine>, RuntimeError> {
        Logs::read(&self.engine_of(id).await?, id, options).await
    }
}

#[async_trait]
impl StatsReader for SwarmRuntime {
    async fn read(&self, id: &ContainerId) -> Result<Stats, RuntimeError> {
        StatsReader::read(&self.engine_of(id).await?, id).await
    }
}

/// Archives are loaded on the entry node, from which images are copied.
#[async_trait]
impl Images for SwarmRuntime {
    async fn layers(&self) -> Result<Vec<ImageLayers>, RuntimeError> {
        self.manager.layers().await
    }

    async fn save(&self, image: &ImageRef) -> Result<RuntimeStream<Bytes>, RuntimeError> {
        let mut saved = self.manager.save(image).await;
        for engine in self.engines().await?.into_iter().skip(1) {
            if !matches!(saved, Err(RuntimeError::NotFound { .. })) {
                break;
            }
            saved = engine.save(image).await;
        }
        saved
    }

    async fn load(&self, archive: RuntimeStream<Bytes>) -> Result<(), RuntimeError> {
        self.manager.load(archive).await
    }
}
