//! Connections to a port of a pod over a WebSocket, one each; see [`crate::tunnel`].

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use bytes::Bytes;
use dubernetes_controller::Snapshot;
use dubernetes_core::dial::Connection;
use dubernetes_core::runtime::ContainerId;
use futures_util::{SinkExt as _, StreamExt as _};
use serde::Deserialize;
use tokio::sync::watch;
use tokio_util::compat::{FuturesAsyncReadCompatExt as _, FuturesAsyncWriteCompatExt as _};

use crate::channel::CHUNK;
use crate::path;
use crate::problem::ApiError;
use crate::server::exec::{PATIENCE, not_upgraded, speaks};
use crate::server::extract::{Name, Params};
use crate::server::stream::Stop;
use crate::server::{ApiState, pods};
use crate::tunnel::{Broken, relay};
use crate::wire::{Problem, ProblemKind};

/// Which port is wanted.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// The port in the pod.
    #[param(minimum = 1, maximum = 65535)]
    port: u16,
}

/// Connects to a port of a pod.
///
/// A WebSocket of the subprotocol `v1.forward.dubernetes`: it opens once the pod has taken the
/// connection. Each binary message is a part of what one side says, and an empty one is the end
/// of it. The image needs nothing for it.
#[utoipa::path(get, path = path::POD_FORWARD, tag = "pods",
    params(("name" = String, Path, description = "The pod, such as `web-1`"), Wanted),
    responses(
        (status = 101, description = "The WebSocket"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, body = Problem, content_type = "application/problem+json",
            description = "It does not run"),
        (status = 502, body = Problem, content_type = "application/problem+json",
            description = "It takes no connection"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn forward(
    State(state): State<ApiState>,
    Name(name): Name,
    Params(Wanted { port }): Params<Wanted>,
    stop: Stop,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let upgrade = upgrade.map_err(|rejection| not_upgraded(&rejection, path::FORWARD_PROTOCOL))?;
    speaks(&upgrade, path::FORWARD_PROTOCOL)?;
    if port == 0 {
        return Err(ApiError::new(ProblemKind::InvalidQuery, "`port` is a number from 1 to 65535"));
    }
    let snapshot = state.looked().await;
    let (_, pod) = pods::find(&snapshot, &name)?;
    let id = pods::container(pod)?;
    let (Some(address), Some(_)) = (pod.address, pod.started_at) else {
        let detail = format!("pod `{name}` does not run: it is {}", pod.state);
        return Err(ApiError::new(ProblemKind::NotRunning, detail));
    };
    let connection = state.dialer.connect(SocketAddr::from((address, port))).await?;
    let snapshots = state.controller.snapshots();
    Ok(upgrade
        .protocols([path::FORWARD_PROTOCOL])
        .max_message_size(CHUNK)
        .max_frame_size(CHUNK)
        .on_upgrade(move |socket| serve(socket, connection, id, snapshots, stop)))
}

async fn serve(
    socket: WebSocket,
    connection: Connection,
    id: ContainerId,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    stop: Stop,
) {
    let (mut sender, mut receiver) = socket.split();
    let Connection { reader, writer } = connection;
    let sink = (&mut sender)
        .with(|part: Bytes| std::future::ready(Ok::<_, axum::Error>(Message::Binary(part))));
    let stream = (&mut receiver).filter_map(|message| {
        std::future::ready(match message {
            Ok(Message::Binary(part)) => Some(Some(part)),
            Ok(Message::Ping(_) | Message::Pong(_)) => None,
            Ok(Message::Text(_) | Message::Close(_)) | Err(_) => Some(None),
        })
    });
    // Each arm ends the connection, so nothing that is dropped here is missed.
    let ended = tokio::select! {
        ended = relay(reader.compat(), writer.compat_write(), sink, stream) => ended,
        () = gone(snapshots, &id) => Err(Broken),
        () = stop.0.cancelled() => Err(Broken),
    };
    tracing::debug!(container = %id, whole = ended.is_ok(), "a forwarded connection has ended");
    let _ = sender.close().await;
    // What the caller has sent meanwhile is read, or it would lose the last parts of ours.
    let farewell = async { while let Some(Ok(_)) = receiver.next().await {} };
    let _ = tokio::time::timeout(PATIENCE, farewell).await;
}

/// Returns once the container is seen not to run any more: what held its end of the connection
/// may have gone without a word.
async fn gone(mut snapshots: watch::Receiver<Arc<Snapshot>>, id: &ContainerId) {
    let runs = |snapshot: &Arc<Snapshot>| {
        let mut pods = snapshot.plan.statuses.values().flat_map(|status| &status.pods);
        pods.any(|pod| pod.container_id.as_ref() == Some(id) && pod.started_at.is_some())
    };
    // A controller that has ended sees nothing; the server ends with it.
    if snapshots.wait_for(|snapshot| !runs(snapshot)).await.is_err() {
        std::future::pending::<()>().await;
    }
}
