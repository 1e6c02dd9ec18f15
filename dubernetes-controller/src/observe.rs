//! From the adapters to one [`ObservedState`]. What cannot be seen now stays as it was last seen.

use jiff::Timestamp;
use tokio::time::Instant;

use dubernetes_core::app::AppName;
use dubernetes_core::error;
use dubernetes_core::ingress::ObservedIngress;
use dubernetes_core::labels::{self, PreDeployLabels, ReplicaLabels};
use dubernetes_core::runtime::{Container, EngineVersion, RuntimeError};
use dubernetes_core::state::{
    DesiredState, EngineStatus, ObservedPreDeploy, ObservedReplica, ObservedState, Readiness,
};
use dubernetes_core::store::StoreError;

use super::cache::ControllerCache;
use super::probe_spec::{self, ProbeSpec};
use super::{Adapters, Options};

/// What is desired, with the older revisions of apps that run one.
pub(super) async fn desired(
    adapters: &Adapters,
    options: &Options,
    cache: &ControllerCache,
) -> Result<DesiredState, StoreError> {
    let stored = adapters.store.list().await?;
    let mut desired = DesiredState::new(options.instance.clone(), stored);
    let outdated: std::collections::BTreeSet<AppName> = cache
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
        let revisions = adapters.store.revisions(&app).await.unwrap_or_default();
        desired.revisions.insert(app, revisions);
    }
    Ok(desired)
}

/// Looks at the engine. What is desired is read afterwards, since it depends on what runs.
pub(super) async fn engine(
    adapters: &Adapters,
    options: &Options,
    cache: &mut ControllerCache,
    now: Timestamp,
) {
    match look(adapters, options, &mut cache.version).await {
        Ok((containers, network)) => {
            if let EngineStatus::Unreachable { .. } = std::mem::take(&mut cache.engine) {
                cache.active_since = None;
            }
            cache.active_since.get_or_insert(now);
            cache.network = network;
            sort(containers, cache, now);
        }
        Err(error) => {
            let since = match &cache.engine {
                EngineStatus::Unreachable { since, .. } => *since,
                EngineStatus::Reachable => now,
            };
            cache.engine = EngineStatus::Unreachable { since, reason: error::chain(&error) };
            cache.version = None;
        }
    }
}

/// Replicas, commands before revisions, and what cannot be read.
fn sort(containers: Vec<Container>, cache: &mut ControllerCache, now: Timestamp) {
    cache.replicas.clear();
    cache.pre_deploys.clear();
    cache.unreadable.clear();
    for container in containers {
        if labels::is_ingress(&container.labels) {
            continue;
        }
        match PreDeployLabels::from_map(&container.labels) {
            Some(Ok(labels)) => {
                let (id, state) = (container.id, container.state);
                cache.pre_deploys.push(ObservedPreDeploy { id, labels, state });
                continue;
            }
            Some(Err(reason)) => {
                cache.unreadable.insert(container.id, reason);
                continue;
            }
            None => {}
        }
        match ReplicaLabels::from_map(&container.labels) {
            Ok(labels) => {
                let mut replica = replica(container, labels);
                cache.ends.clamp(&mut replica, now);
                cache.replicas.push(replica);
            }
            Err(reason) => drop(cache.unreadable.insert(container.id, reason)),
        }
    }
}

/// Everything that is seen, with the engine as it was just looked at.
pub(super) async fn observed(
    adapters: &Adapters,
    cache: &mut ControllerCache,
    desired: &DesiredState,
    now: Timestamp,
) -> ObservedState {
    cache.prune(desired);
    cache.ends.follow(&cache.replicas);
    let asked = |replica: &ObservedReplica| probe_spec(desired, replica);
    cache.probes.follow(&cache.replicas, asked, Instant::now());
    for replica in &mut cache.replicas {
        replica.readiness = cache.probes.readiness(&replica.id, now);
    }
    let ingress = observed_ingress(adapters, cache).await;
    cache.follow_table(ingress.table(), now);
    ObservedState {
        engine: cache.engine.clone(),
        network: cache.network.clone(),
        replicas: cache.replicas.clone(),
        pre_deploys: cache.pre_deploys.clone(),
        unreadable: cache.unreadable.clone(),
        ingress,
        drains: cache.drains.clone(),
        in_flight: cache.in_flight.clone(),
        failures: cache.failures.clone(),
        quarantined: cache.quarantined.clone(),
        evicted: cache.evicted.clone(),
        stop_reasons: cache.stop_reasons.clone(),
        last_ready_at: cache.probes.last_ready_at(),
        active_since: cache.active_since,
    }
}

/// What a replica is asked: what its own revision says; where that is not kept any more, what the
/// present one says, whose content it has, or will have.
pub(super) fn probe_spec(desired: &DesiredState, replica: &ObservedReplica) -> Option<ProbeSpec> {
    let stored = desired.apps.get(&replica.labels.app)?;
    let mut kept = desired.revisions.get(&replica.labels.app).into_iter().flatten();
    let own = kept.find(|kept| kept.revision == replica.labels.revision);
    let spec = own.map_or(&stored.spec, |kept| &kept.spec);
    probe_spec::of(replica, spec, stored.spec.access.is_some())
}

/// What is on the engine. One that was away may come back as another, so it is asked anew who it is.
async fn look(
    adapters: &Adapters,
    options: &Options,
    version: &mut Option<EngineVersion>,
) -> Result<(Vec<Container>, Option<dubernetes_core::runtime::Network>), RuntimeError> {
    if version.is_none() {
        *version = Some(adapters.runtime.version().await?);
    }
    let containers = adapters.runtime.list(&options.instance).await?;
    let network = adapters.runtime.find_network(&options.instance).await?;
    Ok((containers, network))
}

async fn observed_ingress(adapters: &Adapters, cache: &ControllerCache) -> ObservedIngress {
    let last_seen = || match cache.served.clone() {
        Some(table) => ObservedIngress::Serving { table },
        None => ObservedIngress::Absent,
    };
    if let EngineStatus::Unreachable { .. } = cache.engine {
        return last_seen();
    }
    match adapters.ingress.observe().await {
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
