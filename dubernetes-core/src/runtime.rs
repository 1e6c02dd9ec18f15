//! What Dubernetes needs of a container engine: the trait [`ContainerRuntime`] and its values.
//!
//! The trait is a thin layer over an engine: one method is one operation, and no method decides
//! anything. Every method has a deadline of its own and returns [`RuntimeError::Timeout`] when it
//! passes; none retries. A caller that got an error knows only that the effect *may* have happened, and lists again.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use ipnet::Ipv4Net;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::io::AsyncWrite;

use crate::app::{Duration, ImageRef, InstanceName, PullPolicy, Resources, Signal, Volume};
use crate::error::Cause;

/// A container engine.
///
/// # Guarantees that implementations give
///
/// - Nothing without the instance's label is ever listed, and so never touched.
/// - Operations that find their effect already there succeed: starting what runs, stopping what
///   is stopped, removing what is gone.
/// - Errors are told apart by what the caller must do, see [`RuntimeError`].
#[cfg_attr(feature = "testing", mockall::automock)]
#[async_trait]
pub trait ContainerRuntime: fmt::Debug + Send + Sync {
    /// Asks the engine who it is. Fails with [`RuntimeError::Unreachable`] if none answers.
    async fn version(&self) -> Result<EngineVersion, RuntimeError>;

    /// Makes sure that the instance's network exists and returns it. Idempotent; a network of this
    /// name and label that is already there is kept with its subnet.
    async fn ensure_network(&self, instance: &InstanceName) -> Result<Network, RuntimeError>;

    /// The instance's network, or `None` if it does not exist.
    async fn find_network(&self, instance: &InstanceName) -> Result<Option<Network>, RuntimeError>;

    /// Removes the instance's network. A missing one is success.
    async fn remove_network(&self, instance: &InstanceName) -> Result<(), RuntimeError>;

    /// Every container with the instance's label, in any state, the ingress container included.
    async fn list(&self, instance: &InstanceName) -> Result<Vec<Container>, RuntimeError>;

    /// One container by id or name, whoever owns it. Missing: [`RuntimeError::NotFound`].
    async fn inspect(&self, id: &ContainerId) -> Result<Container, RuntimeError>;

    /// Makes sure that the engine has `image`, pulling as `policy` says, and returns its id.
    /// Idempotent. Fails with [`RuntimeError::Image`] if it cannot be had. A pull without any
    /// progress for 60 s times out.
    async fn ensure_image(
        &self,
        image: &ImageRef,
        policy: PullPolicy,
    ) -> Result<ImageId, RuntimeError>;

    /// Creates a container, and does not start it. A name that is in use is
    /// [`RuntimeError::NameTaken`]; an image that is not on the engine is [`RuntimeError::Image`].
    async fn create(&self, request: &ContainerRequest) -> Result<ContainerId, RuntimeError>;

    /// Starts a created container. A running one is success. A failed start is
    /// [`RuntimeError::Rejected`] with the engine's text, and the container stays, not running.
    async fn start(&self, id: &ContainerId) -> Result<(), RuntimeError>;

    /// Sends `signal` (the image's own stop signal where `None`), and kills what still runs after
    /// `grace`. Returns once it has stopped. A stopped or missing container is success.
    async fn stop(
        &self,
        id: &ContainerId,
        signal: Option<Signal>,
        grace: Duration,
    ) -> Result<(), RuntimeError>;

    /// Removes a container in any state, with its anonymous volumes; never a named volume.
    /// A missing one is success.
    async fn remove(&self, id: &ContainerId) -> Result<(), RuntimeError>;

    /// Sends a signal to the container's first process. Not running: [`RuntimeError::Rejected`].
    async fn signal(&self, id: &ContainerId, signal: Signal) -> Result<(), RuntimeError>;

    /// Puts files and links into a container, running or not, making missing folders. Replaces
    /// what is there. Not atomic: the caller uses new names, reads back, then switches.
    async fn put_files(&self, id: &ContainerId, files: &[FileEntry]) -> Result<(), RuntimeError>;

    /// Runs a command in a running container. Not running: [`RuntimeError::Rejected`]. A command
    /// that is not found exits with 126 or 127.
    async fn exec(
        &self,
        id: &ContainerId,
        request: &ExecRequest,
    ) -> Result<ExecSession, RuntimeError>;

    /// Sends one probe to a container of the instance's network, and says what came back. A
    /// refused connection, a time-out or a bad answer is a [`ProbeAnswer`], not an error.
    async fn probe(&self, target: &ProbeTarget) -> Result<ProbeAnswer, RuntimeError>;

    /// The container's output, oldest first. Ends after the last line unless `follow` is set, and
    /// else when the container stops. Missing: [`RuntimeError::NotFound`].
    async fn logs(
        &self,
        id: &ContainerId,
        options: &LogOptions,
    ) -> Result<BoxStream<'static, Result<LogLine, RuntimeError>>, RuntimeError>;

    /// What a running container uses now.
    async fn stats(&self, id: &ContainerId) -> Result<Stats, RuntimeError>;

