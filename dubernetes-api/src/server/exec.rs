//! Exec sessions: commands in pods over a WebSocket.
//!
//! The first message is the request as JSON text. The response is JSON text, either
//! `{"started":true}` or `{"problem":…}`. After that, binary frames carry input and output; see
//! [`Frame`].

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use bytes::Bytes;
use dubernetes_core::app::Signal;
use dubernetes_core::error::chain;
use dubernetes_core::runtime::{
    Capability, ContainerId, ContainerRuntime, ExecOutput, ExecSession, Resize, RuntimeError,
    require,
};
use futures_util::stream::{BoxStream, SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio_util::compat::FuturesAsyncWriteCompatExt as _;

use crate::channel::{CHUNK, Frame};
use crate::path;
use crate::problem::ApiError;
use crate::server::extract::{Name, NoParams, Params};
use crate::server::stream::Stop;
use crate::server::{ApiState, pods};
use crate::wire::{ExecRequest, ProblemKind, ProblemLine};

/// Largest accepted message: a command with all its arguments, or a part of its input.
pub(super) const MAX_MESSAGE: usize = 1 << 20;

/// Deadline for the first message, and for closing the connection.
pub(super) const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// Payload of an output frame. Larger parts of output are split.
const MAX_OUTPUT: usize = CHUNK;

pub(super) type Sender = SplitSink<WebSocket, Message>;
pub(super) type Receiver = SplitStream<WebSocket>;

/// Run a command in a pod.
///
/// A WebSocket with the subprotocol `v1.exec.dubernetes`. The client first sends
/// `{"command":[…],"stdin":bool,"tty":[columns,rows]|null}` as text and receives `{"started":true}`
/// or `{"problem":…}`. Binary frames with a leading channel byte follow: 0 standard input, 1
/// standard output, 2 standard error, 3 the exit code as text, 4 end of input, 5 a new terminal
/// size as `columns rows`.
#[utoipa::path(get, path = path::POD_EXEC, operation_id = "exec",
    tag = "pods",
    params(("name" = String, Path, description = "Name of the pod, such as `web-1`")),
    responses(
        (status = 101, description = "The WebSocket"),
        (status = 404),
        (status = 409, description = "The pod is not running"),
    )
)]
pub(super) async fn exec(
    State(state): State<ApiState>,
    Name(name): Name,
    _: Params<NoParams>,
    stop: Stop,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let upgrade = upgrade.map_err(|rejection| upgrade_error(&rejection, path::EXEC_PROTOCOL))?;
    require_subprotocol(&upgrade, path::EXEC_PROTOCOL)?;
    let snapshot = state.latest_snapshot().await;
    let (_, pod) = pods::find(&snapshot, &name)?;
    let id = pods::container_id(pod)?;
    if pod.started_at.is_none() {
        let detail = format!("pod `{name}` is not running: it is {}", pod.state);
        return Err(ApiError::new(ProblemKind::NotRunning, detail));
    }
    require(state.runtime.exec(), Capability::Exec)?;
    let runtime = Arc::clone(&state.runtime);
    Ok(upgrade
        .protocols([path::EXEC_PROTOCOL])
        .max_message_size(MAX_MESSAGE)
        .max_frame_size(MAX_MESSAGE)
        .on_upgrade(move |socket| serve(socket, runtime, id, stop)))
}

/// Checks that the client offers this subprotocol.
pub(super) fn require_subprotocol(
    upgrade: &WebSocketUpgrade,
    protocol: &str,
) -> Result<(), ApiError> {
    if upgrade.requested_protocols().any(|offered| offered == protocol) {
        return Ok(());
    }
    let detail = format!("expected the subprotocol `{protocol}`");
    Err(ApiError::new(ProblemKind::InvalidRequest, detail))
}

/// Returns the problem for a request that is not a WebSocket upgrade.
pub(super) fn upgrade_error(rejection: &WebSocketUpgradeRejection, protocol: &str) -> ApiError {
    let kind = match rejection {
        WebSocketUpgradeRejection::InvalidConnectionHeader(_)
        | WebSocketUpgradeRejection::InvalidUpgradeHeader(_)
        | WebSocketUpgradeRejection::InvalidWebSocketVersionHeader(_)
        | WebSocketUpgradeRejection::WebSocketKeyHeaderMissing(_) => ProblemKind::UpgradeRequired,
        _ => ProblemKind::InvalidRequest,
    };
    ApiError::new(kind, format!("expected a WebSocket with the subprotocol `{protocol}`"))
}

async fn serve(socket: WebSocket, runtime: Arc<dyn ContainerRuntime>, id: ContainerId, stop: Stop) {
    let (mut sender, mut receiver) = socket.split();
    // Both arms end the session, so losing the other one's progress does no harm.
    let ended = tokio::select! {
        ended = run_session(&mut sender, &mut receiver, runtime, id) => ended,
        () = stop.0.cancelled() => Err(ApiError::stopping()),
    };
    close(sender, receiver, ended).await;
}

/// Ends the connection of a session, with the problem if it failed.
pub(super) async fn close(mut sender: Sender, mut receiver: Receiver, ended: Result<(), ApiError>) {
    if let Err(error) = ended {
        let line = ProblemLine { problem: error.into_problem() };
        // The caller may have disconnected already.
        let _ = sender.send(json_message(&line)).await;
    }
    let _ = sender.close().await;
    // Read what the caller has sent meanwhile, or the kernel discards our last frames.
    let drain = async { while let Some(Ok(_)) = receiver.next().await {} };
    let _ = tokio::time::timeout(HANDSHAKE_LIMIT, drain).await;
}

