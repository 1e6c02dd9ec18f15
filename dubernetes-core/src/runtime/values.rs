//! The values of [`ContainerRuntime`](super::ContainerRuntime).

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;

use bytes::Bytes;
use futures_io::AsyncWrite;
use ipnet::Ipv4Net;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::app::{
    AppName, ContainerOptions, FileMode, FileOwner, FileTarget, PortMapping, Resources, Secret,
    Signal, Transport, Volume,
};
use crate::format::{exit_code, span};

use super::RuntimeStream;

/// Describes an engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuntimeInfo {
    /// The name, such as `Docker Engine`.
    pub name: String,
    /// The version, such as `20.10.24`.
    pub version: String,
    /// The version of the API in use.
    pub api_version: String,
    /// Operating system and architecture, such as `linux/amd64`.
    pub platform: String,
}

/// The state that an instance belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The random id of the state, which it keeps wherever it is moved.
    pub id: String,
    /// The directory of the state, for messages.
    pub folder: String,
}

/// The network of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// The engine's id.
    pub id: String,
    /// The addresses. The first is the gateway; [`crate::identity`] assigns the others.
    pub subnet: Ipv4Net,
}

/// A host of a runtime that has several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeInfo {
    /// Its name.
    pub name: String,
    /// Its address among the hosts.
    pub address: String,
    /// Whether it is alive.
    pub is_ready: bool,
    /// Whether it may get new containers.
    pub is_active: bool,
    /// Whether its containers are to move to others.
    pub is_drained: bool,
    /// Whether the runtime has a connection to it; without one it gets no containers.
    pub is_connected: bool,
    /// Whether the ingress is there.
    pub is_entry: bool,
}

/// The engine's id of a container, or the name where a method takes both. An id is never used
/// again, unlike a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContainerId(pub SmolStr);

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The engine's immutable id of an image, such as `sha256:…`: if the content of a name changes, its
/// id does, so the name alone is no id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ImageId(pub String);

/// An image with the digests of the uncompressed contents of its layers, such as `sha256:…`, from
/// the lowest layer up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageLayers {
    /// The image.
    pub id: ImageId,
    /// Its layers.
    pub layers: Vec<String>,
}

/// How far a pull is, in bytes. A total of 0 is not known yet; it grows while the engine finds
/// layers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullProgress {
    /// Bytes that have arrived.
    pub done: u64,
    /// Bytes of all known layers.
    pub total: u64,
}

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A container as the engine reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// The engine's id.
    pub id: ContainerId,
    /// The name, without a leading slash.
    pub name: String,
    /// The id of the image that the container was created from.
    pub image_id: ImageId,
    /// All labels, those of Dubernetes and others.
    pub labels: BTreeMap<String, String>,
    /// The state.
    pub state: ContainerState,
    /// When the container was created.
    pub created_at: Timestamp,
    /// Where this process reaches the port of the request, as observed; `None` unless the
    /// container runs or is paused.
    ///
    /// With planned addresses this is the container's address on the network of its instance,
    /// `None` if the container is not on that network, and the port of the request. Without, the
    /// runtime chooses both, and `None` means: not known yet. No two running containers have the
    /// same endpoint.
    pub endpoint: Option<SocketAddr>,
    /// Its limits as they are now: those of the request, unless a user changed them. `None` if the
    /// runtime cannot say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Resources>,
}

/// The state of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContainerState {
    /// Created and never started.
    Created,
    /// Created, and the start failed.
    StartFailed {
        /// The engine's message.
        error: String,
        /// The exit code that the engine recorded, such as 127 for a command that was not found.
        code: i64,
    },
    /// The main process is running.
    Running {
        /// When the process was started.
        started_at: Timestamp,
    },
    /// The processes are frozen.
    Paused,
    /// The main process has exited.
    Exited(Exit),
    /// The engine is removing the container, or failed to.
    Removing,
}

