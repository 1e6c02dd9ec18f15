//! One suite per trait: what every implementation must do, checked through the trait alone.
//!
//! Each suite panics at the first broken promise, with the promise in its message.

pub mod container_runtime;
pub mod ingress;
pub mod store;
