//! Streaming responses: NDJSON that ends with the server, with a problem as the last line on error.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream::{BoxStream, Stream, StreamExt as _};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::problem::ApiError;
use crate::wire::ProblemLine;

/// Media type of NDJSON.
pub(super) const NDJSON: &str = "application/x-ndjson";

/// Items of a streaming response.
pub(super) type Items<T> = BoxStream<'static, Result<T, ApiError>>;

/// Cancelled when the server stops; never cancelled without a server.
#[derive(Debug, Clone)]
pub(super) struct Stop(pub(super) CancellationToken);

impl<S: Send + Sync> FromRequestParts<S> for Stop {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts
            .extensions
            .get::<Self>()
            .cloned()
            .unwrap_or_else(|| Self(CancellationToken::new())))
    }
}

/// Yields `items` up to and including the first error; `stop` is such an error.
pub(super) fn until_stopped<T: Send + 'static>(stop: Stop, items: Items<T>) -> Items<T> {
    futures_util::stream::unfold(Some((items, stop)), |state| async move {
        let (mut items, stop) = state?;
        // Both arms are cancel-safe: the token stays cancelled, and an item that was not taken
        // stays in its stream.
        let item = tokio::select! {
            biased;
            () = stop.0.cancelled() => Err(ApiError::stopping()),
            item = items.next() => item?,
        };
        let rest = item.is_ok().then_some((items, stop));
        Some((item, rest))
    })
    .boxed()
}

/// Returns a response with one line for each item, the error included.
pub(super) fn ndjson<T: Serialize + Send + 'static>(stop: Stop, items: Items<T>) -> Response {
    let lines = until_stopped(stop, items).map(|item| {
        Ok::<_, Infallible>(match item {
            Ok(item) => line(&item),
            Err(error) => line(&ProblemLine { problem: error.into_problem() }),
        })
    });
    (headers(), Body::from_stream(lines)).into_response()
}

fn headers() -> [(axum::http::HeaderName, &'static str); 2] {
    [(CONTENT_TYPE, NDJSON), (CACHE_CONTROL, "no-store")]
}

fn line(item: &impl Serialize) -> Bytes {
    // All map keys of wire types are strings, so they always serialize.
    let mut line = serde_json::to_vec(item).unwrap_or_default();
    line.push(b'\n');
    line.into()
}

/// Returns a stream whose items `next` produces from its state, until `None`.
pub(super) fn from_fn<S, T, F>(state: S, next: impl Fn(S) -> F + Send + 'static) -> Items<T>
where
    S: Send + 'static,
    T: Send + 'static,
    F: Future<Output = Option<(Result<T, ApiError>, S)>> + Send + 'static,
{
    let stream: std::pin::Pin<Box<dyn Stream<Item = _> + Send>> =
        Box::pin(futures_util::stream::unfold(state, next));
    stream
}
