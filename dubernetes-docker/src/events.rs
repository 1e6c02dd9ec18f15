//! The engine's events as ours. Each also makes the cache forget its container.

use std::sync::Arc;

use bollard::query_parameters::EventsOptionsBuilder;
use dubernetes_core::app::InstanceName;
use dubernetes_core::runtime::{RuntimeError, RuntimeEvent};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use jiff::Timestamp;

use crate::cache::Cache;
use crate::engine::{Engine, READ};
use crate::error::Failure;
use crate::{from_docker, to_docker};

/// What happens to the instance's containers from now on.
pub(crate) async fn watch(
    engine: &Arc<Engine>,
    cache: &Arc<Cache>,
    instance: &InstanceName,
) -> Result<BoxStream<'static, Result<RuntimeEvent, RuntimeError>>, RuntimeError> {
    let now = Timestamp::now();
    let following = cache.follow();
    // The stream below calls nobody until it is read, so this tells whether an engine answers,
    // and `since` covers what happens until then.
    let docker = engine.docker()?.clone();
    engine.call(READ, "watch for events", docker.ping()).await.map_err(Failure::general)?;
    let options = EventsOptionsBuilder::default()
        .since(&format!("{}.{:09}", now.as_second(), now.subsec_nanosecond()))
        .filters(&to_docker::filters(instance, &[("type", "container")]))
        .build();
    let (engine, cache) = (Arc::clone(engine), Arc::clone(cache));
    let events = docker.events(Some(options)).filter_map(move |message| {
        // It goes with the stream.
        let _ = &following;
        let event = match message {
            Ok(message) => from_docker::event(message).map(Ok),
            Err(error) => {
                Some(Err(Failure::new(&engine, "read the engine's events", error).general()))
            }
        };
        if let Some(Ok(event)) = &event {
            cache.forget(&event.id.0);
        }
        std::future::ready(event)
    });
    Ok(events.boxed())
}
