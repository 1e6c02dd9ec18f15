//! The results of a contract suite.

use std::any::Any;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;

/// The longest that one check may take. The checks have shorter limits of their own; this one is
/// for an implementation that hangs.
const CHECK_LIMIT: Duration = Duration::from_secs(180);

/// The results of all checks of a suite, in the order in which they ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    suite: &'static str,
    results: Vec<CheckResult>,
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckResult {
    /// The name of the check.
    pub name: &'static str,
    /// What an implementation promises.
    pub promise: &'static str,
    /// Whether the promise is kept.
    pub outcome: CheckOutcome,
}

/// Whether an implementation keeps a promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckOutcome {
    /// The promise is kept.
    Passed,
    /// The promise is broken.
    Failed {
        /// The broken promise in detail, and what was seen instead.
        seen: String,
    },
    /// The check did not run.
    Skipped {
        /// What the check needs.
        reason: String,
    },
}

impl Report {
    pub(super) fn new(suite: &'static str) -> Self {
        Self { suite, results: Vec::new() }
    }

    /// Runs one check and adds its result. Returns whether the check passed.
    pub(super) async fn run_check(
        &mut self,
        name: &'static str,
        promise: &'static str,
        check: impl Future<Output = ()>,
    ) -> bool {
        let limited = tokio::time::timeout(CHECK_LIMIT, check);
        let outcome = match AssertUnwindSafe(limited).catch_unwind().await {
            Ok(Ok(())) => CheckOutcome::Passed,
            Ok(Err(_)) => {
                CheckOutcome::Failed { seen: format!("did not end within {CHECK_LIMIT:?}") }
            }
            Err(panic) => CheckOutcome::Failed { seen: panic_message(panic.as_ref()) },
        };
        let has_passed = outcome == CheckOutcome::Passed;
        self.results.push(CheckResult { name, promise, outcome });
        has_passed
    }

    pub(super) fn skip(&mut self, name: &'static str, promise: &'static str, reason: String) {
        let outcome = CheckOutcome::Skipped { reason };
        self.results.push(CheckResult { name, promise, outcome });
    }

    /// Returns the result of every check, in the order in which they ran.
    pub fn results(&self) -> &[CheckResult] {
        &self.results
    }

    /// Returns the names of the checks that failed.
    pub fn failed(&self) -> Vec<&'static str> {
        self.names(|outcome| matches!(outcome, CheckOutcome::Failed { .. }))
    }

    /// Returns the names of the checks that did not run.
    pub fn skipped(&self) -> Vec<&'static str> {
        self.names(|outcome| matches!(outcome, CheckOutcome::Skipped { .. }))
    }

    /// Returns without an effect if no check failed.
    ///
    /// # Panics
    ///
    /// With the whole report, if a check failed.
    #[track_caller]
    pub fn assert_passed(&self) {
        assert!(self.failed().is_empty(), "{self}");
    }

    fn names(&self, is_selected: impl Fn(&CheckOutcome) -> bool) -> Vec<&'static str> {
        let selected = self.results.iter().filter(|result| is_selected(&result.outcome));
        selected.map(|result| result.name).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (failed, skipped) = (self.failed().len(), self.skipped().len());
        let passed = self.results.len() - failed - skipped;
        let suite = self.suite;
        writeln!(f, "{suite} contract: {passed} passed, {failed} failed, {skipped} skipped")?;
        for CheckResult { name, promise, outcome } in &self.results {
            match outcome {
                CheckOutcome::Passed => writeln!(f, "  ok       {name}")?,
                CheckOutcome::Skipped { reason } => writeln!(f, "  skipped  {name}: {reason}")?,
                CheckOutcome::Failed { seen } => {
                    writeln!(f, "  FAILED   {name}: {promise}\n           {seen}")?;
                }
            }
        }
        Ok(())
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("panicked without a message").to_owned()
}
