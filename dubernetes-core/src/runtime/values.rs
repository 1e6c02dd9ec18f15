//! The values that go to an engine and come back from it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;

use bytes::Bytes;
use futures_io::AsyncWrite;
use ipnet::Ipv4Net;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::app::{FileMode, FileTarget, Resources, Secret, Signal, Volume};

use super::RuntimeStream;

/// What a runtime may offer beyond the required methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Capability {
    /// Named volumes and mounted directories.
    Volumes,
    /// Limits of processor and memory.
    Limits,
    /// Commands in running containers.
    Exec,
    /// Terminals for such commands.
    Tty,
    /// Files that are put into a container before it starts.
    Files,
    /// Output that can be read later.
    Logs,
    /// Resource usage.
    Stats,
    /// A stream of events.
    Events,
    /// Addresses that the planner chooses.
    PlannedAddresses,
    /// Containers on several hosts.
    SeveralHosts,
}

impl Capability {
    /// Every capability, in the order of their declaration.
    pub const ALL: [Self; 10] = [
        Self::Volumes,
        Self::Limits,
        Self::Exec,
        Self::Tty,
        Self::Files,
        Self::Logs,
        Self::Stats,
        Self::Events,
        Self::PlannedAddresses,
        Self::SeveralHosts,
    ];

    /// Returns the capability as a noun, such as `volumes`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Volumes => "volumes",
            Self::Limits => "resource limits",
            Self::Exec => "commands in containers",
            Self::Tty => "terminals",
            Self::Files => "files in containers",
            Self::Logs => "logs",
            Self::Stats => "statistics",
            Self::Events => "events",
            Self::PlannedAddresses => "planned addresses",
            Self::SeveralHosts => "several hosts",
        }
    }
}

/// Describes an engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuntimeInfo {
    /// Its name, such as `Docker Engine`.
    pub name: String,
    /// Its version, such as `20.10.24`.
    pub version: String,
    /// The version of the API that is spoken with it.
    pub api_version: String,
    /// Operating system and architecture, such as `linux/amd64`.
    pub platform: String,
}

/// The instance's own network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// The engine's id.
    pub id: String,
    /// Its addresses. The first is the gateway; see [`crate::identity`] for the others.
    pub subnet: Ipv4Net,
}

/// The engine's id of a container (or its name, where a method takes both).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContainerId(pub String);

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The engine's id of an image, `sha256:…`: what a tag meant when a revision was resolved.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ImageId(pub String);

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A container as the engine shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// The engine's id.
    pub id: ContainerId,
    /// Its name, without a leading slash.
    pub name: String,
    /// The id of the image it was made of.
    pub image_id: ImageId,
    /// All its labels, ours and others.
    pub labels: BTreeMap<String, String>,
    /// What it does now.
    pub state: ContainerState,
    /// When it was created.
    pub created_at: Timestamp,
}

/// What a container does now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContainerState {
    /// Created and never started.
    Created,
    /// Created, and its start failed with this text.
    StartFailed {
        /// The engine's text.
        error: String,
        /// The exit code that the engine noted, such as 127 for a command that was not found.
        code: i64,
    },
    /// Its first process runs.
    Running {
        /// Since when.
        started_at: Timestamp,
    },
    /// Frozen by someone.
    Paused,
    /// Its first process ended.
    Exited {
        /// The exit code; 128 and the signal's number where a signal ended it.
        code: i64,
        /// Whether it was killed because it needed more memory than its limit.
        out_of_memory: bool,
        /// When it was last started.
        started_at: Timestamp,
        /// When it ended.
        finished_at: Timestamp,
    },
    /// The engine is taking it away, or failed to.
    Removing,
}

/// A container to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerRequest {
    /// Its name.
    pub name: String,
    /// Its host name.
    pub hostname: String,
    /// The image: an id, or a reference.
    pub image: String,
    /// Labels, the instance's among them.
    pub labels: BTreeMap<String, String>,
    /// Replaces the entry point where not empty.
    pub command: Vec<String>,
    /// Replaces the arguments where not empty.
    pub args: Vec<String>,
    /// The environment, beside the image's own.
    pub env: BTreeMap<String, String>,
    /// More of it, with values that nothing shows. No name is in both.
    pub secret_env: BTreeMap<String, Secret>,
    /// Files that are in it before it starts.
    pub files: Vec<ContainerFile>,
    /// The network's id.
    pub network: String,
    /// The address on that network.
    pub address: Ipv4Addr,
    /// Limits.
    pub resources: Resources,
    /// Mounts; named volumes carry their full name.
    pub volumes: Vec<Volume>,
    /// Ports published on the host. Replicas have none.
    pub ports: Vec<PublishedPort>,
    /// The signal that stops it, where it is not the image's own.
    pub stop_signal: Option<Signal>,
}

