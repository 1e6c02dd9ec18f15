//! Commands in a running container: input, output, and last the exit code.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::exec::{ResizeExecOptions, StartExecOptions, StartExecResults};
use bollard::models::ExecConfig;
use dubernetes_core::error::chain;
use dubernetes_core::runtime::{ContainerId, ExecOutput, ExecRequest, ExecSession, RuntimeError};
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use tokio::io::AsyncWrite;
use tokio::sync::watch;

use crate::engine::{Engine, READ, WRITE};
use crate::error::{Failure, unreadable};
use crate::to_docker::path_part;

/// The engine closes the output a moment before it knows the exit code.
const CODE_TRIES: u32 = 50;
/// A terminal can be given a size once its command has started, a moment after the answer.
const SIZE_TRIES: u32 = 20;
/// The time between two tries, for both.
const MOMENT: Duration = Duration::from_millis(50);

/// Starts a command in a running container.
pub(crate) async fn exec(
    engine: &Arc<Engine>,
    id: &ContainerId,
    request: &ExecRequest,
) -> Result<ExecSession, RuntimeError> {
    let name = path_part(id)?;
    let operation = format!("run a command in container `{id}`");
    let docker = engine.docker()?;
    let created = engine.call(WRITE, &operation, docker.create_exec(name, config(request))).await;
    let exec = created.map_err(|failure| failure.of("container", name))?.id;
    let options =
        StartExecOptions { detach: false, tty: request.tty.is_some(), output_capacity: None };
    let started = engine.call(WRITE, &operation, docker.start_exec(&exec, Some(options))).await;
    let StartExecResults::Attached { output, input } =
        started.map_err(|failure| failure.of("container", name))?
    else {
        return Err(unreadable(&operation, "the engine did not attach to it"));
    };
    let (size, sizes) = watch::channel(request.tty.unwrap_or_default());
    if request.tty.is_some() {
        tokio::spawn(pass_on_sizes(Arc::clone(engine), exec.clone(), sizes));
    }
    let input: Pin<Box<dyn AsyncWrite + Send>> =
        if request.stdin { input } else { Box::pin(tokio::io::sink()) };
    let running =
        Running { engine: Arc::clone(engine), exec, operation, output: Some(output.boxed()) };
    Ok(ExecSession { input, output: stream::unfold(running, Running::next).boxed(), size })
}

fn config(request: &ExecRequest) -> ExecConfig {
    ExecConfig {
        attach_stdin: Some(request.stdin),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        tty: Some(request.tty.is_some()),
        cmd: Some(request.command.clone()),
        user: request.user.map(|number| number.to_string()),
        ..ExecConfig::default()
    }
}

/// A command that has ended before it got its size needs none.
async fn resize(engine: &Engine, exec: &str, size: (u16, u16)) -> Result<(), RuntimeError> {
    let size = ResizeExecOptions { width: size.0, height: size.1 };
    let operation = "set the size of a terminal";
    for _ in 0..SIZE_TRIES {
        match engine.call(READ, operation, engine.docker()?.resize_exec(exec, size)).await {
            Ok(()) => return Ok(()),
            Err(failure) if failure.status().is_some() => tokio::time::sleep(MOMENT).await,
            Err(failure) => return Err(failure.general()),
        }
    }
    tracing::debug!(exec, "a command did not take the size of its terminal");
    Ok(())
}

/// Passes the first size and each new one on until the session is let go of.
async fn pass_on_sizes(engine: Arc<Engine>, exec: String, mut sizes: watch::Receiver<(u16, u16)>) {
    loop {
        let size = *sizes.borrow_and_update();
        if let Err(error) = resize(&engine, &exec, size).await {
            tracing::debug!(exec, error = %chain(&error), "a terminal keeps its size");
        }
        if sizes.changed().await.is_err() {
            return;
        }
    }
}

struct Running {
    engine: Arc<Engine>,
    exec: String,
    operation: String,
    /// `None` once the session has told its end.
    output: Option<BoxStream<'static, Result<LogOutput, bollard::errors::Error>>>,
}

impl Running {
    async fn next(mut self) -> Option<(Result<ExecOutput, RuntimeError>, Self)> {
        let item = match self.output.as_mut()?.next().await {
            Some(Ok(LogOutput::StdErr { message })) => Ok(ExecOutput::Stderr(message)),
            Some(Ok(
                LogOutput::StdOut { message }
                | LogOutput::Console { message }
                | LogOutput::StdIn { message },
            )) => Ok(ExecOutput::Stdout(message)),
            Some(Err(error)) => {
                self.output = None;
                Err(Failure::new(&self.engine, &self.operation, error).general())
            }
            None => {
                self.output = None;
                exit_code(&self.engine, &self.exec, &self.operation).await.map(ExecOutput::Exit)
            }
        };
        Some((item, self))
    }
}

async fn exit_code(engine: &Engine, exec: &str, operation: &str) -> Result<i64, RuntimeError> {
    for _ in 0..CODE_TRIES {
        let call = engine.docker()?.inspect_exec(exec);
        let seen = engine.call(READ, operation, call).await.map_err(Failure::general)?;
        if let (Some(false), Some(code)) = (seen.running, seen.exit_code) {
            return Ok(code);
        }
        tokio::time::sleep(MOMENT).await;
    }
    Err(unreadable(operation, "the engine tells no exit code"))
}
