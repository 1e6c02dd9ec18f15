//! The list of an instance's containers.

use std::collections::BTreeSet;

use bollard::models::ContainerSummary;
use bollard::query_parameters::ListContainersOptionsBuilder;
use dubernetes_core::app::InstanceName;
use dubernetes_core::labels;
use dubernetes_core::runtime::{Container, ContainerId, RuntimeError};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::inspect::inspect;
use super::staging::{self, Staging};
use crate::cache::InspectCache;
use crate::engine::Engine;
use crate::error::CallError;
use crate::to_docker::build_filters;

/// Maximum number of inspections in flight. An engine answers them mostly one after the other, in
/// 14 ms each.
const PARALLEL: usize = 8;

/// States that end only by an event or by a call of ours. In the other states the details may
/// change while the state stays: a failed start leaves it at `created`.
const LASTING_STATES: [&str; 3] = ["running", "exited", "paused"];

/// Lists the instance's containers: one list call, and one inspection per changed container.
pub(super) async fn list(
    engine: &Engine,
    cache: &InspectCache,
    staging: &Staging,
    instance: &InstanceName,
) -> Result<Vec<Container>, RuntimeError> {
    let filters = build_filters(instance, &[]);
    let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    let docker = engine.docker()?;
    let list = || docker.list_containers(Some(options.clone()));
    let listed = engine.read("list containers", list).await;
    let listed = listed.map_err(CallError::into_runtime_error)?;
    cache.prune();
    let owner = instance.to_string();
    let mut containers: Vec<Container> = stream::iter(listed.into_iter().filter_map(summarize))
        .map(|listed| inspect_listed(engine, cache, staging, listed))
        .buffered(PARALLEL)
        .try_filter_map(|found| std::future::ready(Ok(found)))
        .try_collect()
        .await?;
    // An engine that does not support the filter also lists containers of others.
    containers.retain(|container| container.labels.get(labels::INSTANCE) == Some(&owner));
    containers.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| a.id.cmp(&b.id)));
    Ok(containers)
}

/// What a list shows of one container.
struct Listed {
    id: String,
    names: Vec<String>,
    /// Whether the state is one of [`LASTING_STATES`].
    is_lasting: bool,
    /// The state, and the addresses: a container that was disconnected is inspected again.
    state: String,
}

fn summarize(listed: ContainerSummary) -> Option<Listed> {
    let mut state = listed.state.map(|state| state.to_string()).unwrap_or_default();
    let is_lasting = LASTING_STATES.contains(&state.as_str());
    let networks = listed.network_settings.and_then(|settings| settings.networks);
    let addresses = networks.into_iter().flatten().filter_map(|(_, on)| on.ip_address);
    for address in addresses.collect::<BTreeSet<_>>() {
        state.push(' ');
        state.push_str(&address);
    }
    Some(Listed { id: listed.id?, names: listed.names.unwrap_or_default(), is_lasting, state })
}

/// Returns the container, or `None` if it was removed after the list or is still staged.
async fn inspect_listed(
    engine: &Engine,
    cache: &InspectCache,
    staging: &Staging,
    Listed { id, names, is_lasting, state }: Listed,
) -> Result<Option<Container>, RuntimeError> {
    // The engine answers no inspection of a container while it copies files into it.
    if names.iter().any(|name| staging.creates(name.trim_start_matches('/'))) {
        return Ok(None);
    }
    if let Some(container) = cache.get(&id, &state) {
        return staging::resolve_staged(engine, staging, container).await;
    }
    let epoch = cache.epoch();
    match inspect(engine, &ContainerId(id.into())).await {
        Ok(container) => {
            cache.insert(epoch, &state, is_lasting, &container);
            staging::resolve_staged(engine, staging, container).await
        }
        Err(RuntimeError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
