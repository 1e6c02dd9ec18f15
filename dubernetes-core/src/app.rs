//! The app specification: what a user may ask for, as typed, validated values.
//!
//! A value of these types is legal by construction: the newtypes check their grammar when they
//! are made, and [`AppSpec::problems`] holds the rules over several fields. Nothing here reads YAML; see
//! [`dubernetes_manifest`].

mod access;
mod config_file;
pub mod content;
pub mod env;
pub mod escape;
mod health;
mod names;
mod quantity;
mod rollout;
mod route_conflict;
pub mod rules;
mod volume;

pub use access::{Access, HostName, RoutePath};
pub use config_file::{ConfigFile, FileMode, FileTarget, MAX_FILES};
pub use content::{
    Content, ContentHash, FilePath, FileRef, MAX_CONTENT_BYTES, MAX_CONTENTS_BYTES, Secret,
    with_contents,
};
pub use env::{EnvValue, Environment};
pub use health::{Check, Health, UrlPath};
pub use names::{AppName, EnvName, ImageRef, InstanceName};
pub use quantity::{Cpu, Duration, Memory};
pub use rollout::{CountOrPercent, OnFailure, Order, PreDeploy, Rollout};
pub use route_conflict::{RouteConflict, route_conflict};
pub use rules::{MAX_ENV_BYTES, MAX_ENV_ENTRIES, MAX_ENV_VALUE_BYTES, MAX_REPLICAS, Problem};
pub use volume::{Volume, VolumeSource, system_folder};

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Everything a user says about one app.
///
/// Only `name` and `image` are required. Serialized, it is the file's own shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppSpec {
    /// The app's name, unique in its instance.
    pub name: AppName,
    /// The image that every replica runs.
    pub image: ImageRef,
    /// How many replicas to keep running: 0 to [`MAX_REPLICAS`], 1 unless given.
    #[serde(default = "default_replicas")]
    pub replicas: u16,
    /// How requests reach the app. Without it, nothing is routed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
    /// The port on which each replica listens, 80 unless given.
    #[serde(default = "default_port", skip_serializing_if = "is_default_port")]
    pub port: u16,
    /// Replaces the image's entry point. Never passed through a shell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Replaces the image's default arguments. Never passed through a shell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Environment variables: as they are written, or out of a file.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<EnvName, EnvValue>,
    /// Files with more of them, one `KEY=VALUE` a line. Later ones win, and `env` over all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env_file: Vec<FileRef>,
    /// Files that are put into every container before it starts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<FileTarget, ConfigFile>,
    /// Limits on what one replica may use.
    #[serde(default, skip_serializing_if = "Resources::is_empty")]
    pub resources: Resources,
    /// Named volumes and folders of the host.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Volume>,
    /// Labels for the user's own use, set on every container.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// How a replica is stopped.
    #[serde(default, skip_serializing_if = "Stop::is_default")]
    pub stop: Stop,
    /// When the image is pulled.
    #[serde(default, skip_serializing_if = "PullPolicy::is_default")]
    pub pull: PullPolicy,
    /// How a replica is asked whether it takes requests. Without it one with `access` is ready
    /// when its port takes a connection, another one when its process has run for 2 s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// How one revision takes the place of another.
    #[serde(default, skip_serializing_if = "Rollout::is_default")]
    pub rollout: Rollout,
    /// A command that has to succeed once, before a new revision replaces anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pre_deploy: Option<PreDeploy>,
}

impl AppSpec {
    /// The smallest specification: one replica of `image`, not routed.
    pub fn new(name: AppName, image: ImageRef) -> Self {
        Self {
            name,
            image,
            replicas: default_replicas(),
            access: None,
            port: default_port(),
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
        }
    }

    /// Whether the old replica must be gone before the new one may start: where the file says so,
    /// and else where a lone replica writes to a volume. Two writers could spoil what is on it.
    pub fn stops_first(&self) -> bool {
        let writes = |source: &VolumeSource| match source {
            VolumeSource::Named(_) | VolumeSource::Bind(_) => true,
        };
        match self.rollout.order {
            Some(Order::StopFirst) => true,
            Some(Order::StartFirst) => false,
            None => {
                self.replicas == 1 && self.volumes.iter().any(|v| !v.read_only && writes(&v.source))
            }
        }
    }

    /// Every rule over several fields, or over a whole list, that this specification breaks.
    pub fn problems(&self) -> Vec<Problem> {
        rules::problems(self)
    }

    /// The environment that `env_file` and `env` give a replica, as far as contents are known.
    pub fn environment(&self) -> Environment {
        env::environment(self)
    }

