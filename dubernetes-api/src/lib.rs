//! The HTTP API of Dubernetes: wire types, the router, and the typed client.
//!
//! One definition of each URL ([`path`]) and of each body ([`wire`]) serves both sides, so that
//! the two cannot drift apart. This crate decides how a request becomes a call of a trait of
//! [`dubernetes_core`] and how the answer is told; it never decides what an app should do.

mod channel;
pub mod client;
mod openapi;
pub mod path;
mod problem;
pub mod server;
mod tunnel;
pub mod wire;

pub use client::{Client, ClientError};
