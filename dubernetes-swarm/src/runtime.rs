//! [`SwarmRuntime`]: each call goes to the engine of the node that has the container.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration as StdDuration;

use async_trait::async_trait;
use dubernetes_core::app::{Artifact, Duration, ImageRef, InstanceName, PullPolicy, Signal};
use dubernetes_core::error::chain;
use dubernetes_core::runtime::{
    Capability, Container, ContainerId, ContainerRequest, ContainerRuntime, Exec, Files, ImageId,
    Images, Logs, Networks, Nodes, OpenPorts, Owner, Process, PullProgress, RuntimeError,
    RuntimeEvent, RuntimeInfo, RuntimeStream, StatsReader,
};
use dubernetes_docker::{DockerRuntime, SwarmNode};
use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep, timeout};

use crate::memory::{Answer, Asked, BOUND, Memory, planned_address};
use crate::names::Published;
use crate::placement;

/// How long a node may take to list its containers before it counts as silent. It is asked in every
/// pass, which waits for it.
pub(crate) const SILENCE: StdDuration = StdDuration::from_secs(3);

/// Engines of a swarm.
#[derive(Debug, Clone)]
pub struct SwarmRuntime {
    pub(crate) manager: DockerRuntime,
    /// Engines of the other nodes, by the names of these.
    others: BTreeMap<String, DockerRuntime>,
    /// Id of the manager's own node.
    entry: Arc<OnceCell<String>>,
    /// Its name.
    entry_name: Arc<OnceLock<String>>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) published: Arc<Published>,
    /// Whether another node may have been the entry.
    pub(crate) has_other_entries: bool,
    /// Held while an image is copied: two copies at a time would only take longer.
    pub(crate) copying: Arc<tokio::sync::Mutex<()>>,
}

/// A node that this runtime is connected to.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) node: SwarmNode,
    pub(crate) engine: DockerRuntime,
    pub(crate) is_entry: bool,
}

impl SwarmRuntime {
    /// Creates a runtime on the engine of a manager, without calling it. That node is the entry
    /// node: the ingress runs there.
    #[must_use]
    pub fn new(manager: DockerRuntime) -> Self {
        Self {
            manager: manager.with_overlay(),
            others: BTreeMap::new(),
            entry: Arc::default(),
            entry_name: Arc::default(),
            memory: Arc::default(),
            published: Arc::default(),
            has_other_entries: false,
            copying: Arc::default(),
        }
    }

    /// Expects that other managers are the entry at other times: containers of the present one may
    /// have been started from there.
    #[must_use]
    pub fn with_other_entries(self) -> Self {
        Self { has_other_entries: true, ..self }
    }

    /// Connects to the engine of another node, given by its name in the swarm. Nodes without a
    /// connection get no containers.
    ///
    /// # Errors
    ///
    /// [`RuntimeError::Rejected`] for a host that is not a Unix socket.
    pub fn with_node(mut self, name: &str, host: &str) -> Result<Self, RuntimeError> {
        self.others.insert(name.to_owned(), DockerRuntime::new(Some(host))?);
        Ok(self)
    }

    /// Returns the nodes of the swarm, the node of the manager's engine marked as entry; `None` in
    /// the place of the engine of one without a connection. Of nodes with the same name the one
    /// that is ready counts: a machine that joins again leaves its former node behind.
    pub(crate) async fn nodes_and_engines(
        &self,
    ) -> Result<Vec<(SwarmNode, Option<DockerRuntime>, bool)>, RuntimeError> {
        let entry = self.entry.get_or_try_init(async || {
            let id = self.manager.managing_node().await?;
            id.ok_or_else(|| RuntimeError::Rejected {
                operation: "work with a swarm".to_owned(),
                message: "its node is not a swarm manager; run `docker swarm init` there, or name \
                          the engine of a manager with `--engine`"
                    .to_owned(),
            })
        });
        let entry = entry.await?;
        let mut nodes: BTreeMap<String, SwarmNode> = BTreeMap::new();
        for node in self.manager.swarm_nodes().await? {
            if node.id == *entry {
                self.entry_name.get_or_init(|| node.name.clone());
            }
            if node.id == *entry || node.is_ready || !nodes.contains_key(&node.name) {
                nodes.insert(node.name.clone(), node);
            }
        }
        Ok(nodes
            .into_values()
            .map(|node| match node.id == *entry {
                true => (node, Some(self.manager.clone()), true),
                false => {
                    let engine = self.others.get(&node.name).cloned();
                    (node, engine, false)
                }
            })
            .collect())
    }

