//! The app specification: everything a user can ask for, as typed and checked values.
//!
//! The types check their grammar when they are parsed, and [`AppSpec::problems`] checks the rules
//! over several fields. [`AppSpec::validate`] checks both, and returns the [`ValidSpec`] that a
//! store accepts. The crate `dubernetes_manifest` reads specifications from YAML and JSON.

#![warn(clippy::wildcard_enum_match_arm)]

mod access;
mod artifact;
mod config_file;
mod container;
pub mod content;
pub mod env;
pub mod escape;
mod hashed_spec;
mod health;
mod host_pattern;
mod image_ref;
mod names;
mod number;
mod permissions;
mod port_mapping;
mod quantity;
mod rollout;
mod route_conflict;
pub mod rules;
mod start_order;
pub(crate) mod text;
mod tls;
mod unsupported;
mod valid_spec;
mod volume;

pub use access::{Access, HostName, RoutePath, RouteProtocol};
pub use artifact::Artifact;
pub use config_file::{ConfigFile, FileMode, FileOwner, FileTarget, MAX_FILES};
pub use container::{
    ContainerOptions, Device, ExtraHost, KernelCapability, Tmpfs, Ulimit, UlimitName, User,
    WorkingDir,
};
pub use content::{
    Content, ContentHash, ContentRef, ContentSource, FilePath, MAX_CONTENT_BYTES,
    MAX_CONTENTS_BYTES, Secret, to_json_with_contents,
};
pub use env::{EnvValue, Environment};
pub use hashed_spec::HashedSpec;
pub use health::{Check, Health, UrlPath};
pub use host_pattern::HostPattern;
pub use image_ref::ImageRef;
pub use names::{AppName, EnvName, InstanceName, OneOffId, PodName, SecretName};
pub use number::{Generation, RevisionId};
pub use permissions::{Permission, Permissions};
pub use port_mapping::{PortMapping, Transport};
pub use quantity::{Cpu, Duration, Memory};
pub use rollout::{CountOrPercent, OnFailure, Order, PreDeploy, Rollout};
pub use route_conflict::{Place, RouteConflict, route_conflict};
pub use rules::{MAX_ENV_BYTES, MAX_ENV_ENTRIES, MAX_ENV_VALUE_BYTES, MAX_REPLICAS, Problem};
pub use start_order::{in_start_order, start_cycle, start_cycle_problem};
pub use text::ParseError;
pub(crate) use tls::pair_hash;
pub use tls::{IssuedTls, ProvidedTls, Tls};
pub use valid_spec::{InvalidSpec, ValidSpec};
pub use volume::{Relabel, Volume, VolumeSource, find_system_folder};

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use text::word_enum;

/// The specification of one app.
///
/// Only `name` and `image`, or `program`, are required. It serializes in the shape of the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppSpec {
    /// The app's name, unique in its instance.
    pub name: AppName,
    /// The image of every replica, or the program that it runs.
    #[serde(flatten)]
    pub artifact: Artifact,
    /// The number of replicas, 0 to [`MAX_REPLICAS`]. Default: 1.
    #[serde(default = "default_replicas")]
    pub replicas: u16,
    /// The hosts and paths that are routed to the app. Default: no route.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        serialize_with = "access::write_list",
        deserialize_with = "access::read_list"
    )]
    pub access: Vec<Access>,
    /// The port on which each replica listens. Default: 80 with `access`, else the first TCP port
    /// of `ports`; without these the app takes no connections. See [`AppSpec::is_reachable`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Ports of the host that lead to ports of the replicas. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortMapping>,
    /// Replaces the image's entry point. Run without a shell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Replaces the image's default arguments. Passed without a shell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Environment variables, each a text or the content of a file or a secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<EnvName, EnvValue>,
    /// Files with lines `KEY=VALUE`. Later files override earlier ones, and `env` overrides all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env_file: Vec<ContentRef>,
    /// Files that are copied into every container before it starts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<FileTarget, ConfigFile>,
    /// Resource limits of each replica.
    #[serde(default, skip_serializing_if = "Resources::is_empty")]
    pub resources: Resources,
    /// Named volumes and host folders.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Volume>,
    /// Labels of the user, set on every container.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// How a replica is stopped.
    #[serde(default, skip_serializing_if = "is_default")]
    pub stop: Stop,
    /// When the image is pulled.
    #[serde(default, skip_serializing_if = "is_default")]
    pub pull: PullPolicy,
    /// The health check. Default: a replica with `access` is ready when its port accepts a
    /// connection, any other after running for 2 s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// How one revision replaces another.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rollout: Rollout,
    /// A command that must succeed once before a new revision replaces anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pre_deploy: Option<PreDeploy>,
    /// Apps that must be ready before this one starts for the first time. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<AppName>,
    /// Options of each replica's container, as keys of their own in the manifest.
    #[serde(flatten)]
    pub options: ContainerOptions,
}

