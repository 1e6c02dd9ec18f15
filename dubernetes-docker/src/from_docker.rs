//! The engine's answers as values of the core. Pure.

use std::collections::BTreeMap;

use bollard::models::{
    ContainerInspectResponse, ContainerState as DockerState, ContainerStateStatusEnum as Status,
    ContainerStatsResponse, EventMessage, Network as DockerNetwork, NetworkInspect, SystemVersion,
};
use dubernetes_core::error::one_line;
use dubernetes_core::runtime::{
    Container, ContainerId, ContainerState, EngineVersion, ImageId, Network, RuntimeEvent, Stats,
};
use ipnet::Ipv4Net;
use jiff::Timestamp;

/// A container as inspection shows it; an error names what is missing or malformed.
pub(crate) fn container(answer: ContainerInspectResponse) -> Result<Container, String> {
    let id = present(answer.id, "Id")?;
    let created = present(answer.created, "Created")?;
    let created_at = time(&created).ok_or_else(|| format!("`{created}` is not a time"))?;
    let state = present(answer.state, "State")?;
    let labels = answer.config.and_then(|config| config.labels).unwrap_or_default();
    Ok(Container {
        name: present(answer.name, "Name")?.trim_start_matches('/').to_owned(),
        image_id: ImageId(answer.image.unwrap_or_default()),
        labels: labels.into_iter().collect(),
        state: container_state(&state, created_at)?,
        created_at,
        id: ContainerId(id),
    })
}

fn container_state(state: &DockerState, created_at: Timestamp) -> Result<ContainerState, String> {
    let code = state.exit_code.unwrap_or_default();
    let started_at = state.started_at.as_deref().and_then(time).unwrap_or(created_at);
    let status = state.status.unwrap_or(Status::EMPTY);
    Ok(match status {
        Status::CREATED => {
            let error = one_line(state.error.as_deref().unwrap_or_default());
            // A start that failed leaves the state `created`, with the text, a code, or both.
            if error.is_empty() && code == 0 {
                ContainerState::Created
            } else {
                ContainerState::StartFailed { error, code }
            }
        }
        Status::RUNNING | Status::STOPPING => ContainerState::Running { started_at },
        Status::PAUSED => ContainerState::Paused,
        // Between two tries of the engine's own restart policy, which we never set.
        // A dead one is what is left where a removal failed: it has ended, and is to be removed.
        Status::EXITED | Status::RESTARTING | Status::DEAD => ContainerState::Exited {
            code,
            out_of_memory: state.oom_killed.unwrap_or_default(),
            started_at,
            finished_at: state.finished_at.as_deref().and_then(time).unwrap_or(started_at),
        },
        Status::REMOVING => ContainerState::Removing,
        Status::EMPTY => return Err("the answer has no `State.Status`".to_owned()),
    })
}

/// A time, or `None` for the engine's zero time, the first of January of the year one.
pub(crate) fn time(text: &str) -> Option<Timestamp> {
    text.parse().ok().filter(|time| *time > Timestamp::UNIX_EPOCH)
}

/// Who the engine is.
pub(crate) fn version(answer: SystemVersion) -> Result<EngineVersion, String> {
    let platform = answer.platform.map(|platform| platform.name).unwrap_or_default();
    let component = answer.components.unwrap_or_default().into_iter().next();
    let component = component.map(|component| component.name).unwrap_or_default();
    let name = match (platform.trim(), component.trim()) {
        // Docker calls its own component just so; Debian's build leaves the platform empty.
        ("", "Engine" | "") => "Docker Engine",
        ("", component) => component,
        (platform, _) => platform,
    };
    Ok(EngineVersion {
        name: one_line(name),
        version: present(answer.version, "Version")?,
        api_version: present(answer.api_version, "ApiVersion")?,
        platform: format!(
            "{}/{}",
            answer.os.as_deref().unwrap_or("linux"),
            answer.arch.as_deref().unwrap_or("unknown")
        ),
    })
}

/// The instance's network; an error if it has no IPv4 subnet.
pub(crate) fn network(answer: NetworkInspect) -> Result<Network, String> {
    let id = present(answer.id, "Id")?;
    let config = answer.ipam.and_then(|ipam| ipam.config).unwrap_or_default();
    let subnet = config.iter().find_map(|pool| pool.subnet.as_deref()?.parse::<Ipv4Net>().ok());
    let subnet = subnet.ok_or_else(|| format!("the network `{id}` has no IPv4 subnet"))?;
    Ok(Network { id, subnet })
}

/// Every IPv4 subnet that a network of the engine takes up.
pub(crate) fn subnets(networks: &[DockerNetwork]) -> Vec<Ipv4Net> {
    networks
        .iter()
        .filter_map(|network| network.ipam.as_ref()?.config.as_ref())
        .flatten()
        .filter_map(|pool| pool.subnet.as_deref()?.parse().ok())
        .collect()
}

/// What a container uses, or `None` if it does not run.
pub(crate) fn stats(answer: &ContainerStatsResponse) -> Option<Stats> {
    let memory = answer.memory_stats.as_ref()?;
    let usage = memory.usage?;
    // The page cache is called `inactive_file` by version 2 of control groups, and
    // `total_inactive_file` by version 1, which has the other name for the topmost group alone.
    let cache = memory.stats.as_ref().and_then(|stats| {
        stats.get("total_inactive_file").or_else(|| stats.get("inactive_file")).copied()
    });
    let cpu = answer.cpu_stats.as_ref()?.cpu_usage.as_ref()?.total_usage?;
    Some(Stats {
        cpu_nanos: cpu,
        memory_bytes: usage.saturating_sub(cache.unwrap_or_default()),
        read_at: answer.read.as_deref().and_then(time)?,
    })
}

/// An event of a container, or `None` for one that changes no state: commands that run in it
/// and files that are copied would else wake the one who runs and copies them.
pub(crate) fn event(message: EventMessage) -> Option<RuntimeEvent> {
    let action = message.action?;
    if action.starts_with("exec_") || SILENT.contains(&action.as_str()) {
        return None;
    }
    let actor = message.actor?;
    let mut labels: BTreeMap<String, String> =
        actor.attributes.unwrap_or_default().into_iter().collect();
    // Beside the labels there are attributes of the event itself.
    for key in ["name", "image", "exitCode", "signal", "oldName", "execDuration"] {
        labels.remove(key);
    }
    Some(RuntimeEvent { id: ContainerId(actor.id?), action, labels })
}

const SILENT: [&str; 9] = [
    "archive-path",
    "attach",
    "commit",
    "copy",
    "detach",
    "export",
    "extract-to-dir",
    "resize",
    "top",
];

fn present<T>(value: Option<T>, name: &str) -> Result<T, String> {
    value.ok_or_else(|| format!("the answer has no `{name}`"))
}

#[cfg(test)]
mod tests;
