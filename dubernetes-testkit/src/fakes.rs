//! Feature `fakes`: an outside world in memory, on virtual time, for tests and for `dubernetes simulate`.
//!
//! The fakes are deterministic, and pass the same contract suites as the real adapters.

mod ingress;
mod runtime;
mod store;

pub use ingress::{Answer, FakeIngress};
pub use runtime::{Behaviour, FakeRuntime, TokioClock};
pub use store::MemoryStore;