impl AppSpec {
    /// The port of an app with `access` that sets none.
    pub const USUAL_PORT: u16 = 80;

    /// Returns the smallest specification: one replica of `image`, without a route.
    pub fn new(name: AppName, image: ImageRef) -> Self {
        Self::of_artifact(name, image.into())
    }

    /// Returns the smallest specification of an image or a program.
    pub fn of_artifact(name: AppName, artifact: Artifact) -> Self {
        Self {
            name,
            artifact,
            replicas: default_replicas(),
            access: Vec::new(),
            port: None,
            ports: Vec::new(),
            command: Vec::new(),
            args: Vec::new(),
            env: BTreeMap::new(),
            env_file: Vec::new(),
            files: BTreeMap::new(),
            resources: Resources::default(),
            volumes: Vec::new(),
            labels: BTreeMap::new(),
            stop: Stop::default(),
            pull: PullPolicy::default(),
            health: None,
            rollout: Rollout::default(),
            pre_deploy: None,
            after: Vec::new(),
            options: ContainerOptions::default(),
        }
    }

    /// Returns the port on which each replica listens. Only an app that
    /// [`AppSpec::is_reachable`] is expected to listen.
    pub fn port(&self) -> u16 {
        self.own_port().or(self.first_tcp_port()).unwrap_or(Self::USUAL_PORT)
    }

    /// Returns [`AppSpec::port`] where `port` or `access` sets it: a port that follows from `ports`
    /// changes without a new revision.
    pub(crate) fn own_port(&self) -> Option<u16> {
        let usual = (!self.access.is_empty()).then_some(Self::USUAL_PORT);
        self.port.or(usual)
    }

    fn first_tcp_port(&self) -> Option<u16> {
        let tcp = self.ports.iter().find(|mapping| mapping.transport == Transport::Tcp)?;
        Some(tcp.port)
    }

    /// Returns whether the app takes connections: from outside by `access` or `ports`, and from
    /// other apps by its name. Otherwise its replicas only run.
    pub fn is_reachable(&self) -> bool {
        self.own_port().or(self.first_tcp_port()).is_some()
    }

    /// Returns whether other apps reach the app by its name: with connections, or with datagrams.
    pub fn has_name(&self) -> bool {
        self.is_reachable() || !self.ports.is_empty()
    }

    /// Returns the port of each replica to which `access` leads, unless it is the app's own.
    pub fn other_port(&self, access: &Access) -> Option<u16> {
        access.port.filter(|port| *port != self.port())
    }

    /// Returns every host and path that is routed to the app.
    pub fn routes(&self) -> Vec<(HostPattern, &RoutePath)> {
        let routes = self.access.iter().map(|access| (access.patterns(), &access.path));
        routes.flat_map(|(hosts, path)| hosts.into_iter().map(move |host| (host, path))).collect()
    }

    /// Returns everything that no other app may have: routes, and ports of the host.
    pub fn places(&self) -> Vec<Place> {
        let route =
            |(host, path): (HostPattern, &RoutePath)| Place::Route { host, path: path.clone() };
        let routes = self.routes().into_iter().map(route);
        routes.chain(self.ports.iter().copied().map(Place::Port)).collect()
    }

    /// Returns the port of each replica to which the route at a place leads.
    pub fn port_at(&self, host: &HostPattern, path: &RoutePath) -> u16 {
        let has_place = |access: &&Access| access.path == *path && access.patterns().contains(host);
        let access = self.access.iter().find(has_place);
        access.and_then(|access| access.port).unwrap_or(self.port())
    }

    /// Returns the first host of the app, apart from those with a wildcard.
    pub fn first_host(&self) -> Option<&HostName> {
        self.access.iter().flat_map(|access| &access.hosts).find_map(HostPattern::name)
    }

