//! The list of an instance's containers.

use bollard::models::ContainerSummary;
use bollard::query_parameters::ListContainersOptionsBuilder;
use dubernetes_core::app::InstanceName;
use dubernetes_core::labels;
use dubernetes_core::runtime::{Container, ContainerId, RuntimeError};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::inspect::inspect;
use super::staging::{self, Staging};
use crate::cache::InspectCache;
use crate::engine::{Engine, READ};
use crate::error::CallError;
use crate::to_docker::build_filters;

/// Maximum number of inspections in flight. An engine answers them mostly one after the other, in
/// 14 ms each.
const PARALLEL: usize = 8;

/// States that end only by an event or by a call of ours. In the other states the details may
/// change while the state stays: a failed start leaves it at `created`.
const CACHEABLE_STATES: [&str; 3] = ["running", "exited", "paused"];

/// Lists the instance's containers: one list call, and one inspection per changed container.
pub(super) async fn list(
    engine: &Engine,
    cache: &InspectCache,
    staging: &Staging,
    instance: &InstanceName,
) -> Result<Vec<Container>, RuntimeError> {
    let filters = build_filters(instance, &[]);
    let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    let call = engine.docker()?.list_containers(Some(options));
    let listed = engine.call(READ, "list containers", call).await;
    let listed = listed.map_err(CallError::into_runtime_error)?;
    cache.prune();
    let owner = instance.to_string();
    let mut containers: Vec<Container> = stream::iter(listed.into_iter().filter_map(summarize))
        .map(|(id, state)| inspect_listed(engine, cache, staging, id, state))
        .buffered(PARALLEL)
        .try_filter_map(|found| std::future::ready(Ok(found)))
        .try_collect()
        .await?;
    // An engine that does not support the filter also lists containers of others.
    containers.retain(|container| container.labels.get(labels::INSTANCE) == Some(&owner));
    containers.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| a.id.cmp(&b.id)));
    Ok(containers)
}

/// Returns the id and the state.
fn summarize(listed: ContainerSummary) -> Option<(String, String)> {
    Some((listed.id?, listed.state.map(|state| state.to_string()).unwrap_or_default()))
}

/// Returns the container, or `None` if it was removed after the list or is still staged.
async fn inspect_listed(
    engine: &Engine,
    cache: &InspectCache,
    staging: &Staging,
    id: String,
    listed_state: String,
) -> Result<Option<Container>, RuntimeError> {
    if let Some(container) = cache.get(&id, &listed_state) {
        return staging::resolve_staged(engine, staging, container).await;
    }
    let epoch = cache.epoch();
    match inspect(engine, &ContainerId(id)).await {
        Ok(container) => {
            if CACHEABLE_STATES.contains(&listed_state.as_str()) {
                cache.insert(epoch, &listed_state, &container);
            }
            staging::resolve_staged(engine, staging, container).await
        }
        Err(RuntimeError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
