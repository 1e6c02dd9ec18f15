//! Commands in a running container: input, output, and last the exit code.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::exec::{ResizeExecOptions, StartExecOptions, StartExecResults};
use bollard::models::ExecConfig;
use dubernetes_core::error::chain;
use dubernetes_core::runtime::{
    ContainerId, ExecOutput, ExecRequest, ExecSession, Resize, RuntimeError, TerminalSize,
};
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use tokio::io::AsyncWrite;
use tokio::sync::watch;
use tokio_util::compat::TokioAsyncWriteCompatExt as _;

use crate::engine::{Engine, READ, WRITE};
use crate::error::{CallError, unreadable};
use crate::to_docker::path_segment;

/// Number of reads of the exit code. The engine closes the output a moment before it has the code.
const EXIT_CODE_TRIES: u32 = 50;
/// Number of resizes. A terminal accepts one only a moment after the engine has started its
/// command.
const RESIZE_TRIES: u32 = 20;
/// Pause between two tries of either.
const RETRY_DELAY: Duration = Duration::from_millis(50);

/// Starts a command in a running container.
pub(crate) async fn exec(
    engine: &Arc<Engine>,
    id: &ContainerId,
    request: &ExecRequest,
) -> Result<ExecSession, RuntimeError> {
    let name = path_segment(id)?;
    let operation = format!("run a command in container `{id}`");
    let docker = engine.docker()?;
    let call = docker.create_exec(name, build_config(request));
    let created = engine.call(WRITE, &operation, call).await;
    let exec = created.map_err(|error| error.into_not_running(name))?.id;
    let options =
        StartExecOptions { detach: false, tty: request.tty.is_some(), output_capacity: None };
    let started = engine.call(WRITE, &operation, docker.start_exec(&exec, Some(options))).await;
    let StartExecResults::Attached { output, input } =
        started.map_err(|error| error.into_not_running(name))?
    else {
        return Err(unreadable(&operation, "the engine did not attach to the command"));
    };
    let input: Pin<Box<dyn AsyncWrite + Send>> =
        if request.stdin { input } else { Box::pin(tokio::io::sink()) };
    let resize = match request.tty {
        Some(size) => start_resizing(Arc::clone(engine), exec.clone(), size),
        None => Box::new(|_| {}),
    };
    let running =
        RunningExec { engine: Arc::clone(engine), exec, operation, output: Some(output.boxed()) };
    let output = stream::unfold(running, RunningExec::next).boxed();
    Ok(ExecSession { input: Box::pin(input.compat_write()), output, resize })
}

fn build_config(request: &ExecRequest) -> ExecConfig {
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

/// Sets the terminal's size now, and again at each call of the returned function until it is
/// dropped. Sizes that change faster than the engine applies them are skipped.
fn start_resizing(engine: Arc<Engine>, exec: String, size: TerminalSize) -> Resize {
    let (sender, mut sizes) = watch::channel(size);
    tokio::spawn(async move {
        loop {
            let size = *sizes.borrow_and_update();
            if let Err(error) = resize(&engine, &exec, size).await {
                tracing::debug!(exec, error = %chain(&error), "resize of a terminal failed");
            }
            if sizes.changed().await.is_err() {
                return;
            }
        }
    });
    Box::new(move |size| {
        sender.send_replace(size);
    })
}

/// Resizes a terminal. A command that has exited before is no error.
async fn resize(engine: &Engine, exec: &str, size: TerminalSize) -> Result<(), RuntimeError> {
    let size = ResizeExecOptions { width: size.columns, height: size.rows };
    let operation = "resize a terminal";
    for _ in 0..RESIZE_TRIES {
        match engine.call(READ, operation, engine.docker()?.resize_exec(exec, size)).await {
            Ok(()) => return Ok(()),
            Err(error) if error.status().is_some() => tokio::time::sleep(RETRY_DELAY).await,
            Err(error) => return Err(error.into_runtime_error()),
        }
    }
    tracing::debug!(exec, "terminal did not accept its size");
    Ok(())
}

struct RunningExec {
    engine: Arc<Engine>,
    exec: String,
    operation: String,
    /// `None` after the exit code or an error.
    output: Option<BoxStream<'static, Result<LogOutput, bollard::errors::Error>>>,
}

impl RunningExec {
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
                Err(self.engine.call_error(&self.operation, error).into_runtime_error())
            }
            None => {
                self.output = None;
                let code = read_exit_code(&self.engine, &self.exec, &self.operation).await;
                code.map(ExecOutput::Exit)
            }
        };
        Some((item, self))
    }
}

async fn read_exit_code(engine: &Engine, exec: &str, operation: &str) -> Result<i64, RuntimeError> {
    for _ in 0..EXIT_CODE_TRIES {
        let call = engine.docker()?.inspect_exec(exec);
        let inspected = engine.call(READ, operation, call).await;
        let inspected = inspected.map_err(CallError::into_runtime_error)?;
        if let (Some(false), Some(code)) = (inspected.running, inspected.exit_code) {
            return Ok(code);
        }
        tokio::time::sleep(RETRY_DELAY).await;
    }
    Err(unreadable(operation, "the engine reports no exit code"))
}
