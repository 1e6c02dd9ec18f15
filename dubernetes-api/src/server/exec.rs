//! Runs a command in a pod over a WebSocket.
//!
//! The first message is the request as JSON text. The answer to it is a JSON text, either
//! `{"started":true}` or `{"problem":…}`. After that, binary frames carry input and output; see
//! [`Frame`].

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use dubernetes_core::runtime::{
    self, Capability, ContainerId, ContainerRuntime, ExecOutput, ExecSession, Resize, RuntimeError,
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
use crate::wire::{ExecRequest, Problem, ProblemKind, ProblemLine};

/// The largest message that is taken: a command with all its arguments, or a part of input.
const MAX_MESSAGE: usize = 1 << 20;

/// How long a caller may take to say what to run, or to say good-bye.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// The payload of an output frame. A larger part of output is cut into several.
const MAX_OUTPUT: usize = CHUNK;

type Sender = SplitSink<WebSocket, Message>;
type Receiver = SplitStream<WebSocket>;

/// Runs a command in a pod.
///
/// A WebSocket of the subprotocol `v1.exec.dubernetes`. First the caller sends
/// `{"command":[…],"stdin":bool,"tty":[columns,rows]|null}` as text and gets `{"started":true}`
/// or `{"problem":…}`; then binary frames with a leading channel byte follow: 0 input, 1 output,
/// 2 error output, 3 the exit code as text, 4 the end of the input, 5 a new size of the terminal
/// as `columns rows`.
#[utoipa::path(get, path = path::POD_EXEC, tag = "pods",
    params(("name" = String, Path, description = "The pod, such as `web-1`")),
    responses(
        (status = 101, description = "The WebSocket"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, body = Problem, content_type = "application/problem+json",
            description = "It does not run"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn exec(
    State(state): State<ApiState>,
    Name(name): Name,
    _: Params<NoParams>,
    stop: Stop,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let upgrade = upgrade.map_err(|rejection| not_upgraded(&rejection, path::EXEC_PROTOCOL))?;
    speaks(&upgrade, path::EXEC_PROTOCOL)?;
    let snapshot = state.looked().await;
    let (_, pod) = pods::find(&snapshot, &name)?;
    let id = pods::container(pod)?;
    if pod.started_at.is_none() {
        let detail = format!("pod `{name}` does not run: it is {}", pod.state);
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

/// Whether the caller speaks this subprotocol.
pub(super) fn speaks(upgrade: &WebSocketUpgrade, protocol: &str) -> Result<(), ApiError> {
    if upgrade.requested_protocols().any(|offered| offered == protocol) {
        return Ok(());
    }
    let detail = format!("the subprotocol `{protocol}` is wanted");
    Err(ApiError::new(ProblemKind::InvalidRequest, detail))
}

/// That a request is no WebSocket.
pub(super) fn not_upgraded(rejection: &WebSocketUpgradeRejection, protocol: &str) -> ApiError {
    let kind = match rejection {
        WebSocketUpgradeRejection::InvalidConnectionHeader(_)
        | WebSocketUpgradeRejection::InvalidUpgradeHeader(_)
        | WebSocketUpgradeRejection::InvalidWebSocketVersionHeader(_)
        | WebSocketUpgradeRejection::WebSocketKeyHeaderMissing(_) => ProblemKind::UpgradeRequired,
        _ => ProblemKind::InvalidRequest,
    };
    ApiError::new(kind, format!("a WebSocket of the subprotocol `{protocol}` is wanted here"))
}

async fn serve(socket: WebSocket, runtime: Arc<dyn ContainerRuntime>, id: ContainerId, stop: Stop) {
    let (mut sender, mut receiver) = socket.split();
    // Both arms end the session, so nothing that is dropped here is missed.
    let ended = tokio::select! {
        ended = run(&mut sender, &mut receiver, runtime, id) => ended,
        () = stop.0.cancelled() => Err(ApiError::stopping()),
    };
    if let Err(error) = ended {
        let line = ProblemLine { problem: error.into_problem() };
        // Whoever has gone already needs no reason.
        let _ = sender.send(text(&line)).await;
    }
    let _ = sender.close().await;
    // What the caller has sent meanwhile is read, or it would lose the last frames of ours.
    let farewell = async { while let Some(Ok(_)) = receiver.next().await {} };
    let _ = tokio::time::timeout(PATIENCE, farewell).await;
}

async fn run(
    sender: &mut Sender,
    receiver: &mut Receiver,
    runtime: Arc<dyn ContainerRuntime>,
    id: ContainerId,
) -> Result<(), ApiError> {
    let Ok(request) = tokio::time::timeout(PATIENCE, request(receiver)).await else {
        let detail = "no command came in time";
        return Err(ApiError::new(ProblemKind::InvalidRequest, detail));
    };
    let Some(request) = request? else { return Ok(()) };
    let exec = require(runtime.exec(), Capability::Exec)?;
    let ExecSession { input, output, resize } = exec.exec(&id, &request).await.map_err(failed)?;
    if sender.send(text(&serde_json::json!({ "started": true }))).await.is_err() {
        return Ok(());
    }
    // Both arms end the session: when the command has ended, its input means nothing any more,
    // and when the caller has gone, nobody reads the output.
    tokio::select! {
        ended = send_output(output, sender) => ended,
        () = receive_input(input.compat_write(), &resize, receiver) => Ok(()),
    }
}

/// `None` if the caller has gone.
async fn request(receiver: &mut Receiver) -> Result<Option<runtime::ExecRequest>, ApiError> {
    let invalid = |detail: &str| Err(ApiError::new(ProblemKind::InvalidRequest, detail));
    loop {
        match receiver.next().await {
            Some(Ok(Message::Text(text))) => {
                return match serde_json::from_str::<ExecRequest>(&text) {
                    Ok(request) if request.command.is_empty() => invalid("the command is empty"),
                    Ok(request) => Ok(Some(request.into())),
                    Err(_) => invalid("the first message is no command"),
                };
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Binary(_))) => return invalid("the first message is no text"),
            Some(Ok(Message::Close(_)) | Err(_)) | None => return Ok(None),
        }
    }
}

/// A command in a container that has ended meanwhile is refused by the engine.
fn failed(error: RuntimeError) -> ApiError {
    match &error {
        RuntimeError::NotFound { .. } => {
            ApiError::new(ProblemKind::NotRunning, "the pod's container is gone")
        }
        _ => error.into(),
    }
}

async fn send_output(
    mut output: BoxStream<'static, Result<ExecOutput, RuntimeError>>,
    sender: &mut Sender,
) -> Result<(), ApiError> {
    while let Some(item) = output.next().await {
        let last = matches!(item, Ok(ExecOutput::Exit(_)));
        for frame in frames(item.map_err(failed)?) {
            if sender.send(Message::Binary(frame.encode())).await.is_err() {
                return Ok(());
            }
        }
        if last {
            return Ok(());
        }
    }
    let detail = "the session ended without an exit code";
    Err(ApiError::new(ProblemKind::EngineFailed, detail))
}

fn frames(output: ExecOutput) -> Vec<Frame> {
    let (mut rest, frame): (_, fn(_) -> Frame) = match output {
        ExecOutput::Stdout(part) => (part, Frame::Stdout),
        ExecOutput::Stderr(part) => (part, Frame::Stderr),
        ExecOutput::Exit(code) => return vec![Frame::Exit(code)],
    };
    let mut frames = Vec::new();
    while !rest.is_empty() {
        frames.push(frame(rest.split_to(rest.len().min(MAX_OUTPUT))));
    }
    frames
}

/// Returns once the caller has gone.
async fn receive_input(
    mut input: impl AsyncWrite + Unpin,
    resize: &Resize,
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
            Some(_) => Ok(()),
            None => return,
        };
        // A command may close its input and go on: the rest of it is for nobody.
        open &= taken.is_ok();
    }
}

fn text(value: &impl serde::Serialize) -> Message {
    // Wire types have no map with keys that are not text, so they always serialize.
    Message::text(serde_json::to_string(value).unwrap_or_default())
}
