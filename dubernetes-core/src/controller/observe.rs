//! From the ports to one [`ObservedState`]. What cannot be seen now stays as it was last seen.

use jiff::Timestamp;
use tokio::time::Instant;

use crate::app::AppName;
use crate::error;
use crate::ingress::ObservedIngress;
use crate::labels::{self, JobLabels, ReplicaLabels};
use crate::runtime::{Container, EngineVersion, RuntimeError};
use crate::state::{DesiredState, Engine, ObservedJob, ObservedReplica, ObservedState, Readiness};
use crate::store::StoreError;

use super::memory::Memory;
use super::question::{self, Question};
use super::{Options, Ports};

/// What is desired, with the older revisions of apps that run one.
pub(super) async fn desired(
    ports: &Ports,
    options: &Options,
    memory: &Memory,
) -> Result<DesiredState, StoreError> {
    let stored = ports.store.list().await?;
    let mut desired = DesiredState::new(options.instance.clone(), stored);
    let outdated: std::collections::BTreeSet<AppName> = memory
        .replicas
        .iter()
        .filter(|r| {
            let stored = desired.apps.get(&r.labels.app);
            stored.is_some_and(|stored| stored.revision != r.labels.revision)
        })
        .map(|r| r.labels.app.clone())
        .collect();
    for app in outdated {
        // An app that was deleted in between has no revisions to restart.
        let revisions = ports.store.revisions(&app).await.unwrap_or_default();
        desired.revisions.insert(app, revisions);
    }
    Ok(desired)
}

/// Looks at the engine. What is desired is read afterwards, since it depends on what runs.
pub(super) async fn engine(ports: &Ports, options: &Options, memory: &mut Memory, now: Timestamp) {
    match look(ports, options, &mut memory.version).await {
        Ok((containers, network)) => {
            if let Engine::Away { .. } = std::mem::take(&mut memory.engine) {
                memory.acting_since = None;
            }
            memory.acting_since.get_or_insert(now);
            memory.network = network;
            sort(containers, memory, now);
        }
        Err(error) => {
            let since = match &memory.engine {
                Engine::Away { since, .. } => *since,
                Engine::Answering => now,
            };
            memory.engine = Engine::Away { since, reason: error::chain(&error) };
            memory.version = None;
        }
    }
}

/// Replicas, commands before revisions, and what cannot be read.
fn sort(containers: Vec<Container>, memory: &mut Memory, now: Timestamp) {
    memory.replicas.clear();
    memory.jobs.clear();
    memory.unreadable.clear();
    for container in containers {
        if labels::is_ingress(&container.labels) {
            continue;
        }
        match JobLabels::from_map(&container.labels) {
            Some(Ok(labels)) => {
                let (id, state) = (container.id, container.state);
                memory.jobs.push(ObservedJob { id, labels, state });
                continue;
            }
            Some(Err(reason)) => {
                memory.unreadable.insert(container.id, reason);
                continue;
            }
            None => {}
        }
        match ReplicaLabels::from_map(&container.labels) {
            Ok(labels) => {
                let mut replica = replica(container, labels);
                memory.ends.clamp(&mut replica, now);
                memory.replicas.push(replica);
            }
            Err(reason) => drop(memory.unreadable.insert(container.id, reason)),
        }
    }
}

/// Everything that is seen, with the engine as it was just looked at.
pub(super) async fn observed(
    ports: &Ports,
    memory: &mut Memory,
    desired: &DesiredState,
    now: Timestamp,
) -> ObservedState {
    memory.prune(desired);
    memory.ends.follow(&memory.replicas);
    let asked = |replica: &ObservedReplica| question(desired, replica);
    memory.probes.follow(&memory.replicas, asked, Instant::now());
    for replica in &mut memory.replicas {
        replica.readiness = memory.probes.readiness(&replica.id);
    }
    let ingress = observed_ingress(ports, memory).await;
    memory.follow_table(ingress.table(), now);
    ObservedState {
        engine: memory.engine.clone(),
        network: memory.network.clone(),
        replicas: memory.replicas.clone(),
        jobs: memory.jobs.clone(),
        unreadable: memory.unreadable.clone(),
        ingress,
        drains: memory.drains.clone(),
        under_way: memory.under_way.clone(),
        failures: memory.failures.clone(),
        quarantined: memory.quarantined.clone(),
        evicted: memory.evicted.clone(),
        stopped_for: memory.stopped_for.clone(),
        ready_until: memory.probes.ready_until(),
        acting_since: memory.acting_since,
    }
}

/// What a replica is asked: what its own revision says; where that is not kept any more, what the
/// present one says, whose content it has, or will have.
pub(super) fn question(desired: &DesiredState, replica: &ObservedReplica) -> Option<Question> {
    let stored = desired.apps.get(&replica.labels.app)?;
    let mut kept = desired.revisions.get(&replica.labels.app).into_iter().flatten();
    let own = kept.find(|kept| kept.revision == replica.labels.revision);
    let spec = own.map_or(&stored.spec, |kept| &kept.spec);
    question::of(replica, spec, stored.spec.access.is_some())
}

/// What is on the engine. One that was away may come back as another, so it is asked anew who it is.
async fn look(
    ports: &Ports,
    options: &Options,
    version: &mut Option<EngineVersion>,
) -> Result<(Vec<Container>, Option<crate::runtime::Network>), RuntimeError> {
    if version.is_none() {
        *version = Some(ports.runtime.version().await?);
    }
    let containers = ports.runtime.list(&options.instance).await?;
    let network = ports.runtime.find_network(&options.instance).await?;
    Ok((containers, network))
}

async fn observed_ingress(ports: &Ports, memory: &Memory) -> ObservedIngress {
    let last_seen = || match memory.served.clone() {
        Some(table) => ObservedIngress::Serving { table },
        None => ObservedIngress::Absent,
    };
    if let Engine::Away { .. } = memory.engine {
        return last_seen();
    }
    match ports.ingress.observe().await {
        Ok(ingress) => ingress,
        Err(error) => {
            tracing::warn!(error = %error::chain(&error), "the ingress could not be looked at");
            last_seen()
        }
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
        readiness: Readiness::Unknown,
    }
}
