//! Conversion of the engine's responses into values of the core. Pure.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};

use bollard::models::{
    ContainerConfig, ContainerInspectResponse, ContainerState as DockerState,
    ContainerStateStatusEnum as Status, ContainerStatsResponse, ContainerTopResponse,
    EndpointSettings, EventMessage, HostConfig, Network as DockerNetwork, SystemVersion,
};
use dubernetes_core::app::{Cpu, InstanceName, Memory, Resources};
use dubernetes_core::error::one_line;
use dubernetes_core::runtime::{
    Container, ContainerId, ContainerState, Exit, ImageId, Network, Process, RuntimeEvent,
    RuntimeInfo, Stats,
};
use dubernetes_core::{identity, labels};
use ipnet::Ipv4Net;
use jiff::Timestamp;

/// Actions that do not change a container's state. A caller that runs commands and copies files
/// would otherwise be triggered by its own calls.
const IGNORED_ACTIONS: [&str; 9] = [
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

/// The kernel's period of CPU time in microseconds, if none is set.
const CPU_PERIOD: u64 = 100_000;

/// Parses an inspected container. The error names what is missing or malformed.
pub(crate) fn parse_container(answer: ContainerInspectResponse) -> Result<Container, String> {
    let id = require(answer.id, "Id")?;
    let created = require(answer.created, "Created")?;
    let created_at = parse_time(&created).ok_or_else(|| format!("`{created}` is not a time"))?;
    let state = require(answer.state, "State")?;
    let labels = answer.config.and_then(|config| config.labels).unwrap_or_default();
    let labels: BTreeMap<_, _> = labels.into_iter().collect();
    let state = parse_state(&state, created_at)?;
    let is_up = matches!(state, ContainerState::Running { .. } | ContainerState::Paused);
    let limits = answer.host_config.as_ref().map(parse_limits);
    let host = answer.host_config.unwrap_or_default();
    let networks = answer.network_settings.and_then(|settings| settings.networks);
    let address = parse_address(&labels, &host, &networks.unwrap_or_default());
    let endpoint = address.zip(parse_port(&labels, &host)).map(SocketAddr::from);
    Ok(Container {
        endpoint: endpoint.filter(|_| is_up),
        name: require(answer.name, "Name")?.trim_start_matches('/').to_owned(),
        image_id: ImageId(answer.image.unwrap_or_default()),
        labels,
        state,
        created_at,
        limits,
        id: ContainerId(id.into()),
    })
}

/// Returns the address on the network of the container's instance.
fn parse_address(
    labels: &BTreeMap<String, String>,
    host: &HostConfig,
    networks: &HashMap<String, EndpointSettings>,
) -> Option<IpAddr> {
    let instance = InstanceName::parse(labels.get(labels::INSTANCE)?).ok()?;
    let name = identity::network_name(&instance);
    // The engine names a network by its name or by its id, as the request did.
    let is_own = |(key, settings): &(&String, &EndpointSettings)| {
        **key == name || host.network_mode.is_some() && settings.network_id == host.network_mode
    };
    let parse = |text: &Option<String>| text.as_deref()?.parse::<IpAddr>().ok();
    let mut own = networks.iter().filter(is_own).map(|(_, settings)| settings);
    own.find_map(|own| parse(&own.ip_address).or_else(|| parse(&own.global_ipv6_address)))
}

/// Returns the limits as they are now, which `docker update` changes. CPU time is limited in one of
/// two ways. The engine writes 0 for no limit.
fn parse_limits(host: &HostConfig) -> Resources {
    let positive =
        |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok()).filter(|n| *n > 0);
    let quota = || {
        let period = positive(host.cpu_period).unwrap_or(CPU_PERIOD);
        Some(positive(host.cpu_quota)?.saturating_mul(1000) / period)
    };
    let millis = positive(host.nano_cpus).map(|nanos| nanos / 1_000_000).or_else(quota);
    Resources {
        cpu: millis.map(Cpu::from_millis),
        memory: positive(host.memory).map(Memory::from_bytes),
    }
}