    /// What happens to the instance's containers, from now on. Events may be lost: each is a
    /// reason to list, never the truth. The stream ends or fails when the engine goes away.
    async fn events(
        &self,
        instance: &InstanceName,
    ) -> Result<BoxStream<'static, Result<RuntimeEvent, RuntimeError>>, RuntimeError>;
}

/// Who the engine is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineVersion {
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

/// A command to be run in a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecRequest {
    /// The command and its arguments; no shell.
    pub command: Vec<String>,
    /// Whether the command gets the session's input; else it reads nothing.
    pub stdin: bool,
    /// The size of the terminal that the command gets (columns, rows), or none.
    pub tty: Option<(u16, u16)>,
}

/// A command that runs in a container.
pub struct ExecSession {
    /// What is written here is the command's input. Shutting it down ends that input.
    pub input: Pin<Box<dyn AsyncWrite + Send>>,
    /// The output, and last the exit code.
    pub output: BoxStream<'static, Result<ExecOutput, RuntimeError>>,
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecResult {
    /// The exit code.
    pub code: i64,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

/// Runs a command without input to its end and collects its output, 8 MiB at most.
///
/// # Errors
///
/// Those of [`ContainerRuntime::exec`]; [`RuntimeError::Failed`] if the session ends without an exit code.
pub async fn exec_to_end(
    runtime: &dyn ContainerRuntime,
    id: &ContainerId,
    command: &[&str],
) -> Result<ExecResult, RuntimeError> {
    use futures_util::StreamExt as _;
    const LIMIT: usize = 8 << 20;
    let request = ExecRequest {
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        ..ExecRequest::default()
    };
    let mut session = runtime.exec(id, &request).await?;
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    while let Some(output) = session.output.next().await {
        match output? {
            ExecOutput::Stdout(part) if stdout.len() < LIMIT => stdout.extend_from_slice(&part),
            ExecOutput::Stderr(part) if stderr.len() < LIMIT => stderr.extend_from_slice(&part),
            ExecOutput::Stdout(_) | ExecOutput::Stderr(_) => {}
            ExecOutput::Exit(code) => return Ok(ExecResult { code, stdout, stderr }),
        }
    }
    Err(RuntimeError::Failed {
        operation: format!("run `{}`", command.join(" ")),
        cause: Cause::text("the session ended without an exit code"),
    })
}

/// Where a probe goes, and what it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProbeTarget {
    /// The container.
    pub id: ContainerId,
    /// Its address on the instance's network.
    pub address: Ipv4Addr,
    /// What is sent.
    pub probe: Probe,
    /// How long the answer may take.
    pub timeout: Duration,
}

/// What a probe sends.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Probe {
    /// Opens a connection and closes it.
    Tcp {
        /// The port.
        port: u16,
    },
    /// Sends `GET path` and reads the status and the start of the body.
    Http {
        /// The port.
        port: u16,
        /// The path.
        path: String,
    },
}

/// What came back of a probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProbeAnswer {
    /// The connection was made.
    Connected,
    /// An HTTP answer came.
    Http {
        /// The status.
        status: u16,
        /// At most the first 4 KiB of the body.
        body: String,
    },
    /// Nothing usable came: refused, timed out, closed, or not HTTP.
    Failed {
        /// Why, as a sentence fragment.
        reason: String,
    },
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

/// Why an operation on the engine failed, by what the caller must do.
#[derive(Debug, Error)]
pub enum RuntimeError {
    /// No engine answers. Nothing is known about anything: keep the last state, try later.
    #[error("the container engine at {endpoint} does not answer")]
    Unreachable {
        /// Where it was looked for.
        endpoint: String,
        /// Why.
        #[source]
        cause: Cause,
    },
    /// The engine took longer than the operation's deadline. The effect may come later: list again.
    #[error("the container engine did not finish in time: {operation}")]
    Timeout {
        /// What was asked.
        operation: String,
    },
    /// The object is not there.
    #[error("no such {kind}: {name}")]
    NotFound {
        /// `container`, `image` or `network`.
        kind: &'static str,
        /// Its id or name.
        name: String,
    },
    /// Another container has the name. The caller looks whether it is its own.
    #[error("the container name `{name}` is taken")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// The image cannot be had. Retry slowly; a person has to act.
    #[error("image `{image}`: {message}")]
    Image {
        /// The image.
        image: String,
        /// The engine's or the registry's text, one line.
        message: String,
    },
    /// The engine refuses this request as it is. Retry slowly; a person has to act.
    #[error("the container engine refused to {operation}: {message}")]
    Rejected {
        /// What was asked.
        operation: String,
        /// The engine's text, one line.
        message: String,
    },
    /// The engine failed, or answered something that cannot be read. Retry.
    #[error("the container engine failed to {operation}")]
    Failed {
        /// What was asked.
        operation: String,
        /// Why.
        #[source]
        cause: Cause,
    },
}

impl RuntimeError {
    /// Whether no engine answers, so that nothing at all is known.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}
