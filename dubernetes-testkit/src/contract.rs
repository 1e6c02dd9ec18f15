//! Contract suites, one per trait: the promises that every implementation keeps, checked through
//! the trait alone.
//!
//! A suite is data. [`Subject::checks`] lists every [`Check`] with its name, its promise, and what
//! it [needs](Need). What is checked is a [`Subject`]: an adapter with its surroundings, which are
//! [`container_runtime::RuntimeSubject`], [`ingress::IngressSubject`] and [`store::StoreSubject`].
//!
//! [`run_all`] runs every check, also after a failure, and returns a [`Report`], which can be
//! written as JSON. A check whose needs are not met is skipped, and the report says why. With
//! several subjects the checks run side by side. [`main`] is the command line of a program that
//! checks an adapter.

mod check;
mod command_line;
pub mod container_runtime;
pub mod ingress;
mod report;
pub mod store;

pub use check::{Check, Need, Subject, run_all};
pub use command_line::main;
pub use report::{CheckOutcome, CheckResult, Report};
