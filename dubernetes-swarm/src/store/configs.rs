//! Where the state is kept: configs of the swarm.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use dubernetes_core::runtime::RuntimeError;
use dubernetes_docker::{DockerRuntime, SwarmConfig};

pub(crate) type Labels = BTreeMap<String, String>;

/// The configs of a swarm, as [`DockerRuntime`] documents them.
#[async_trait]
pub(crate) trait Configs: fmt::Debug + Send + Sync {
    async fn create(
        &self,
        name: &str,
        labels: &Labels,
        data: &[u8],
    ) -> Result<String, RuntimeError>;
    async fn find(&self, id: &str) -> Result<Option<SwarmConfig>, RuntimeError>;
    async fn list(&self, label: &str) -> Result<Vec<SwarmConfig>, RuntimeError>;
    async fn set_labels(&self, config: &SwarmConfig, labels: &Labels) -> Result<(), RuntimeError>;
    async fn remove(&self, id: &str) -> Result<(), RuntimeError>;
}

#[async_trait]
impl Configs for DockerRuntime {
    async fn create(
        &self,
        name: &str,
        labels: &Labels,
        data: &[u8],
    ) -> Result<String, RuntimeError> {
        self.create_config(name, labels, data).await
    }

    async fn find(&self, id: &str) -> Result<Option<SwarmConfig>, RuntimeError> {
        self.find_config(id).await
    }

    async fn list(&self, label: &str) -> Result<Vec<SwarmConfig>, RuntimeError> {
        self.list_configs(label).await
    }

    async fn set_labels(&self, config: &SwarmConfig, labels: &Labels) -> Result<(), RuntimeError> {
        self.set_config_labels(config, labels).await
    }

    async fn remove(&self, id: &str) -> Result<(), RuntimeError> {
        self.remove_config(id).await
    }
}