impl ContainerState {
    /// Returns when a running container was started.
    pub fn started_at(&self) -> Option<Timestamp> {
        if let Self::Running { started_at } = self { Some(*started_at) } else { None }
    }
}

/// How the main process of a container ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// The exit code; 128 plus the signal number after a signal; [`Exit::UNKNOWN`] if the runtime
    /// cannot know it.
    pub code: i64,
    /// Whether the kernel killed a process that exceeded the memory limit.
    pub out_of_memory: bool,
    /// When the process was started.
    pub started_at: Timestamp,
    /// When the process exited.
    pub finished_at: Timestamp,
}

impl Exit {
    /// The exit code of a process that the runtime did not start itself.
    pub const UNKNOWN: i64 = -1;

    /// Returns how long the process ran.
    pub fn ran(&self) -> SignedDuration {
        self.finished_at.duration_since(self.started_at)
    }

    /// Describes the exit, such as `exit code 137 (SIGKILL) after 3.0s`.
    pub fn describe(&self) -> String {
        format!("{} after {}", exit_code(self.code), span(self.ran()))
    }
}

/// A container to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerRequest {
    /// The name.
    pub name: String,
    /// The host name.
    pub hostname: String,
    /// The image: an id, or a reference.
    pub image: String,
    /// The labels, including the instance's.
    pub labels: BTreeMap<String, String>,
    /// Replaces the entry point where not empty.
    pub command: Vec<String>,
    /// Replaces the arguments where not empty.
    pub args: Vec<String>,
    /// Environment variables, added to those of the image.
    pub env: BTreeMap<String, String>,
    /// More environment variables, whose values are never shown. No name is in both maps.
    pub secret_env: BTreeMap<String, Secret>,
    /// Files put into the container before the start.
    pub files: Vec<ContainerFile>,
    /// The port on which the container's process shall listen. A runtime that gives each container
    /// a port of its own tells the process by the variable `PORT`, which wins over one of the
    /// request, and reports the port in [`Container::endpoint`].
    pub port: u16,
    /// The network and the address on it; `None` for a runtime without
    /// [`Capability::PlannedAddresses`](super::Capability::PlannedAddresses).
    pub network: Option<NetworkAddress>,
    /// More addresses of that network that the container may take for itself.
    pub more_addresses: Option<Ipv4Net>,
    /// Names that the container resolves, as [`Networks::publish_names`] says; `None`: no names.
    ///
    /// [`Networks::publish_names`]: super::Networks::publish_names
    pub names: Option<BTreeMap<AppName, Ipv4Addr>>,
    /// Limits.
    pub resources: Resources,
    /// Mounts; named volumes carry their full name, and shared ones are named ones.
    pub volumes: Vec<Volume>,
    /// Ports published on the host, which need [`Capability::Ports`].
    ///
    /// [`Capability::Ports`]: super::Capability::Ports
    pub ports: Vec<PublishedPort>,
    /// The stop signal; that of the image if `None`.
    pub stop_signal: Option<Signal>,
    /// Further options.
    pub options: ContainerOptions,
    /// The standard streams of its process. Replicas have no input.
    pub stdio: Stdio,
    /// Parameters of the kernel for the container's own network, such as
    /// `net.ipv4.tcp_tw_reuse`. `IFNAME` in a name stands for the interface on `network`.
    pub sysctls: BTreeMap<String, String>,
}

/// The standard streams of a container's process, besides its output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stdio {
    /// Whether it has an input, which ends with the first session that attaches to it.
    pub stdin: bool,
    /// Its terminal at the start, if any.
    pub tty: Option<TerminalSize>,
}

/// A place on a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkAddress {
    /// The network's id.
    pub network: String,
    /// The address on that network. `None`: one that the engine chooses.
    pub address: Option<IpAddr>,
}

/// A file put into a container before the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerFile {
    /// The path in the container; missing directories are created.
    pub target: FileTarget,
    /// The content.
    pub content: Secret,
    /// The permissions.
    pub mode: FileMode,
    /// The owner. If `None`, the user of the container where it is a number, else root.
    pub owner: Option<FileOwner>,
}

