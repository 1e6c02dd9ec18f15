//! Sessions of one-off containers over a WebSocket. The messages are those of [`super::exec`].

use std::sync::Arc;

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use bytes::Bytes;
use dubernetes_controller::{OneOffClient, OneOffError};
use dubernetes_core::app::AppName;
use dubernetes_core::runtime::{Capability, ContainerId, ExecSession, Stdio, require};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio_util::compat::FuturesAsyncWriteCompatExt as _;

use crate::channel::Frame;
use crate::path;
use crate::problem::ApiError;
use crate::server::ApiState;
use crate::server::exec::{
    MAX_MESSAGE, Process, Receiver, Sender, close, exec_error, json_message, read_request,
    receive_input, require_subprotocol, send_exit_code, send_output, upgrade_error,
};
use crate::server::extract::{Name, NoParams, Params};
use crate::server::stream::Stop;
use crate::wire::{ProblemKind, RunStarted};

/// Run a command in a one-off container of an app.
///
/// A WebSocket with the subprotocol `v1.run.dubernetes`. The container has the image, environment,
/// files, volumes and limits of the app, no port and no route. The client first sends
/// `{"command":[…],"stdin":bool,"tty":[columns,rows]|null}` as text; an empty command is that of
/// the app. It receives `{"started":true,"pod":"NAME"}` or `{"problem":…}`. Binary frames with a
/// leading channel byte follow: 0 standard input, 1 standard output, 2 standard error, 3 the exit
/// code as text, once the container is removed, 4 end of input, 5 a new terminal size as
/// `columns rows`, 6 a signal such as `SIGINT`. A client that disconnects ends the container.
#[utoipa::path(get, path = path::APP_RUN, operation_id = "run",
    tag = "apps",
    params(("name" = String, Path, description = "Name of the app")),
    responses(
        (status = 101, description = "The WebSocket"),
        (status = 404),
    )
)]
pub(super) async fn run(
    State(state): State<ApiState>,
    Name(name): Name,
    _: Params<NoParams>,
    stop: Stop,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let upgrade = upgrade.map_err(|rejection| upgrade_error(&rejection, path::RUN_PROTOCOL))?;
    require_subprotocol(&upgrade, path::RUN_PROTOCOL)?;
    let app = AppName::parse(&name).map_err(|_| ApiError::not_found("app", &name))?;
    state.store.get(&app).await?;
    require(state.runtime.exec(), Capability::Exec)?;
    Ok(upgrade
        .protocols([path::RUN_PROTOCOL])
        .max_message_size(MAX_MESSAGE)
        .max_frame_size(MAX_MESSAGE)
        .on_upgrade(move |socket| serve(socket, state, app, stop)))
}

async fn serve(socket: WebSocket, state: ApiState, app: AppName, stop: Stop) {
    let (mut sender, mut receiver) = socket.split();
    // Both arms end the session, and with it the container.
    let ended = tokio::select! {
        ended = run_session(&mut sender, &mut receiver, &state, &app) => ended,
        () = stop.0.cancelled() => Err(ApiError::stopping()),
    };
    close(sender, receiver, ended).await;
}

async fn run_session(
    sender: &mut Sender,
    receiver: &mut Receiver,
    state: &ApiState,
    app: &AppName,
) -> Result<(), ApiError> {
    let Some(request) = read_request(receiver).await? else { return Ok(()) };
    let stdio = request.stdio();
    let client = state.controller.run_one_off(app, request.command, stdio);
    // All arms end the session. A caller sends nothing before the command has started.
    let started = tokio::select! {
        started = start(state, &client, stdio) => started?,
        () = disconnected(receiver) => return Ok(()),
    };
    let pod = client.pod().clone();
    if sender.send(json_message(&RunStarted { started: true, pod })).await.is_err() {
        return Ok(());
    }
    let code = match started {
        Started::Running(id, session) => converse(state, &id, session, sender, receiver).await?,
        Started::Refused { error, code } => {
            let line = Bytes::from(format!("error: cannot start the command: {error}\n"));
            // The exit code follows, if the caller is still there.
            let _ = sender.send(Message::Binary(Frame::Stderr(line).encode())).await;
            Some(code)
        }
    };
    client.remove().await;
    send_exit_code(code, sender).await;
    Ok(())
}

/// A container whose start has been tried.
enum Started {
    Running(ContainerId, ExecSession),
    /// The engine cannot run the command.
    Refused {
        error: String,
        code: i64,
    },
}

/// Waits for the container, attaches to it, and starts it.
async fn start(state: &ApiState, client: &OneOffClient, stdio: Stdio) -> Result<Started, ApiError> {
    let id = client.created().await.map_err(start_error)?;
    let exec = require(state.runtime.exec(), Capability::Exec)?;
    let session = exec.attach(&id, stdio).await.map_err(exec_error)?;
    match client.start().await {
        Ok(()) => Ok(Started::Running(id, session)),
        Err(OneOffError::NotStarted { error, code }) => Ok(Started::Refused { error, code }),
        Err(error) => Err(start_error(error)),
    }
}

fn start_error(error: OneOffError) -> ApiError {
    match error {
        OneOffError::Stopped => ApiError::stopping(),
        OneOffError::Deleted(app) => ApiError::not_found("app", app.as_str()),
        error => ApiError::new(ProblemKind::Rejected, error.to_string()),
    }
}

/// Copies input and output until the process has ended. Returns its exit code; `None` if the caller
/// has disconnected.
async fn converse(
    state: &ApiState,
    id: &ContainerId,
    session: ExecSession,
    sender: &mut Sender,
    receiver: &mut Receiver,
) -> Result<Option<i64>, ApiError> {
    let ExecSession { input, output, resize } = session;
    let process = Process { runtime: Arc::as_ref(&state.runtime), id };
    // Both arms end the session: input is useless after the process has ended, and output after
    // the caller has disconnected.
    tokio::select! {
        code = send_output(output, sender) => code,
        () = receive_input(input.compat_write(), &resize, Some(process), receiver) => Ok(None),
    }
}

/// Returns once the caller has disconnected.
async fn disconnected(receiver: &mut Receiver) {
    while let Some(Ok(_)) = receiver.next().await {}
}
