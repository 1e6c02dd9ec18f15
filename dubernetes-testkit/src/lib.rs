//! Fakes, mocks, contract suites and a notation, for tests of code on top of Dubernetes.
//!
//! - [`notation`]: desired and observed state as a few lines of text, for tests of
//!   [`dubernetes_core::reconcile()`]. A decision needs neither fakes nor mocks.
//! - [`build::TestOrchestrator`]: a whole orchestrator on fakes and virtual time.
//! - *Fakes* show the state after a test: [`FakeRuntime`], [`MemoryStore`], [`FakeIngress`],
//!   [`FakeIssuer`]. They are deterministic, and pass the same [`contract`] suites as the real
//!   adapters.
//! - *Mocks* show which calls were made: [`MockContainerRuntime`], [`MockStore`], [`MockIngress`],
//!   [`MockDialer`], made with mockall.
//! - [`contract`]: suites that every implementation of the traits must pass.
//!
//! # A decision in six lines
//!
//! ```
//! let given = dubernetes_testkit::notation::parse(
//!     "network
//!      app web replicas=2 host=web.local
//!      web-1 ready routed",
//! ).unwrap();
//! let plan = dubernetes_core::reconcile(&given.desired, &given.observed, given.now);
//! assert!(plan.to_string().contains("web-2"), "{plan}");
//! ```
//!
//! # An orchestrator on fakes
//!
//! ```
//! use dubernetes_testkit::build::{TestOrchestrator, app};
//! use dubernetes_testkit::{Answer, Behaviour};
//!
//! #[tokio::main(flavor = "current_thread", start_paused = true)]
//! async fn main() {
//!     let orchestrator = TestOrchestrator::start();
//!     orchestrator.runtime.add_image("web:1", Behaviour::default());
//!     orchestrator.apply(&app("web", "web:1", 2)).await.unwrap();
//!     orchestrator.until_ready("web").await;
//!     let answer = orchestrator.ingress.request("web.local", "/");
//!     assert!(matches!(answer, Answer::Endpoint(_)), "{answer:?}");
//! }
//! ```

pub mod build;
pub mod contract;
mod fakes;
pub mod gate;
mod mocks;
pub mod notation;

pub use fakes::{
    Answer, Behaviour, EffectFault, Effects, FOREVER, FakeIngress, FakeIssuer, FakeOrder,
    FakeRuntime, Fault, Faults, IngressOperation, IssuerOperation, MemoryJournal, MemoryStore,
    Operation, StoreOperation, TokioClock, Trouble,
};
pub use mocks::{MockContainerRuntime, MockDialer, MockIngress, MockStore};
