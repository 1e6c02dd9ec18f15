//! A manager that may act: it stands by until the lease is free, and then opens the state.

use std::sync::Arc;

use dubernetes_core::app::InstanceName;
use dubernetes_core::error::SharedError;
use dubernetes_core::labels::{INSTANCE, STATE_ID};
use dubernetes_core::runtime::RuntimeError;
use dubernetes_docker::{DockerRuntime, SwarmConfig};
use tokio::time::Instant;

use super::configs::{Configs, Labels};
use super::head::{HOLDER, Head, NODE, TERM};
use super::{SwarmStore, random_id};
use crate::lease::Watch;

/// The longest name of a config.
const MAX_NAME: usize = 64;

/// One process of several that share the state of an instance, of which one acts at a time.
#[derive(Debug)]
pub struct Candidate {
    configs: Arc<dyn Configs>,
    instance: InstanceName,
    id: String,
    node: String,
    watch: Watch,
}

/// Result of [`Candidate::attempt`].
#[derive(Debug)]
pub enum Attempt {
    /// This process acts, until [`SwarmStore::lost`].
    Acts(SwarmStore),
    /// Another process acts, on this node.
    StandsBy {
        /// Name of the node.
        node: String,
    },
}

impl Candidate {
    /// Creates a candidate on the engine of a manager.
    ///
    /// # Errors
    ///
    /// [`RuntimeError::Rejected`] if the engine manages no swarm, or if the name of the instance is
    /// too long for a config; those of a read.
    pub async fn new(
        manager: &DockerRuntime,
        instance: &InstanceName,
    ) -> Result<Self, RuntimeError> {
        let own = own_node(manager).await?;
        let nodes = manager.swarm_nodes().await?;
        let node = nodes.into_iter().find(|node| node.id == own).map(|node| node.name);
        Self::with(Arc::new(manager.clone()), instance, &node.unwrap_or(own))
    }

    pub(crate) fn with(
        configs: Arc<dyn Configs>,
        instance: &InstanceName,
        node: &str,
    ) -> Result<Self, RuntimeError> {
        if head_name(instance).len() > MAX_NAME {
            let message = "the name of the instance is longer than 53 characters; choose another \
                           one with `--instance`";
            return Err(rejected("keep the state in a swarm", message));
        }
        let id = random_id()
            .map_err(|cause| RuntimeError::Failed { operation: "make an id".to_owned(), cause })?;
        let (instance, node) = (instance.clone(), node.to_owned());
        Ok(Self { configs, instance, id, node, watch: Watch::default() })
    }

    /// Returns whether the swarm has a state of the instance.
    ///
    /// # Errors
    ///
    /// Those of a read, also while the managers have no leader.
    pub async fn state_exists(&self) -> Result<bool, RuntimeError> {
        Ok(self.configs.find(&head_name(&self.instance)).await?.is_some())
    }

    /// Takes the lease if it is free, or if it was not renewed for 15 s, and opens the state. To be
    /// called every second. A state that does not exist is created.
    ///
    /// # Errors
    ///
    /// Those of a change, also while the managers have no leader: try again.
    /// [`RuntimeError::Failed`] if a part of the state is missing or unreadable.
    pub async fn attempt(&mut self) -> Result<Attempt, RuntimeError> {
        let asked_at = Instant::now();
        let head = match self.find_or_create().await {
            Ok(head) => head,
            Err(error) => {
                self.watch.failed(Instant::now());
                return Err(error);
            }
        };
        let label = |name: &str| head.labels.get(name).map_or("", String::as_str);
        let holder = label(HOLDER);
        let times = (asked_at, Instant::now());
        if !self.watch.may_take(head.version, holder, &self.id, times) {
            return Ok(Attempt::StandsBy { node: label(NODE).to_owned() });
        }
        let term = label(TERM).parse::<u64>().unwrap_or_default().wrapping_add(1);
        let mut labels = head.labels.clone();
        for (name, value) in [(HOLDER, &self.id), (NODE, &self.node), (TERM, &term.to_string())] {
            labels.insert(name.to_owned(), value.clone());
        }
        let since = Instant::now();
        let taken = self.configs.set_labels(&head, &labels).await;
        match self.configs.find(&head.id).await? {
            Some(found) if found.labels == labels => {
                let head = Head::new(Arc::clone(&self.configs), found, since);
                let configs = Arc::clone(&self.configs);
                SwarmStore::open(configs, &self.instance, head, &labels).await.map(Attempt::Acts)
            }
            // Another one was faster.
            Some(found) if found.version != head.version => {
                Ok(Attempt::StandsBy { node: found.labels.get(NODE).cloned().unwrap_or_default() })
            }
            Some(_) | None => Err(taken.err().unwrap_or_else(|| RuntimeError::Failed {
                operation: "take the lease".to_owned(),
                cause: SharedError::text("it was not taken"),
            })),
        }
    }

    async fn find_or_create(&self) -> Result<SwarmConfig, RuntimeError> {
        let name = head_name(&self.instance);
        if let Some(head) = self.configs.find(&name).await? {
            return Ok(head);
        }
        let id = random_id()
            .map_err(|cause| RuntimeError::Failed { operation: "make an id".to_owned(), cause })?;
        let labels: Labels = [(INSTANCE, self.instance.to_string()), (STATE_ID, id)]
            .map(|(label, value)| (label.to_owned(), value))
            .into();
        let text = "State of an instance of Dubernetes: its parts are other configs.\n";
        match self.configs.create(&name, &labels, text.as_bytes()).await {
            // Another manager has just created it.
            Ok(_) | Err(RuntimeError::NameTaken { .. }) => {}
            Err(error) => return Err(error),
        }
        let created = self.configs.find(&name).await?;
        created.ok_or(RuntimeError::NotFound { kind: "config", name })
    }
}

/// Returns the id of the node of an engine that manages a swarm.
pub(super) async fn own_node(manager: &DockerRuntime) -> Result<String, RuntimeError> {
    manager.managing_node().await?.ok_or_else(|| {
        let message = "its node is not a swarm manager; run `docker swarm init` there, or `docker \
                       node promote NODE` on a manager";
        rejected("keep the state in a swarm", message)
    })
}

pub(super) fn head_name(instance: &InstanceName) -> String {
    format!("dubernetes-{instance}")
}

fn rejected(operation: &str, message: &str) -> RuntimeError {
    RuntimeError::Rejected { operation: operation.to_owned(), message: message.to_owned() }
}