    /// Every file that it refers to, with the keys that lead there.
    pub fn references(&self) -> Vec<(Vec<String>, &FileRef)> {
        let key = |key: &str, inner: String| vec![key.to_owned(), inner];
        let env = self.env.iter().filter_map(|(name, value)| match value {
            EnvValue::File(reference) => Some((key("env", name.to_string()), reference)),
            EnvValue::Text(_) => None,
        });
        let env_file = self.env_file.iter().enumerate();
        let env_file = env_file.map(|(at, reference)| (key("env_file", at.to_string()), reference));
        let files = self.files.iter();
        let files = files.map(|(target, file)| (key("files", target.to_string()), &file.source));
        env.chain(env_file).chain(files).collect()
    }

    /// Takes contents of which only the hash is known from `other`, where it has them.
    pub fn fill_contents_from(&mut self, other: &Self) {
        let known: BTreeMap<ContentHash, Secret> = other
            .references()
            .into_iter()
            .filter_map(|(_, reference)| Some((reference.hash()?, reference.known()?.clone())))
            .collect();
        let env = self.env.values_mut().filter_map(|value| match value {
            EnvValue::File(reference) => Some(reference),
            EnvValue::Text(_) => None,
        });
        let files = self.files.values_mut().map(|file| &mut file.source);
        for reference in env.chain(&mut self.env_file).chain(files) {
            if let Content::Hash(hash) = reference.content
                && let Some(secret) = known.get(&hash)
            {
                reference.content = Content::Known(secret.clone());
            }
        }
    }

    /// The fields with a file of which the content is not known, such as `env.PASSWORD`.
    pub fn missing_contents(&self) -> Vec<String> {
        let unknown = |(_, reference): &(_, &FileRef)| reference.known().is_none();
        self.references().into_iter().filter(unknown).map(|(keys, _)| keys.join(".")).collect()
    }
}

/// Limits on what one replica may use. A missing one means no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resources {
    /// Processor time, in cores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Cpu>,
    /// Memory; a replica that needs more is killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
}

impl Resources {
    /// Whether no limit is set.
    pub fn is_empty(&self) -> bool {
        self.cpu.is_none() && self.memory.is_none()
    }
}

/// How a replica is stopped: the signal, and how long it may take before it is killed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    /// The signal; the image's own stop signal unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<Signal>,
    /// The time between the signal and the kill, 10 s unless given.
    #[serde(default = "default_grace")]
    pub grace: Duration,
    /// How long requests under way may take before the signal, 30 s unless given.
    #[serde(default = "default_drain", skip_serializing_if = "is_default_drain")]
    pub drain: Duration,
}

impl Stop {
    /// Whether every field has its default.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Stop {
    fn default() -> Self {
        Self { signal: None, grace: default_grace(), drain: default_drain() }
    }
}

/// A signal that can be named in `stop.signal`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the variants are the signals' own names")]
pub enum Signal {
    SigHup,
    SigInt,
    SigQuit,
    SigKill,
    SigTerm,
    SigUsr1,
    SigUsr2,
    SigWinch,
}

impl Signal {
    /// Every signal that a file may name.
    pub const ALL: [Self; 8] = [
        Self::SigHup,
        Self::SigInt,
        Self::SigQuit,
        Self::SigKill,
        Self::SigTerm,
        Self::SigUsr1,
        Self::SigUsr2,
        Self::SigWinch,
    ];

    /// The name as the file and the engine write it, such as `SIGTERM`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SigHup => "SIGHUP",
            Self::SigInt => "SIGINT",
            Self::SigQuit => "SIGQUIT",
            Self::SigKill => "SIGKILL",
            Self::SigTerm => "SIGTERM",
            Self::SigUsr1 => "SIGUSR1",
            Self::SigUsr2 => "SIGUSR2",
            Self::SigWinch => "SIGWINCH",
        }
    }
}

/// When the image of a new revision is pulled. A revision's image is resolved once; every
/// replica of that revision then runs the same image id.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PullPolicy {
    /// Pull if the engine does not have the image.
    #[default]
    Missing,
    /// Pull for each new revision, even if the engine has an image of that name.
    Always,
    /// Never pull: the image must be on the engine.
    Never,
}

impl PullPolicy {
    /// Whether this is the default, `missing`.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

fn default_replicas() -> u16 {
    1
}

fn default_port() -> u16 {
    80
}

fn is_default_port(port: &u16) -> bool {
    *port == default_port()
}

fn default_grace() -> Duration {
    Duration::from_secs(10)
}

fn default_drain() -> Duration {
    Duration::from_secs(30)
}

fn is_default_drain(drain: &Duration) -> bool {
    *drain == default_drain()
}