async fn run_session(
    sender: &mut Sender,
    receiver: &mut Receiver,
    runtime: Arc<dyn ContainerRuntime>,
    id: ContainerId,
) -> Result<(), ApiError> {
    let Some(request) = read_request(receiver).await? else { return Ok(()) };
    if request.command.is_empty() {
        return Err(ApiError::new(ProblemKind::InvalidRequest, "the command is empty"));
    }
    let exec = require(runtime.exec(), Capability::Exec)?;
    let ExecSession { input, output, resize } =
        exec.exec(&id, &request.into()).await.map_err(exec_error)?;
    if sender.send(json_message(&serde_json::json!({ "started": true }))).await.is_err() {
        return Ok(());
    }
    // Both arms end the session: input is useless after the command has exited, and output after
    // the caller has disconnected.
    let code = tokio::select! {
        code = send_output(output, sender) => code?,
        () = receive_input(input.compat_write(), &resize, None, receiver) => None,
    };
    send_exit_code(code, sender).await;
    Ok(())
}

/// Sends the exit code, if there is one. It is the last frame.
pub(super) async fn send_exit_code(code: Option<i64>, sender: &mut Sender) {
    if let Some(code) = code {
        // The caller may have disconnected already.
        let _ = sender.send(Message::Binary(Frame::Exit(code).encode())).await;
    }
}

/// Returns the first message of a session; `None` if the caller has disconnected.
pub(super) async fn read_request(receiver: &mut Receiver) -> Result<Option<ExecRequest>, ApiError> {
    let request = tokio::time::timeout(HANDSHAKE_LIMIT, next_request(receiver)).await;
    request.unwrap_or_else(|_| {
        let detail = "no command was received in time";
        Err(ApiError::new(ProblemKind::InvalidRequest, detail))
    })
}

async fn next_request(receiver: &mut Receiver) -> Result<Option<ExecRequest>, ApiError> {
    let invalid = |detail: &str| Err(ApiError::new(ProblemKind::InvalidRequest, detail));
    loop {
        match receiver.next().await {
            Some(Ok(Message::Text(text))) => {
                return match serde_json::from_slice(text.as_bytes()) {
                    Ok(request) => Ok(Some(request)),
                    Err(_) => invalid("the first message is not a command"),
                };
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Binary(_))) => return invalid("the first message is not text"),
            Some(Ok(Message::Close(_)) | Err(_)) | None => return Ok(None),
        }
    }
}

/// A container that has gone meanwhile means that the pod is not running.
pub(super) fn exec_error(error: RuntimeError) -> ApiError {
    match &error {
        RuntimeError::NotFound { .. } => {
            ApiError::new(ProblemKind::NotRunning, "the pod's container is gone")
        }
        _ => error.into(),
    }
}

/// Sends the output. Returns the exit code, which is not sent yet; `None` if the caller has
/// disconnected.
pub(super) async fn send_output(
    mut output: BoxStream<'static, Result<ExecOutput, RuntimeError>>,
    sender: &mut Sender,
) -> Result<Option<i64>, ApiError> {
    while let Some(item) = output.next().await {
        let frames = match item.map_err(exec_error)? {
            ExecOutput::Stdout(part) => frames(part, Frame::Stdout),
            ExecOutput::Stderr(part) => frames(part, Frame::Stderr),
            ExecOutput::Exit(code) => return Ok(Some(code)),
        };
        for frame in frames {
            if sender.send(Message::Binary(frame.encode())).await.is_err() {
                return Ok(None);
            }
        }
    }
    let detail = "the session ended without an exit code";
    Err(ApiError::new(ProblemKind::EngineFailed, detail))
}

fn frames(mut rest: Bytes, frame: fn(Bytes) -> Frame) -> Vec<Frame> {
    let mut frames = Vec::new();
    while !rest.is_empty() {
        frames.push(frame(rest.split_to(rest.len().min(MAX_OUTPUT))));
    }
    frames
}

/// The process of a container, for signals.
pub(super) struct Process<'a> {
    pub(super) runtime: &'a dyn ContainerRuntime,
    pub(super) id: &'a ContainerId,
}

impl Process<'_> {
    async fn signal(&self, signal: Signal) {
        // A process that has just ended needs no signal.
        if let Err(error) = self.runtime.signal(self.id, signal).await {
            tracing::debug!(error = %chain(&error), "a signal was not delivered");
        }
    }
}

/// Returns once the caller has disconnected. Signals go to `process`: a command in a pod gets none.
pub(super) async fn receive_input(
    mut input: impl AsyncWrite + Unpin,
    resize: &Resize,
    process: Option<Process<'_>>,
    receiver: &mut Receiver,
) {
    let mut open = true;
    while let Some(Ok(message)) = receiver.next().await {
        let Message::Binary(bytes) = message else { continue };
        let taken = match Frame::decode(&bytes) {
            Some(Frame::Input(part)) if open => input.write_all(&part).await,
            Some(Frame::InputEnd) if open => {
                open = false;
                input.shutdown().await
            }
            Some(Frame::Size(size)) => {
                resize(size);
                Ok(())
            }
            Some(Frame::Signal(signal)) => {
                if let Some(process) = &process {
                    process.signal(signal).await;
                }
                Ok(())
            }
            // Input after its end, and frames that only the server sends, are ignored.
            Some(
                Frame::Input(_)
                | Frame::InputEnd
                | Frame::Stdout(_)
                | Frame::Stderr(_)
                | Frame::Exit(_),
            ) => Ok(()),
            None => return,
        };
        // A command may close its input and continue; the rest of the input is discarded.
        open &= taken.is_ok();
    }
}

pub(super) fn json_message(value: &impl serde::Serialize) -> Message {
    // All map keys of wire types are strings, so they always serialize.
    Message::text(serde_json::to_string(value).unwrap_or_default())
}
