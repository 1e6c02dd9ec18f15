//! The optional parts of the runtime.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use async_trait::async_trait;
use bytes::Bytes;
use dubernetes_core::app::{AppName, ImageRef, InstanceName};
use dubernetes_core::runtime::{
    ContainerId, Exec, ExecRequest, ExecSession, FileEntry, Files, ImageLayers, Images, LogLine,
    LogOptions, Logs, Network, Networks, RuntimeError, RuntimeStream, Stats, StatsReader, Stdio,
};

use super::{DockerRuntime, inspect};
use crate::{archive, files, names, network, streams};

#[async_trait]
impl Networks for DockerRuntime {
    async fn ensure(&self, instance: &InstanceName) -> Result<Network, RuntimeError> {
        network::ensure(&self.engine, instance).await
    }

    async fn find(&self, instance: &InstanceName) -> Result<Option<Network>, RuntimeError> {
        network::find(&self.engine, instance).await
    }

    async fn remove(&self, instance: &InstanceName) -> Result<(), RuntimeError> {
        network::remove(&self.engine, instance).await?;
        if let Some(state_dir) = self.engine.state_dir.get() {
            names::remove(state_dir).await;
        }
        Ok(())
    }

    async fn publish_names(
        &self,
        _instance: &InstanceName,
        names: &BTreeMap<AppName, Ipv4Addr>,
    ) -> Result<(), RuntimeError> {
        match self.engine.state_dir.get() {
            Some(state_dir) => names::publish(state_dir, names).await,
            None => Ok(()),
        }
    }
}

#[async_trait]
impl Exec for DockerRuntime {
    async fn exec(
        &self,
        id: &ContainerId,
        request: &ExecRequest,
    ) -> Result<ExecSession, RuntimeError> {
        streams::exec(&self.engine, id, request).await
    }

    async fn attach(&self, id: &ContainerId, stdio: Stdio) -> Result<ExecSession, RuntimeError> {
        streams::attach(&self.engine, id, stdio).await
    }
}

#[async_trait]
impl Files for DockerRuntime {
    async fn put(&self, id: &ContainerId, files: &[FileEntry]) -> Result<(), RuntimeError> {
        files::put(&self.engine, id, files).await
    }

    async fn read(
        &self,
        id: &ContainerId,
        directory: &str,
    ) -> Result<BTreeMap<String, Bytes>, RuntimeError> {
        files::read(&self.engine, id, directory).await
    }
}

#[async_trait]
impl Logs for DockerRuntime {
    async fn read(
        &self,
        id: &ContainerId,
        options: &LogOptions,
    ) -> Result<RuntimeStream<LogLine>, RuntimeError> {
        streams::read_logs(&self.engine, id, options).await
    }
}

#[async_trait]
impl StatsReader for DockerRuntime {
    async fn read(&self, id: &ContainerId) -> Result<Stats, RuntimeError> {
        inspect::read_stats(&self.engine, id).await
    }
}

#[async_trait]
impl Images for DockerRuntime {
    async fn layers(&self) -> Result<Vec<ImageLayers>, RuntimeError> {
        archive::layers(&self.engine).await
    }

    async fn save(&self, image: &ImageRef) -> Result<RuntimeStream<Bytes>, RuntimeError> {
        archive::save(&self.engine, image).await
    }

    async fn load(&self, archive: RuntimeStream<Bytes>) -> Result<(), RuntimeError> {
        archive::load(&self.engine, archive).await
    }
}
