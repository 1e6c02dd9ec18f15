//! Sessions of commands: a WebSocket as the input and output of a command.

use std::fmt;
use std::pin::Pin;

use bytes::Bytes;
use dubernetes_core::app::{PodName, Signal};
use dubernetes_core::runtime::{ExecOutput, TerminalSize};
use futures_util::stream::{BoxStream, SplitSink, SplitStream, StreamExt as _};
use futures_util::{Sink, SinkExt as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, DuplexStream};
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::channel::{self, Frame};
use crate::client::socket::{Socket, session_lost};
use crate::client::{Client, ClientError, Endpoint};
use crate::path;
use crate::wire::{ExecRequest, ProblemLine, RunStarted};

/// Initial value of a session without a terminal. It is never sent.
const INITIAL_SIZE: TerminalSize = TerminalSize { columns: 80, rows: 24 };

/// A command that runs in a pod. Dropping the output detaches from it.
pub struct ExecSession {
    /// Standard input of the command. Shutting it down ends that input.
    pub input: Pin<Box<dyn AsyncWrite + Send>>,
    /// Output, followed by the exit code.
    pub output: BoxStream<'static, Result<ExecOutput, ClientError>>,
    /// Size of the command's terminal. Sending a value resizes the terminal.
    pub size: watch::Sender<TerminalSize>,
}

/// A command that runs in a one-off container. Dropping the output of its session ends the
/// container.
#[derive(Debug)]
pub struct RunSession {
    /// The pod of the container, such as `web-run-qhzkt`.
    pub pod: PodName,
    /// Input and output. The exit code comes once the container is removed.
    pub session: ExecSession,
    /// Signals for the process.
    pub signals: mpsc::UnboundedSender<Signal>,
}

impl fmt::Debug for ExecSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExecSession").finish_non_exhaustive()
    }
}

impl Client {
    /// Runs a command in a pod. Returns once it has started.
    ///
    /// # Errors
    ///
    /// Those of every call; a problem `not-running` if the pod is not running.
    pub async fn exec(&self, pod: &str, request: &ExecRequest) -> Result<ExecSession, ClientError> {
        let mut socket = self.open(&path::named(path::POD_EXEC, pod), path::EXEC_PROTOCOL).await?;
        self.request_session(&mut socket, request).await?;
        // A command in a pod gets no signals.
        let (_, no_signals) = mpsc::unbounded_channel();
        Ok(self.start_session(socket, request, no_signals))
    }

    /// Runs a command in a one-off container of an app; an empty command is that of the app.
    /// Returns once it has started: its image may have to be pulled before.
    ///
    /// # Errors
    ///
    /// Those of every call; a problem `not-found` without such an app, or `rejected` if the
    /// container cannot be created.
    pub async fn run(&self, app: &str, request: &ExecRequest) -> Result<RunSession, ClientError> {
        let mut socket = self.open(&path::named(path::APP_RUN, app), path::RUN_PROTOCOL).await?;
        let answer = self.request_session(&mut socket, request).await?;
        let started: RunStarted = serde_json::from_slice(answer.as_bytes())
            .map_err(|error| ClientError::protocol(error.to_string()))?;
        let (signals, receiver) = mpsc::unbounded_channel();
        let session = self.start_session(socket, request, receiver);
        Ok(RunSession { pod: started.pod, session, signals })
    }

    /// Sends the first message of a session, and returns the answer.
    async fn request_session(
        &self,
        socket: &mut Socket,
        request: &ExecRequest,
    ) -> Result<String, ClientError> {
        let text = serde_json::to_string(request)
            .map_err(|error| ClientError::protocol(error.to_string()))?;
        socket
            .send(Message::text(text))
            .await
            .map_err(|error| session_lost(&self.endpoint, &error))?;
        wait_for_start(socket, &self.endpoint).await
    }

    fn start_session(
        &self,
        socket: Socket,
        request: &ExecRequest,
        signals: mpsc::UnboundedReceiver<Signal>,
    ) -> ExecSession {
        let (sink, stream) = socket.split();
        let (input, pipe) = tokio::io::duplex(channel::CHUNK);
        let (size, sizes) = watch::channel(request.tty.unwrap_or(INITIAL_SIZE));
        let stop = CancellationToken::new();
        tokio::spawn(send_input(pipe, sizes, signals, sink, stop.clone()));
        let output = Output {
            stream,
            endpoint: self.endpoint.clone(),
            done: false,
            _stop: stop.drop_guard(),
        };
        ExecSession { input: Box::pin(input), output: output.into_stream(), size }
    }
}

