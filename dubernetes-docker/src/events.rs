//! The engine's events. Each event also invalidates its container's cache entry.

use std::sync::Arc;

use bollard::query_parameters::EventsOptionsBuilder;
use dubernetes_core::app::InstanceName;
use dubernetes_core::runtime::{RuntimeError, RuntimeEvent, RuntimeStream};
use futures_util::StreamExt as _;
use jiff::Timestamp;

use crate::cache::InspectCache;
use crate::engine::{Engine, READ};
use crate::error::CallError;
use crate::{from_docker, to_docker};

const OPERATION: &str = "stream events";

/// Streams the events of the instance's containers, from now on.
pub(crate) async fn stream(
    engine: &Arc<Engine>,
    cache: &Arc<InspectCache>,
    instance: &InstanceName,
) -> Result<RuntimeStream<RuntimeEvent>, RuntimeError> {
    let now = Timestamp::now();
    let guard = cache.register_events();
    // The client sends the request at the first poll only. The ping shows whether the engine
    // answers, and `since` covers the time until that poll.
    let docker = engine.docker()?.clone();
    let answered = engine.call(READ, OPERATION, docker.ping()).await;
    answered.map_err(CallError::into_runtime_error)?;
    let options = EventsOptionsBuilder::default()
        .since(&format!("{}.{:09}", now.as_second(), now.subsec_nanosecond()))
        .filters(&to_docker::build_filters(instance, &[("type", "container")]))
        .build();
    let engine = Arc::clone(engine);
    let cache = Arc::clone(cache);
    let events = docker.events(Some(options)).filter_map(move |message| {
        // The stream owns the guard.
        let _ = &guard;
        let event = match message {
            Ok(message) => from_docker::parse_event(message).map(Ok),
            Err(error) => Some(Err(engine.call_error(OPERATION, error).into_runtime_error())),
        };
        if let Some(Ok(event)) = &event {
            cache.invalidate(&event.id.0);
        }
        std::future::ready(event)
    });
    Ok(events.boxed())
}
