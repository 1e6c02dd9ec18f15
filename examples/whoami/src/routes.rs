//! HTTP endpoints.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{ConnectInfo, Query, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{any, get};
use futures_util::StreamExt as _;

use crate::answer::Answer;
use crate::settings::{Identity, Settings, parse_duration};
use crate::{call, count};

/// Maximum size of `/data`, enough for a download test.
const MAX_DATA: u64 = 1 << 30;
/// Size of one chunk of `/data`.
const CHUNK: usize = 16 * 1024;
static FILLING: [u8; CHUNK] = [b'-'; CHUNK];

#[derive(Debug)]
struct Shared {
    identity: Identity,
    count_file: Option<PathBuf>,
    /// Another app to call.
    call: Option<String>,
    /// Status of `GET /health`, set by `POST /health`.
    health: AtomicU16,
}

type Parameters = Query<BTreeMap<String, String>>;

/// Returns the router. Any other path answers like `/`, so that any prefix can be routed here.
pub(crate) fn router(settings: &Settings) -> Router {
    let shared = Shared {
        identity: settings.identity.clone(),
        count_file: settings.count_file.clone(),
        call: settings.call.clone(),
        health: AtomicU16::new(StatusCode::OK.as_u16()),
    };
    Router::new()
        .route("/health", get(health).post(set_health))
        .route("/bench", get(|| async { "1" }))
        .route("/data", get(data))
        .route("/echo", get(echo))
        .route("/api", any(api))
        .fallback(show_identity)
        .with_state(Arc::new(shared))
}

async fn show_identity(
    State(shared): State<Arc<Shared>>,
    remote: ConnectInfo<SocketAddr>,
    query: Parameters,
    request: Request,
) -> Result<String, Response> {
    Ok(answer(&shared, remote, &query, request).await?.to_text())
}

async fn api(
    State(shared): State<Arc<Shared>>,
    remote: ConnectInfo<SocketAddr>,
    query: Parameters,
    request: Request,
) -> Result<Response, Response> {
    Ok(Json(answer(&shared, remote, &query, request).await?.to_json()).into_response())
}

/// Reads the whole body, waits for `?wait=`, and then collects the facts.
async fn answer(
    shared: &Shared,
    ConnectInfo(remote): ConnectInfo<SocketAddr>,
    query: &Parameters,
    request: Request,
) -> Result<Answer, Response> {
    let (head, body) = request.into_parts();
    let length = body_length(body).await.map_err(|why| bad_request(&why))?;
    if let Some(wait) = query.get("wait") {
        tokio::time::sleep(parse_duration(wait).map_err(|why| bad_request(&why))?).await;
    }
    let line = (head.method, head.uri, head.version);
    let mut answer = Answer::new(&shared.identity, remote, line, &head.headers, length);
    if let Some(file) = &shared.count_file {
        let failed = |error: std::io::Error| {
            let why = format!("cannot count in {}: {error}\n", file.display());
            (StatusCode::INTERNAL_SERVER_ERROR, why).into_response()
        };
        answer.set_count(count::increment(file).map_err(failed)?);
    }
    if let Some(target) = &shared.call {
        let failed = |why: String| (StatusCode::BAD_GATEWAY, why + "\n").into_response();
        answer.set_called(call::call(target).await.map_err(failed)?);
    }
    Ok(answer)
}

/// Counts the bytes of a body without buffering them.
async fn body_length(body: Body) -> Result<u64, axum::Error> {
    let mut stream = body.into_data_stream();
    let mut length = 0;
    while let Some(chunk) = stream.next().await {
        length += u64::try_from(chunk?.len()).unwrap_or(u64::MAX);
    }
    Ok(length)
}

async fn health(State(shared): State<Arc<Shared>>) -> StatusCode {
    StatusCode::from_u16(shared.health.load(Ordering::Relaxed)).unwrap_or_default()
}

/// Sets the status that `GET /health` answers, such as `503`.
async fn set_health(State(shared): State<Arc<Shared>>, status: String) -> Result<(), Response> {
    let status: StatusCode = status.trim().parse().map_err(|why| bad_request(&why))?;
    shared.health.store(status.as_u16(), Ordering::Relaxed);
    Ok(())
}

/// Answers with `size` bytes; `unit` is `KB`, `MB` or `GB`.
async fn data(query: Parameters) -> Result<Response, Response> {
    let text = query.get("size").map_or("1", String::as_str);
    let size: u64 = text.parse().map_err(|why| bad_request(&why))?;
    let unit = match query.get("unit").map_or("", String::as_str).to_ascii_uppercase().as_str() {
        "" | "B" => 1,
        "KB" => 1 << 10,
        "MB" => 1 << 20,
        "GB" => 1 << 30,
        _ => return Err(bad_request("the unit is one of KB, MB and GB")),
    };
    let size = size.saturating_mul(unit);
    if size > MAX_DATA {
        return Err(bad_request("at most 1 GB"));
    }
    let chunks = futures_util::stream::unfold(size, |left| async move {
        let next = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        let rest = left - u64::try_from(next).unwrap_or(left);
        (next > 0).then(|| (Ok::<_, std::io::Error>(&FILLING[..next]), rest))
    });
    let length = [(axum::http::header::CONTENT_LENGTH, size.to_string())];
    Ok((length, Body::from_stream(chunks)).into_response())
}

/// Echoes the messages of a WebSocket.
async fn echo(upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(echo_messages)
}

async fn echo_messages(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        let sent = match message {
            Message::Text(_) | Message::Binary(_) => socket.send(message).await,
            // The library answers these itself.
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) => Ok(()),
        };
        if sent.is_err() {
            return;
        }
    }
}

fn bad_request(why: &(impl ToString + ?Sized)) -> Response {
    (StatusCode::BAD_REQUEST, why.to_string() + "\n").into_response()
}
