//! Docker runtime for Dubernetes: [`DockerRuntime`] implements [`ContainerRuntime`] on the Docker
//! API.
//!
//! ```
//! use std::path::Path;
//!
//! use dubernetes_core::runtime::{Capability, ContainerRuntime};
//! use dubernetes_docker::DockerRuntime;
//!
//! // No call is made yet, so this also works before the engine has started.
//! let runtime = DockerRuntime::new(Some("unix:///var/run/docker.sock"))?
//!     .with_state_dir(Path::new("/var/lib/dubernetes"));
//! assert!(runtime.capabilities().contains(&Capability::PlannedAddresses));
//! # Ok::<(), dubernetes_core::runtime::RuntimeError>(())
//! ```
//!
//! # Supported engines
//!
//! Docker Engine 20.10 (API 1.41) and later, and Podman 5 and later, over a Unix socket on this
//! host. `supported` refuses older ones. Other engines with a compatible API may work.
//!
//! # What this crate decides
//!
//! Nothing about apps or replicas. This crate decides how to write requests for the engine
//! (`to_docker`) and read its responses (`from_docker`), how long a call may take (`engine`), and
//! what a failure means for the caller (`error`). Failures are classified by status code; only
//! `image` also matches one message.
//!
//! [`ContainerRuntime`]: dubernetes_core::runtime::ContainerRuntime

mod runtime;

mod archive;
mod configs;
mod diagnostics;
mod events;
mod files;
mod image;
mod names;
mod network;
mod ports;
mod streams;
mod supported;
mod swarm;

mod from_docker;
mod to_docker;

mod cache;
mod credentials;
mod engine;
mod error;
mod owners;
mod pulls;

pub use configs::{MAX_CONFIG_BYTES, SwarmConfig};
pub use diagnostics::HostInfo;
pub use runtime::DockerRuntime;
pub use swarm::SwarmNode;
