//! The trait [`ContainerRuntime`]: a container engine or another runtime, and its values.
//!
//! The trait is a thin layer: one method is one operation, and no method decides anything. Eight
//! methods are required. Features that an engine may lack are optional: events have a default, and
//! networks, commands, files, logs and statistics are parts of their own, each behind a method
//! that returns `None` by default.

mod capability;
mod parts;
mod ports;
mod request;
mod stats;
mod values;

pub use capability::Capability;
pub use parts::{Exec, Files, Images, Logs, Networks, Nodes, StatsReader};
pub use ports::OpenPorts;
pub use stats::Stats;
pub use values::{
    Container, ContainerFile, ContainerId, ContainerRequest, ContainerState, ExecOutput,
    ExecRequest, ExecResult, ExecSession, Exit, FileEntry, ImageId, ImageLayers, LogLine,
    LogOptions, Network, NetworkAddress, NodeInfo, Owner, Process, PublishedPort, PullProgress,
    Resize, RuntimeEvent, RuntimeInfo, Stdio, TerminalSize,
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

use crate::app::{Artifact, Duration, ImageRef, InstanceName, PullPolicy, Signal};
use crate::call::FailureKind;
use crate::error::SharedError;

/// A stream of items from a runtime. An error ends the stream.
pub type RuntimeStream<T> = BoxStream<'static, Result<T, RuntimeError>>;

/// Runs containers: a container engine, or another runtime.
///
/// # Guarantees that implementations give
///
/// - Containers without the instance's label are never listed, and so never touched.
/// - Idempotent: starting a running, stopping a stopped, and removing a missing container succeed.
/// - Calls may run at once, also for one container: of creates with one name, one succeeds.
/// - Errors are classified by what the caller must do, see [`RuntimeError`].
/// - Containers outlive this process, and the orchestrator finds all it has to know of them in
///   their labels. Where they cannot, as processes of this one, nothing of them is listed later.
/// - No method retries. After an error the effect *may* have happened; the caller lists again.
///
/// # Deadlines and cancel safety
///
/// Callers bound every call and may drop it at any await point; the effect may still happen, and
/// the call can be repeated. A container that a dropped create leaves has all its labels. An
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
    /// included. A change shows once its method has returned.
    async fn list(&self, instance: &InstanceName) -> Result<Vec<Container>, RuntimeError>;

    /// Returns one container by id or name, of any owner. Missing:
    /// [`RuntimeError::NotFound`].
    async fn inspect(&self, id: &ContainerId) -> Result<Container, RuntimeError>;

    /// Ensures that `artifact` can be run, pulling an image as `policy` says, and returns its
    /// immutable id. Idempotent. Fails with [`RuntimeError::Image`] if it is not available, and
    /// with [`RuntimeError::Unsupported`] for a program without [`Capability::Programs`], or an
    /// image without [`Capability::ContainerImages`]. A pull without any progress for 60 s times
    /// out.
    async fn resolve(
        &self,
        artifact: &Artifact,
        policy: PullPolicy,
    ) -> Result<ImageId, RuntimeError>;

    /// Returns how far a pull of `image` by [`ContainerRuntime::resolve`] is, if one is in flight.
    /// Does not wait. By default it is not known.
    fn pull_progress(&self, image: &ImageRef) -> Option<PullProgress> {
        let _ = image;
        None
    }

    /// Returns the command with which an image on the engine wants to be checked, if it declares
    /// one. By default no image does.
    async fn health_check(&self, image: &ImageId) -> Result<Option<Vec<String>>, RuntimeError> {
        let _ = image;
        Ok(None)
    }

    /// Creates a container with its files, and does not start it. A name that is in use is
    /// [`RuntimeError::NameTaken`]; an image that is not on the engine is
    /// [`RuntimeError::Image`]; a request that needs a missing capability is
    /// [`RuntimeError::Unsupported`], see [`ContainerRequest::check_for`].
    ///
    /// If a file cannot be put, no container is left. A container without its files, left by a
    /// process that ended half-way, is listed as [`ContainerState::StartFailed`].
    async fn create(&self, request: &ContainerRequest) -> Result<ContainerId, RuntimeError>;

    /// Starts a created or stopped container. A running one is success. A failed start is
    /// [`RuntimeError::Rejected`] with the engine's text, and the container stays, not running; one
    /// that never ran is [`ContainerState::StartFailed`] then.
    async fn start(&self, id: &ContainerId) -> Result<(), RuntimeError>;

    /// Sends `signal` (the image's own stop signal if `None`), and SIGKILL if the container still
    /// runs after `grace`. Returns once the container has stopped. A stopped or missing container
    /// is success.
    async fn stop(
        &self,
        id: &ContainerId,
        signal: Option<Signal>,
        grace: Duration,
    ) -> Result<(), RuntimeError>;

    /// Removes a container in any state, with its anonymous volumes; never a named volume. A
    /// missing one is success.
    async fn remove(&self, id: &ContainerId) -> Result<(), RuntimeError>;

    /// Returns the capabilities beyond the required methods. A specification that needs more is
    /// refused with a reason, never applied in part.
    fn capabilities(&self) -> BTreeSet<Capability> {
        BTreeSet::new()
    }

    /// Claims the instance for the orchestrator with the state `owner`, so that two orchestrators
    /// never work on one instance. Idempotent. Fails with [`RuntimeError::OwnedByOtherState`] if a
    /// state with another id owns the instance. The claim ends with [`Networks::remove`].
    ///
    /// By default every claim succeeds: two orchestrators would undo each other's work.
    async fn claim(&self, instance: &InstanceName, owner: &Owner) -> Result<(), RuntimeError> {
        let _ = (instance, owner);
        Ok(())
    }

    /// Sends a signal to the container's first process. Not running:
    /// [`RuntimeError::NotRunning`].
    async fn signal(&self, id: &ContainerId, signal: Signal) -> Result<(), RuntimeError> {
        let _ = (id, signal);
        Err(RuntimeError::Unsupported { what: "signals" })
    }

    /// Returns the processes of a running container as the engine's host sees them: their ids are
    /// not those inside. Not running: [`RuntimeError::NotRunning`].
    async fn processes(&self, id: &ContainerId) -> Result<Vec<Process>, RuntimeError> {
        let _ = id;
        Err(RuntimeError::Unsupported { what: "lists of processes" })
    }

    /// Returns the ports on which the container's processes listen, to explain a refused
    /// connection to `endpoint`. [`OpenPorts::Unknown`] where that cannot be read.
    async fn open_ports(&self, id: &ContainerId, endpoint: SocketAddr) -> OpenPorts {
        let _ = (id, endpoint);
        OpenPorts::Unknown
    }

    /// Streams changes of the instance's containers, from now on. An event is a hint to list again;
    /// events may be lost or repeated. The stream ends or fails when the engine goes away.
    ///
    /// By default there are no events, and only the periodic resync notices changes.
    async fn events(
        &self,
        instance: &InstanceName,
    ) -> Result<RuntimeStream<RuntimeEvent>, RuntimeError> {
        let _ = instance;
        Ok(Box::pin(NoEvents))
    }

    /// Returns the networks on which the planner chooses addresses; `None` without
    /// [`Capability::PlannedAddresses`].
    fn networks(&self) -> Option<&dyn Networks> {
        None
    }

    /// Returns the part that runs commands in containers; `None` without [`Capability::Exec`].
    fn exec(&self) -> Option<&dyn Exec> {
        None
    }

    /// Returns the part that puts files into containers; `None` without [`Capability::Files`].
    fn files(&self) -> Option<&dyn Files> {
        None
    }

    /// Returns the part that reads output of containers; `None` without [`Capability::Logs`].
    fn logs(&self) -> Option<&dyn Logs> {
        None
    }

    /// Returns the part that measures containers; `None` without [`Capability::Stats`].
    fn stats(&self) -> Option<&dyn StatsReader> {
        None
    }

    /// Returns the part that reads and loads images; `None` without [`Capability::Images`].
    fn images(&self) -> Option<&dyn Images> {
        None
    }

    /// Returns the part that knows the hosts; `None` without [`Capability::SeveralHosts`].
    fn nodes(&self) -> Option<&dyn Nodes> {
        None
    }
}