/// Returns the port of the container's request: that of its label or, where an earlier version has
/// created the container without that, the one that is published.
fn parse_port(labels: &BTreeMap<String, String>, host: &HostConfig) -> Option<u16> {
    let label = labels.get(labels::PORT).and_then(|port| port.parse().ok());
    let published = || {
        let mut ports = host.port_bindings.as_ref()?.keys();
        ports.find_map(|port| port.strip_suffix("/tcp")?.parse().ok())
    };
    label.or_else(published)
}

fn parse_state(state: &DockerState, created_at: Timestamp) -> Result<ContainerState, String> {
    let code = state.exit_code.unwrap_or_default();
    let started_at = state.started_at.as_deref().and_then(parse_time).unwrap_or(created_at);
    let status = state.status.unwrap_or(Status::EMPTY);
    Ok(match status {
        Status::CREATED => {
            let error = one_line(state.error.as_deref().unwrap_or_default());
            // A failed start leaves the state `created`, with a text, a code, or both.
            if error.is_empty() && code == 0 {
                ContainerState::Created
            } else {
                ContainerState::StartFailed { error: simplify_start_error(error), code }
            }
        }
        Status::RUNNING | Status::STOPPING => ContainerState::Running { started_at },
        Status::PAUSED => ContainerState::Paused,
        // `restarting` occurs under the engine's own restart policy, which we never set. `dead` is
        // left by a failed removal: the container has exited and still has to be removed.
        Status::EXITED | Status::RESTARTING | Status::DEAD => ContainerState::Exited(Exit {
            code,
            out_of_memory: state.oom_killed.unwrap_or_default(),
            started_at,
            finished_at: state.finished_at.as_deref().and_then(parse_time).unwrap_or(started_at),
        }),
        Status::REMOVING => ContainerState::Removing,
        Status::EMPTY => return Err("the response has no `State.Status`".to_owned()),
    })
}

/// Returns the program that a container runs.
pub(crate) fn program(config: &ContainerConfig) -> Option<String> {
    let words = [&config.entrypoint, &config.cmd].into_iter().flatten().flatten();
    words.into_iter().next().cloned()
}

/// Parses the last words of the engine's init, such as
/// `[FATAL tini (7)] exec /app failed: No such file or directory`, or of Podman's, which does not
/// name the program. Returns `None` for other lines.
pub(crate) fn parse_init_error(line: &str, program: &str) -> Option<String> {
    if let Some(rest) = line.trim().strip_prefix("ERROR (catatonit:") {
        let (_, reason) = rest.split_once("): failed to exec pid1: ")?;
        return Some(cannot_run(program, &one_line(reason).to_lowercase()));
    }
    let (_, rest) = line.trim().strip_prefix("[FATAL tini (")?.split_once(")] exec ")?;
    let (program, reason) = rest.rsplit_once(" failed: ")?;
    Some(cannot_run(&one_line(program), &one_line(reason).to_lowercase()))
}