/// A host port forwarded to a container port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedPort {
    /// The host's address.
    pub host_ip: IpAddr,
    /// The host's port.
    pub host_port: u16,
    /// The container's port.
    pub container_port: u16,
    /// What is forwarded.
    pub transport: Transport,
}

impl From<PortMapping> for PublishedPort {
    fn from(mapping: PortMapping) -> Self {
        Self {
            host_ip: mapping.host().ip(),
            host_port: mapping.host_port,
            container_port: mapping.port,
            transport: mapping.transport,
        }
    }
}

/// A process of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// The process id on the engine's host.
    pub pid: u32,
    /// The id of the parent process.
    pub parent: u32,
    /// The command line, or what the process has set in its place.
    pub command: String,
}

/// A file, directory or symbolic link to put into a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileEntry {
    /// A directory with mode 0755, which may exist.
    Directory {
        /// Absolute path.
        path: String,
    },
    /// A file with mode 0644.
    File {
        /// Absolute path.
        path: String,
        /// Content.
        contents: Bytes,
    },
    /// A file with mode 0600, of root.
    PrivateFile {
        /// Absolute path.
        path: String,
        /// Content.
        contents: Bytes,
    },
    /// A symbolic link, which replaces an existing file.
    Symlink {
        /// Absolute path of the link.
        path: String,
        /// The target of the link.
        target: String,
    },
}

/// The size of a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalSize {
    /// Characters per row.
    pub columns: u16,
    /// Rows.
    pub rows: u16,
}

/// A command to run in a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecRequest {
    /// The command and its arguments; no shell.
    pub command: Vec<String>,
    /// Whether the command reads the session's input; otherwise its input is empty.
    pub stdin: bool,
    /// The command's terminal, if any.
    pub tty: Option<TerminalSize>,
    /// The numeric user; that of the container if `None`. API clients cannot set this field.
    #[serde(skip)]
    pub user: Option<u32>,
}

/// A command running in a container.
pub struct ExecSession {
    /// The command's standard input. Closing the writer ends the input.
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

/// Output of a command, or its exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExecOutput {
    /// Standard output; with a terminal, all output.
    Stdout(Bytes),
    /// Standard error.
    Stderr(Bytes),
    /// The exit code, the last item.
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
    /// Whether output beyond the limit was dropped.
    pub truncated: bool,
}

/// Selects lines of a container's output.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogOptions {
    /// Continue with new lines.
    pub follow: bool,
    /// Only this number of lines, the last.
    pub tail: Option<u32>,
    /// Only lines written at or after this time.
    pub since: Option<Timestamp>,
}

/// One line of a container's output, without the line end. One of more than 64 KiB arrives
/// in pieces with the same time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When the line was written.
    pub time: Timestamp,
    /// Whether the line was written to standard error.
    pub stderr: bool,
    /// The text, with invalid UTF-8 replaced.
    pub text: String,
}

/// A change of a container of the instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuntimeEvent {
    /// The container.
    pub id: ContainerId,
    /// The engine's own word for the change, such as `die` in Docker. Only for people: no
    /// decision depends on it, and a runtime may choose any words.
    pub action: String,
    /// The container's labels at that time.
    pub labels: BTreeMap<String, String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_names_the_signal_and_the_missing_command() {
        let started_at = Timestamp::UNIX_EPOCH;
        let finished_at = started_at + SignedDuration::from_secs(2);
        let exit = |code| Exit { code, out_of_memory: false, started_at, finished_at };
        assert_eq!(exit(3).describe(), "exit code 3 after 2.0s");
        assert_eq!(exit(137).describe(), "exit code 137 (SIGKILL) after 2.0s");
        assert_eq!(
            exit(127).describe(),
            "exit code 127 (by convention: it did not find a command) after 2.0s"
        );
        assert_eq!(exit(Exit::UNKNOWN).describe(), "unknown exit code after 2.0s");
    }
}
