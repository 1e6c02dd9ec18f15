//! The container of a replica, from its specification and identity.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use crate::app::{AppSpec, ConfigFile, FileTarget, InstanceName, Volume, VolumeSource};
use crate::identity;
use crate::labels::{PreDeployLabels, ReplicaLabels};
use crate::plan::{PreDeployPlan, ReplicaPlan};
use crate::runtime::{ContainerFile, ContainerRequest, ImageId};

/// Who a new replica is.
#[derive(Debug, Clone)]
pub(super) struct Identity<'a> {
    pub(super) ordinal: u32,
    pub(super) revision: u64,
    pub(super) restarts: u32,
    pub(super) consecutive_restarts: u32,
    pub(super) address: Ipv4Addr,
    pub(super) spec_hash: String,
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
    let Identity {
        ordinal,
        revision,
        restarts,
        consecutive_restarts,
        address,
        spec_hash,
        last_end,
    } = who;
    let pod = identity::pod_name(&spec.name, ordinal);
    let labels = ReplicaLabels {
        app: spec.name.clone(),
        revision,
        ordinal,
        spec_hash,
        image: Some(image.clone()),
        address,
        port: spec.port,
        restarts,
        consecutive_restarts,
        last_end: last_end.map(str::to_owned),
    };
    let mut all_labels = spec.labels.clone();
    all_labels.extend(labels.to_map(instance));
    let env = identity::injected_env(&spec.name, ordinal, revision);
    let request = ContainerRequest {
        name: identity::container_name(instance, &spec.name, ordinal, revision, restarts),
        hostname: hostname(&pod),
        labels: all_labels,
        env: with_own(env, spec),
        ..request(instance, network, spec, image, address)
    };
    ReplicaPlan { pod, labels, request }
}

/// The container of the command before a revision: the app's image, environment, limits and
/// volumes, and another command.
pub(super) fn pre_deploy(
    instance: &InstanceName,
    network: &str,
    spec: &AppSpec,
    image: &ImageId,
    labels: PreDeployLabels,
) -> PreDeployPlan {
    let pod = identity::pre_deploy_pod_name(&spec.name);
    let (revision, attempts) = (labels.revision, labels.attempts);
    let mut all_labels = spec.labels.clone();
    all_labels.extend(labels.to_map(instance));
    let mut env = identity::injected_env(&spec.name, 0, revision);
    env.insert("DUBERNETES_REPLICA".to_owned(), pod.clone());
    let request = ContainerRequest {
        name: identity::pre_deploy_name(instance, &spec.name, revision, attempts),
        hostname: hostname(&pod),
        labels: all_labels,
        env: with_own(env, spec),
        command: spec.pre_deploy.as_ref().map(|before| before.command.clone()).unwrap_or_default(),
        args: Vec::new(),
        ..request(instance, network, spec, image, labels.address)
    };
    PreDeployPlan { pod, labels, request }
}

/// What replicas and the command before them have in common.
fn request(
    instance: &InstanceName,
    network: &str,
    spec: &AppSpec,
    image: &ImageId,
    address: Ipv4Addr,
) -> ContainerRequest {
    let environment = spec.environment();
    ContainerRequest {
        name: String::new(),
        hostname: String::new(),
        image: image.to_string(),
        labels: BTreeMap::new(),
        command: spec.command.clone(),
        args: spec.args.clone(),
        env: BTreeMap::new(),
        secret_env: environment.secret,
        files: spec.files.iter().filter_map(file).collect(),
        network: network.to_owned(),
        address,
        resources: spec.resources.clone(),
        volumes: spec.volumes.iter().map(|volume| full_name(instance, spec, volume)).collect(),
        ports: Vec::new(),
        stop_signal: spec.stop.signal,
    }
}

/// The file's own variables win, secret ones too.
fn with_own(mut env: BTreeMap<String, String>, spec: &AppSpec) -> BTreeMap<String, String> {
    let environment = spec.environment();
    env.retain(|name, _| !environment.secret.contains_key(name));
    env.extend(environment.plain);
    env
}

/// A host name has at most 63 characters: of a longer pod name the end counts, with the ordinal.
fn hostname(pod: &str) -> String {
    let start = pod.len().saturating_sub(63);
    pod[start..].trim_start_matches('-').to_owned()
}

fn file((target, file): (&FileTarget, &ConfigFile)) -> Option<ContainerFile> {
    let content = file.source.known_content()?.clone();
    Some(ContainerFile { target: target.clone(), content, mode: file.mode })
}

fn full_name(instance: &InstanceName, spec: &AppSpec, volume: &Volume) -> Volume {
    let mut volume = volume.clone();
    if let VolumeSource::Named(name) = &volume.source {
        volume.source = VolumeSource::Named(identity::volume_name(instance, &spec.name, name));
    }
    volume
}