/// Shortens the engine's text for a program that cannot be run, such as
/// `OCI runtime create failed: …: exec: "/app": stat /app: no such file or directory: unknown`. Any
/// other text stays as it is.
pub(crate) fn simplify_start_error(text: String) -> String {
    let parse = || {
        let (_, rest) = text.split_once(r#": exec: ""#)?;
        let (program, reason) = rest.split_once(r#"": "#)?;
        let reason = reason.strip_suffix(": unknown").unwrap_or(reason);
        let looked_up = format!("stat {program}: ");
        Some(cannot_run(program, reason.strip_prefix(&looked_up).unwrap_or(reason)))
    };
    parse().unwrap_or(text)
}

fn cannot_run(program: &str, reason: &str) -> String {
    format!("program `{program}` cannot be run: {reason}")
}

/// Parses a time. Returns `None` for the engine's zero time, 1 January of the year 1.
fn parse_time(text: &str) -> Option<Timestamp> {
    text.parse().ok().filter(|time| *time > Timestamp::UNIX_EPOCH)
}

/// The name of Podman, as its component says it.
pub(crate) const PODMAN: &str = "Podman Engine";

/// Parses the description of the engine.
pub(crate) fn parse_info(answer: SystemVersion) -> Result<RuntimeInfo, String> {
    let platform = answer.platform.map(|platform| platform.name).unwrap_or_default();
    let component = answer.components.unwrap_or_default().into_iter().next();
    let component = component.map(|component| component.name).unwrap_or_default();
    let name = match (platform.trim(), component.trim()) {
        // Its platform is that of the machine, such as `linux/amd64/debian-13`.
        (_, PODMAN) => PODMAN,
        // Docker names its own component `Engine`; Debian's build leaves the platform empty.
        ("", "Engine" | "") => "Docker Engine",
        ("", component) => component,
        (platform, _) => platform,
    };
    Ok(RuntimeInfo {
        name: one_line(name),
        version: require(answer.version, "Version")?,
        api_version: require(answer.api_version, "ApiVersion")?,
        platform: format!(
            "{}/{}",
            answer.os.as_deref().unwrap_or("linux"),
            answer.arch.as_deref().unwrap_or("unknown")
        ),
    })
}

/// Parses a version of the API, such as `1.41`.
pub(crate) fn parse_api_version(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Parses the instance's network. Fails if it has no IPv4 subnet.
pub(crate) fn parse_network(answer: DockerNetwork) -> Result<Network, String> {
    let id = require(answer.id, "Id")?;
    let config = answer.ipam.and_then(|ipam| ipam.config).unwrap_or_default();
    let subnet = config.iter().find_map(|pool| pool.subnet.as_deref()?.parse::<Ipv4Net>().ok());
    let subnet = subnet.ok_or_else(|| format!("the network `{id}` has no IPv4 subnet"))?;
    Ok(Network { id, subnet })
}

/// Returns the IPv4 subnets of all networks.
pub(crate) fn parse_subnets(networks: &[DockerNetwork]) -> Vec<Ipv4Net> {
    networks
        .iter()
        .filter_map(|network| network.ipam.as_ref()?.config.as_ref())
        .flatten()
        .filter_map(|pool| pool.subnet.as_deref()?.parse().ok())
        .collect()
}

/// Parses the resource usage. Returns `None` if the container is not running.
pub(crate) fn parse_stats(answer: &ContainerStatsResponse) -> Option<Stats> {
    let memory = answer.memory_stats.as_ref()?;
    let usage = memory.usage?;
    // The page cache is `inactive_file` in cgroup v2 and `total_inactive_file` in cgroup v1, where
    // `inactive_file` covers the topmost group only.
    let cache = memory.stats.as_ref().and_then(|stats| {
        stats.get("total_inactive_file").or_else(|| stats.get("inactive_file")).copied()
    });
    let cpu = answer.cpu_stats.as_ref()?.cpu_usage.as_ref()?.total_usage?;
    Some(Stats {
        cpu_nanos: cpu,
        memory_bytes: usage.saturating_sub(cache.unwrap_or_default()),
        read_at: answer.read.as_deref().and_then(parse_time)?,
    })
}

/// Parses an event of a container. Returns `None` for an action that changes no state.
pub(crate) fn parse_event(message: EventMessage) -> Option<RuntimeEvent> {
    let action = message.action?;
    if action.starts_with("exec_") || IGNORED_ACTIONS.contains(&action.as_str()) {
        return None;
    }
    let actor = message.actor?;
    let mut labels: BTreeMap<String, String> =
        actor.attributes.unwrap_or_default().into_iter().collect();
    // The engine mixes labels and attributes of the event.
    for key in ["name", "image", "exitCode", "signal", "oldName", "execDuration"] {
        labels.remove(key);
    }
    Some(RuntimeEvent { id: ContainerId(actor.id?.into()), action, labels })
}

fn require<T>(value: Option<T>, name: &str) -> Result<T, String> {
    value.ok_or_else(|| format!("the response has no `{name}`"))
}

/// Converts a list of processes. Docker and Podman name and order the columns differently.
pub(crate) fn parse_processes(answer: ContainerTopResponse) -> Option<Vec<Process>> {
    let titles = answer.titles?;
    let column = |names: &[&str]| titles.iter().position(|title| names.contains(&title.as_str()));
    let (pid, parent) = (column(&["PID"])?, column(&["PPID"])?);
    let command = column(&["CMD", "COMMAND"])?;
    let process = |row: Vec<String>| {
        Some(Process {
            pid: row.get(pid)?.parse().ok()?,
            parent: row.get(parent)?.parse().ok()?,
            command: row.get(command)?.clone(),
        })
    };
    answer.processes?.into_iter().map(process).collect()
}

#[cfg(test)]
mod tests;
