//! Creates the containers of replicas, pre-deploy hooks, and one-off commands.

use std::collections::{BTreeMap, BTreeSet};

use smol_str::SmolStr;

use crate::app::{
    AppName, AppSpec, ConfigFile, FileTarget, InstanceName, PodName, PortMapping, RevisionId,
    Volume, VolumeSource,
};
use crate::identity;
use crate::labels::{OneOffLabels, PreDeployLabels, ReplicaLabels};
use crate::plan::{Action, Block, OneOffPlan, Planned, PreDeployPlan, Reason, ReplicaPlan, Wait};
use crate::runtime::{ContainerFile, ContainerRequest, ImageId, NetworkAddress, PublishedPort};
use crate::state::OneOff;
use crate::store::{Revision, StoredApp};

use super::addresses::{AddressPool, Obstacle};
use super::backoff;
use super::context::{Context, Observed, Slot};
use super::exit;
use super::image;
use super::replica::Replica;
use super::step::Step;

/// What the replicas of one revision are created from.
#[derive(Debug, Clone)]
pub(super) struct Template<'a> {
    pub(super) revision: RevisionId,
    pub(super) spec: &'a AppSpec,
    /// The image, if it is resolved and still on the engine.
    pub(super) image: Option<&'a ImageId>,
    pub(super) hash: SmolStr,
}

impl<'a> Template<'a> {
    pub(super) fn wanted(stored: &'a StoredApp, observed: &Observed<'_>) -> Self {
        Self {
            revision: stored.revision,
            spec: &stored.spec,
            image: image::available(stored, observed),
            hash: stored.content_hash(),
        }
    }

    pub(super) fn kept(revision: &'a Revision) -> Self {
        Self {
            revision: revision.revision,
            spec: &revision.spec,
            image: revision.image_id.as_ref(),
            hash: revision.content_hash(),
        }
    }
}

/// The replica that a container is created for.
pub(super) struct NewReplica<'a> {
    pub(super) slot: Slot,
    pub(super) restarts: u32,
    pub(super) consecutive_restarts: u32,
    /// Ports of the host that its container publishes itself.
    pub(super) published: BTreeSet<PortMapping>,
    /// The failed replica that it restarts.
    pub(super) restarts_from: Option<&'a Replica<'a>>,
}

/// Creates a replica, once the image is resolved.
///
/// # Errors
///
/// What every other replica of the app lacks as well: the network, or a free address.
pub(super) fn replica(
    context: &Context<'_>,
    template: &Template<'_>,
    image: &ImageId,
    new: &NewReplica<'_>,
    reason: Reason,
    addresses: &mut AddressPool<'_>,
) -> Result<Step, Obstacle> {
    let app = &template.spec.name;
    let network = addresses.lease(app, new.slot.ordinal)?;
    let labels = ReplicaLabels {
        app: app.clone(),
        revision: new.slot.revision,
        ordinal: new.slot.ordinal,
        spec_hash: template.hash.clone(),
        image: Some(image.clone()),
        address: network.as_ref().and_then(|network| network.address),
        port: template.spec.port(),
        published: new.published.clone(),
        restarts: new.restarts,
        consecutive_restarts: new.consecutive_restarts,
        last_end: new.restarts_from.map(exit::cause_label),
    };
    let replica = replica_plan(context, network, template.spec, image, labels);
    let pod = PodName::replica(app, new.slot.ordinal);
    let action = Action::Create(Box::new(replica));
    let planned = Planned::for_pod(app, new.slot.revision, pod, action, reason);
    Ok(backoff::attempt(context, app, planned))
}

/// Creates the container of the pre-deploy hook of the wanted revision.
///
/// # Errors
///
/// What it lacks: the network, or a free address.
pub(super) fn pre_deploy(
    context: &Context<'_>,
    stored: &StoredApp,
    image: &ImageId,
    addresses: &mut AddressPool<'_>,
) -> Result<Step, Obstacle> {
    let app = &stored.spec.name;
    let network = addresses.lease(app, 0)?;
    let revision = stored.revision;
    let attempts = stored.rollout.attempts;
    let address = network.as_ref().and_then(|network| network.address);
    let labels = PreDeployLabels { app: app.clone(), revision, attempts, address };
    let hook = pre_deploy_plan(context, network, &stored.spec, image, labels);
    let pod = PodName::pre_deploy(app);
    let action = Action::CreatePreDeploy(Box::new(hook));
    let planned = Planned::for_pod(app, revision, pod, action, Reason::BeforeRevision { revision });
    Ok(backoff::attempt(context, app, planned))
}

/// Creates a one-off container of the wanted revision.
///
/// # Errors
///
/// What it lacks: the network, or a free address.
pub(super) fn one_off(
    context: &Context<'_>,
    stored: &StoredApp,
    image: &ImageId,
    one_off: &OneOff,
    addresses: &mut AddressPool<'_>,
) -> Result<Step, Obstacle> {
    let app = &stored.spec.name;
    let revision = stored.revision;
    let network = addresses.lease(app, 0)?;
    let address = network.as_ref().and_then(|network| network.address);
    let labels = OneOffLabels { app: app.clone(), revision, id: one_off.id.clone(), address };
    let plan = one_off_plan(context, network, &stored.spec, image, one_off, labels);
    let action = Action::CreateOneOff(Box::new(plan));
    let planned = Planned::for_pod(app, revision, one_off.pod(), action, Reason::OneOffRequested);
    Ok(backoff::attempt(context, app, planned))
}

