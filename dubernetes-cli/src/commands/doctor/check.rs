//! Result of one check.

use serde::Serialize;

/// A check and its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    /// Name of the check.
    pub(super) check: &'static str,
    /// Result.
    pub(super) result: CheckResult,
    /// What was found.
    pub(super) message: String,
    /// What to do.
    pub(super) help: Option<String>,
}

/// Result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum CheckResult {
    /// Passed.
    Ok,
    /// A problem that does not keep an orchestrator from working.
    Warn,
    /// A problem with which no orchestrator works.
    Fail,
}

impl CheckResult {
    /// Returns the result as a word.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

impl Check {
    /// Creates a check that passed.
    pub(super) fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self { check, result: CheckResult::Ok, message: message.into(), help: None }
    }

    /// Creates a check with a warning.
    pub(super) fn warn(
        check: &'static str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        let help = Some(help.into());
        Self { check, result: CheckResult::Warn, message: message.into(), help }
    }

    /// Creates a check that failed.
    pub(super) fn fail(
        check: &'static str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        let help = Some(help.into());
        Self { check, result: CheckResult::Fail, message: message.into(), help }
    }
}
