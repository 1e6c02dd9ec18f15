//! Looking at containers: one, all of the instance, and what one uses.

use bollard::models::ContainerSummary;
use bollard::query_parameters::{ListContainersOptionsBuilder, StatsOptionsBuilder};
use dubernetes_core::app::InstanceName;
use dubernetes_core::labels;
use dubernetes_core::runtime::{Container, ContainerId, RuntimeError, Stats};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::unfinished::{self, Unfinished};
use crate::cache::Cache;
use crate::engine::{Engine, READ};
use crate::error::{Failure, unreadable};
use crate::from_docker;
use crate::to_docker::{filters, path_part};

/// Inspections under way at once: an engine answers them mostly one after the other, in 14 ms each.
const PARALLEL: usize = 8;

/// States that can only be left through an event or a call of ours. In the others the details may
/// change while the state's name stays: a failed start leaves `created` as it was.
const STEADY: [&str; 3] = ["running", "exited", "paused"];

/// The instance's containers. Lists once, and inspects what has changed.
pub(super) async fn list(
    engine: &Engine,
    cache: &Cache,
    unfinished: &Unfinished,
    instance: &InstanceName,
) -> Result<Vec<Container>, RuntimeError> {
    let filters = filters(instance, &[]);
    let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    let call = engine.docker()?.list_containers(Some(options));
    let listed = engine.call(READ, "list containers", call).await.map_err(Failure::general)?;
    cache.prune();
    let owner = instance.to_string();
    let mut containers: Vec<Container> = stream::iter(listed.into_iter().filter_map(summary))
        .map(|(id, state)| details(engine, cache, unfinished, id, state))
        .buffered(PARALLEL)
        .try_filter_map(|found| std::future::ready(Ok(found)))
        .try_collect()
        .await?;
    // An engine that does not know the filter lists what is not ours.
    containers.retain(|container| container.labels.get(labels::INSTANCE) == Some(&owner));
    containers.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| a.id.cmp(&b.id)));
    Ok(containers)
}

fn summary(listed: ContainerSummary) -> Option<(String, String)> {
    Some((listed.id?, listed.state.map(|state| state.to_string()).unwrap_or_default()))
}

/// The container's details, or `None` if it has vanished since it was listed.
async fn details(
    engine: &Engine,
    cache: &Cache,
    unfinished: &Unfinished,
    id: String,
    listed_as: String,
) -> Result<Option<Container>, RuntimeError> {
    if let Some(container) = cache.get(&id, &listed_as) {
        return unfinished::seen(engine, unfinished, container).await;
    }
    let epoch = cache.epoch();
    match inspect(engine, &ContainerId(id)).await {
        Ok(container) => {
            if STEADY.contains(&listed_as.as_str()) {
                cache.keep(epoch, &listed_as, &container);
            }
            unfinished::seen(engine, unfinished, container).await
        }
        Err(RuntimeError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// One container, whoever owns it.
pub(super) async fn inspect(engine: &Engine, id: &ContainerId) -> Result<Container, RuntimeError> {
    let name = path_part(id)?;
    let operation = format!("inspect container `{id}`");
    let call = engine.docker()?.inspect_container(name, None);
    let answer = engine.call(READ, &operation, call).await;
    let answer = answer.map_err(|failure| failure.of("container", name))?;
    from_docker::container(answer).map_err(|what| unreadable(&operation, what))
}

/// What a running container uses now.
pub(super) async fn stats(engine: &Engine, id: &ContainerId) -> Result<Stats, RuntimeError> {
    let name = path_part(id)?;
    let operation = format!("ask what container `{id}` uses");
    let options = StatsOptionsBuilder::default().stream(false).one_shot(true).build();
    let mut stream = engine.docker()?.stats(name, Some(options)).boxed();
    let answer = engine.call(READ, &operation, async { stream.try_next().await }).await;
    let answer = answer.map_err(|failure| failure.of("container", name))?;
    let answer = answer.ok_or_else(|| unreadable(&operation, "the answer is empty"))?;
    from_docker::stats(&answer)
        .ok_or_else(|| RuntimeError::Rejected { operation, message: "it does not run".to_owned() })
}
