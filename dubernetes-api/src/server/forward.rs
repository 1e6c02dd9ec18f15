//! Port forwarding over WebSockets, one connection each; see [`crate::tunnel`].

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use bytes::Bytes;
use dubernetes_controller::Snapshot;
use dubernetes_core::dial::Connection;
use dubernetes_core::runtime::{Capability, ContainerId};
use futures_util::{SinkExt as _, StreamExt as _};
use serde::Deserialize;
use tokio::sync::watch;
use tokio_util::compat::{FuturesAsyncReadCompatExt as _, FuturesAsyncWriteCompatExt as _};

use crate::channel::CHUNK;
use crate::path;
use crate::problem::ApiError;
use crate::server::exec::{HANDSHAKE_LIMIT, require_subprotocol, upgrade_error};
use crate::server::extract::{Name, Params};
use crate::server::stream::Stop;
use crate::server::{ApiState, pods};
use crate::tunnel::{TunnelBroken, relay};
use crate::wire::ProblemKind;

/// Query of a port forwarding.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ForwardQuery {
    /// Port in the pod.
    #[param(minimum = 1, maximum = 65535)]
    port: u16,
}

/// Connect to a port of a pod.
///
/// A WebSocket with the subprotocol `v1.forward.dubernetes`. It opens once the pod has accepted the
/// connection. Each binary message is data of one direction; an empty message ends that direction.
/// The image needs no support for it.
#[utoipa::path(get, path = path::POD_FORWARD, operation_id = "forward",
    tag = "pods",
    params(("name" = String, Path, description = "Name of the pod, such as `web-1`"), ForwardQuery),
    responses(
        (status = 101, description = "The WebSocket"),
        (status = 404),
        (status = 409, description = "The pod is not running"),
        (status = 502, description = "The pod refuses the connection"),
    )
)]
pub(super) async fn forward(
    State(state): State<ApiState>,
    Name(name): Name,
    Params(ForwardQuery { port }): Params<ForwardQuery>,
    stop: Stop,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let upgrade = upgrade.map_err(|rejection| upgrade_error(&rejection, path::FORWARD_PROTOCOL))?;
    require_subprotocol(&upgrade, path::FORWARD_PROTOCOL)?;
    if port == 0 {
        return Err(ApiError::new(ProblemKind::InvalidQuery, "`port` must be between 1 and 65535"));
    }
    let snapshot = state.latest_snapshot().await;
    let (_, pod) = pods::find(&snapshot, &name)?;
    let id = pods::container_id(pod)?;
    let (Some(endpoint), Some(_)) = (pod.endpoint, pod.started_at) else {
        let detail = format!("pod `{name}` is not running: it is {}", pod.state);
        return Err(ApiError::new(ProblemKind::NotRunning, detail));
    };
    // Without an address of its own, a pod has this one endpoint.
    let has_address = !snapshot.observed.lacks.contains(&Capability::PlannedAddresses);
    let target = if has_address { SocketAddr::new(endpoint.ip(), port) } else { endpoint };
    let connection = state.dialer.connect(target).await?;
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
    // Each arm ends the connection, so losing the progress of the others does no harm.
    let ended = tokio::select! {
        ended = relay(reader.compat(), writer.compat_write(), sink, stream) => ended,
        () = container_stopped(snapshots, &id) => Err(TunnelBroken),
        () = stop.0.cancelled() => Err(TunnelBroken),
    };
    tracing::debug!(container = %id, whole = ended.is_ok(), "forwarded connection ended");
    let _ = sender.close().await;
    // Read what the caller has sent meanwhile, or the kernel discards our last messages.
    let drain = async { while let Some(Ok(_)) = receiver.next().await {} };
    let _ = tokio::time::timeout(HANDSHAKE_LIMIT, drain).await;
}

/// Returns once the container is not running any more: its end of the connection may have vanished
/// without closing it.
async fn container_stopped(mut snapshots: watch::Receiver<Arc<Snapshot>>, id: &ContainerId) {
    let runs = |snapshot: &Arc<Snapshot>| {
        let mut pods = snapshot.plan.statuses.values().flat_map(|status| &status.pods);
        pods.any(|pod| pod.container_id.as_ref() == Some(id) && pod.started_at.is_some())
    };
    // After the orchestrator has ended there are no snapshots; the server stops with it.
    if snapshots.wait_for(|snapshot| !runs(snapshot)).await.is_err() {
        std::future::pending::<()>().await;
    }
}
