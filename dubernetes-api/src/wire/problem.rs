//! Body of every error: problem details of RFC 9457.

use dubernetes_core::app::Generation;
use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Media type of [`Problem`].
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Kind, for programs: `urn:dubernetes:error:…`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Kind, for people.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// Description of this occurrence.
    pub detail: String,
    /// Path of the request; omitted in the lines of a stream.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub instance: String,
    /// Problems of parts of the request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldProblem>,
    /// Further values for programs, such as the stored `generation`.
    #[serde(flatten)]
    #[schema(additional_properties)]
    pub extra: BTreeMap<String, serde_json::Value>,
}

impl Problem {
    /// Returns whether the problem is of this kind.
    pub fn is(&self, kind: ProblemKind) -> bool {
        self.kind == kind.urn()
    }

    /// Returns the stored generation, if the request expected another one.
    pub fn generation(&self) -> Option<Generation> {
        self.extra.get("generation")?.as_u64().map(Generation)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.detail.is_empty() { &self.title } else { &self.detail })
    }
}

/// Problem of one part of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldProblem {
    /// Keys and list positions joined by dots; empty for the whole request.
    pub path: String,
    /// JSON pointer (RFC 6901) to the field of the body; empty for the whole body. Omitted if the
    /// problem is not in the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// Line of the body, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Column of the body, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// What was expected, and what was found.
    pub message: String,
    /// Suggested remedy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl FieldProblem {
    /// Creates a problem of the field at `path`, without a position in the body.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            pointer: None,
            line: None,
            column: None,
            message: message.into(),
            hint: None,
        }
    }
}

/// Kinds of problems, each with its word, title and HTTP status.
///
/// # Examples
///
/// ```
/// use dubernetes_api::wire::ProblemKind;
///
/// let problem = ProblemKind::NotFound.problem("app `web` not found");
/// assert_eq!((problem.status, problem.to_string().as_str()), (404, "app `web` not found"));
/// assert_eq!(problem.kind, "urn:dubernetes:error:not-found");
/// assert!(problem.is(ProblemKind::NotFound));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProblemKind {
    /// The body is not JSON.
    InvalidJson,
    /// The query has an unknown key, a repeated key, or an invalid value.
    InvalidQuery,
    /// A header is invalid, or the request violates the protocol.
    InvalidRequest,
    /// The caller's user is not allowed.
    Forbidden,
    /// The object or path does not exist.
    NotFound,
    /// The path does not support the method.
    MethodNotAllowed,
    /// The app has another generation than the caller expects.
    StaleGeneration,
    /// Another app owns this host and path.
    RouteTaken,
    /// The instance is being torn down.
    TearingDown,
    /// Apps use the secret.
    InUse,
    /// A setting has switched this off.
    SwitchedOff,
    /// A revision with this spec has already failed.
    PreviouslyFailed,
    /// The pod has no container, or its container is not running.
    NotRunning,
    /// The body is too large.
    TooLarge,
    /// The URL is too long.
    UrlTooLong,
    /// The content type or encoding of the body is not supported.
    UnsupportedType,
    /// The body is JSON of another shape, or violates a rule.
    InvalidSpec,
    /// The request is not a WebSocket upgrade.
    UpgradeRequired,
    /// The headers are too large.
    HeadersTooLarge,
    /// The engine rejected the operation, or the image is not available.
    Rejected,
    /// An internal error.
    Internal,
    /// The container runtime does not support the operation.
    Unsupported,
    /// The engine failed.
    EngineFailed,
    /// The pod refuses connections on this port.
    NotConnected,
    /// Another process is using the store.
    StoreBusy,
    /// The engine is unreachable.
    EngineUnreachable,
    /// A component that the orchestrator depends on is not ready.
    NotReady,
    /// The orchestrator is stopping.
    Stopping,
    /// Another manager of the swarm acts, and this one stands by.
    StandsBy,
    /// The engine did not answer in time.
    EngineTimeout,
    /// The store has no space left.
    StoreFull,
}