impl Obstacle {
    /// Returns the step past the obstacle, or the block that it is.
    pub(super) fn step(self, context: &Context<'_>, app: &AppName) -> Step {
        let is_requested = match self {
            Self::Exhausted { capacity } => {
                return Step::block(Some(app), Block::NoAddress { capacity });
            }
            Self::NoNetwork { is_requested } => is_requested,
        };
        let planned = Planned::for_instance(Action::EnsureNetwork, Reason::NoNetwork);
        match backoff::attempt(context, app, planned) {
            // The first app that needs the network creates it, the others wait.
            Step::Act(_) if is_requested => Step::wait(app, None, Wait::InProgress, None),
            step @ Step::Act(_) | step @ Step::Wait(_) | step @ Step::Block(_) => step,
        }
    }
}

fn replica_plan(
    context: &Context<'_>,
    network: Option<NetworkAddress>,
    spec: &AppSpec,
    image: &ImageId,
    labels: ReplicaLabels,
) -> ReplicaPlan {
    let instance = &context.desired.instance;
    let ReplicaLabels { ordinal, revision, restarts, .. } = labels;
    let pod = PodName::replica(&spec.name, ordinal);
    let mut all_labels = spec.labels.clone();
    all_labels.extend(labels.to_map(instance));
    let env = identity::injected_env(&spec.name, &pod, revision);
    let request = ContainerRequest {
        name: identity::container_name(instance, &spec.name, ordinal, revision, restarts),
        hostname: hostname(&pod),
        labels: all_labels,
        env: with_spec_env(env, spec),
        ports: labels.published.iter().copied().map(PublishedPort::from).collect(),
        ..request(context, network, spec, image)
    };
    ReplicaPlan { labels, request }
}

/// The hook has the app's image, environment, limits and volumes, and its own command.
fn pre_deploy_plan(
    context: &Context<'_>,
    network: Option<NetworkAddress>,
    spec: &AppSpec,
    image: &ImageId,
    labels: PreDeployLabels,
) -> PreDeployPlan {
    let pod = PodName::pre_deploy(&spec.name);
    let instance = &context.desired.instance;
    let PreDeployLabels { revision, attempts, .. } = labels;
    let mut all_labels = spec.labels.clone();
    all_labels.extend(labels.to_map(instance));
    let env = identity::injected_env(&spec.name, &pod, revision);
    let request = ContainerRequest {
        name: identity::pre_deploy_name(instance, &spec.name, revision, attempts),
        hostname: hostname(&pod),
        labels: all_labels,
        env: with_spec_env(env, spec),
        command: spec.pre_deploy.as_ref().map(|hook| hook.command.clone()).unwrap_or_default(),
        args: Vec::new(),
        ..request(context, network, spec, image)
    };
    PreDeployPlan { labels, request }
}

/// A one-off container has the app's image, environment, limits, files and volumes. Its command
/// replaces that of the app and of the image.
fn one_off_plan(
    context: &Context<'_>,
    network: Option<NetworkAddress>,
    spec: &AppSpec,
    image: &ImageId,
    one_off: &OneOff,
    labels: OneOffLabels,
) -> OneOffPlan {
    let pod = one_off.pod();
    let instance = &context.desired.instance;
    let mut all_labels = spec.labels.clone();
    all_labels.extend(labels.to_map(instance));
    let env = identity::injected_env(&spec.name, &pod, labels.revision);
    let has_own = one_off.command.is_empty();
    let request = ContainerRequest {
        name: identity::one_off_name(instance, &spec.name, &one_off.id),
        hostname: hostname(&pod),
        labels: all_labels,
        env: with_spec_env(env, spec),
        command: if has_own { spec.command.clone() } else { one_off.command.clone() },
        args: if has_own { spec.args.clone() } else { Vec::new() },
        stdio: one_off.stdio,
        ..request(context, network, spec, image)
    };
    OneOffPlan { labels, request }
}

/// What all containers of an app have in common.
fn request(
    context: &Context<'_>,
    network: Option<NetworkAddress>,
    spec: &AppSpec,
    image: &ImageId,
) -> ContainerRequest {
    let instance = &context.desired.instance;
    let environment = spec.environment();
    ContainerRequest {
        command: spec.command.clone(),
        args: spec.args.clone(),
        secret_env: environment.secret,
        files: spec.files.iter().filter_map(file).collect(),
        port: spec.port(),
        network,
        names: Some(context.names.clone()),
        resources: spec.resources.clone(),
        volumes: spec.volumes.iter().map(|volume| full_name(instance, spec, volume)).collect(),
        stop_signal: spec.stop.signal,
        options: spec.options.clone(),
        ..ContainerRequest::new("", image.to_string())
    }
}

/// Adds the variables of the specification. They win over injected ones, secret ones too.
fn with_spec_env(mut env: BTreeMap<String, String>, spec: &AppSpec) -> BTreeMap<String, String> {
    let environment = spec.environment();
    env.retain(|name, _| !environment.secret.contains_key(name));
    env.extend(environment.plain);
    env
}

/// A host name has at most 63 characters: a longer pod name keeps its end, with the ordinal.
fn hostname(pod: &PodName) -> String {
    let pod = pod.as_str();
    let start = pod.len().saturating_sub(63);
    pod[start..].trim_start_matches('-').to_owned()
}

fn file((target, file): (&FileTarget, &ConfigFile)) -> Option<ContainerFile> {
    let content = file.source.known_content()?.clone();
    Some(ContainerFile { target: target.clone(), content, mode: file.mode, owner: file.owner })
}

fn full_name(instance: &InstanceName, spec: &AppSpec, volume: &Volume) -> Volume {
    let mut volume = volume.clone();
    let name = match &volume.source {
        VolumeSource::Named(name) => identity::volume_name(instance, &spec.name, name),
        VolumeSource::Shared(name) => identity::shared_volume_name(instance, name),
        VolumeSource::External(_) | VolumeSource::Bind(_) => return volume,
    };
    volume.source = VolumeSource::Named(name);
    volume
}
