//! The trait [`ContainerRuntime`]: what Dubernetes needs of a container engine, and its values.
//!
//! The trait is a thin layer: one method is one operation, and no method decides anything. Eight
//! methods are required. What an engine may lack is optional: events have a default, and
//! networks, commands, files, logs and statistics are parts of their own, each behind a method
//! that returns `None` by default.

mod ports;
mod values;

pub use ports::OpenPorts;
pub use values::{
    Capability, Container, ContainerFile, ContainerId, ContainerRequest, ContainerState,
    ExecOutput, ExecRequest, ExecResult, ExecSession, FileEntry, ImageId, LogLine, LogOptions,
    Network, PublishedPort, Resize, RuntimeEvent, RuntimeInfo, Stats, TerminalSize,
};

use std::collections::BTreeSet;
use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::task::Poll;

use async_trait::async_trait;
use futures_core::Stream;
use futures_core::stream::BoxStream;
use thiserror::Error;

use crate::app::{Duration, ImageRef, InstanceName, PullPolicy, Signal};
use crate::error::Cause;
use crate::state::FailureKind;

/// Items that a runtime produces over time; each may be an error that ends the stream.
pub type RuntimeStream<T> = BoxStream<'static, Result<T, RuntimeError>>;

/// A container engine, or anything else that runs replicas.
///
/// # Guarantees that implementations give
///
/// - Nothing without the instance's label is ever listed, and so never touched.
/// - Operations whose effect is already there succeed: starting what runs, stopping what is
///   stopped, removing what is gone.
/// - Errors are classified by what the caller must do, see [`RuntimeError`].
/// - No method retries. After an error the effect *may* have happened; the caller lists again.
///
/// # Deadlines and cancel safety
///
/// Callers bound every call and may drop it at any await point; the effect may still happen. An
/// implementation should have deadlines of its own, shorter than the caller's, to give a better
/// error.
///
/// # Signatures
///
/// The trait uses [`async_trait`](macro@async_trait), re-exported as
/// [`dubernetes_core::async_trait`](crate::async_trait). Without the macro a method reads:
///
/// ```text
/// async fn list(&self, instance: &InstanceName) -> Result<Vec<Container>, RuntimeError>;
/// ```
#[async_trait]
pub trait ContainerRuntime: fmt::Debug + Send + Sync {
    /// Describes the engine. Fails with [`RuntimeError::Unreachable`] if none answers.
    async fn info(&self) -> Result<RuntimeInfo, RuntimeError>;

    /// Lists every container with the instance's label, in any state, the ingress container
    /// included.
    async fn list(&self, instance: &InstanceName) -> Result<Vec<Container>, RuntimeError>;

    /// Returns one container by id or name, whoever owns it. Missing:
    /// [`RuntimeError::NotFound`].
    async fn inspect(&self, id: &ContainerId) -> Result<Container, RuntimeError>;

    /// Ensures that `image` can be run, pulling it as `policy` says, and returns its immutable
    /// id. Idempotent. Fails with [`RuntimeError::Image`] if the image is not available. A pull
    /// without any progress for 60 s times out.
    async fn resolve(&self, image: &ImageRef, policy: PullPolicy) -> Result<ImageId, RuntimeError>;

    /// Creates a container with its files, and does not start it. A name that is in use is
    /// [`RuntimeError::NameTaken`]; an image that is not on the engine is
    /// [`RuntimeError::Image`]; a request that needs a missing capability is
    /// [`RuntimeError::Unsupported`].
    ///
    /// If a file cannot be put, there is no container afterwards. A container that was left
    /// without its files, by a process that ended half-way, is listed as
    /// [`ContainerState::StartFailed`].
    async fn create(&self, request: &ContainerRequest) -> Result<ContainerId, RuntimeError>;

    /// Starts a created container. A running one is success. A failed start is
    /// [`RuntimeError::Rejected`] with the engine's text, and the container stays, not running.
    async fn start(&self, id: &ContainerId) -> Result<(), RuntimeError>;

    /// Sends `signal` (the image's own stop signal if `None`), and kills what still runs after
    /// `grace`. Returns once the container has stopped. A stopped or missing container is
    /// success.
    async fn stop(
        &self,
        id: &ContainerId,
        signal: Option<Signal>,
        grace: Duration,
    ) -> Result<(), RuntimeError>;

