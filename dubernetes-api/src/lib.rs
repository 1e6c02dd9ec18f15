//! HTTP API of Dubernetes: wire types, router, and typed client.
//!
//! Server and client share one definition of each URL ([`path`]) and of each body ([`wire`]). The
//! server maps requests to calls of the orchestrator's handle and of the traits of
//! [`dubernetes_core`], and results to responses. It never decides what happens to an app.

mod channel;
pub mod client;
mod openapi;
pub mod path;
mod problem;
pub mod server;
pub mod text;
mod tunnel;
pub mod wire;

pub use client::{Client, ClientError};
