//! Observation: reads the store, the engine and the ingress. It runs in a task beside the loop.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use dubernetes_core::app::{AppName, InstanceName, PortMapping, RevisionId};
use dubernetes_core::error;
use dubernetes_core::ingress::{IngressError, ObservedIngress, PortSupport, RouteTable};
use dubernetes_core::labels::{Component, ReplicaLabels};
use dubernetes_core::reconcile::ports_to_check;
use dubernetes_core::runtime::{Container, ContainerId, Network, RuntimeError, RuntimeInfo};
use dubernetes_core::state::{
    DesiredState, ObservedOneOff, ObservedPreDeploy, ObservedReplica, Readiness,
};
use dubernetes_core::store::StoreError;

use crate::adapters::Adapters;
use crate::orchestrator::Options;

/// What was read for one pass.
#[derive(Debug)]
pub(crate) struct Observation {
    pub(crate) engine: Result<EngineView, RuntimeError>,
    pub(crate) desired: Result<DesiredState, StoreError>,
    /// `None` if the engine is unreachable: the ingress is then taken as it was last seen.
    pub(crate) ingress: Option<Result<ObservedIngress, IngressError>>,
    pub(crate) host_ports: HostPorts,
    /// Where the ingress takes requests, if that is known.
    pub(crate) ingress_listens: Vec<SocketAddr>,
}

/// Who publishes ports of the host, and who has those that replicas will publish themselves.
#[derive(Debug)]
pub(crate) struct HostPorts {
    pub(crate) support: PortSupport,
    pub(crate) taken: BTreeMap<PortMapping, String>,
}

/// What the engine holds of the instance.
#[derive(Debug)]
pub(crate) struct EngineView {
    pub(crate) info: RuntimeInfo,
    pub(crate) network: Option<Network>,
    pub(crate) containers: Containers,
}

/// The containers of a list, without the ingress.
#[derive(Debug, Default)]
pub(crate) struct Containers {
    pub(crate) replicas: Vec<ObservedReplica>,
    pub(crate) pre_deploys: Vec<ObservedPreDeploy>,
    pub(crate) one_offs: Vec<ObservedOneOff>,
    /// Containers that are not the instance's own, with the reason.
    pub(crate) unreadable: BTreeMap<ContainerId, String>,
    /// The addresses of these, and others that no replica can get.
    pub(crate) foreign_addresses: BTreeSet<IpAddr>,
}

/// What an observation needs to know of the last one.
#[derive(Debug)]
pub(crate) struct LastSeen {
    /// `None` after a loss of contact: then the engine may be another one.
    pub(crate) info: Option<RuntimeInfo>,
    /// App and revision of each replica, for the case that the engine is unreachable.
    pub(crate) revisions: BTreeSet<(AppName, RevisionId)>,
}

/// Reads everything. The desired state is read after the engine, since the revisions that it
/// includes depend on what runs.
pub(crate) async fn observe(adapters: &Adapters, options: &Options, last: LastSeen) -> Observation {
    // The two are independent reads, and a dead replica has to leave the routes quickly.
    let engine = observe_engine(adapters, options, last.info);
    let (engine, ingress) = tokio::join!(engine, adapters.ingress.observe());
    let (revisions, ingress) = match &engine {
        Ok(view) => {
            let labels = view.containers.replicas.iter().map(|replica| &replica.labels);
            let revisions = labels.map(|labels| (labels.app.clone(), labels.revision)).collect();
            (revisions, Some(ingress))
        }
        Err(_) => (last.revisions, None),
    };
    let mut desired = read_desired(adapters, options, &revisions).await;
    if let (Ok(view), Ok(desired)) = (&engine, &mut desired) {
        replace_leaving(adapters, &view.containers.replicas, desired);
    }
    let host_ports = observe_ports(adapters, &engine, ingress.as_ref(), &desired).await;
    let ingress_listens = adapters.ingress.listening();
    Observation { engine, desired, ingress, host_ports, ingress_listens }
}

/// Asks an ingress that serves whether it publishes ports, and if not, who has those of replicas
/// that do not run yet.
async fn observe_ports(
    adapters: &Adapters,
    engine: &Result<EngineView, RuntimeError>,
    ingress: Option<&Result<ObservedIngress, IngressError>>,
    desired: &Result<DesiredState, StoreError>,
) -> HostPorts {
    let mut ports = HostPorts { support: PortSupport::Unknown, taken: BTreeMap::new() };
    let Some(Ok(ObservedIngress::Serving { .. })) = ingress else { return ports };
    match adapters.ingress.port_support().await {
        Ok(support) => ports.support = support,
        Err(error) => {
            let error = error::chain(&error);
            tracing::warn!(error, "the ingress does not say whether it publishes ports");
        }
    }
    let (Ok(engine), Ok(desired)) = (engine, desired) else { return ports };
    for port in ports_to_check(desired, &ports.support, &engine.containers.replicas) {
        let taken = adapters.ingress.taken_port(&port).await;
        ports.taken.extend(taken.map(|by| (port, by)));
    }
    ports
}