    /// Removes a container in any state, with its anonymous volumes; never a named volume. A
    /// missing one is success.
    async fn remove(&self, id: &ContainerId) -> Result<(), RuntimeError>;

    /// Returns what the engine offers beyond the required methods. A specification that needs
    /// more is refused with the reason, never applied in part.
    fn capabilities(&self) -> BTreeSet<Capability> {
        BTreeSet::new()
    }

    /// Claims the instance for the orchestrator whose state is `owner`, such as its state
    /// directory, so that two orchestrators never work on one instance. Idempotent. Fails with
    /// [`RuntimeError::OwnedByOtherState`] while another existing state owns the instance. The
    /// claim ends with [`Networks::remove`], or when the owner's state is gone.
    ///
    /// By default every claim succeeds: two orchestrators would undo each other's work.
    async fn claim(&self, instance: &InstanceName, owner: &str) -> Result<(), RuntimeError> {
        let _ = (instance, owner);
        Ok(())
    }

    /// Sends a signal to the container's first process. Not running:
    /// [`RuntimeError::Rejected`].
    async fn signal(&self, id: &ContainerId, signal: Signal) -> Result<(), RuntimeError> {
        let _ = (id, signal);
        Err(RuntimeError::Unsupported { what: "signals" })
    }

    /// Returns the ports on which the container's processes listen, to explain a refused
    /// connection to `endpoint`. [`OpenPorts::Unknown`] where that cannot be read.
    async fn open_ports(&self, id: &ContainerId, endpoint: SocketAddr) -> OpenPorts {
        let _ = (id, endpoint);
        OpenPorts::Unknown
    }

    /// Streams what happens to the instance's containers, from now on. Events may be lost: each
    /// is a hint to list, never the truth. The stream ends or fails when the engine goes away.
    ///
    /// By default there are no events, and changes are seen by the periodic resync alone.
    async fn events(
        &self,
        instance: &InstanceName,
    ) -> Result<RuntimeStream<RuntimeEvent>, RuntimeError> {
        let _ = instance;
        Ok(Box::pin(NoEvents))
    }

    /// Networks on which the planner chooses addresses. `None`: the engine assigns an endpoint to
    /// each container, see [`Container::endpoint`].
    fn networks(&self) -> Option<&dyn Networks> {
        None
    }

    /// Commands in running containers.
    fn exec(&self) -> Option<&dyn Exec> {
        None
    }

    /// Files in existing containers.
    fn files(&self) -> Option<&dyn Files> {
        None
    }

    /// Output of containers.
    fn logs(&self) -> Option<&dyn Logs> {
        None
    }

    /// Resource usage of containers.
    fn stats(&self) -> Option<&dyn StatsReader> {
        None
    }
}

/// The part of a runtime that has a network of its own for each instance.
#[async_trait]
pub trait Networks: fmt::Debug + Send + Sync {
    /// Ensures that the instance's network exists, and returns it. Idempotent; an existing
    /// network of this name and label keeps its subnet.
    async fn ensure(&self, instance: &InstanceName) -> Result<Network, RuntimeError>;

    /// Returns the instance's network, or `None` if it does not exist. Fails with
    /// [`RuntimeError::OwnedByOtherState`] if another existing state directory owns it.
    async fn find(&self, instance: &InstanceName) -> Result<Option<Network>, RuntimeError>;

    /// Removes the instance's network. A missing one is success.
    async fn remove(&self, instance: &InstanceName) -> Result<(), RuntimeError>;
}

/// The part of a runtime that runs commands in containers.
#[async_trait]
pub trait Exec: fmt::Debug + Send + Sync {
    /// Runs a command in a running container. Not running: [`RuntimeError::Rejected`]. A command
    /// that is not found exits with 126 or 127.
    async fn exec(
        &self,
        id: &ContainerId,
        request: &ExecRequest,
    ) -> Result<ExecSession, RuntimeError>;
}

/// The part of a runtime that puts files into containers.
#[async_trait]
pub trait Files: fmt::Debug + Send + Sync {
    /// Puts files and links into a container, running or not, and creates missing directories.
    /// Replaces what is there. Not atomic: the caller uses new names, reads back, then switches.
    async fn put(&self, id: &ContainerId, files: &[FileEntry]) -> Result<(), RuntimeError>;
}

