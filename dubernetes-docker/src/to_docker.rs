//! Requests of the core as the engine wants them. Pure, but for [`resolve_mounts`].

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::ErrorKind;
use std::path::Path;

use bollard::models::{
    ContainerCreateBody, EndpointIpamConfig, EndpointSettings, HostConfig, HostConfigLogConfig,
    Ipam, IpamConfig, Mount, MountType, MountVolumeOptions, NetworkCreateRequest, NetworkingConfig,
    PortBinding, PortMap, RestartPolicy, RestartPolicyNameEnum,
};
use dubernetes_core::app::{InstanceName, Secret, Volume, VolumeSource, find_system_folder};
use dubernetes_core::identity;
use dubernetes_core::labels;
use dubernetes_core::runtime::{ContainerId, ContainerRequest, RuntimeError};
use ipnet::Ipv4Net;

/// Three files of 10 MB per container: enough for a look back, and no full disk.
const LOG_LIMITS: [(&str, &str); 2] = [("max-size", "10m"), ("max-file", "3")];

/// A container to be created, but for its name and its files.
pub(crate) fn container(request: &ContainerRequest) -> ContainerCreateBody {
    ContainerCreateBody {
        hostname: Some(request.hostname.clone()),
        image: Some(request.image.clone()),
        labels: Some(request.labels.clone().into_iter().collect()),
        entrypoint: given(&request.command),
        cmd: given(&request.args),
        env: Some(environment(request)),
        stop_signal: request.stop_signal.map(|signal| signal.as_str().to_owned()),
        // With bindings alone the engine publishes nothing, and says that all is well.
        exposed_ports: Some(request.ports.iter().map(|p| tcp(p.container_port)).collect()),
        host_config: Some(host_config(request)),
        networking_config: Some(networking(request)),
        ..ContainerCreateBody::default()
    }
}

fn environment(request: &ContainerRequest) -> Vec<String> {
    let plain = request.env.iter().map(|(name, value)| format!("{name}={value}"));
    // Values are checked to be UTF-8 where they are put together.
    let text = |secret: &Secret| String::from_utf8_lossy(secret.reveal()).into_owned();
    let secret = request.secret_env.iter().map(|(name, value)| format!("{name}={}", text(value)));
    plain.chain(secret).collect()
}

fn host_config(request: &ContainerRequest) -> HostConfig {
    let memory = request.resources.memory.map(|memory| clamp(memory.bytes()));
    let cpu = request.resources.cpu.map(|cpu| i64::from(cpu.millis()) * 1_000_000);
    let log_limits = LOG_LIMITS.map(|(key, value)| (key.to_owned(), value.to_owned()));
    HostConfig {
        network_mode: Some(request.network.clone()),
        // Restarting is the controller's: the engine would do it behind the ingress's back.
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        // A first process that collects orphans, and on which signals work without a handler.
        init: Some(true),
        log_config: Some(HostConfigLogConfig {
            typ: Some("json-file".to_owned()),
            config: Some(HashMap::from(log_limits)),
        }),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        memory,
        // As much again of swap would be the default, and the limit would not be one.
        memory_swap: memory,
        nano_cpus: cpu,
        mounts: Some(request.volumes.iter().map(|volume| mount(request, volume)).collect()),
        port_bindings: Some(port_bindings(request)),
        ..HostConfig::default()
    }
}

fn mount(request: &ContainerRequest, volume: &Volume) -> Mount {
    let (typ, source, volume_options) = match &volume.source {
        VolumeSource::Named(name) => {
            let owner = request.labels.get(labels::INSTANCE).cloned().unwrap_or_default();
            let labels = HashMap::from([(labels::INSTANCE.to_owned(), owner)]);
            let options = MountVolumeOptions { labels: Some(labels), ..Default::default() };
            (MountType::VOLUME, name, Some(options))
        }
        VolumeSource::Bind(path) => (MountType::BIND, path, None),
    };
    Mount {
        typ: Some(typ),
        source: Some(source.clone()),
        target: Some(volume.target.clone()),
        read_only: Some(volume.read_only),
        volume_options,
        ..Mount::default()
    }
}

fn port_bindings(request: &ContainerRequest) -> PortMap {
    let mut bindings = PortMap::new();
    for port in &request.ports {
        let binding = PortBinding {
            host_ip: Some(port.host_ip.to_string()),
            host_port: Some(port.host_port.to_string()),
        };
        bindings.entry(tcp(port.container_port)).or_default().get_or_insert_default().push(binding);
    }
    bindings
}