async fn observe_engine(
    adapters: &Adapters,
    options: &Options,
    info: Option<RuntimeInfo>,
) -> Result<EngineView, RuntimeError> {
    let runtime = &adapters.runtime;
    let info = match info {
        Some(info) => info,
        None => {
            let info = runtime.info().await?;
            if let Some(owner) = &options.owner {
                runtime.claim(&options.instance, owner).await?;
            }
            info
        }
    };
    let network = async {
        match runtime.networks() {
            Some(networks) => networks.find(&options.instance).await,
            None => Ok(None),
        }
    };
    let (listed, network) = tokio::try_join!(runtime.list(&options.instance), network)?;
    let mut containers = Containers::default();
    listed.into_iter().for_each(|container| containers.add(container, &options.instance));
    let held = runtime.networks().map(|networks| networks.held_addresses(&options.instance));
    containers.foreign_addresses.extend(held.into_iter().flatten());
    Ok(EngineView { info, network, containers })
}

impl Containers {
    fn add(&mut self, container: Container, instance: &InstanceName) {
        match Component::identify(&container, instance) {
            Ok(Component::Ingress | Component::Ports(_)) => {}
            Ok(Component::PreDeploy(labels)) => {
                let Container { id, state, .. } = container;
                self.pre_deploys.push(ObservedPreDeploy { id, labels, state });
            }
            Ok(Component::OneOff(labels)) => {
                let Container { id, state, created_at, .. } = container;
                self.one_offs.push(ObservedOneOff { id, labels, state, created_at });
            }
            Ok(Component::Replica(labels)) => self.replicas.push(replica(container, labels)),
            Err(reason) => {
                self.foreign_addresses.extend(container.endpoint.map(|endpoint| endpoint.ip()));
                self.unreadable.insert(container.id, reason);
            }
        }
    }
}

/// Replaces replicas whose host is to be empty, as if a user had asked for it.
fn replace_leaving(adapters: &Adapters, replicas: &[ObservedReplica], desired: &mut DesiredState) {
    let Some(nodes) = adapters.runtime.nodes() else { return };
    let leaving = nodes.leaving();
    for replica in replicas.iter().filter(|replica| leaving.contains(&replica.id)) {
        if let Some(stored) = desired.apps.get_mut(&replica.labels.app) {
            stored.evicted.insert(replica.id.clone());
        }
    }
}

/// Reads the desired state, with the older revisions of apps that run one.
async fn read_desired(
    adapters: &Adapters,
    options: &Options,
    running: &BTreeSet<(AppName, RevisionId)>,
) -> Result<DesiredState, StoreError> {
    let stored = adapters.store.list().await?;
    let mut desired = DesiredState::new(options.instance.clone(), stored);
    desired.default_tls.clone_from(&options.default_tls);
    let is_outdated = |app: &AppName, revision: RevisionId| {
        desired.apps.get(app).is_some_and(|stored| stored.revision != revision)
    };
    let outdated = running.iter().filter(|(app, revision)| is_outdated(app, *revision));
    let outdated: BTreeSet<AppName> = outdated.map(|(app, _)| app.clone()).collect();
    for app in outdated {
        let revisions = match adapters.store.revisions(&app).await {
            Ok(revisions) => revisions,
            // Deleted in between: then there is no revision to restart.
            Err(StoreError::NotFound { .. }) => Vec::new(),
            Err(error) => return Err(error),
        };
        desired.revisions.insert(app, revisions);
    }
    Ok(desired)
}

/// Returns the state of the ingress. One that could not be observed serves what it served last, or
/// what is not known: never nothing.
pub(crate) fn ingress_or(
    observed: Option<Result<ObservedIngress, IngressError>>,
    last_seen: Option<RouteTable>,
) -> ObservedIngress {
    let reason = match observed {
        Some(Ok(ingress)) => return ingress,
        Some(Err(error)) => {
            let reason = error::chain(&error);
            tracing::warn!(error = reason, "the ingress could not be observed");
            reason
        }
        None => "the engine does not answer".to_owned(),
    };
    match last_seen {
        Some(table) => ObservedIngress::Serving { table },
        None => ObservedIngress::Unknown { reason },
    }
}

fn replica(container: Container, labels: ReplicaLabels) -> ObservedReplica {
    ObservedReplica {
        id: container.id,
        name: container.name,
        labels,
        state: container.state,
        created_at: container.created_at,
        image_id: container.image_id,
        endpoint: container.endpoint,
        readiness: Readiness::Unknown,
        limits: container.limits,
    }
}