/// Returns the capabilities that a runtime does not have.
pub fn missing_capabilities(runtime: &dyn ContainerRuntime) -> BTreeSet<Capability> {
    let offered = runtime.capabilities();
    Capability::ALL.into_iter().filter(|capability| !offered.contains(capability)).collect()
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
        cause: SharedError::text("the session ended without an exit code"),
    })
}

/// Why an operation on the engine failed, classified by what the caller must do.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// No engine answers. Nothing is known: keep the last state and retry later.
    #[error("the container engine at {endpoint} does not answer")]
    Unreachable {
        /// The engine's address.
        endpoint: String,
        /// Why.
        #[source]
        cause: SharedError,
    },
    /// The operation exceeded its deadline. The effect may still happen: list again.
    #[error("the container engine timed out: {operation}")]
    Timeout {
        /// The operation, as a verb and its object.
        operation: String,
    },
    /// The object does not exist.
    #[error("no such {kind}: {name}")]
    NotFound {
        /// `container`, `image`, `network` or `directory`.
        kind: &'static str,
        /// The id or name.
        name: String,
    },
    /// Another container has the name. The caller checks whether it owns that container.
    #[error("container name `{name}` is already in use")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// The image or program is not available. Retry slowly; a person has to act.
    #[error("{}: {message}", problem.describe(image))]
    Image {
        /// The image, or the path of the program.
        image: String,
        /// The class of the problem.
        problem: ImageProblem,
        /// The engine's or the registry's text, one line.
        message: String,
    },
    /// The engine refuses this request. Retry slowly; a person has to act.
    #[error("the container engine refused to {operation}: {message}")]
    Rejected {
        /// The operation, as a verb and its object.
        operation: String,
        /// The engine's text, one line.
        message: String,
    },
    /// The container is not running, or is paused. List again: it may be about to start.
    #[error("the container engine refused to {operation}: {message}")]
    NotRunning {
        /// The operation, as a verb and its object.
        operation: String,
        /// The engine's text, one line.
        message: String,
    },
    /// Another state owns this instance. A person has to choose.
    #[error("instance `{instance}` on this engine belongs to another state, created in `{folder}`")]
    OwnedByOtherState {
        /// The instance.
        instance: InstanceName,
        /// Where the owner's state was when it made the claim.
        folder: String,
        /// The id of the owner's state. `None` if an earlier version made the claim.
        id: Option<String>,
    },
    /// The request needs a capability that the runtime lacks. Do not retry; the specification has
    /// to change.
    #[error("this runtime does not support {what}")]
    Unsupported {
        /// The missing capability, such as `volumes`.
        what: &'static str,
    },
    /// The engine failed, or its answer is malformed. Retry.
    #[error("the container engine failed to {operation}")]
    Failed {
        /// The operation, as a verb and its object.
        operation: String,
        /// Why.
        #[source]
        cause: SharedError,
    },
}

