//! Docker Swarm for Dubernetes: [`SwarmRuntime`] implements [`ContainerRuntime`] on the engines of
//! several machines, and [`SwarmStore`] a [`Store`](dubernetes_core::store::Store) that all
//! managers share.
//!
//! ```
//! use dubernetes_core::runtime::{Capability, ContainerRuntime};
//! use dubernetes_docker::DockerRuntime;
//! use dubernetes_swarm::SwarmRuntime;
//!
//! // No call is made yet.
//! let manager = DockerRuntime::new(Some("unix:///var/run/docker.sock"))?;
//! let runtime = SwarmRuntime::new(manager).with_node("worker-1", "unix:///run/worker-1.sock")?;
//! assert!(runtime.capabilities().contains(&Capability::SeveralHosts));
//! # Ok::<(), dubernetes_core::runtime::RuntimeError>(())
//! ```
//!
//! # What Swarm does, and what this crate does
//!
//! Swarm knows the nodes and whether they live, and gives containers of all nodes one network with
//! addresses that are unique on it. Containers are ordinary ones of each node's own engine,
//! attached to that network: a service of Swarm has no address of our choice, no files, and no
//! commands from outside. So every promise of the Docker runtime holds on each node. This crate
//! decides where a container goes (`placement`), and what a node that is away means (`memory`):
//!
//! - A node that does not answer, and that Swarm has not given up, is *unknown*: what was last seen
//!   on it counts.
//! - On a node that Swarm calls *down*, nothing counts as running any more. Addresses of its
//!   containers are not given away, since Swarm keeps them until the containers are removed.
//!
//! [`ContainerRuntime`]: dubernetes_core::runtime::ContainerRuntime

mod runtime;

mod connect;
mod create;
mod lease;
mod memory;
mod names;
mod parts;
mod placement;
mod store;

pub use connect::EntryConnector;
pub use runtime::SwarmRuntime;
pub use store::{Attempt, Candidate, Holder, SwarmStore, find_holder};
