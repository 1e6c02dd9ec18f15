//! Configs of a swarm, as small immutable values that every manager has: their labels alone can be
//! changed, by who knows the version.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bollard::models::{Config, ConfigSpec};
use bollard::query_parameters::{ListConfigsOptionsBuilder, UpdateConfigOptionsBuilder};
use bytes::Bytes;
use dubernetes_core::runtime::RuntimeError;

use crate::engine::{READ, WRITE};
use crate::error::{CallError, unreadable};
use crate::runtime::DockerRuntime;

/// The largest data of a config, in bytes: older engines refuse 500 KB.
pub const MAX_CONFIG_BYTES: usize = 480 * 1024;

/// How long a read or a change of labels may take: leases depend on them.
const LIMIT: Duration = Duration::from_secs(4);

/// A config of a swarm. `Debug` does not show its data, which may be secret.
#[derive(Clone, PartialEq, Eq)]
pub struct SwarmConfig {
    /// Its id in the swarm.
    pub id: String,
    /// Its name, unique in the swarm.
    pub name: String,
    /// Rises with every change of its labels.
    pub version: u64,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its data.
    pub data: Bytes,
}

impl fmt::Debug for SwarmConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, name, version, labels, data } = self;
        f.debug_struct("SwarmConfig")
            .field("id", id)
            .field("name", name)
            .field("version", version)
            .field("labels", labels)
            .field("bytes", &data.len())
            .finish()
    }
}

impl DockerRuntime {
    /// Creates a config, and returns its id. Data must not be empty.
    ///
    /// # Errors
    ///
    /// [`RuntimeError::NameTaken`] if there is one of this name; else those of a change, also while
    /// the managers have no leader.
    pub async fn create_config(
        &self,
        name: &str,
        labels: &BTreeMap<String, String>,
        data: &[u8],
    ) -> Result<String, RuntimeError> {
        let operation = format!("create config `{name}`");
        let spec = ConfigSpec { data: Some(STANDARD.encode(data)), ..spec(name, labels) };
        let docker = self.engine.docker()?;
        match self.engine.call(WRITE, &operation, docker.create_config(spec)).await {
            Ok(created) => Ok(created.id),
            Err(error) if error.status() == Some(409) => {
                Err(RuntimeError::NameTaken { name: name.to_owned() })
            }
            Err(error) => Err(error.into_runtime_error()),
        }
    }

    /// Returns a config by its id or name, as the leader of the managers has it.
    ///
    /// # Errors
    ///
    /// Those of a read, also while the managers have no leader.
    pub async fn find_config(&self, id: &str) -> Result<Option<SwarmConfig>, RuntimeError> {
        let operation = format!("read config `{id}`");
        let docker = self.engine.docker()?;
        match self.engine.call(LIMIT, &operation, docker.inspect_config(id)).await {
            Ok(found) => parse(found).map(Some).map_err(|what| unreadable(&operation, what)),
            Err(error) if error.status() == Some(404) => Ok(None),
            Err(error) => Err(error.into_runtime_error()),
        }
    }

    /// Lists the configs with a label, `NAME=VALUE`.
    ///
    /// # Errors
    ///
    /// Those of a read, also while the managers have no leader.
    pub async fn list_configs(&self, label: &str) -> Result<Vec<SwarmConfig>, RuntimeError> {
        let operation = "list configs";
        let filters = [("label".to_owned(), vec![label.to_owned()])];
        let options = ListConfigsOptionsBuilder::default().filters(&filters.into()).build();
        let docker = self.engine.docker()?;
        let listed = self.engine.call(READ, operation, docker.list_configs(Some(options))).await;
        let listed = listed.map_err(CallError::into_runtime_error)?.into_iter();
        listed.map(|found| parse(found).map_err(|what| unreadable(operation, what))).collect()
    }

    /// Replaces the labels of a config, if it still has this version. The new version is not known
    /// until the config is read.
    ///
    /// # Errors
    ///
    /// Those of a change. An engine does not say so if the version is another one: read the config.
    /// After an error the change may have happened, or may still happen.
    pub async fn set_config_labels(
        &self,
        config: &SwarmConfig,
        labels: &BTreeMap<String, String>,
    ) -> Result<(), RuntimeError> {
        let operation = format!("change the labels of config `{}`", config.name);
        let version = i64::try_from(config.version).unwrap_or(i64::MAX);
        let options = UpdateConfigOptionsBuilder::default().version(version).build();
        let docker = self.engine.docker()?;
        let call = docker.update_config(&config.id, spec(&config.name, labels), options);
        let changed = self.engine.call(LIMIT, &operation, call).await;
        changed.map_err(CallError::into_runtime_error)
    }

    /// Removes a config. A missing one is success.
    ///
    /// # Errors
    ///
    /// Those of a change.
    pub async fn remove_config(&self, id: &str) -> Result<(), RuntimeError> {
        let operation = format!("remove config `{id}`");
        let docker = self.engine.docker()?;
        match self.engine.call(WRITE, &operation, docker.delete_config(id)).await {
            Ok(()) => Ok(()),
            Err(error) if error.status() == Some(404) => Ok(()),
            Err(error) => Err(error.into_runtime_error()),
        }
    }
}

fn spec(name: &str, labels: &BTreeMap<String, String>) -> ConfigSpec {
    let labels = labels.clone().into_iter().collect();
    ConfigSpec { name: Some(name.to_owned()), labels: Some(labels), ..ConfigSpec::default() }
}

fn parse(config: Config) -> Result<SwarmConfig, &'static str> {
    let spec = config.spec.ok_or("a config without a spec")?;
    let version = config.version.and_then(|version| version.index);
    let data = spec.data.unwrap_or_default();
    Ok(SwarmConfig {
        id: config.id.ok_or("a config without an id")?,
        name: spec.name.ok_or("a config without a name")?,
        version: version.ok_or("a config without a version")?,
        labels: spec.labels.unwrap_or_default().into_iter().collect(),
        data: STANDARD.decode(data).map_err(|_| "a config whose data is no base64")?.into(),
    })
}
