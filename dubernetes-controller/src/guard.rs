//! Guards around the adapters: every call has a deadline, and a panic becomes an error.
//!
//! An adapter that hangs or panics costs the action that called it, never the loop. Adapters
//! should have shorter deadlines of their own, since their errors say more.

mod certificates;
mod dialer;
mod ingress;
mod runtime;
mod store;

pub(crate) use certificates::GuardedIssuer;
pub(crate) use dialer::GuardedDialer;
pub(crate) use ingress::GuardedIngress;
pub(crate) use runtime::GuardedRuntime;
pub(crate) use store::GuardedStore;

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use dubernetes_core::certificate::CertificateError;
use dubernetes_core::error::{SharedError, one_line};
use dubernetes_core::ingress::IngressError;
use dubernetes_core::runtime::RuntimeError;
use dubernetes_core::store::StoreError;
use futures_util::FutureExt as _;
use tokio::time::Instant;

use crate::meter::{AdapterKind, CallOutcome, Measurement, Metering};

/// Deadline of calls that only read. The Docker adapter gives up after 10 s.
const READ: Duration = Duration::from_secs(30);
/// Deadline of calls that change a container. Shorter than the life of a tombstone (2 min), so
/// that a late create is still recognized as one of a deleted app.
const WRITE: Duration = Duration::from_secs(100);
/// Deadline of calls to the store, which is on this machine.
const STORE: Duration = Duration::from_secs(30);
/// Added to the grace period of a stop.
const STOP_MARGIN: Duration = Duration::from_secs(60);
/// Deadline of a pull. Adapters end a pull without progress after 60 s.
const PULL: Duration = Duration::from_secs(60 * 60);
/// Deadline of an order at a certificate authority. Issuers give up after 2 min.
const ORDER: Duration = Duration::from_secs(5 * 60);
/// Deadline of an ingress that starts, or takes over a table.
const INGRESS: Duration = Duration::from_secs(3 * 60);

/// An error that a guard can return in place of the adapter.
pub(crate) trait GuardError {
    /// The call did not return within its deadline.
    fn timed_out(operation: &str, limit: Duration) -> Self;

    /// The call panicked with this text.
    fn panicked(operation: &str, text: String) -> Self;
}

impl GuardError for RuntimeError {
    fn timed_out(operation: &str, _: Duration) -> Self {
        Self::Timeout { operation: operation.to_owned() }
    }

    fn panicked(operation: &str, text: String) -> Self {
        Self::Failed { operation: operation.to_owned(), cause: SharedError::text(text) }
    }
}

impl GuardError for StoreError {
    fn timed_out(operation: &str, limit: Duration) -> Self {
        Self::Failed(SharedError::text(format!("no answer within {limit:?}: {operation}")))
    }

    fn panicked(operation: &str, text: String) -> Self {
        Self::Failed(SharedError::text(format!("{operation}: {text}")))
    }
}

impl GuardError for CertificateError {
    fn timed_out(operation: &str, limit: Duration) -> Self {
        Self::Failed(SharedError::text(format!("no answer within {limit:?}: {operation}")))
    }

    fn panicked(operation: &str, text: String) -> Self {
        Self::Failed(SharedError::text(format!("{operation}: {text}")))
    }
}

impl GuardError for IngressError {
    fn timed_out(operation: &str, limit: Duration) -> Self {
        Self::Failed(SharedError::text(format!("no answer within {limit:?}: {operation}")))
    }

    fn panicked(operation: &str, text: String) -> Self {
        Self::Failed(SharedError::text(format!("{operation}: {text}")))
    }
}

/// The calls of one adapter, each of which is measured.
#[derive(Debug, Clone)]
pub(crate) struct Calls {
    pub(crate) adapter: AdapterKind,
    pub(crate) meter: Metering,
}

impl Calls {
    /// Runs a call to its end, or until `limit` has passed or it has panicked.
    async fn guard<T, E: GuardError>(
        &self,
        operation: &'static str,
        limit: Duration,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let start = Instant::now();
        let (outcome, result) = match tokio::time::timeout(limit, catch_panic(call)).await {
            Ok(Ok(Ok(value))) => (CallOutcome::Success, Ok(value)),
            Ok(Ok(Err(error))) => (CallOutcome::Error, Err(error)),
            Ok(Err(text)) => (CallOutcome::Panic, Err(E::panicked(operation, text))),
            Err(_) => (CallOutcome::Timeout, Err(E::timed_out(operation, limit))),
        };
        let took = start.elapsed();
        let adapter = self.adapter;
        self.meter.record(&Measurement::Call { adapter, operation, outcome, took });
        result
    }
}

/// Turns a panic of `call` into an error text.
pub(crate) async fn catch_panic<T>(call: impl Future<Output = T>) -> Result<T, String> {
    // What the call left half changed belongs to the adapter: the next pass observes again.
    AssertUnwindSafe(call).catch_unwind().await.map_err(|panic| panic_text(panic.as_ref()))
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("bug: {}", one_line(text.unwrap_or("panicked without a message")))
}
