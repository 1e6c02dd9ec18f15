//! The control loop: observe, reconcile, dispatch, record.
//!
//! ```text
//!            ┌────────────── triggers: store changes, engine events, results, timers ───┐
//!            ▼                                                                          │
//!   observe ──► ObservedState ──► reconcile (pure, in dubernetes-core) ──► Plan ──► dispatch
//!   (a task)                                                                  (a task per action)
//! ```
//!
//! The loop is level-triggered: a trigger is a reason to start a pass, and every pass begins with
//! a fresh observation. The loop itself awaits no adapter. Observations, actions, probes and
//! events run in tasks beside it, each with a deadline, and their results are triggers.
//!
//! Start with [`Orchestrator::builder`]; a [`Handle`] applies apps and reads snapshots.

mod adapters;
mod approval;
mod cache;
mod certificates;
mod dial;
mod event_writer;
mod events;
mod execute;
mod future_times;
mod guard;
mod handle;
mod history;
mod meter;
mod observe;
mod one_off;
mod orchestrator;
mod pass;
mod previous_logs;
mod probe;
mod probe_spec;
mod rate_limit;
mod snapshot;
mod tasks;

pub use approval::{Approval, Approver, NextStep, PendingStep};
pub use dial::TcpDialer;
pub use handle::{Handle, HostCertificate, TeardownError, WaitError};
pub use history::{AppHistory, HistoryPoint};
pub use meter::{
    AdapterKind, CallOutcome, Measurement, Meter, ProbeOutcome, RolloutOutcome, RoutesOutcome,
};
pub use one_off::{OneOffClient, OneOffError};
pub use orchestrator::{Builder, NeedsIngress, NeedsRuntime, NeedsStore, Orchestrator};
pub use probe::ProbeResult;
pub use snapshot::{Mode, Snapshot};
