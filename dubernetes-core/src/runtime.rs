//! What Dubernetes needs of a container engine: the trait [`ContainerRuntime`] and its values.
//!
//! The trait is a thin layer over an engine: one method is one operation, and no method decides
//! anything. Every method has a deadline of its own and returns [`RuntimeError::Timeout`] when it
//! passes; none retries. A caller that got an error knows only that the effect *may* have happened, and lists again.

mod ports;
mod values;

pub use ports::OpenPorts;
pub use values::{
    ConnectTarget, Connection, Container, ContainerFile, ContainerId, ContainerRequest,
    ContainerState, EngineVersion, ExecOutput, ExecRequest, ExecResult, ExecSession, FileEntry,
    ImageId, LogLine, LogOptions, Network, Probe, ProbeAnswer, ProbeTarget, PublishedPort,
    RuntimeEvent, Stats,
};

use std::fmt;
use std::net::Ipv4Addr;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use thiserror::Error;

use crate::app::{Duration, ImageRef, InstanceName, PullPolicy, Signal};
use crate::error::Cause;

/// A container engine.
///
/// # Guarantees that implementations give
///
/// - Nothing without the instance's label is ever listed, and so never touched.
/// - Operations that find their effect already there succeed: starting what runs, stopping what
///   is stopped, removing what is gone.
/// - Errors are told apart by what the caller must do, see [`RuntimeError`].
#[async_trait]
pub trait ContainerRuntime: fmt::Debug + Send + Sync {
    /// Asks the engine who it is. Fails with [`RuntimeError::Unreachable`] if none answers.
    async fn version(&self) -> Result<EngineVersion, RuntimeError>;

    /// Makes sure that the instance's network exists and returns it. Idempotent; a network of this
    /// name and label that is already there is kept with its subnet.
    async fn ensure_network(&self, instance: &InstanceName) -> Result<Network, RuntimeError>;

    /// The instance's network, or `None` if it does not exist. One that was made from another state,
    /// which is still there, is [`RuntimeError::OwnedByOtherState`].
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

    /// Creates a container with its files, and does not start it. A name that is in use is
    /// [`RuntimeError::NameTaken`]; an image that is not on the engine is [`RuntimeError::Image`].
    ///
    /// If a file cannot be put, there is no container afterwards. One that was left without its
    /// files, by a process that ended half-way, is listed as [`ContainerState::StartFailed`].
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

    /// Opens a TCP connection to a port of a container of the instance's network. Where none can
    /// be had: [`RuntimeError::NotConnected`], after 5 s at the latest.
    async fn connect(&self, target: &ConnectTarget) -> Result<Connection, RuntimeError>;

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

/// How long a command that is run to its end may take. Those that are take milliseconds; in a
/// container that was paused meanwhile one never ends.
const EXEC_LIMIT: std::time::Duration = std::time::Duration::from_secs(30);

/// Runs a command without input to its end and collects its output, 8 MiB at most of each stream.
///
/// # Errors
///
/// Those of [`ContainerRuntime::exec`]; [`RuntimeError::Failed`] if the session ends without an exit code;
/// [`RuntimeError::Timeout`] after 30 s, and the command may still run then.
pub async fn exec_to_end(
    runtime: &dyn ContainerRuntime,
    id: &ContainerId,
    command: &[&str],
) -> Result<ExecResult, RuntimeError> {
    exec_to_end_as(runtime, id, command, None).await
}

/// The same as a user of this number, where one is given.
///
/// # Errors
///
/// Those of [`exec_to_end`].
pub async fn exec_to_end_as(
    runtime: &dyn ContainerRuntime,
    id: &ContainerId,
    command: &[&str],
    user: Option<u32>,
) -> Result<ExecResult, RuntimeError> {
    let ended = exec_without_limit(runtime, id, command, user);
    tokio::time::timeout(EXEC_LIMIT, ended).await.unwrap_or_else(|_| {
        Err(RuntimeError::Timeout { operation: format!("run `{}`", command.join(" ")) })
    })
}

/// The same for a caller that has a limit of its own.
pub async fn exec_without_limit(
    runtime: &dyn ContainerRuntime,
    id: &ContainerId,
    command: &[&str],
    user: Option<u32>,
) -> Result<ExecResult, RuntimeError> {
    use futures_util::StreamExt as _;
    const LIMIT: usize = 8 << 20;
    let request = ExecRequest {
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        user,
        ..ExecRequest::default()
    };
    let mut session = runtime.exec(id, &request).await?;
    let (mut stdout, mut stderr, mut cut) = (Vec::new(), Vec::new(), false);
    while let Some(output) = session.output.next().await {
        match output? {
            ExecOutput::Stdout(part) if stdout.len() < LIMIT => stdout.extend_from_slice(&part),
            ExecOutput::Stderr(part) if stderr.len() < LIMIT => stderr.extend_from_slice(&part),
            ExecOutput::Stdout(_) | ExecOutput::Stderr(_) => cut = true,
            ExecOutput::Exit(code) => return Ok(ExecResult { code, stdout, stderr, cut }),
        }
    }
    Err(RuntimeError::Failed {
        operation: format!("run `{}`", command.join(" ")),
        cause: Cause::text("the session ended without an exit code"),
    })
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
    #[error("{}: {message}", problem.of(image))]
    Image {
        /// The image.
        image: String,
        /// What stands in the way.
        problem: ImageProblem,
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
    /// Another orchestrator works for this instance, from another state. A person has to choose.
    #[error(
        "the instance `{instance}` on this engine belongs to the orchestrator whose state is in \
         `{folder}`"
    )]
    OwnedByOtherState {
        /// The instance.
        instance: InstanceName,
        /// The other one's state folder.
        folder: String,
    },
    /// A container took no connection: what runs in it does not listen there, or it is gone.
    #[error("no connection to port {port} at {address}: {reason}")]
    NotConnected {
        /// The container's address.
        address: Ipv4Addr,
        /// The port.
        port: u16,
        /// Why, as a sentence fragment.
        reason: String,
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

/// What stands between the engine and an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageProblem {
    /// The engine does not have it, nor does its registry, where that was asked.
    Missing,
    /// Its registry gives no right to pull it. Some say so of what they do not have, too.
    Denied,
    /// Anything else, such as a registry that does not answer.
    Unavailable,
}

impl ImageProblem {
    fn of(self, image: &str) -> String {
        match self {
            Self::Missing => format!("image `{image}` not found"),
            Self::Denied => format!("no rights to pull image `{image}`"),
            Self::Unavailable => format!("image `{image}` cannot be had"),
        }
    }
}

impl RuntimeError {
    /// Whether no engine answers, so that nothing at all is known.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}
