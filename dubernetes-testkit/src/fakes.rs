//! Fakes in memory on virtual time, for tests and for `dubernetes simulate`.
//!
//! The fakes are deterministic, and pass the same contract suites as the real adapters.

mod effects;
mod faults;
mod ingress;
mod issuer;
mod journal;
mod runtime;
mod store;

pub use effects::{EffectFault, Effects};
pub use faults::{FOREVER, Fault, Faults};
pub use ingress::{Answer, FakeIngress, IngressOperation};
pub use issuer::{FakeIssuer, FakeOrder, IssuerOperation, Trouble};
pub use journal::MemoryJournal;
pub use runtime::{Behaviour, FakeRuntime, Operation, TokioClock};
pub use store::{MemoryStore, StoreOperation};