/// The part of a runtime that keeps the output of containers.
#[async_trait]
pub trait Logs: fmt::Debug + Send + Sync {
    /// Streams the container's output, oldest first. Ends after the last line, or with `follow`
    /// when the container stops. Missing: [`RuntimeError::NotFound`].
    async fn read(
        &self,
        id: &ContainerId,
        options: &LogOptions,
    ) -> Result<RuntimeStream<LogLine>, RuntimeError>;
}

/// The part of a runtime that measures containers.
#[async_trait]
pub trait StatsReader: fmt::Debug + Send + Sync {
    /// Returns what a running container uses now.
    async fn read(&self, id: &ContainerId) -> Result<Stats, RuntimeError>;
}

/// Returns an optional part of a runtime, or the error that it is missing.
///
/// # Errors
///
/// [`RuntimeError::Unsupported`] for `None`.
pub fn require<T: ?Sized>(part: Option<&T>, capability: Capability) -> Result<&T, RuntimeError> {
    part.ok_or(RuntimeError::Unsupported { what: capability.as_str() })
}

/// A stream that never yields and never ends.
struct NoEvents;

impl Stream for NoEvents {
    type Item = Result<RuntimeEvent, RuntimeError>;

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> Poll<Option<Self::Item>> {
        Poll::Pending
    }
}

/// Runs a command without input to its end, as the container's user or as the given one, and
/// collects its output, at most 8 MiB of each stream.
///
/// There is no deadline: a command in a paused container never ends, so the caller bounds the
/// call.
///
/// # Errors
///
/// Those of [`Exec::exec`]; [`RuntimeError::Unsupported`] if the runtime runs no commands;
/// [`RuntimeError::Failed`] if the session ends without an exit code.
pub async fn run_command(
    runtime: &dyn ContainerRuntime,
    id: &ContainerId,
    command: &[&str],
    user: Option<u32>,
) -> Result<ExecResult, RuntimeError> {
    const LIMIT: usize = 8 << 20;
    let request = ExecRequest {
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        user,
        ..ExecRequest::default()
    };
    let mut session = require(runtime.exec(), Capability::Exec)?.exec(id, &request).await?;
    let mut result = ExecResult::default();
    while let Some(output) = poll_fn(|context| session.output.as_mut().poll_next(context)).await {
        match output? {
            ExecOutput::Stdout(part) if result.stdout.len() < LIMIT => {
                result.stdout.extend_from_slice(&part);
            }
            ExecOutput::Stderr(part) if result.stderr.len() < LIMIT => {
                result.stderr.extend_from_slice(&part);
            }
            ExecOutput::Stdout(_) | ExecOutput::Stderr(_) => result.truncated = true,
            ExecOutput::Exit(code) => return Ok(ExecResult { code, ..result }),
        }
    }
    Err(RuntimeError::Failed {
        operation: format!("run `{}`", command.join(" ")),
        cause: Cause::text("the session ended without an exit code"),
    })
}

/// Why an operation on the engine failed, by what the caller must do.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
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
    /// The runtime does not offer what the request needs. Do not retry; the specification has to
    /// change.
    #[error("this runtime does not support {what}")]
    Unsupported {
        /// What is missing, such as `volumes`.
        what: &'static str,
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
    /// Classifies the error for the back-off and the status of what failed.
    pub fn failure_kind(&self) -> FailureKind {
        match self {
            Self::Image { problem: ImageProblem::Missing, .. } => FailureKind::ImageMissing,
            Self::Image { problem: ImageProblem::Denied, .. } => FailureKind::ImageDenied,
            Self::Image { problem: ImageProblem::Unavailable, .. }
            | Self::Rejected { .. }
            | Self::Unsupported { .. } => FailureKind::Permanent,
            Self::Unreachable { .. }
            | Self::Timeout { .. }
            | Self::NotFound { .. }
            | Self::NameTaken { .. }
            | Self::OwnedByOtherState { .. }
            | Self::Failed { .. } => FailureKind::Transient,
        }
    }

    /// Returns whether no engine answers, so that nothing at all is known.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}