impl ProblemKind {
    /// Every kind.
    pub const ALL: [Self; 31] = [
        Self::InvalidJson,
        Self::InvalidQuery,
        Self::InvalidRequest,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::StaleGeneration,
        Self::RouteTaken,
        Self::TearingDown,
        Self::InUse,
        Self::SwitchedOff,
        Self::PreviouslyFailed,
        Self::NotRunning,
        Self::TooLarge,
        Self::UrlTooLong,
        Self::UnsupportedType,
        Self::InvalidSpec,
        Self::UpgradeRequired,
        Self::HeadersTooLarge,
        Self::Rejected,
        Self::Internal,
        Self::Unsupported,
        Self::EngineFailed,
        Self::NotConnected,
        Self::StoreBusy,
        Self::EngineUnreachable,
        Self::NotReady,
        Self::Stopping,
        Self::StandsBy,
        Self::EngineTimeout,
        Self::StoreFull,
    ];

    /// Returns the word, the title and the HTTP status of the kind.
    pub fn row(self) -> (&'static str, &'static str, u16) {
        match self {
            Self::InvalidJson => ("invalid-json", "the body is not valid JSON", 400),
            Self::InvalidQuery => ("invalid-query", "the query is not valid", 400),
            Self::InvalidRequest => ("invalid-request", "the request is not valid", 400),
            Self::Forbidden => ("forbidden", "the user is not allowed", 403),
            Self::NotFound => ("not-found", "not found", 404),
            Self::MethodNotAllowed => ("method-not-allowed", "method not allowed", 405),
            Self::StaleGeneration => ("stale-generation", "the app was changed meanwhile", 409),
            Self::RouteTaken => (
                "route-taken",
                "another app owns this host and path, or this port of the host",
                409,
            ),
            Self::TearingDown => ("tearing-down", "the instance is being torn down", 409),
            Self::InUse => ("in-use", "apps use the secret", 409),
            Self::SwitchedOff => ("switched-off", "a setting has switched this off", 409),
            Self::PreviouslyFailed => ("failed-before", "this spec has already failed", 409),
            Self::NotRunning => ("not-running", "the pod is not running", 409),
            Self::TooLarge => ("too-large", "the body is too large", 413),
            Self::UrlTooLong => ("url-too-long", "the URL is too long", 414),
            Self::UnsupportedType => ("unsupported-type", "the content type is not supported", 415),
            Self::InvalidSpec => ("invalid-spec", "the specification is not valid", 422),
            Self::Rejected => ("rejected", "the container engine rejected the operation", 422),
            Self::UpgradeRequired => ("upgrade-required", "a WebSocket is required", 426),
            Self::HeadersTooLarge => ("headers-too-large", "the headers are too large", 431),
            Self::Internal => ("internal", "internal error", 500),
            Self::Unsupported => ("unsupported", "not supported by the container runtime", 501),
            Self::EngineFailed => ("engine-failed", "the container engine failed", 502),
            Self::NotConnected => ("not-connected", "the pod refuses the connection", 502),
            Self::StoreBusy => ("store-busy", "the store is busy", 503),
            Self::EngineUnreachable => {
                ("engine-unreachable", "the container engine is unreachable", 503)
            }
            Self::NotReady => ("not-ready", "not ready", 503),
            Self::Stopping => ("stopping", "the orchestrator is stopping", 503),
            Self::StandsBy => ("stands-by", "another manager of the swarm acts", 503),
            Self::EngineTimeout => {
                ("engine-timeout", "the container engine did not answer in time", 504)
            }
            Self::StoreFull => ("store-full", "the store is full", 507),
        }
    }

    /// Returns the value of [`Problem::kind`].
    pub fn urn(self) -> String {
        format!("urn:dubernetes:error:{}", self.row().0)
    }

    /// Creates a problem of this kind.
    pub fn problem(self, detail: impl Into<String>) -> Problem {
        let (_, title, status) = self.row();
        Problem {
            kind: self.urn(),
            title: title.to_owned(),
            status,
            detail: detail.into(),
            instance: String::new(),
            errors: Vec::new(),
            extra: BTreeMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn kinds_have_unique_words_and_error_statuses() {
        let words: BTreeSet<_> = ProblemKind::ALL.iter().map(|kind| kind.row().0).collect();
        assert_eq!(words.len(), ProblemKind::ALL.len());
        for kind in ProblemKind::ALL {
            let (word, _, status) = kind.row();
            assert!((400..600).contains(&status), "{word} {status}");
            assert!(kind.problem("x").is(kind), "{word}");
        }
    }
}