fn networking(request: &ContainerRequest) -> NetworkingConfig {
    let address = EndpointIpamConfig {
        ipv4_address: Some(request.address.to_string()),
        ..EndpointIpamConfig::default()
    };
    let endpoint = EndpointSettings { ipam_config: Some(address), ..EndpointSettings::default() };
    NetworkingConfig {
        endpoints_config: Some(HashMap::from([(request.network.clone(), endpoint)])),
    }
}

/// The instance's network on `subnet`, made from the state in `state`.
pub(crate) fn network(
    instance: &InstanceName,
    subnet: Ipv4Net,
    state: Option<&Path>,
) -> NetworkCreateRequest {
    let owner = (labels::INSTANCE.to_owned(), instance.to_string());
    let state = state.map(|state| (labels::STATE_DIR.to_owned(), state.display().to_string()));
    let pool = IpamConfig {
        subnet: Some(subnet.to_string()),
        gateway: subnet.hosts().next().map(|address| address.to_string()),
        ip_range: Some(identity::engine_range(subnet).to_string()),
        auxiliary_addresses: None,
    };
    NetworkCreateRequest {
        name: identity::network_name(instance),
        driver: Some("bridge".to_owned()),
        ipam: Some(Ipam { config: Some(vec![pool]), ..Ipam::default() }),
        labels: Some(std::iter::once(owner).chain(state).collect()),
        ..NetworkCreateRequest::default()
    }
}

/// A filter on the instance's label, with `others` beside it.
pub(crate) fn filters(
    instance: &InstanceName,
    others: &[(&str, &str)],
) -> HashMap<String, Vec<String>> {
    let label = ("label".to_owned(), vec![format!("{}={instance}", labels::INSTANCE)]);
    let others = others.iter().map(|(key, value)| ((*key).to_owned(), vec![(*value).to_owned()]));
    std::iter::once(label).chain(others).collect()
}

/// An id or name as a part of the request's path. One that no engine would give out names nothing.
pub(crate) fn path_part(id: &ContainerId) -> Result<&str, RuntimeError> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let first = id.0.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    if first && id.0.chars().all(legal) {
        return Ok(&id.0);
    }
    Err(RuntimeError::NotFound { kind: "container", name: id.0.escape_debug().to_string() })
}

/// The request with every folder of the host in its resolved form; refused where that is a folder
/// of the system or `own`, or cannot be told. A folder that does not exist is left to the engine,
/// which refuses it.
pub(crate) async fn resolve_mounts(
    request: &ContainerRequest,
    own: Option<&Path>,
) -> Result<ContainerRequest, RuntimeError> {
    let own = match own {
        Some(own) => Some(tokio::fs::canonicalize(own).await.unwrap_or_else(|_| own.to_owned())),
        None => None,
    };
    let mut resolved = request.clone();
    for volume in &mut resolved.volumes {
        let VolumeSource::Bind(path) = &mut volume.source else { continue };
        let refuse = |why: String| RuntimeError::Rejected {
            operation: format!("create container `{}`", request.name),
            message: format!("`{path}` cannot be mounted: {why}"),
        };
        let real = match tokio::fs::canonicalize(path.as_str()).await {
            Ok(real) => real,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(refuse(format!("it cannot be looked at: {error}"))),
        };
        if let Some(own) = own.as_deref()
            && (own.starts_with(&real) || real.starts_with(own))
        {
            let own = own.display();
            return Err(refuse(format!("it holds or lies in `{own}`, the state of Dubernetes")));
        }
        let real = real.to_str().ok_or_else(|| refuse("its path is not UTF-8".to_owned()))?;
        if let Some(folder) = find_system_folder(real) {
            let mut why = format!("it holds or lies in `{folder}`, which belongs to the system");
            if real != path {
                // Writing into a string cannot fail.
                let _ = write!(why, ", since it leads to `{real}`");
            }
            return Err(refuse(why));
        }
        *path = real.to_owned();
    }
    Ok(resolved)
}

fn given(words: &[String]) -> Option<Vec<String>> {
    (!words.is_empty()).then(|| words.to_vec())
}

fn tcp(port: u16) -> String {
    format!("{port}/tcp")
}

fn clamp(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