    /// Returns whether the old replica must be gone before the new one may start: if
    /// `rollout.order` requires it, or if it is not set and the only replica writes to a volume.
    /// Two writers could corrupt its data.
    pub fn stops_first(&self) -> bool {
        match self.rollout.order {
            Some(Order::StopFirst) => true,
            Some(Order::StartFirst) => false,
            None => self.replicas == 1 && self.volumes.iter().any(|volume| !volume.read_only),
        }
    }

    /// Returns every broken rule over several fields, or over a whole list. Files that were not
    /// read are no problem here, unlike in [`AppSpec::validate`].
    pub fn problems(&self) -> Vec<Problem> {
        rules::problems(self)
    }

    /// Returns the variables of `env_file` and `env`, as far as the contents are known.
    pub fn environment(&self) -> Environment {
        env::merge(self)
    }

    /// Returns every reference to a file or a secret, with the path of keys that leads to it.
    pub fn content_refs(&self) -> Vec<(Vec<String>, &ContentRef)> {
        let path = |key: &str, inner: String| vec![key.to_owned(), inner];
        let env = self.env.iter();
        let env = env.filter_map(|(name, value)| Some((name.to_string(), value.content_ref()?)));
        let env_file = self.env_file.iter().enumerate();
        let files = self.files.iter();
        let is_list = self.access.len() > 1;
        let tls = self.access.iter().enumerate().flat_map(move |(at, access)| {
            let references = access.tls.iter().flat_map(Tls::content_refs);
            references.map(move |(key, reference)| (tls_path(is_list, at, key), reference))
        });
        env.map(|(name, reference)| (path("env", name), reference))
            .chain(env_file.map(|(at, reference)| (path("env_file", at.to_string()), reference)))
            .chain(files.map(|(target, file)| (path("files", target.to_string()), &file.source)))
            .chain(tls)
            .collect()
    }

    /// Returns every reference as [`AppSpec::content_refs`] does, with the keys joined by dots.
    pub(crate) fn content_refs_mut(&mut self) -> Vec<(String, &mut ContentRef)> {
        let env = self.env.iter_mut().filter_map(|(name, value)| match value {
            EnvValue::From(reference) => Some((format!("env.{name}"), reference)),
            EnvValue::Text(_) => None,
        });
        let env_file = self.env_file.iter_mut().enumerate();
        let env_file = env_file.map(|(at, reference)| (format!("env_file.{at}"), reference));
        let files = self.files.iter_mut();
        let files = files.map(|(target, file)| (format!("files.{target}"), &mut file.source));
        let is_list = self.access.len() > 1;
        let tls = self.access.iter_mut().enumerate().flat_map(move |(at, access)| {
            let references = access.tls.iter_mut().flat_map(Tls::content_refs_mut);
            references
                .map(move |(key, reference)| (tls_path(is_list, at, key).join("."), reference))
        });
        env.chain(env_file).chain(files).chain(tls).collect()
    }

    /// Fills in contents of which only the hash is known from `other`, where it has them.
    pub fn fill_contents_from(&mut self, other: &Self) {
        let known: BTreeMap<ContentHash, Secret> = other
            .content_refs()
            .into_iter()
            .filter_map(|(_, file)| Some((file.hash()?, file.known_content()?.clone())))
            .collect();
        for (_, reference) in self.content_refs_mut() {
            if let Content::Hash(hash) = reference.content
                && let Some(secret) = known.get(&hash)
            {
                reference.content = Content::Known(secret.clone());
            }
        }
    }

    /// Takes all known contents out, by the path of their reference, such as `env.PASSWORD`. What
    /// remains serializes without them and without their hashes. For stores that encrypt contents.
    pub fn take_contents(&mut self) -> BTreeMap<String, Secret> {
        let take = |(path, reference): (String, &mut ContentRef)| {
            let secret = reference.known_content()?.clone();
            reference.content = Content::Unread;
            Some((path, secret))
        };
        self.content_refs_mut().into_iter().filter_map(take).collect()
    }

    /// Puts contents back that [`AppSpec::take_contents`] has taken out.
    pub fn restore_contents(&mut self, contents: &BTreeMap<String, Secret>) {
        for (path, reference) in self.content_refs_mut() {
            if let Some(secret) = contents.get(&path) {
                reference.content = Content::Known(secret.clone());
            }
        }
    }

