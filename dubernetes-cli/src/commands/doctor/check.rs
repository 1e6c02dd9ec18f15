//! What one look has found.

use serde::Serialize;

/// One line of the result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    /// What was looked at.
    pub(super) check: &'static str,
    /// How it is.
    pub(super) result: CheckResult,
    /// What was found.
    pub(super) message: String,
    /// The way out.
    pub(super) help: Option<String>,
}

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum CheckResult {
    /// As it should be.
    Ok,
    /// Not as it should be, and an orchestrator works all the same.
    Warn,
    /// No orchestrator works like this.
    Fail,
}

impl CheckResult {
    /// The word.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

impl Check {
    /// All is well.
    pub(super) fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self { check, result: CheckResult::Ok, message: message.into(), help: None }
    }

    /// Something should be better.
    pub(super) fn warn(
        check: &'static str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        let help = Some(help.into());
        Self { check, result: CheckResult::Warn, message: message.into(), help }
    }

    /// Something has to be mended.
    pub(super) fn fail(
        check: &'static str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        let help = Some(help.into());
        Self { check, result: CheckResult::Fail, message: message.into(), help }
    }
}