/// Why an image is not available.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageProblem {
    /// Neither the engine nor the registry, where asked, has the image.
    Missing,
    /// The registry denies access. Some registries also answer so for images that do not exist.
    Denied,
    /// Another problem, such as a registry that does not answer.
    Unavailable,
    /// It is a program, and the host has no such file.
    ProgramMissing,
}

impl ImageProblem {
    fn describe(self, image: &str) -> String {
        match self {
            Self::Missing => format!("image `{image}` not found"),
            Self::Denied => format!("no rights to pull image `{image}`"),
            Self::Unavailable => format!("image `{image}` is not available"),
            Self::ProgramMissing => format!("program `{image}` is not available"),
        }
    }
}

impl RuntimeError {
    /// Classifies the error, for the back-off and the status.
    pub fn failure_kind(&self) -> FailureKind {
        match self {
            Self::Image {
                problem: ImageProblem::Missing | ImageProblem::ProgramMissing, ..
            } => FailureKind::ImageMissing,
            Self::Image { problem: ImageProblem::Denied, .. } => FailureKind::ImageDenied,
            Self::Image { problem: ImageProblem::Unavailable, .. }
            | Self::Rejected { .. }
            | Self::Unsupported { .. } => FailureKind::Permanent,
            Self::Unreachable { .. }
            | Self::Timeout { .. }
            | Self::NotFound { .. }
            | Self::NameTaken { .. }
            | Self::NotRunning { .. }
            | Self::OwnedByOtherState { .. }
            | Self::Failed { .. } => FailureKind::Transient,
        }
    }

    /// Returns whether the engine is unreachable.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}
