//! The metrics, for programs that collect them over the network. They are no part of the API: what
//! serves them reads, and a Prometheus cannot connect to a Unix socket.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::connections::{self, Limits};

/// Limits of [`serve_metrics`]. A collector keeps its connection between two requests.
const LIMITS: Limits = Limits { connections: 16, head: Duration::from_secs(75) };

/// How long requests in flight may continue after the server is asked to stop.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(2);

/// Metrics as a client gets them.
#[derive(Debug, Clone)]
pub struct ExportedMetrics {
    /// The media type of the text.
    pub content_type: &'static str,
    /// The text.
    pub text: String,
}

/// Where metrics come from.
#[async_trait]
pub trait MetricsSource: fmt::Debug + Send + Sync {
    /// Returns all metrics as of now, in the form that a client takes which sends this `Accept`.
    async fn export(&self, accept: Option<&str>) -> ExportedMetrics;
}

/// Serves `GET /metrics` until `stop` is cancelled, to everyone who can connect. Then requests in
/// flight get 2 s to complete. At most 16 connections are open at a time; further ones wait.
pub async fn serve_metrics(
    listener: TcpListener,
    source: Arc<dyn MetricsSource>,
    stop: CancellationToken,
) {
    let router = Router::new().route("/metrics", get(metrics)).with_state(source);
    let open = connections::serve(&listener, router, LIMITS, &stop).await;
    // Accept no further connections.
    drop(listener);
    // Connections that are still open are closed when the process exits.
    let _ = tokio::time::timeout(SHUTDOWN_LIMIT, open.wait()).await;
}

async fn metrics(
    State(source): State<Arc<dyn MetricsSource>>,
    headers: HeaderMap,
) -> impl IntoResponse {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    let ExportedMetrics { content_type, text } = source.export(accept).await;
    ([(CONTENT_TYPE, content_type), (CACHE_CONTROL, "no-store")], text)
}
