//! Creation, start, stop and removal of containers.
//!
//! An effect that is already there is success: 304 on start and stop, 404 on stop and remove, and
//! 409 on remove, where another removal is in progress.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration as StdDuration;

use bollard::query_parameters::{
    CreateContainerOptionsBuilder, KillContainerOptionsBuilder, RemoveContainerOptionsBuilder,
    RenameContainerOptionsBuilder, StopContainerOptionsBuilder,
};
use dubernetes_core::app::{Duration, InstanceName, Signal, VolumeSource};
use dubernetes_core::labels;
use dubernetes_core::runtime::{ContainerId, ContainerRequest, ImageProblem, RuntimeError};
use tokio::time::{Instant, sleep};

use super::inspect::{is_name_taken, is_running, require_running};
use crate::engine::{Engine, READ, STOP_MARGIN, WRITE};
use crate::error::CallError;
use crate::from_docker;
use crate::image;
use crate::names;
use crate::network;
use crate::to_docker::{self, path_segment, resolve_mounts};

/// The first API that takes parameters of the kernel for an endpoint.
const ENDPOINT_SYSCTLS_API: (u32, u32) = (1, 46);
/// Interval between checks whether a signal has ended a container, or whether it is removed.
const POLL_INTERVAL: StdDuration = StdDuration::from_millis(100);

/// Creates a container named `name`, without its files, see [`super::staging`].
pub(super) async fn create(
    engine: &Engine,
    request: &ContainerRequest,
    name: &str,
) -> Result<ContainerId, RuntimeError> {
    let state_dir = engine.state_dir.get().map(PathBuf::as_path);
    let allow_system = engine.allow_system_mounts.load(Ordering::Relaxed);
    let request = &resolve_mounts(request, state_dir, allow_system).await?;
    prepare_volumes(engine, request).await?;
    let hosts_file = match (&request.names, state_dir) {
        (Some(names), Some(state_dir)) => {
            let more = extra_hosts(engine, request).await?;
            Some(names::ensure(state_dir, names, &more).await?)
        }
        (None, _) | (_, None) => None,
    };
    let operation = format!("create container `{name}`");
    let Some(at) = &request.network else {
        let message = "the request has no address on a network".to_owned();
        return Err(RuntimeError::Rejected { operation, message });
    };
    let options = CreateContainerOptionsBuilder::default().name(name).build();
    let mut body = to_docker::build_container(request, hosts_file.as_deref());
    if request.sysctls.keys().any(|name| to_docker::is_of_interface(name)) {
        let has_endpoint_options = supports_endpoint_sysctls(engine).await?;
        to_docker::place_interface_sysctls(&mut body, has_endpoint_options);
    }
    let call = engine.docker()?.create_container(Some(options), body);
    match engine.call(WRITE, &operation, call).await {
        Ok(answer) => Ok(ContainerId(answer.id.into())),
        Err(error) if is_name_taken(engine, name, &error).await => {
            Err(RuntimeError::NameTaken { name: name.to_owned() })
        }
        Err(error) if error.status() == Some(404) => {
            Err(find_missing(engine, request, &at.network, error).await?)
        }
        Err(error) => Err(error.into_runtime_error()),
    }
}

/// Returns true if the engine takes parameters of the kernel for an endpoint.
async fn supports_endpoint_sysctls(engine: &Engine) -> Result<bool, RuntimeError> {
    let answer = engine.call(READ, "report its version", engine.docker()?.version()).await;
    let version = answer.map_err(CallError::into_runtime_error)?.api_version.unwrap_or_default();
    Ok(from_docker::parse_api_version(&version).is_some_and(|api| api >= ENDPOINT_SYSCTLS_API))
}

/// Returns the further lines of the container's hosts file. The host is reached at the gateway of
/// the instance's network.
async fn extra_hosts(
    engine: &Engine,
    request: &ContainerRequest,
) -> Result<Vec<(String, IpAddr)>, RuntimeError> {
    let mut lines = Vec::new();
    for line in &request.options.extra_hosts {
        let line = line.to_string();
        let Some((name, address)) = line.split_once(':') else { continue };
        let address = match address.parse() {
            Ok(address) => address,
            // Any other text is `host-gateway`.
            Err(_) => gateway(engine, request).await?,
        };
        lines.push((name.to_owned(), address));
    }
    Ok(lines)
}