/// Waits for the text message that says whether the command has started.
async fn wait_for_start(socket: &mut Socket, endpoint: &Endpoint) -> Result<String, ClientError> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => {
                return match serde_json::from_slice::<ProblemLine>(text.as_bytes()) {
                    Ok(ProblemLine { problem }) => {
                        Err(ClientError::from_problem(endpoint, problem))
                    }
                    Err(_) => Ok(text.as_str().to_owned()),
                };
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
            Some(Ok(Message::Binary(_))) => {
                return Err(ClientError::protocol(
                    "unexpected binary message before the command started",
                ));
            }
            Some(Err(error)) => return Err(session_lost(endpoint, &error)),
            Some(Ok(Message::Close(_))) | None => return Err(closed(endpoint)),
        }
    }
}

fn closed(endpoint: &Endpoint) -> ClientError {
    ClientError::unreachable(endpoint, "the orchestrator closed the session")
}

/// Copies the input, sizes and signals until the output is dropped.
async fn send_input(
    mut pipe: DuplexStream,
    mut sizes: watch::Receiver<TerminalSize>,
    mut signals: mpsc::UnboundedReceiver<Signal>,
    mut sink: SplitSink<Socket, Message>,
    stop: CancellationToken,
) {
    // Cancelling either arm loses only input that the session no longer needs.
    tokio::select! {
        () = stop.cancelled() => {}
        () = copy_input(&mut pipe, &mut sizes, &mut signals, &mut sink) => stop.cancelled().await,
    }
    // The orchestrator may have closed the connection already.
    let _ = sink.close().await;
}

async fn copy_input(
    pipe: &mut (impl AsyncRead + Unpin),
    sizes: &mut watch::Receiver<TerminalSize>,
    signals: &mut mpsc::UnboundedReceiver<Signal>,
    sink: &mut (impl Sink<Message, Error = WsError> + Unpin),
) {
    let mut buffer = vec![0; channel::CHUNK];
    let mut open = true;
    loop {
        // All arms are cancel-safe: unread input stays in the pipe, an unseen size stays unseen,
        // and a signal that was not received stays in the channel. A dropped sender disables its
        // arm.
        let frame = tokio::select! {
            Ok(()) = sizes.changed() => {
                Frame::Size(*sizes.borrow_and_update())
            }
            Some(signal) = signals.recv() => Frame::Signal(signal),
            read = pipe.read(&mut buffer), if open => match read {
                Ok(0) | Err(_) => Frame::InputEnd,
                Ok(size) => Frame::Input(Bytes::copy_from_slice(&buffer[..size])),
            },
            else => return,
        };
        open &= frame != Frame::InputEnd;
        if sink.send(Message::Binary(frame.encode())).await.is_err() {
            return;
        }
    }
}

struct Output {
    stream: SplitStream<Socket>,
    endpoint: Endpoint,
    done: bool,
    _stop: DropGuard,
}

impl Output {
    fn into_stream(self) -> BoxStream<'static, Result<ExecOutput, ClientError>> {
        futures_util::stream::unfold(self, |mut output| async move {
            if output.done {
                return None;
            }
            let item = output.next().await;
            output.done = !matches!(item, Ok(ExecOutput::Stdout(_) | ExecOutput::Stderr(_)));
            Some((item, output))
        })
        .boxed()
    }

    async fn next(&mut self) -> Result<ExecOutput, ClientError> {
        loop {
            match self.stream.next().await {
                Some(Ok(Message::Binary(bytes))) => return self.read(&bytes),
                Some(Ok(Message::Text(text))) => {
                    return Err(match serde_json::from_slice::<ProblemLine>(text.as_bytes()) {
                        Ok(ProblemLine { problem }) => {
                            ClientError::from_problem(&self.endpoint, problem)
                        }
                        Err(_) => ClientError::protocol("unknown message in the session"),
                    });
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Err(error)) => return Err(session_lost(&self.endpoint, &error)),
                Some(Ok(Message::Close(_))) | None => return Err(closed(&self.endpoint)),
            }
        }
    }

    fn read(&self, bytes: &Bytes) -> Result<ExecOutput, ClientError> {
        match Frame::decode(bytes) {
            Some(Frame::Stdout(part)) => Ok(ExecOutput::Stdout(part)),
            Some(Frame::Stderr(part)) => Ok(ExecOutput::Stderr(part)),
            Some(Frame::Exit(code)) => Ok(ExecOutput::Exit(code)),
            Some(Frame::Input(_) | Frame::InputEnd | Frame::Size(_) | Frame::Signal(_)) | None => {
                Err(ClientError::protocol("unknown frame in the session"))
            }
        }
    }
}
