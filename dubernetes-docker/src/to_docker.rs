//! Conversion of the core's requests into the engine's. Pure, except [`resolve_mounts`].

use std::collections::{BTreeMap, HashMap};
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::Path;

use bollard::models::{
    ContainerCreateBody, DeviceMapping, EndpointIpamConfig, EndpointSettings, HostConfig,
    HostConfigLogConfig, Ipam, IpamConfig, Mount, MountType, NetworkCreateRequest,
    NetworkingConfig, PortBinding, PortMap, ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum,
    VolumeCreateRequest,
};
use dubernetes_core::app::{
    ContainerOptions, InstanceName, KernelCapability, Secret, Volume, VolumeSource,
    find_system_folder,
};
use dubernetes_core::identity;
use dubernetes_core::labels;
use dubernetes_core::runtime::{
    ContainerId, ContainerRequest, NetworkAddress, Owner, PublishedPort, RuntimeError,
};
use ipnet::Ipv4Net;

/// The option of an endpoint with parameters of the kernel for its interface.
const ENDPOINT_SYSCTLS: &str = "com.docker.network.endpoint.sysctls";
/// Log rotation: three files of 10 MB per container, so that logs cannot fill the disk.
const LOG_LIMITS: [(&str, &str); 2] = [("max-size", "10m"), ("max-file", "3")];

/// Builds the request for a container, without its name and its files. Names of apps come from
/// `hosts_file`, or without one from the request alone.
pub(crate) fn build_container(
    request: &ContainerRequest,
    hosts_file: Option<&Path>,
) -> ContainerCreateBody {
    ContainerCreateBody {
        hostname: Some(request.hostname.clone()),
        image: Some(request.image.clone()),
        labels: Some(build_labels(request)),
        entrypoint: non_empty(&request.command),
        cmd: non_empty(&request.args),
        env: Some(build_environment(request)),
        stop_signal: request.stop_signal.map(|signal| signal.as_str().to_owned()),
        user: request.options.user.as_ref().map(ToString::to_string),
        working_dir: request.options.working_dir.as_ref().map(ToString::to_string),
        // With bindings alone the engine publishes nothing and reports success.
        exposed_ports: Some(request.ports.iter().map(container_port).collect()),
        open_stdin: Some(request.stdio.stdin),
        stdin_once: Some(request.stdio.stdin),
        tty: Some(request.stdio.tty.is_some()),
        host_config: Some(build_host_config(request, hosts_file)),
        networking_config: request.network.as_ref().map(build_networking),
        ..ContainerCreateBody::default()
    }
}

/// Returns true if a parameter of the kernel is one of the interface on the network.
pub(crate) fn is_of_interface(sysctl: &str) -> bool {
    sysctl.contains(".IFNAME.")
}

/// Moves parameters of the interface to where an engine of this version expects them: since 1.46
/// options of the endpoint, and before parameters of `eth0`, which is the only interface.
pub(crate) fn place_interface_sysctls(body: &mut ContainerCreateBody, has_endpoint_options: bool) {
    let Some(sysctls) = body.host_config.as_mut().and_then(|host| host.sysctls.as_mut()) else {
        return;
    };
    let own: BTreeMap<_, _> = sysctls.extract_if(|name, _| is_of_interface(name)).collect();
    if !has_endpoint_options {
        sysctls.extend(own.into_iter().map(|(k, v)| (k.replace("IFNAME", "eth0"), v)));
        return;
    }
    let list: Vec<_> = own.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    let endpoints = body.networking_config.as_mut().and_then(|at| at.endpoints_config.as_mut());
    for endpoint in endpoints.into_iter().flat_map(HashMap::values_mut) {
        endpoint.driver_opts = Some(HashMap::from([(ENDPOINT_SYSCTLS.to_owned(), list.join(","))]));
    }
}

/// The port is kept as a label, from which the endpoint is read back.
fn build_labels(request: &ContainerRequest) -> HashMap<String, String> {
    let port = (labels::PORT.to_owned(), request.port.to_string());
    std::iter::once(port).chain(request.labels.clone()).collect()
}

fn build_environment(request: &ContainerRequest) -> Vec<String> {
    let plain = request.env.iter().map(|(name, value)| format!("{name}={value}"));
    // The controller has checked that the values are UTF-8.
    let text = |secret: &Secret| String::from_utf8_lossy(secret.reveal()).into_owned();
    let secret = request.secret_env.iter().map(|(name, value)| format!("{name}={}", text(value)));
    plain.chain(secret).collect()
}