async fn gateway(engine: &Engine, request: &ContainerRequest) -> Result<IpAddr, RuntimeError> {
    let missing = || RuntimeError::NotFound { kind: "network", name: request.name.clone() };
    let instance = request.labels.get(labels::INSTANCE).ok_or_else(missing)?;
    let instance = InstanceName::parse(instance).map_err(|_| missing())?;
    let network = network::find(engine, &instance).await?.ok_or_else(missing)?;
    Ok(network.subnet.hosts().next().ok_or_else(missing)?.into())
}

/// Renames a container. A name that is in use is [`RuntimeError::NameTaken`].
pub(super) async fn rename(
    engine: &Engine,
    id: &ContainerId,
    name: &str,
) -> Result<(), RuntimeError> {
    let operation = format!("rename container `{id}` to `{name}`");
    let options = RenameContainerOptionsBuilder::default().name(name).build();
    let call = engine.docker()?.rename_container(path_segment(id)?, options);
    match engine.call(READ, &operation, call).await {
        Err(error) if is_name_taken(engine, name, &error).await => {
            Err(RuntimeError::NameTaken { name: name.to_owned() })
        }
        Err(error) => Err(error.into_not_found("container", &id.0)),
        Ok(()) => Ok(()),
    }
}

/// Creates the volumes that the instance owns, and looks for the others: the engine would create a
/// missing one, empty. Podman would create a volume with its container, but without the label.
async fn prepare_volumes(engine: &Engine, request: &ContainerRequest) -> Result<(), RuntimeError> {
    let docker = engine.docker()?;
    for volume in &request.volumes {
        match &volume.source {
            VolumeSource::Named(name) | VolumeSource::Shared(name) => {
                let operation = format!("create volume `{name}`");
                let volume = to_docker::build_volume(request, name);
                let created = engine.call(WRITE, &operation, docker.create_volume(volume)).await;
                created.map_err(CallError::into_runtime_error)?;
            }
            VolumeSource::External(name) => {
                let operation = format!("inspect volume `{name}`");
                let found = engine.call(READ, &operation, docker.inspect_volume(name)).await;
                found.map_err(|error| missing_volume(request, name, error))?;
            }
            VolumeSource::Bind(_) => {}
        }
    }
    Ok(())
}

fn missing_volume(request: &ContainerRequest, name: &str, error: CallError) -> RuntimeError {
    if error.status() != Some(404) {
        return error.into_runtime_error();
    }
    RuntimeError::Rejected {
        operation: format!("create container `{}`", request.name),
        message: format!(
            "the engine has no volume `{name}`; create it with `docker volume create {name}`, or \
             leave `external` out"
        ),
    }
}

/// Returns the error for a creation that failed with 404: the image or the network is missing.
async fn find_missing(
    engine: &Engine,
    request: &ContainerRequest,
    network: &str,
    error: CallError,
) -> Result<RuntimeError, RuntimeError> {
    if image::find(engine, &request.image).await?.is_none() {
        return Ok(RuntimeError::Image {
            image: request.image.clone(),
            problem: ImageProblem::Missing,
            message: "not on this engine".to_owned(),
        });
    }
    let operation = format!("inspect network `{network}`");
    let inspected = engine.docker()?.inspect_network(network, None);
    match engine.call(READ, &operation, inspected).await {
        Err(error) if error.status() == Some(404) => {
            Ok(RuntimeError::NotFound { kind: "network", name: network.to_owned() })
        }
        Ok(_) | Err(_) => Ok(error.into_rejected()),
    }
}

pub(super) async fn start(engine: &Engine, id: &ContainerId) -> Result<(), RuntimeError> {
    let name = path_segment(id)?;
    let operation = format!("start container `{id}`");
    let call = engine.docker()?.start_container(name, None);
    let Err(error) = engine.call(WRITE, &operation, call).await else { return Ok(()) };
    if error.status().is_none() {
        return Err(error.into_runtime_error());
    }
    // The code does not show whether the container itself or something that it needs is missing,
    // nor whether the start was attempted. After an attempt the engine records why it failed.
    let call = engine.docker()?.inspect_container(name, None);
    let inspected = engine.call(READ, &operation, call).await;
    let inspected = inspected.map_err(|error| error.into_not_found("container", name))?;
    let state = inspected.state.unwrap_or_default();
    if state.running == Some(true) {
        return Ok(());
    }
    let attempted = state.error.is_some_and(|error| !error.is_empty());
    Err(if attempted || error.status() == Some(404) {
        match error.into_rejected() {
            RuntimeError::Rejected { operation, message } => RuntimeError::Rejected {
                operation,
                message: from_docker::simplify_start_error(message),
            },
            other => other,
        }
    } else {
        error.into_runtime_error()
    })
}

