//! Engines of many nodes in memory, which find a container and an address at once whatever their
//! number.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use dubernetes_core::app::{self, Artifact, InstanceName, PullPolicy, Signal};
use dubernetes_core::clock::Clock as _;
use dubernetes_core::dial::{Connection, DialError, Dialer, Probe, ProbeAnswer};
use dubernetes_core::runtime::{
    Capability, Container, ContainerId, ContainerRequest, ContainerRuntime, ContainerState,
    ImageId, Network, Networks, OpenPorts, RuntimeError, RuntimeEvent, RuntimeInfo, RuntimeStream,
};
use dubernetes_testkit::TokioClock;
use futures_util::{StreamExt as _, stream};
use tokio::sync::broadcast;
use tokio::time::sleep;

/// How long a list of all nodes, a create and a start take: about as on Docker 28.
const LIST: Duration = Duration::from_millis(20);
const CREATE: Duration = Duration::from_millis(100);
const START: Duration = Duration::from_millis(500);
/// After its start, a replica listens.
const LISTENS_AFTER: Duration = Duration::from_millis(100);

/// Calls so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Calls {
    pub(crate) lists: u64,
    pub(crate) others: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    clock: TokioClock,
    world: Arc<Mutex<World>>,
    /// `None` ends the streams, as a change of a node does.
    events: broadcast::Sender<Option<RuntimeEvent>>,
}

#[derive(Debug, Default)]
struct World {
    containers: BTreeMap<ContainerId, Placed>,
    names: BTreeSet<String>,
    by_address: BTreeMap<SocketAddr, ContainerId>,
    /// Number of containers on each node that lives.
    nodes: BTreeMap<usize, usize>,
    network: Option<Network>,
    created: u64,
    calls: Calls,
}

#[derive(Debug)]
struct Placed {
    container: Container,
    endpoint: SocketAddr,
    node: usize,
}

impl Cluster {
    pub(crate) fn new(clock: TokioClock, nodes: usize) -> Self {
        let nodes = (0..nodes).map(|node| (node, 0)).collect();
        let world = World { nodes, ..World::default() };
        let (events, _) = broadcast::channel(1024);
        Self { clock, world: Arc::new(Mutex::new(world)), events }
    }

    pub(crate) fn calls(&self) -> Calls {
        self.world().calls
    }

    /// Takes a node away with all that runs there, and returns how many containers that is.
    pub(crate) fn lose_node(&self) -> usize {
        let mut world = self.world();
        let (node, count) = world.nodes.pop_first().unwrap();
        world.containers.retain(|_, placed| placed.node != node);
        let World { containers, by_address, .. } = &mut *world;
        by_address.retain(|_, id| containers.contains_key(id));
        world.names = world.containers.values().map(|c| c.container.name.clone()).collect();
        drop(world);
        // Without receivers the message is dropped.
        let _ = self.events.send(None);
        count
    }

    async fn call(&self, takes: Duration) {
        sleep(takes).await;
        self.world().calls.others += 1;
    }

    fn change(&self, id: &ContainerId, action: &str, state: ContainerState) {
        let mut world = self.world();
        let Some(placed) = world.containers.get_mut(id) else { return };
        let runs = matches!(state, ContainerState::Running { .. });
        placed.container.state = state;
        placed.container.endpoint = runs.then_some(placed.endpoint);
        let labels = placed.container.labels.clone();
        drop(world);
        let event = RuntimeEvent { id: id.clone(), action: action.to_owned(), labels };
        let _ = self.events.send(Some(event));
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }
}

#[async_trait]
impl ContainerRuntime for Cluster {
    async fn info(&self) -> Result<RuntimeInfo, RuntimeError> {
        let text = || "memory".to_owned();
        Ok(RuntimeInfo { name: text(), version: text(), api_version: text(), platform: text() })
    }

    async fn list(&self, _: &InstanceName) -> Result<Vec<Container>, RuntimeError> {
        sleep(LIST).await;
        let mut world = self.world();
        world.calls.lists += 1;
        Ok(world.containers.values().map(|placed| placed.container.clone()).collect())
    }

