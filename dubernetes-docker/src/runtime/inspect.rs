//! Reads of one container: its details, its processes and its resource usage.

use std::time::Duration;

use bollard::query_parameters::{LogsOptionsBuilder, StatsOptionsBuilder};
use dubernetes_core::runtime::{
    Container, ContainerId, ContainerState, Exit, Process, RuntimeError, Stats,
};
use futures_util::{StreamExt as _, TryStreamExt as _};

use crate::engine::{Engine, READ};
use crate::error::{CallError, unreadable};
use crate::from_docker;
use crate::to_docker::path_segment;

/// How often to look for a container that is created meanwhile, and the pause in between.
const NAME_LOOKS: u32 = 10;
const NAME_PAUSE: Duration = Duration::from_millis(100);

/// Returns one container, of any instance or none.
pub(super) async fn inspect(engine: &Engine, id: &ContainerId) -> Result<Container, RuntimeError> {
    let name = path_segment(id)?;
    let operation = format!("inspect container `{id}`");
    let docker = engine.docker()?;
    let answer = engine.read(&operation, || docker.inspect_container(name, None)).await;
    let answer = answer.map_err(|error| error.into_not_found("container", name))?;
    let program = answer.config.as_ref().and_then(from_docker::program).unwrap_or_default();
    let mut container =
        from_docker::parse_container(answer).map_err(|what| unreadable(&operation, what))?;
    if let ContainerState::Exited(Exit { code: code @ (1 | 126 | 127), .. }) = container.state
        && let Some(error) = find_init_error(engine, name, &program).await
    {
        // Podman's init ends with 1 where a shell ends with 127.
        let code = if code == 1 { 127 } else { code };
        container.state = ContainerState::StartFailed { error, code };
    }
    Ok(container)
}

/// Returns the answer of a call that needs a running container. If the container does not run,
/// Docker answers 409, and Podman 500.
pub(crate) async fn require_running<T>(
    engine: &Engine,
    id: &ContainerId,
    answer: Result<T, CallError>,
) -> Result<T, RuntimeError> {
    match answer {
        Ok(answer) => Ok(answer),
        Err(error) => {
            let has_ended = error.status() == Some(500)
                && is_running(engine, id).await.is_ok_and(|is_running| !is_running);
            let error = if has_ended { error.into_conflict() } else { error };
            Err(error.into_not_running(&id.0))
        }
    }
}

pub(super) async fn is_running(engine: &Engine, id: &ContainerId) -> Result<bool, RuntimeError> {
    match inspect(engine, id).await {
        Ok(container) => Ok(match container.state {
            ContainerState::Running { .. } | ContainerState::Paused => true,
            ContainerState::Created
            | ContainerState::StartFailed { .. }
            | ContainerState::Exited(_)
            | ContainerState::Removing => false,
        }),
        Err(RuntimeError::NotFound { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Returns whether an error means that another container has the name: Docker answers 409 then, and
/// Podman 500, also before the other container can be inspected.
pub(super) async fn is_name_taken(engine: &Engine, name: &str, error: &CallError) -> bool {
    if error.status() == Some(500) {
        let id = ContainerId(name.into());
        for _ in 0..NAME_LOOKS {
            if inspect(engine, &id).await.is_ok() {
                return true;
            }
            tokio::time::sleep(NAME_PAUSE).await;
        }
    }
    error.status() == Some(409)
}

/// Returns why the engine's init could not run `program`, if that is how the container ended: the
/// exit code alone may be the program's own.
async fn find_init_error(engine: &Engine, name: &str, program: &str) -> Option<String> {
    let options = LogsOptionsBuilder::default().stderr(true).tail("3").build();
    let logs = engine.docker().ok()?.logs(name, Some(options)).boxed();
    let operation = format!("read the logs of container `{name}`");
    // Without logs, the exit code has to do.
    let chunks = engine.call(READ, &operation, logs.try_collect::<Vec<_>>()).await.ok()?;
    chunks.iter().rev().find_map(|chunk| from_docker::parse_init_error(&chunk.to_string(), program))
}

/// Returns the resource usage of a running container.
pub(super) async fn read_stats(engine: &Engine, id: &ContainerId) -> Result<Stats, RuntimeError> {
    let name = path_segment(id)?;
    let operation = format!("read the resource usage of container `{id}`");
    let options = StatsOptionsBuilder::default().stream(false).one_shot(true).build();
    let mut stream = engine.docker()?.stats(name, Some(options)).boxed();
    let answer = engine.call(READ, &operation, async { stream.try_next().await }).await;
    let answer = answer.map_err(|error| error.into_not_found("container", name))?;
    let answer = answer.ok_or_else(|| unreadable(&operation, "the response is empty"))?;
    from_docker::parse_stats(&answer).ok_or_else(|| RuntimeError::NotRunning {
        operation,
        message: "the container is not running".to_owned(),
    })
}

/// Returns the processes of a running container.
pub(super) async fn list_processes(
    engine: &Engine,
    id: &ContainerId,
) -> Result<Vec<Process>, RuntimeError> {
    let name = path_segment(id)?;
    let operation = format!("list the processes of container `{id}`");
    let call = engine.docker()?.top_processes(name, None);
    let answer = engine.call(READ, &operation, call).await;
    let answer = require_running(engine, id, answer).await?;
    from_docker::parse_processes(answer)
        .ok_or_else(|| unreadable(&operation, "the list lacks a column"))
}