/// A file that a container gets before it starts. Its owner is root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerFile {
    /// Where it is put; missing folders are made.
    pub target: FileTarget,
    /// Its content.
    pub content: Secret,
    /// Who may read it.
    pub mode: FileMode,
}

/// A port of the host that leads to a port of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedPort {
    /// The host's address.
    pub host_ip: IpAddr,
    /// The host's port.
    pub host_port: u16,
    /// The container's port.
    pub container_port: u16,
}

/// A file or a link to be put into a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileEntry {
    /// A file that everybody may read.
    File {
        /// Absolute path.
        path: String,
        /// Content.
        contents: Bytes,
    },
    /// A symbolic link, replacing what is there.
    Symlink {
        /// Absolute path of the link.
        path: String,
        /// Where it leads.
        target: String,
    },
}

/// Size of a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalSize {
    /// Characters in a row.
    pub columns: u16,
    /// Rows.
    pub rows: u16,
}

/// A command to be run in a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecRequest {
    /// The command and its arguments; no shell.
    pub command: Vec<String>,
    /// Whether the command gets the session's input; otherwise it reads nothing.
    pub stdin: bool,
    /// The terminal that the command gets, if any.
    pub tty: Option<TerminalSize>,
    /// The numeric user, or `None` for the container's own. Not for callers of the API.
    #[serde(skip)]
    pub user: Option<u32>,
}

/// A command that runs in a container.
pub struct ExecSession {
    /// The command's standard input. Closing it ends that input.
    pub input: Pin<Box<dyn AsyncWrite + Send>>,
    /// The output, and last the exit code.
    pub output: RuntimeStream<ExecOutput>,
    /// Resizes the command's terminal. Without a terminal it does nothing.
    pub resize: Resize,
}

/// Resizes a terminal: returns at once, and the new size applies a moment later.
pub type Resize = Box<dyn Fn(TerminalSize) + Send + Sync>;

impl ExecSession {
    /// Creates a session without a terminal.
    pub fn new(input: Pin<Box<dyn AsyncWrite + Send>>, output: RuntimeStream<ExecOutput>) -> Self {
        Self { input, output, resize: Box::new(|_| {}) }
    }
}

impl fmt::Debug for ExecSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExecSession").finish_non_exhaustive()
    }
}

/// What comes out of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExecOutput {
    /// Standard output; with a terminal, everything.
    Stdout(Bytes),
    /// Standard error.
    Stderr(Bytes),
    /// It ended. Nothing follows.
    Exit(i64),
}

/// The result of a command that ran to its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecResult {
    /// The exit code.
    pub code: i64,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// Whether either stream was longer than what is kept.
    pub truncated: bool,
}

/// Which lines of a container's output are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogOptions {
    /// Go on with new lines.
    pub follow: bool,
    /// Only the last so many lines.
    pub tail: Option<u32>,
    /// Only lines written since then.
    pub since: Option<Timestamp>,
}

/// One line of a container's output, without its line end; at most 1 MiB, the rest is cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When it was written.
    pub time: Timestamp,
    /// Whether it came on standard error.
    pub stderr: bool,
    /// The text, invalid UTF-8 replaced.
    pub text: String,
}

/// What a running container uses now.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// Processor time used since its start, in nanoseconds.
    pub cpu_nanos: u64,
    /// Memory in use, in bytes, without the page cache.
    pub memory_bytes: u64,
    /// When the engine read it: how much of the processor is used, two readings tell.
    pub read_at: Timestamp,
}

/// Something happened to a container of the instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuntimeEvent {
    /// The container.
    pub id: ContainerId,
    /// The engine's word for it, such as `die`.
    pub action: String,
    /// Its labels at that time.
    pub labels: BTreeMap<String, String>,
}