fn build_host_config(request: &ContainerRequest, hosts_file: Option<&Path>) -> HostConfig {
    let memory = request.resources.memory.map(|memory| clamp_to_i64(memory.bytes()));
    let cpu = request.resources.cpu.map(|cpu| i64::from(cpu.millis()) * 1_000_000);
    let log_limits = LOG_LIMITS.map(|(key, value)| (key.to_owned(), value.to_owned()));
    HostConfig {
        network_mode: request.network.as_ref().map(|at| at.network.clone()),
        // The controller restarts replicas. The engine would do so without updating the routes.
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        log_config: Some(HostConfigLogConfig {
            typ: Some("json-file".to_owned()),
            config: Some(HashMap::from(log_limits)),
        }),
        memory,
        // By default the engine adds as much swap again, which would double the limit.
        memory_swap: memory,
        nano_cpus: cpu,
        mounts: Some(
            request
                .volumes
                .iter()
                .filter(|volume| volume.relabel.is_none())
                .map(build_mount)
                .collect(),
        ),
        // Only the older form of a mount can set a label of SELinux.
        binds: Some(
            request
                .volumes
                .iter()
                .filter(|volume| volume.relabel.is_some())
                .map(ToString::to_string)
                .chain(hosts_file.map(|file| format!("{}:/etc/hosts:ro,z", file.display())))
                .collect(),
        ),
        port_bindings: Some(build_port_bindings(request)),
        sysctls: Some(request.sysctls.clone().into_iter().collect()),
        console_size: request.stdio.tty.map(|size| vec![size.rows.into(), size.columns.into()]),
        extra_hosts: Some(if hosts_file.is_some() { Vec::new() } else { extra_hosts(request) }),
        cap_add: add_capabilities(request),
        ..build_options(&request.options)
    }
}

/// Returns the lines for the engine's own hosts file.
fn extra_hosts(request: &ContainerRequest) -> Vec<String> {
    let names = request.names.iter().flatten();
    let names = names.map(|(name, address)| format!("{name}:{address}"));
    request.options.extra_hosts.iter().map(ToString::to_string).chain(names).collect()
}

fn add_capabilities(request: &ContainerRequest) -> Option<Vec<String>> {
    // Only in the container's own network.
    let own = request.more_addresses.map(|_| "NET_ADMIN".to_owned());
    let all: Vec<_> = request.options.cap_add.iter().map(ToString::to_string).chain(own).collect();
    (!all.is_empty()).then_some(all)
}

fn build_options(options: &ContainerOptions) -> HostConfig {
    let names = |capabilities: &[KernelCapability]| {
        (!capabilities.is_empty()).then(|| capabilities.iter().map(ToString::to_string).collect())
    };
    let tmpfs = options.tmpfs.iter();
    let tmpfs = tmpfs.map(|tmpfs| (tmpfs.target().to_owned(), tmpfs.options().to_owned()));
    let ulimits = options.ulimits.iter().map(|(name, limit)| ResourcesUlimits {
        name: Some(name.to_string()),
        soft: Some(limit.soft),
        hard: Some(limit.hard),
    });
    let devices = options.devices.iter().map(|device| {
        let [host, container, permissions] = device.parts().map(|part| Some(part.to_owned()));
        DeviceMapping {
            path_on_host: host,
            path_in_container: container,
            cgroup_permissions: permissions,
        }
    });
    let no_new_privileges = options.no_new_privileges.then(|| "no-new-privileges".to_owned());
    HostConfig {
        // An init process reaps orphans, and signals work on programs without a handler.
        init: Some(options.init),
        security_opt: Some(no_new_privileges.into_iter().collect()),
        readonly_rootfs: Some(options.read_only),
        shm_size: options.shm_size.map(|size| clamp_to_i64(size.bytes())),
        tmpfs: Some(tmpfs.collect()),
        ulimits: Some(ulimits.collect()),
        cap_drop: names(&options.cap_drop),
        devices: Some(devices.collect()),
        ..HostConfig::default()
    }
}

/// Returns a volume with the label of its instance.
pub(crate) fn build_volume(request: &ContainerRequest, name: &str) -> VolumeCreateRequest {
    let owner = request.labels.get(labels::INSTANCE).cloned().unwrap_or_default();
    let labels = HashMap::from([(labels::INSTANCE.to_owned(), owner)]);
    VolumeCreateRequest {
        name: Some(name.to_owned()),
        labels: Some(labels),
        ..VolumeCreateRequest::default()
    }
}

fn build_mount(volume: &Volume) -> Mount {
    let (typ, source) = match &volume.source {
        VolumeSource::Named(name) | VolumeSource::Shared(name) | VolumeSource::External(name) => {
            (MountType::VOLUME, name)
        }
        VolumeSource::Bind(path) => (MountType::BIND, path),
    };
    Mount {
        typ: Some(typ),
        source: Some(source.clone()),
        target: Some(volume.target.clone()),
        read_only: Some(volume.read_only),
        ..Mount::default()
    }
}

fn build_port_bindings(request: &ContainerRequest) -> PortMap {
    let mut bindings = PortMap::new();
    for port in &request.ports {
        let binding = PortBinding {
            host_ip: Some(port.host_ip.to_string()),
            host_port: Some(port.host_port.to_string()),
        };
        bindings.entry(container_port(port)).or_default().get_or_insert_default().push(binding);
    }
    bindings
}

