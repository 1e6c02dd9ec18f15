//! Dubernetes keeps containers running as a specification says. This crate is its core: the
//! specification, the pure [`reconcile()`] function, the traits of the outside world, and the controller that joins them.

pub mod app;
pub mod call;
pub mod clock;
pub mod dial;
pub mod error;
pub mod event;
pub mod explain;
mod format;
pub mod identity;
pub mod ingress;
pub mod labels;
pub mod plan;
pub mod reconcile;
pub mod runtime;
pub mod selector;
pub mod sockets;
pub mod state;
pub mod store;

pub use async_trait::async_trait;
pub use explain::{forecast, replay, why};
pub use reconcile::reconcile;
