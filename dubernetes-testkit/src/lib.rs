//! What a test of code on top of Dubernetes needs.
//!
//! - *Fakes* where the question is what the state is afterwards: [`FakeRuntime`], [`MemoryStore`],
//!   [`FakeIngress`]. They are deterministic, work on virtual time, and pass the same [`contract`]
//!   suites as the real adapters.
//! - *Mocks* where the question is which calls were made: [`MockContainerRuntime`], [`MockStore`],
//!   [`MockIngress`], made by mockall.
//! - [`notation`]: desired and observed state as a few lines of text, for tests of
//!   [`dubernetes_core::reconcile()`], which needs neither fakes nor mocks.
//! - [`contract`]: suites that any implementation of the three traits must pass.

pub mod build;
pub mod contract;
mod fakes;
pub mod gate;
mod mocks;
pub mod notation;

pub use fakes::{
    Answer, Behaviour, FOREVER, FakeIngress, FakeRuntime, Fault, Faults, IngressOperation,
    MemoryStore, Operation, StoreOperation, TokioClock,
};
pub use mocks::{MockContainerRuntime, MockDialer, MockIngress, MockStore};
