//! The streams of a container's own process: input, output, and last the exit code.

use std::pin::Pin;
use std::sync::Arc;

use bollard::errors::Error;
use bollard::query_parameters::{AttachContainerOptionsBuilder, WaitContainerOptionsBuilder};
use dubernetes_core::runtime::{ContainerId, ExecSession, RuntimeError, Stdio};
use futures_util::StreamExt as _;
use tokio::io::AsyncWrite;
use tokio_util::compat::TokioAsyncWriteCompatExt as _;

use crate::engine::{Engine, WRITE};
use crate::error::unreadable;
use crate::to_docker::path_segment;

use super::terminal::Terminal;

/// Attaches to a container that is not started yet.
pub(crate) async fn attach(
    engine: &Arc<Engine>,
    id: &ContainerId,
    stdio: Stdio,
) -> Result<ExecSession, RuntimeError> {
    let name = path_segment(id)?;
    let operation = format!("attach to container `{id}`");
    let options = AttachContainerOptionsBuilder::default()
        .stream(true)
        .stdin(stdio.stdin)
        .stdout(true)
        .stderr(true)
        .build();
    let call = engine.docker()?.attach_container(name, Some(options));
    let attached = engine.call(WRITE, &operation, call).await;
    let attached = attached.map_err(|error| error.into_not_found("container", name))?;
    let input: Pin<Box<dyn AsyncWrite + Send>> =
        if stdio.stdin { attached.input } else { Box::pin(tokio::io::sink()) };
    let resize = match stdio.tty {
        // Docker before 23 ignores the size with which the container was created.
        Some(size) => Terminal::Container(name.to_owned()).follow(Arc::clone(engine), size),
        None => Box::new(|_| {}),
    };
    let code = exit_code(Arc::clone(engine), name.to_owned(), operation.clone());
    let output = super::with_exit_code(Arc::clone(engine), operation, attached.output, code);
    Ok(ExecSession { input: Box::pin(input.compat_write()), output, resize })
}

/// Waits until the process of a container has ended: it may have closed its output long before.
async fn exit_code(
    engine: Arc<Engine>,
    name: String,
    operation: String,
) -> Result<i64, RuntimeError> {
    let options = WaitContainerOptionsBuilder::default().condition("not-running").build();
    let mut ended = engine.docker()?.wait_container(&name, Some(options)).boxed();
    match ended.next().await {
        Some(Ok(ended)) => Ok(ended.status_code),
        Some(Err(Error::DockerContainerWaitError { code, .. })) => Ok(code),
        Some(Err(error)) => {
            Err(engine.call_error(&operation, error).into_not_found("container", &name))
        }
        None => Err(unreadable(&operation, "the engine reports no exit code")),
    }
}
