//! The results of a contract suite.

use std::fmt;
use std::path::Path;

use serde::Serialize;

/// The results of all checks of a suite, in the order of the suite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    suite: &'static str,
    results: Vec<CheckResult>,
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckResult {
    /// The name of the check.
    pub name: &'static str,
    /// What an implementation promises.
    pub promise: &'static str,
    /// Whether the promise is kept.
    #[serde(flatten)]
    pub outcome: CheckOutcome,
}

/// Whether an implementation keeps a promise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
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
    pub(super) fn new(suite: &'static str, results: Vec<CheckResult>) -> Self {
        Self { suite, results }
    }

    /// Returns the result of every check, in the order of the suite.
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

    /// Compares the report with a file of JSON. With `DUBERNETES_UPDATE_GOLDEN=1` the file is
    /// written instead.
    ///
    /// # Panics
    ///
    /// If they differ, or if the file cannot be read or written.
    #[track_caller]
    pub fn assert_golden(&self, path: &Path) {
        if std::env::var_os("DUBERNETES_UPDATE_GOLDEN").is_some() {
            let written = std::fs::write(path, self.to_json());
            assert!(written.is_ok(), "{} is written: {written:?}", path.display());
        }
        let expected = std::fs::read_to_string(path).unwrap_or_default();
        let seen = self.to_json();
        let path = path.display();
        assert!(expected == seen, "{path} is out of date: run with DUBERNETES_UPDATE_GOLDEN=1");
    }

    /// Returns the report as JSON.
    pub fn to_json(&self) -> String {
        // A tree of texts cannot fail to serialize.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
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
