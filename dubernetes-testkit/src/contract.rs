//! Contract suites, one per trait: the promises that every implementation keeps, checked through
//! the trait alone.
//!
//! Each suite has two entry points. `run_all` runs every check, also after a failure, and returns
//! a [`Report`]. `run` panics with the whole report if a check failed. Checks for capabilities
//! that the implementation lacks are skipped, and the report says so.

pub mod container_runtime;
pub mod ingress;
mod report;
pub mod store;

pub use report::{CheckOutcome, CheckResult, Report};