/// Stops a container by the stop signal of the container or of its image.
pub(super) async fn stop(
    engine: &Engine,
    id: &ContainerId,
    grace: Duration,
) -> Result<(), RuntimeError> {
    let name = path_segment(id)?;
    let operation = format!("stop container `{id}`");
    // The engine counts whole seconds; rounded up, so that the grace period is never shorter.
    let seconds = i32::try_from(grace.millis().div_ceil(1000)).unwrap_or(i32::MAX);
    let options = StopContainerOptionsBuilder::default().t(seconds).build();
    let call = engine.docker()?.stop_container(name, Some(options));
    match engine.call(grace.to_std() + STOP_MARGIN, &operation, call).await {
        Err(error) if error.status() != Some(404) => Err(error.into_runtime_error()),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Stops a container by `signal`. The stop call takes a signal since API 1.42, and older engines
/// ignore it, so the signal is sent separately.
pub(super) async fn stop_with_signal(
    engine: &Engine,
    id: &ContainerId,
    signal: Signal,
    grace: Duration,
) -> Result<(), RuntimeError> {
    match send_signal(engine, id, signal).await {
        Ok(()) => {}
        Err(RuntimeError::NotFound { .. }) => return Ok(()),
        Err(error @ (RuntimeError::NotRunning { .. } | RuntimeError::Rejected { .. })) => {
            // Either the container has stopped, which is success, or the signal was refused.
            return if is_running(engine, id).await? { Err(error) } else { Ok(()) };
        }
        Err(error) => return Err(error),
    }
    let deadline = Instant::now() + grace.to_std();
    while is_running(engine, id).await? {
        if Instant::now() >= deadline {
            return stop(engine, id, Duration::from_millis(0)).await;
        }
        sleep(POLL_INTERVAL.min(deadline.saturating_duration_since(Instant::now()))).await;
    }
    Ok(())
}

pub(super) async fn send_signal(
    engine: &Engine,
    id: &ContainerId,
    signal: Signal,
) -> Result<(), RuntimeError> {
    let name = path_segment(id)?;
    let operation = format!("send {} to container `{id}`", signal.as_str());
    let options = KillContainerOptionsBuilder::default().signal(signal.as_str()).build();
    let call = engine.docker()?.kill_container(name, Some(options));
    let sent = engine.call(READ, &operation, call).await;
    require_running(engine, id, sent).await
}

pub(super) async fn remove(engine: &Engine, id: &ContainerId) -> Result<(), RuntimeError> {
    let name = path_segment(id)?;
    let operation = format!("remove container `{id}`");
    // `v` also removes anonymous volumes, but no named ones.
    let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
    let call = engine.docker()?.remove_container(name, Some(options));
    match engine.call(WRITE, &operation, call).await {
        Ok(()) => Ok(()),
        Err(error) => match error.status() {
            Some(404) => Ok(()),
            Some(409) => wait_until_removed(engine, name, &operation).await,
            Some(_) | None => Err(error.into_runtime_error()),
        },
    }
}

/// Waits for the end of another removal.
async fn wait_until_removed(
    engine: &Engine,
    name: &str,
    operation: &str,
) -> Result<(), RuntimeError> {
    let deadline = Instant::now() + WRITE;
    while Instant::now() < deadline {
        let call = engine.docker()?.inspect_container(name, None);
        match engine.call(READ, operation, call).await {
            Err(error) if error.status() == Some(404) => return Ok(()),
            Err(error) if error.status().is_none() => return Err(error.into_runtime_error()),
            Ok(_) | Err(_) => sleep(POLL_INTERVAL).await,
        }
    }
    Err(CallError::timeout(operation).into_runtime_error())
}
