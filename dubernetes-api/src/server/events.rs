//! Events: listed, or followed as server-sent events or NDJSON.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

use axum::Json as JsonResponse;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use dubernetes_core::app::AppName;
use dubernetes_core::event::{Event, EventKind};
use dubernetes_core::store::{self, Store};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use jiff::Timestamp;
use serde::Deserialize;

use crate::path;
use crate::problem::ApiError;
use crate::server::ApiState;
use crate::server::extract::{self, Params};
use crate::server::stream::{self, Items, NDJSON, Stop};
use crate::wire::{List, ProblemKind};

/// Default number of events in a response.
const DEFAULT_LIMIT: u32 = 500;
/// Maximum number of events in a response.
const MAX_LIMIT: u32 = 10_000;

/// Selects events.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EventQuery {
    /// Only events of this app.
    #[param(value_type = Option<String>)]
    app: Option<AppName>,
    /// Only events of this type: `Normal` or `Warning`.
    #[serde(rename = "type")]
    #[param(value_type = Option<crate::openapi::EventKind>)]
    kind: Option<EventKind>,
    /// Only events at or after this time.
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    /// Only events with a higher id.
    after: Option<u64>,
    /// Maximum number of events, the newest; 500 by default.
    #[param(minimum = 1, maximum = 10000)]
    limit: Option<u32>,
}

/// List or follow events, oldest first.
///
/// With `Accept: text/event-stream` or `application/x-ndjson` the response continues with new
/// events; `Last-Event-ID` then replaces `after`.
#[utoipa::path(get, path = path::EVENTS, operation_id = "list_events",
    tag = "events",
    params(
        EventQuery,
        ("Last-Event-ID" = Option<u64>, Header, description = "Id of the last known event"),
    ),
    responses(
        (status = 200, description = "Events", content(
            (List<crate::openapi::Event> = "application/json"),
            (crate::openapi::Event = "text/event-stream"),
            (crate::openapi::Event = "application/x-ndjson"),
        )),
    )
)]
pub(super) async fn list(
    State(state): State<ApiState>,
    Params(params): Params<EventQuery>,
    stop: Stop,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let limit = params.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        let detail = format!("`limit` must be between 1 and {MAX_LIMIT}, not {limit}");
        return Err(ApiError::new(ProblemKind::InvalidQuery, detail));
    }
    let last = extract::last_event(&headers)?;
    let after = last.or(params.after).unwrap_or(0);
    let EventQuery { app, kind, since, .. } = params;
    let query = store::EventQuery { app, kind, since, after, limit };
    if extract::accepts(&headers, "text/event-stream") {
        return Ok(server_sent(stop, follow(&state, query)));
    }
    if extract::accepts(&headers, NDJSON) {
        return Ok(stream::ndjson(stop, follow(&state, query)));
    }
    let events: Vec<Event> = state.store.events(&query).await?;
    Ok(JsonResponse(List::new(events)).into_response())
}

fn server_sent(stop: Stop, events: Items<Event>) -> Response {
    let events = stream::until_stopped(stop, events).map(|event| {
        let built = match event {
            Ok(event) => sse::Event::default().id(event.id.to_string()).json_data(&event),
            Err(error) => sse::Event::default().event("problem").json_data(error.into_problem()),
        };
        // All map keys are strings, so both always serialize.
        Ok::<_, Infallible>(built.unwrap_or_default())
    });
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}

struct Follow {
    store: Arc<dyn Store>,
    changes: BoxStream<'static, ()>,
    query: store::EventQuery,
    read: VecDeque<Event>,
}

/// Yields the events that `query` selects, then each new one. A reader that falls more than 10,000
/// events behind misses the oldest of them.
fn follow(state: &ApiState, query: store::EventQuery) -> Items<Event> {
    let changes = state.store.changes();
    let follow = Follow { store: Arc::clone(&state.store), changes, query, read: VecDeque::new() };
    stream::from_fn(follow, |mut follow| async move {
        let item = follow.next().await.transpose()?;
        Some((item, follow))
    })
}

impl Follow {
    /// Returns `None` once the store is closed.
    async fn next(&mut self) -> Result<Option<Event>, ApiError> {
        loop {
            if let Some(event) = self.read.pop_front() {
                self.query.after = event.id;
                return Ok(Some(event));
            }
            self.read = self.store.events(&self.query).await?.into();
            self.query.limit = MAX_LIMIT;
            if self.read.is_empty() && self.changes.next().await.is_none() {
                return Ok(None);
            }
        }
    }
}
