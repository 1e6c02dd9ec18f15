//! Dubernetes keeps containers running as a specification says. This crate is its core: the
//! specification, the pure [`reconcile()`] function, the traits of the outside world, and the controller that joins them.

pub mod app;
pub mod clock;
pub mod controller;
pub mod error;
pub mod event;
#[cfg(feature = "fakes")]
pub mod fakes;
pub mod forecast;
pub mod identity;
pub mod ingress;
pub mod labels;
pub mod manifest;
pub mod plan;
pub mod reconcile;
pub mod replay;
pub mod runtime;
pub mod selector;
pub mod sockets;
pub mod state;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;
pub mod why;

pub use reconcile::reconcile;
