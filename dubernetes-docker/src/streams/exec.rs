//! Commands in a running container: input, output, and last the exit code.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bollard::exec::{StartExecOptions, StartExecResults};
use bollard::models::ExecConfig;
use dubernetes_core::runtime::{ContainerId, ExecRequest, ExecSession, RuntimeError};
use tokio::io::AsyncWrite;
use tokio_util::compat::TokioAsyncWriteCompatExt as _;

use crate::engine::{Engine, READ, WRITE};
use crate::error::{CallError, unreadable};
use crate::runtime::require_running;
use crate::to_docker::path_segment;

use super::terminal::Terminal;

/// Number of reads of the exit code. The engine closes the output a moment before it has the code.
const EXIT_CODE_TRIES: u32 = 50;
/// Pause between two reads.
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
    let exec = require_running(engine, id, created).await?.id;
    let options =
        StartExecOptions { detach: false, tty: request.tty.is_some(), output_capacity: None };
    let started = engine.call(WRITE, &operation, docker.start_exec(&exec, Some(options))).await;
    let StartExecResults::Attached { output, input } = require_running(engine, id, started).await?
    else {
        return Err(unreadable(&operation, "the engine did not attach to the command"));
    };
    let input: Pin<Box<dyn AsyncWrite + Send>> =
        if request.stdin { input } else { Box::pin(tokio::io::sink()) };
    let resize = match request.tty {
        Some(size) => Terminal::Command(exec.clone()).follow(Arc::clone(engine), size),
        None => Box::new(|_| {}),
    };
    let code = read_exit_code(Arc::clone(engine), exec, operation.clone());
    let output = super::with_exit_code(Arc::clone(engine), operation, output, code);
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

async fn read_exit_code(
    engine: Arc<Engine>,
    exec: String,
    operation: String,
) -> Result<i64, RuntimeError> {
    for _ in 0..EXIT_CODE_TRIES {
        let call = engine.docker()?.inspect_exec(&exec);
        let inspected = engine.call(READ, &operation, call).await;
        let inspected = inspected.map_err(CallError::into_runtime_error)?;
        if let (Some(false), Some(code)) = (inspected.running, inspected.exit_code) {
            return Ok(code);
        }
        tokio::time::sleep(RETRY_DELAY).await;
    }
    Err(unreadable(&operation, "the engine reports no exit code"))
}
