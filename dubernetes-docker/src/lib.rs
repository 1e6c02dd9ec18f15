//! Runs Dubernetes' containers on the Docker API: [`DockerRuntime`], a [`ContainerRuntime`].
//!
//! # What is supported
//!
//! Docker Engine 20.10 (API 1.41) and later, over a Unix socket, on this machine: probes go from
//! this process straight to the addresses of containers. Engines with a compatible API may work.
//!
//! # What is decided here
//!
//! Nothing about apps or replicas. Here is decided how a request is written for the engine
//! (`to_docker`), how its answers are read (`from_docker`), how long each call may take, and what
//! a failure means for the caller (`error`): by status codes, and in one place (`image`) by a text.
//!
//! [`ContainerRuntime`]: dubernetes_core::runtime::ContainerRuntime

mod cache;
mod credentials;
mod engine;
mod error;
mod events;
mod files;
mod from_docker;
mod image;
mod network;
mod ports;
mod probe;
mod runtime;
mod streams;
mod to_docker;

pub use runtime::{DockerRuntime, EngineMachine};