    /// Returns the paths of files whose content is not known, such as `env.PASSWORD`. Secrets are
    /// not among them: the store knows their contents.
    pub fn missing_contents(&self) -> Vec<String> {
        self.unread_files().map(|(path, _)| path.join(".")).collect()
    }

    fn unread_files(&self) -> impl Iterator<Item = (Vec<String>, &ContentRef)> {
        self.content_refs().into_iter().filter(|(_, reference)| {
            reference.known_content().is_none() && reference.secret_name().is_none()
        })
    }
}

/// Returns the path of keys to a part of a certificate. One entry of `access` is a mapping.
fn tls_path(is_list: bool, at: usize, key: &str) -> Vec<String> {
    let at = is_list.then(|| at.to_string());
    let keys = [Some("access".to_owned()), at, Some("tls".to_owned()), Some(key.to_owned())];
    keys.into_iter().flatten().collect()
}

/// Resource limits of one replica. `None` means no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resources {
    /// CPU time, in cores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Cpu>,
    /// Memory. A replica that exceeds it is killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
}

impl Resources {
    /// Returns whether no limit is set.
    pub fn is_empty(&self) -> bool {
        self.cpu.is_none() && self.memory.is_none()
    }

    /// Describes how these limits differ from `others`, such as `memory limit 64Mi, not 128Mi`;
    /// `None` if they do not. A runtime may round memory to whole pages, of up to 64 KiB.
    pub fn difference(&self, others: &Self) -> Option<String> {
        const PAGE: u64 = 64 << 10;
        let is_same_memory = match (self.memory, others.memory) {
            (Some(own), Some(other)) => own.bytes().abs_diff(other.bytes()) < PAGE,
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        let memory =
            (!is_same_memory).then(|| limit_difference("memory", self.memory, others.memory));
        let cpu = (self.cpu != others.cpu).then(|| limit_difference("CPU", self.cpu, others.cpu));
        match (memory, cpu) {
            (Some(memory), Some(cpu)) => Some(format!("{memory}; {cpu}")),
            (memory, cpu) => memory.or(cpu),
        }
    }
}

fn limit_difference<T: std::fmt::Display>(name: &str, own: Option<T>, other: Option<T>) -> String {
    let own = own.map_or(format!("no {name} limit"), |own| format!("{name} limit {own}"));
    let other = other.map_or("none".to_owned(), |other| other.to_string());
    format!("{own}, not {other}")
}

/// How a replica is stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Stop {
    /// The stop signal. Default: that of the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<Signal>,
    /// Grace period between the stop signal and SIGKILL. Default: 10 s.
    pub grace: Duration,
    /// Time limit for requests in flight before the stop signal. Default: 30 s.
    #[serde(skip_serializing_if = "Stop::is_default_drain")]
    pub drain: Duration,
}

impl Stop {
    /// The default `grace`.
    pub const GRACE: Duration = Duration::from_secs(10);
    /// The default `drain`.
    pub const DRAIN: Duration = Duration::from_secs(30);

    fn is_default_drain(drain: &Duration) -> bool {
        *drain == Self::DRAIN
    }
}

impl Default for Stop {
    fn default() -> Self {
        Self { signal: None, grace: Self::GRACE, drain: Self::DRAIN }
    }
}

word_enum!(
    /// A signal that `stop.signal` can name.
    #[expect(missing_docs, reason = "the variants are the signals' own names")]
    Signal of "stop.signal" {
        SigHup = "SIGHUP",
        SigInt = "SIGINT",
        SigQuit = "SIGQUIT",
        SigKill = "SIGKILL",
        SigTerm = "SIGTERM",
        SigUsr1 = "SIGUSR1",
        SigUsr2 = "SIGUSR2",
        SigWinch = "SIGWINCH",
    }
);

word_enum!(
    /// When the image of a new revision is pulled. It is resolved once per revision: all replicas
    /// of a revision run the same image id.
    #[derive(Default)]
    PullPolicy of "pull" {
        /// Pulls if the image is not on the engine.
        #[default]
        Missing = "missing",
        /// Pulls for each new revision, even if the engine has an image of that name.
        Always = "always",
        /// Never pulls: the image must be on the engine.
        Never = "never",
    }
);

/// Returns whether a field has the default of its type, and so is not written.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn default_replicas() -> u16 {
    1
}