fn build_networking(at: &NetworkAddress) -> NetworkingConfig {
    let planned = |address: IpAddr| {
        let text = Some(address.to_string());
        let (ipv4_address, ipv6_address) =
            if address.is_ipv4() { (text, None) } else { (None, text) };
        EndpointIpamConfig { ipv4_address, ipv6_address, ..EndpointIpamConfig::default() }
    };
    let ipam_config = at.address.map(planned);
    let endpoint = EndpointSettings { ipam_config, ..EndpointSettings::default() };
    NetworkingConfig { endpoints_config: Some(HashMap::from([(at.network.clone(), endpoint)])) }
}

/// Builds the request for the instance's network, labelled with the owner of the instance.
pub(crate) fn build_network(
    instance: &InstanceName,
    subnet: Ipv4Net,
    owner: Option<&Owner>,
) -> NetworkCreateRequest {
    let instance_label = (labels::INSTANCE.to_owned(), instance.to_string());
    let owner_labels = owner.into_iter().flat_map(|owner| {
        [(labels::STATE_ID, &owner.id), (labels::STATE_DIR, &owner.folder)]
            .map(|(label, value)| (label.to_owned(), value.clone()))
    });
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
        labels: Some(std::iter::once(instance_label).chain(owner_labels).collect()),
        ..NetworkCreateRequest::default()
    }
}

/// Builds a filter on the instance's label and on `others`.
pub(crate) fn build_filters(
    instance: &InstanceName,
    others: &[(&str, &str)],
) -> HashMap<String, Vec<String>> {
    let label = ("label".to_owned(), vec![format!("{}={instance}", labels::INSTANCE)]);
    let others = others.iter().map(|(key, value)| ((*key).to_owned(), vec![(*value).to_owned()]));
    std::iter::once(label).chain(others).collect()
}

/// Returns the id or name as a segment of a request path. An id that no engine would assign is
/// [`RuntimeError::NotFound`].
pub(crate) fn path_segment(id: &ContainerId) -> Result<&str, RuntimeError> {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let is_legal_start = id.0.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    if is_legal_start && id.0.chars().all(is_legal) {
        return Ok(&id.0);
    }
    Err(RuntimeError::NotFound { kind: "container", name: id.0.escape_debug().to_string() })
}

/// Returns the request with the canonical path of each mounted host directory.
///
/// Rejects directories that overlap `state_dir`, paths that cannot be resolved, and unless
/// `allow_system` system directories. A directory that does not exist is left to the engine, which
/// rejects it, except with a label: then the engine would create it.
pub(crate) async fn resolve_mounts(
    request: &ContainerRequest,
    state_dir: Option<&Path>,
    allow_system: bool,
) -> Result<ContainerRequest, RuntimeError> {
    let state_dir = match state_dir {
        Some(folder) => {
            Some(tokio::fs::canonicalize(folder).await.unwrap_or_else(|_| folder.to_owned()))
        }
        None => None,
    };
    let mut resolved = request.clone();
    for volume in &mut resolved.volumes {
        let VolumeSource::Bind(path) = &mut volume.source else { continue };
        let reject = |reason: String| RuntimeError::Rejected {
            operation: format!("create container `{}`", request.name),
            message: format!("`{path}` cannot be mounted: {reason}"),
        };
        let real = match tokio::fs::canonicalize(path.as_str()).await {
            Ok(real) => real,
            Err(error) if error.kind() == ErrorKind::NotFound && volume.relabel.is_none() => {
                continue;
            }
            Err(error) => return Err(reject(format!("its path cannot be resolved: {error}"))),
        };
        if let Some(folder) = state_dir.as_deref()
            && (real.starts_with(folder)
                // A monitor may look at the whole host.
                || (folder.starts_with(&real) && !(allow_system && volume.read_only)))
        {
            let folder = folder.display();
            return Err(reject(format!("it overlaps `{folder}`, the state of Dubernetes")));
        }
        let real = real.to_str().ok_or_else(|| reject("its path is not UTF-8".to_owned()))?;
        if !allow_system && let Some(folder) = find_system_folder(real) {
            let link = if real == path { String::new() } else { format!("links to `{real}` and ") };
            let reason = format!("it {link}overlaps the system directory `{folder}`");
            return Err(reject(format!("{reason}; `serve --allow host-paths` allows it")));
        }
        *path = real.to_owned();
    }
    Ok(resolved)
}

fn non_empty(words: &[String]) -> Option<Vec<String>> {
    (!words.is_empty()).then(|| words.to_vec())
}

fn container_port(port: &PublishedPort) -> String {
    format!("{}/{}", port.container_port, port.transport)
}

fn clamp_to_i64(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
