//! Teardown of an instance: removes everything that it owns, except named volumes and events.

use std::collections::BTreeMap;

use dubernetes_core::app::{AppName, InstanceName, Stop};
use dubernetes_core::error;
use dubernetes_core::labels::Component;
use dubernetes_core::runtime::{Container, ContainerState, RuntimeError};
use futures_util::future::join_all;

use crate::adapters::Adapters;

/// How often the containers are listed: a create that was in flight may end late.
const LISTS: u32 = 3;

/// Deletes every app, and removes every container of the instance, the ingress and the network. A
/// container that only has the instance's labels is left alone.
pub(crate) async fn teardown(adapters: &Adapters, instance: &InstanceName) -> Result<(), String> {
    let text = |error: &dyn std::error::Error| error::chain(error);
    let stored = adapters.store.list().await.map_err(|e| text(&e))?;
    for name in stored.apps.keys() {
        adapters.store.delete(name, adapters.clock.now()).await.map_err(|e| text(&e))?;
    }
    let of_apps = stored.apps.iter().map(|(name, app)| (name, &app.spec.stop));
    let of_deleted = stored.tombstones.iter().map(|(name, tombstone)| (name, &tombstone.stop));
    let stops: BTreeMap<_, _> = of_apps.chain(of_deleted).collect();
    adapters.ingress.remove().await.map_err(|e| text(&e))?;
    for _ in 0..LISTS {
        let containers = adapters.runtime.list(instance).await.map_err(|e| text(&e))?;
        let own = containers.iter().filter_map(|container| {
            Some((container, Component::identify(container, instance).ok()?))
        });
        let own: Vec<_> = own.collect();
        if own.is_empty() {
            break;
        }
        let removals =
            own.iter().map(|(container, component)| remove(adapters, container, component, &stops));
        for result in join_all(removals).await {
            result.map_err(|e| text(&e))?;
        }
    }
    if let Some(networks) = adapters.runtime.networks() {
        networks.remove(instance).await.map_err(|e| text(&e))?;
    }
    for name in stored.apps.keys().chain(stored.tombstones.keys()) {
        adapters.store.purge(name).await.map_err(|e| text(&e))?;
    }
    Ok(())
}

async fn remove(
    adapters: &Adapters,
    container: &Container,
    component: &Component,
    stops: &BTreeMap<&AppName, &Stop>,
) -> Result<(), RuntimeError> {
    let runs = matches!(container.state, ContainerState::Running { .. } | ContainerState::Paused);
    if runs {
        let app = match component {
            Component::Replica(labels) => Some(&labels.app),
            Component::PreDeploy(labels) => Some(&labels.app),
            Component::Ingress => None,
        };
        let stop = app.and_then(|app| stops.get(app).map(|stop| Stop::clone(stop)));
        let Stop { signal, grace, .. } = stop.unwrap_or_default();
        adapters.runtime.stop(&container.id, signal, grace).await?;
    }
    adapters.runtime.remove(&container.id).await
}
