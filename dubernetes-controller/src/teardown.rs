//! The end of an instance: everything that it owns goes, but named volumes and the store's events.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use dubernetes_core::app::{AppName, InstanceName, Stop};
use dubernetes_core::error;
use dubernetes_core::labels::ReplicaLabels;
use dubernetes_core::runtime::{Container, ContainerState, RuntimeError};

use super::Adapters;

/// Deletes every app, removes every container with the instance's label, the ingress and the
/// network.
pub(super) async fn teardown(adapters: &Adapters, instance: &InstanceName) -> Result<(), String> {
    let say = |error: &dyn std::error::Error| error::chain(error);
    let stored = adapters.store.list().await.map_err(|e| say(&e))?;
    for name in stored.apps.keys() {
        adapters.store.delete(name, adapters.clock.now()).await.map_err(|e| say(&e))?;
    }
    let of_apps = stored.apps.iter().map(|(name, app)| (name, &app.spec.stop));
    let of_deleted = stored.tombstones.iter().map(|(name, tombstone)| (name, &tombstone.stop));
    let stops: BTreeMap<_, _> = of_apps.chain(of_deleted).collect();
    adapters.ingress.remove().await.map_err(|e| say(&e))?;
    // A create that was under way may end late, so the list is made until it is empty.
    for _ in 0..3 {
        let containers = adapters.runtime.list(instance).await.map_err(|e| say(&e))?;
        if containers.is_empty() {
            break;
        }
        for result in join_all(containers.iter().map(|c| remove(adapters, c, &stops))).await {
            result.map_err(|e| say(&e))?;
        }
    }
    adapters.runtime.remove_network(instance).await.map_err(|e| say(&e))?;
    let names = stored.apps.keys().chain(stored.tombstones.keys());
    for name in names {
        adapters.store.purge(name).await.map_err(|e| say(&e))?;
    }
    Ok(())
}

async fn remove(
    adapters: &Adapters,
    container: &Container,
    stops: &BTreeMap<&AppName, &Stop>,
) -> Result<(), RuntimeError> {
    let runs = matches!(container.state, ContainerState::Running { .. } | ContainerState::Paused);
    if runs {
        let app = ReplicaLabels::from_map(&container.labels).ok().map(|labels| labels.app);
        let stop = app.and_then(|app| stops.get(&app).map(|stop| Stop::clone(stop)));
        let Stop { signal, grace, .. } = stop.unwrap_or_default();
        adapters.runtime.stop(&container.id, signal, grace).await?;
    }
    adapters.runtime.remove(&container.id).await
}
