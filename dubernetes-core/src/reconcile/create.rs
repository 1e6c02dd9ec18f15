//! The container of a replica, from its specification and identity.

use std::net::Ipv4Addr;

use crate::app::{AppSpec, ConfigFile, FileTarget, InstanceName, Volume, VolumeSource};
use crate::identity;
use crate::labels::ReplicaLabels;
use crate::plan::ReplicaPlan;
use crate::runtime::{ContainerFile, ContainerRequest, ImageId};

/// Who a new replica is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Identity<'a> {
    pub(super) ordinal: u32,
    pub(super) revision: u64,
    pub(super) restarts: u32,
    pub(super) streak: u32,
    pub(super) address: Ipv4Addr,
    /// How the container ended whose place it takes.
    pub(super) last_end: Option<&'a str>,
}

/// The whole request for one replica of `spec`.
pub(super) fn replica(
    instance: &InstanceName,
    network: &str,
    spec: &AppSpec,
    image: &ImageId,
    who: Identity<'_>,
) -> ReplicaPlan {
    let Identity { ordinal, revision, restarts, streak, address, last_end } = who;
    let pod = identity::pod_name(&spec.name, ordinal);
    let labels = ReplicaLabels {
        app: spec.name.clone(),
        revision,
        ordinal,
        spec_hash: identity::spec_hash(spec),
        address,
        port: spec.port,
        restarts,
        streak,
        last_end: last_end.map(str::to_owned),
    };
    let mut all_labels = spec.labels.clone();
    all_labels.extend(labels.to_map(instance));
    let mut env = identity::own_env(&spec.name, ordinal, revision);
    let environment = spec.environment();
    env.retain(|name, _| !environment.secret.contains_key(name));
    env.extend(environment.plain);
    let request = ContainerRequest {
        name: identity::container_name(instance, &spec.name, ordinal, revision, restarts),
        hostname: hostname(&pod),
        image: image.to_string(),
        labels: all_labels,
        command: spec.command.clone(),
        args: spec.args.clone(),
        env,
        secret_env: environment.secret,
        files: spec.files.iter().filter_map(file).collect(),
        network: network.to_owned(),
        address,
        resources: spec.resources.clone(),
        volumes: spec.volumes.iter().map(|volume| full_name(instance, spec, volume)).collect(),
        ports: Vec::new(),
        stop_signal: spec.stop.signal,
    };
    ReplicaPlan { pod, labels, request }
}

/// A host name has at most 63 characters: of a longer pod name the end counts, with the ordinal.
fn hostname(pod: &str) -> String {
    let start = pod.len().saturating_sub(63);
    pod[start..].trim_start_matches('-').to_owned()
}

fn file((target, file): (&FileTarget, &ConfigFile)) -> Option<ContainerFile> {
    let content = file.source.known()?.clone();
    Some(ContainerFile { target: target.clone(), content, mode: file.mode })
}

fn full_name(instance: &InstanceName, spec: &AppSpec, volume: &Volume) -> Volume {
    let mut volume = volume.clone();
    if let VolumeSource::Named(name) = &volume.source {
        volume.source = VolumeSource::Named(identity::volume_name(instance, &spec.name, name));
    }
    volume
}
