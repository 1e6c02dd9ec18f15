//! Feature `testing`: what a test of code on top of Dubernetes needs.
//!
//! - A *fake* where the question is what the state is afterwards: [`FakeRuntime`], [`MemoryStore`],
//!   [`FakeIngress`]. They are deterministic and pass the same [`contract`] suites as the real adapters.
//! - A *mock* where the question is which calls were made: [`MockContainerRuntime`], [`MockStore`],
//!   [`MockIngress`], made by mockall.
//! - [`notation`]: desired and observed state as a few lines of text, for tests of
//!   [`crate::reconcile()`], which needs neither.
//! - [`contract`]: the suites themselves, for any implementation of the three traits.

pub mod build;
pub mod contract;
pub mod gate;
pub mod notation;

pub use crate::fakes::{Answer, Behaviour, FakeIngress, FakeRuntime, MemoryStore, TokioClock};
pub use crate::ingress::MockIngress;
pub use crate::runtime::MockContainerRuntime;
pub use crate::store::MockStore;