    async fn inspect(&self, id: &ContainerId) -> Result<Container, RuntimeError> {
        let world = self.world();
        let found = world.containers.get(id).map(|placed| placed.container.clone());
        let name = id.to_string();
        found.ok_or(RuntimeError::NotFound { kind: "container", name })
    }

    async fn resolve(&self, image: &Artifact, _: PullPolicy) -> Result<ImageId, RuntimeError> {
        Ok(ImageId(format!("sha256:{image}")))
    }

    async fn create(&self, request: &ContainerRequest) -> Result<ContainerId, RuntimeError> {
        self.call(CREATE).await;
        let mut world = self.world();
        if !world.names.insert(request.name.clone()) {
            return Err(RuntimeError::NameTaken { name: request.name.clone() });
        }
        world.created += 1;
        let id = ContainerId(format!("{:064x}", world.created).into());
        let address = request.network.as_ref().and_then(|network| network.address).unwrap();
        let endpoint = SocketAddr::new(address, request.port);
        let node = *world.nodes.iter().min_by_key(|(_, count)| **count).unwrap().0;
        *world.nodes.get_mut(&node).unwrap() += 1;
        world.by_address.insert(endpoint, id.clone());
        let container = Container {
            id: id.clone(),
            name: request.name.clone(),
            image_id: ImageId(request.image.clone()),
            labels: request.labels.clone(),
            state: ContainerState::Created,
            created_at: self.clock.now(),
            endpoint: None,
            limits: None,
        };
        world.containers.insert(id.clone(), Placed { container, endpoint, node });
        Ok(id)
    }

    async fn start(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        self.call(START).await;
        let started_at = self.clock.now();
        self.change(id, "start", ContainerState::Running { started_at });
        Ok(())
    }

    async fn stop(
        &self,
        _: &ContainerId,
        _: Option<Signal>,
        _: app::Duration,
    ) -> Result<(), RuntimeError> {
        unreachable!("nothing is stopped here")
    }

    async fn remove(&self, _: &ContainerId) -> Result<(), RuntimeError> {
        unreachable!("nothing is removed here")
    }

    fn capabilities(&self) -> BTreeSet<Capability> {
        BTreeSet::from([Capability::PlannedAddresses, Capability::ContainerImages])
    }

    async fn events(&self, _: &InstanceName) -> Result<RuntimeStream<RuntimeEvent>, RuntimeError> {
        let receiver = self.events.subscribe();
        let events = stream::unfold(receiver, async |mut receiver| {
            loop {
                match receiver.recv().await {
                    Ok(Some(event)) => return Some((Ok(event), receiver)),
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Ok(None) | Err(broadcast::error::RecvError::Closed) => return None,
                }
            }
        });
        Ok(events.boxed())
    }

    fn networks(&self) -> Option<&dyn Networks> {
        Some(self)
    }
}

#[async_trait]
impl Networks for Cluster {
    async fn ensure(&self, _: &InstanceName) -> Result<Network, RuntimeError> {
        // The network of a swarm has 1,024 addresses, which are too few for 10,000 replicas.
        let network = Network { id: "net".to_owned(), subnet: "10.0.0.0/18".parse().unwrap() };
        Ok(self.world().network.insert(network).clone())
    }

    async fn find(&self, _: &InstanceName) -> Result<Option<Network>, RuntimeError> {
        Ok(self.world().network.clone())
    }

    async fn remove(&self, _: &InstanceName) -> Result<(), RuntimeError> {
        Ok(())
    }
}

#[async_trait]
impl Dialer for Cluster {
    async fn probe(&self, endpoint: SocketAddr, _: &Probe, _: app::Duration) -> ProbeAnswer {
        let world = self.world();
        let refused = ProbeAnswer::Refused { port: endpoint.port(), open: OpenPorts::Unknown };
        let found = world.by_address.get(&endpoint).and_then(|id| world.containers.get(id));
        let Some(ContainerState::Running { started_at }) = found.map(|c| &c.container.state) else {
            return refused;
        };
        let listens_at = started_at.saturating_add(LISTENS_AFTER).unwrap();
        match self.clock.now() >= listens_at {
            true => ProbeAnswer::Connected,
            false => refused,
        }
    }

    async fn connect(&self, _: SocketAddr) -> Result<Connection, DialError> {
        unreachable!("no client connects here")
    }
}
