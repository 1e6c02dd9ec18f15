//! Making, starting, stopping and removing containers.
//!
//! What is so already is success: 304 on start and stop, 404 on stop and remove, and 409 on
//! remove, where another removal is under way.

use std::path::PathBuf;
use std::time::Duration as StdDuration;

use bollard::query_parameters::{
    CreateContainerOptionsBuilder, KillContainerOptionsBuilder, RemoveContainerOptionsBuilder,
    RenameContainerOptionsBuilder, StopContainerOptionsBuilder,
};
use dubernetes_core::app::{Duration, Signal};
use dubernetes_core::runtime::{
    ContainerId, ContainerRequest, ContainerState, ImageProblem, RuntimeError,
};
use tokio::time::{Instant, sleep};

use crate::engine::{Engine, READ, STOP_MARGIN, WRITE};
use crate::error::Failure;
use crate::image;
use crate::to_docker::{self, path_part, resolve_mounts};

use super::containers::inspect;

/// How often it is looked whether a signal has ended a container.
const LOOK: StdDuration = StdDuration::from_millis(100);

/// Makes a container under a name; files are another matter, see [`super::unfinished`].
pub(super) async fn create(
    engine: &Engine,
    request: &ContainerRequest,
    name: &str,
) -> Result<ContainerId, RuntimeError> {
    let request = &resolve_mounts(request, engine.state_dir.get().map(PathBuf::as_path)).await?;
    let operation = format!("create container `{name}`");
    let options = CreateContainerOptionsBuilder::default().name(name).build();
    let call = engine.docker()?.create_container(Some(options), to_docker::container(request));
    match engine.call(WRITE, &operation, call).await {
        Ok(answer) => Ok(ContainerId(answer.id)),
        Err(failure) if failure.status() == Some(409) => {
            Err(RuntimeError::NameTaken { name: name.to_owned() })
        }
        Err(failure) if failure.status() == Some(404) => {
            Err(missing(engine, request, failure).await?)
        }
        Err(failure) => Err(failure.general()),
    }
}

/// Gives a container another name, which must be free.
pub(super) async fn rename(
    engine: &Engine,
    id: &ContainerId,
    name: &str,
) -> Result<(), RuntimeError> {
    let operation = format!("name container `{name}`");
    let options = RenameContainerOptionsBuilder::default().name(name).build();
    let call = engine.docker()?.rename_container(path_part(id)?, options);
    match engine.call(READ, &operation, call).await {
        Err(failure) if failure.status() == Some(409) => {
            Err(RuntimeError::NameTaken { name: name.to_owned() })
        }
        Err(failure) => Err(failure.of("container", &id.0)),
        Ok(()) => Ok(()),
    }
}

/// Which of the things that a request names is missing.
async fn missing(
    engine: &Engine,
    request: &ContainerRequest,
    failure: Failure,
) -> Result<RuntimeError, RuntimeError> {
    if image::find(engine, &request.image).await?.is_none() {
        let message = "it is not on this engine".to_owned();
        let problem = ImageProblem::Missing;
        return Ok(RuntimeError::Image { image: request.image.clone(), problem, message });
    }
    let network = engine.docker()?.inspect_network(&request.network, None);
    match engine.call(READ, "inspect a network", network).await {
        Err(failure) if failure.status() == Some(404) => {
            Ok(RuntimeError::NotFound { kind: "network", name: request.network.clone() })
        }
        Ok(_) | Err(_) => Ok(failure.rejected()),
    }
}

pub(super) async fn start(engine: &Engine, id: &ContainerId) -> Result<(), RuntimeError> {
    let name = path_part(id)?;
    let operation = format!("start container `{id}`");
    let call = engine.docker()?.start_container(name, None);
    let Err(failure) = engine.call(WRITE, &operation, call).await else { return Ok(()) };
    if failure.status().is_none() {
        return Err(failure.general());
    }
    // The code alone tells neither whether the container is missing or something that it needs,
    // nor whether its start was tried at all: then the engine has noted why it failed.
    let call = engine.docker()?.inspect_container(name, None);
    let seen = engine.call(READ, &operation, call).await;
    let state = seen.map_err(|failure| failure.of("container", name))?.state.unwrap_or_default();
    if state.running == Some(true) {
        return Ok(());
    }
    let tried = state.error.is_some_and(|error| !error.is_empty());
    Err(if tried || failure.status() == Some(404) { failure.rejected() } else { failure.general() })
}

/// Stops by the signal that the container was created with, or its image's.
pub(super) async fn stop(
    engine: &Engine,
    id: &ContainerId,
    grace: Duration,
) -> Result<(), RuntimeError> {
    let name = path_part(id)?;
    let operation = format!("stop container `{id}`");
    // The engine counts in whole seconds; a little more grace does no harm, and less might.
    let seconds = i32::try_from(grace.millis().div_ceil(1000)).unwrap_or(i32::MAX);
    let options = StopContainerOptionsBuilder::default().t(seconds).build();
    let call = engine.docker()?.stop_container(name, Some(options));
    match engine.call(grace.to_std() + STOP_MARGIN, &operation, call).await {
        Err(failure) if failure.status() != Some(404) => Err(failure.general()),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Stops by a signal of the caller's choice. The engine takes one with the stop only since API
/// 1.42, and older ones ignore it, so it is sent by itself.
pub(super) async fn stop_by(
    engine: &Engine,
    id: &ContainerId,
    signal_name: Signal,
    grace: Duration,
) -> Result<(), RuntimeError> {
    match signal(engine, id, signal_name).await {
        Ok(()) => {}
        Err(RuntimeError::NotFound { .. }) => return Ok(()),
        Err(error @ RuntimeError::Rejected { .. }) => {
            // Not running, which is what is wanted; or refused for another reason.
            return if is_running(engine, id).await? { Err(error) } else { Ok(()) };
        }
        Err(error) => return Err(error),
    }
    let limit = Instant::now() + grace.to_std();
    while is_running(engine, id).await? {
        if Instant::now() >= limit {
            return stop(engine, id, Duration::from_millis(0)).await;
        }
        sleep(LOOK.min(limit.saturating_duration_since(Instant::now()))).await;
    }
    Ok(())
}

async fn is_running(engine: &Engine, id: &ContainerId) -> Result<bool, RuntimeError> {
    match inspect(engine, id).await {
        Ok(container) => Ok(match container.state {
            ContainerState::Running { .. } | ContainerState::Paused => true,
            ContainerState::Created
            | ContainerState::StartFailed { .. }
            | ContainerState::Exited { .. }
            | ContainerState::Removing => false,
        }),
        Err(RuntimeError::NotFound { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

pub(super) async fn signal(
    engine: &Engine,
    id: &ContainerId,
    signal: Signal,
) -> Result<(), RuntimeError> {
    let name = path_part(id)?;
    let operation = format!("send {} to container `{id}`", signal.as_str());
    let options = KillContainerOptionsBuilder::default().signal(signal.as_str()).build();
    let call = engine.docker()?.kill_container(name, Some(options));
    engine.call(READ, &operation, call).await.map_err(|failure| failure.of("container", name))
}

pub(super) async fn remove(engine: &Engine, id: &ContainerId) -> Result<(), RuntimeError> {
    let name = path_part(id)?;
    let operation = format!("remove container `{id}`");
    // `v` takes the anonymous volumes along, and no named one.
    let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
    let call = engine.docker()?.remove_container(name, Some(options));
    match engine.call(WRITE, &operation, call).await {
        Err(failure) if !matches!(failure.status(), Some(404 | 409)) => Err(failure.general()),
        Ok(()) | Err(_) => Ok(()),
    }
}