    /// Returns the nodes that this runtime is connected to.
    pub(crate) async fn members(&self) -> Result<Vec<Member>, RuntimeError> {
        let nodes = self.nodes_and_engines().await?.into_iter();
        let member = |(node, engine, is_entry)| Some(Member { node, engine: engine?, is_entry });
        Ok(nodes.filter_map(member).collect())
    }

    /// Returns the engines of the nodes that are not down.
    pub(crate) async fn engines(&self) -> Result<Vec<DockerRuntime>, RuntimeError> {
        let members = self.members().await?.into_iter();
        // The manager's own node is at hand, whatever the others are.
        let mut up: Vec<_> = members.filter(|member| !member.node.is_down).collect();
        up.sort_by_key(|member| !member.is_entry);
        Ok(up.into_iter().map(|member| member.engine).collect())
    }

    /// Returns the engine that has a container, given by id or name.
    pub(crate) async fn engine_of(&self, id: &ContainerId) -> Result<DockerRuntime, RuntimeError> {
        let not_found = || RuntimeError::NotFound { kind: "container", name: id.to_string() };
        if let Some(place) = self.memory.place(id) {
            // The swarm is not asked again: it was for the list that has shown the container.
            let engine = match self.entry_name.get() == Some(&place) {
                true => Some(&self.manager),
                false => self.others.get(&place),
            };
            return engine.cloned().ok_or_else(not_found);
        }
        let engines = self.engines().await?;
        let found = join_all(engines.iter().map(|engine| engine.inspect(id))).await;
        let mut failed = None;
        for (engine, found) in engines.into_iter().zip(found) {
            match found {
                Ok(_) => return Ok(engine),
                Err(RuntimeError::NotFound { .. }) => {}
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.unwrap_or_else(not_found))
    }

    /// Returns the engine that has a container, or `None` if no node has it.
    async fn find_engine(&self, id: &ContainerId) -> Result<Option<DockerRuntime>, RuntimeError> {
        match self.engine_of(id).await {
            Ok(engine) => Ok(Some(engine)),
            Err(RuntimeError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[async_trait]
impl ContainerRuntime for SwarmRuntime {
    async fn info(&self) -> Result<RuntimeInfo, RuntimeError> {
        let info = self.manager.info().await?;
        self.nodes_and_engines().await?;
        Ok(RuntimeInfo { name: format!("{} in a swarm", info.name), ..info })
    }

    async fn list(&self, instance: &InstanceName) -> Result<Vec<Container>, RuntimeError> {
        let members = self.members().await?;
        let ask = async |Member { node, engine, is_entry }: Member| {
            let answer = match node.is_down && !is_entry {
                true => Answer::Down,
                false => match timeout(SILENCE, engine.list(instance)).await {
                    Ok(Ok(list)) => Answer::Listed(list),
                    Ok(Err(error)) => Answer::Silent(error),
                    Err(_) => Answer::Silent(RuntimeError::Timeout {
                        operation: format!("list containers of node `{}`", node.name),
                    }),
                },
            };
            if let Answer::Silent(error) = &answer {
                tracing::debug!(node = node.name, error = chain(error), "node is silent");
            }
            Asked { node: node.name, is_entry, is_drained: node.is_drained, answer }
        };
        self.memory.merge(instance, join_all(members.into_iter().map(ask)).await)
    }

    async fn inspect(&self, id: &ContainerId) -> Result<Container, RuntimeError> {
        self.engine_of(id).await?.inspect(id).await
    }

    async fn resolve(
        &self,
        artifact: &Artifact,
        policy: PullPolicy,
    ) -> Result<ImageId, RuntimeError> {
        let found = match policy {
            PullPolicy::Always => None,
            PullPolicy::Missing | PullPolicy::Never => self.find_image(artifact).await?,
        };
        let id = match found {
            Some(id) => id,
            None => self.manager.resolve(artifact, policy).await?,
        };
        self.spread_image(&id).await?;
        Ok(id)
    }

    fn pull_progress(&self, image: &ImageRef) -> Option<PullProgress> {
        self.manager.pull_progress(image)
    }

    async fn health_check(&self, image: &ImageId) -> Result<Option<Vec<String>>, RuntimeError> {
        let mut found = self.manager.health_check(image).await;
        for engine in self.engines().await?.into_iter().skip(1) {
            if !matches!(found, Err(RuntimeError::NotFound { .. })) {
                break;
            }
            found = engine.health_check(image).await;
        }
        found
    }

    async fn create(&self, request: &ContainerRequest) -> Result<ContainerId, RuntimeError> {
        let (engine, reserved) = self.choose(request).await?;
        self.bring_image(&engine, &request.image).await?;
        let mut request = request.clone();
        if placement::is_bound(&request) {
            request.labels.insert(BOUND.to_owned(), "true".to_owned());
        }
        let id = engine.create(&request).await?;
        reserved.created(&id);
        Ok(id)
    }

    async fn start(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let engine = self.engine_of(id).await?;
        let deadline = Instant::now() + FORGET_LIMIT;
        loop {
            match engine.start(id).await {
                Ok(()) => {
                    self.publish_to(&engine, id).await;
                    return Ok(());
                }
                Err(RuntimeError::Rejected { operation, message })
                    if message.contains(NOT_ATTACHED) =>
                {
                    let address = planned_address(&engine.inspect(id).await?);
                    address.inspect(|address| self.memory.refuse(*address));
                    let address = address.map_or_else(String::new, |ip| format!(" {ip}"));
                    let message = format!(
                        "Swarm does not attach it to the network: another container, or one of a \
                         node that is away, has its address{address}"
                    );
                    return Err(RuntimeError::Rejected { operation, message });
                }
                Err(RuntimeError::Rejected { message, .. })
                    if message.contains(FORGOTTEN) && Instant::now() < deadline =>
                {
                    sleep(FORGET_PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn stop(
        &self,
        id: &ContainerId,
        signal: Option<Signal>,
        grace: Duration,
    ) -> Result<(), RuntimeError> {
        match self.find_engine(id).await? {
            Some(engine) => engine.stop(id, signal, grace).await,
            None => Ok(()),
        }
    }

    async fn remove(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        match self.find_engine(id).await? {
            Some(engine) => ContainerRuntime::remove(&engine, id).await,
            None => Ok(()),
        }
    }

    fn capabilities(&self) -> BTreeSet<Capability> {
        let mut offered = self.manager.capabilities();
        offered.insert(Capability::SeveralHosts);
        offered
    }

    async fn claim(&self, instance: &InstanceName, owner: &Owner) -> Result<(), RuntimeError> {
        self.manager.claim(instance, owner).await
    }

    async fn signal(&self, id: &ContainerId, signal: Signal) -> Result<(), RuntimeError> {
        self.engine_of(id).await?.signal(id, signal).await
    }

    async fn processes(&self, id: &ContainerId) -> Result<Vec<Process>, RuntimeError> {
        self.engine_of(id).await?.processes(id).await
    }

    async fn open_ports(&self, id: &ContainerId, endpoint: SocketAddr) -> OpenPorts {
        match self.engine_of(id).await {
            Ok(engine) => engine.open_ports(id, endpoint).await,
            Err(_) => OpenPorts::Unknown,
        }
    }

    async fn events(
        &self,
        instance: &InstanceName,
    ) -> Result<RuntimeStream<RuntimeEvent>, RuntimeError> {
        // Also a change of a node ends the stream: then its engine may be another one.
        let changes = self.manager.node_changes()?;
        let changes = changes.map(|change| change.map(|_| None)).boxed();
        let mut streams = vec![changes];
        for engine in self.engines().await? {
            match timeout(SILENCE, engine.events(instance)).await {
                Ok(Ok(events)) => {
                    let ended = stream::once(std::future::ready(Ok(None)));
                    streams.push(events.map(|event| event.map(Some)).chain(ended).boxed());
                }
                // Of a node that is silent nothing is heard until it changes.
                Ok(Err(_)) | Err(_) => {
                    tracing::debug!(engine = engine.endpoint(), "no events");
                }
            }
        }
        let all = stream::select_all(streams);
        let until_end = all.take_while(|item| std::future::ready(!matches!(item, Ok(None))));
        let events = until_end.filter_map(|item| std::future::ready(item.transpose()));
        Ok(events.boxed())
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

    fn nodes(&self) -> Option<&dyn Nodes> {
        Some(self)
    }
}

/// What an engine says, after 20 s, if Swarm does not give a container its address.
const NOT_ATTACHED: &str = "attaching to network failed";
/// What an engine says that still knows a former network of the same name: for a moment after the
/// last container has left it.
const FORGOTTEN: &str = "Could not attach to network";
const FORGET_LIMIT: StdDuration = StdDuration::from_secs(10);
const FORGET_PAUSE: StdDuration = StdDuration::from_millis(500);
