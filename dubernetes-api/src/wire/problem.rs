//! The body of every error: problem details as RFC 9457 has them.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The media type of [`Problem`].
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// What kind of problem it is, for programs: `urn:dubernetes:error:…`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What kind of problem it is, for people.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened this time.
    pub detail: String,
    /// The path of the request; not in the lines of a stream.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub instance: String,
    /// What is wrong with which part of the request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldProblem>,
    /// What else a program may want to know, such as the present `generation`.
    #[serde(flatten)]
    #[schema(additional_properties)]
    pub extra: BTreeMap<String, serde_json::Value>,
}

impl Problem {
    /// Whether it is of this kind.
    pub fn is(&self, kind: ProblemKind) -> bool {
        self.kind == kind.urn()
    }

    /// The present generation, where the request expected another one.
    pub fn generation(&self) -> Option<u64> {
        self.extra.get("generation")?.as_u64()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.detail.is_empty() { &self.title } else { &self.detail })
    }
}

/// What is wrong with one part of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldProblem {
    /// The field: keys and list positions joined by dots; empty for the whole.
    pub path: String,
    /// The field of the body as a JSON pointer (RFC 6901); empty for the whole body. Not where the
    /// problem is none of a body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// The line of the body, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The column of the body, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// What was expected and what was found.
    pub message: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// The kinds of problems, each with its word, title and HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProblemKind {
    /// The body is not JSON.
    InvalidJson,
    /// The query has an unknown key, a key twice, or a value that cannot be read.
    InvalidQuery,
    /// A header cannot be read, or the request breaks the protocol.
    InvalidRequest,
    /// The caller's user may not speak with this orchestrator.
    Forbidden,
    /// There is no such object or path.
    NotFound,
    /// The path has no such method.
    MethodNotAllowed,
    /// The caller's view of the app is old.
    StaleGeneration,
    /// Another app answers under the same host and path.
    RouteTaken,
    /// A revision with just this content has failed.
    PreviouslyFailed,
    /// The pod has no container, or one that does not run.
    NotRunning,
    /// The body is too large.
    TooLarge,
    /// The URL is too long.
    UrlTooLong,
    /// The body's type or encoding is not the one that is wanted.
    UnsupportedType,
    /// The body is JSON, and not what is wanted.
    InvalidSpec,
    /// The request is no WebSocket upgrade.
    UpgradeRequired,
    /// The headers are too large.
    HeadersTooLarge,
    /// The engine refused what was asked, or the image cannot be had.
    Rejected,
    /// Something failed inside.
    Internal,
    /// The runtime does not offer what the request needs.
    Unsupported,
    /// The engine failed.
    EngineFailed,
    /// The pod takes no connection.
    NotConnected,
    /// Somebody else holds the store.
    StoreBusy,
    /// The engine does not answer.
    EngineUnreachable,
    /// Not everything that is needed answers.
    NotReady,
    /// The orchestrator is about to end.
    Stopping,
    /// The engine did not finish in time.
    EngineTimeout,
    /// The store has no space left.
    StoreFull,
}

impl ProblemKind {
    /// Every kind.
    pub const ALL: [Self; 27] = [
        Self::InvalidJson,
        Self::InvalidQuery,
        Self::InvalidRequest,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::StaleGeneration,
        Self::RouteTaken,
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
        Self::EngineTimeout,
        Self::StoreFull,
    ];

    /// The one table of all problems: word, title, HTTP status.
    pub fn row(self) -> (&'static str, &'static str, u16) {
        match self {
            Self::InvalidJson => ("invalid-json", "the body is not valid JSON", 400),
            Self::InvalidQuery => ("invalid-query", "the query is not valid", 400),
            Self::InvalidRequest => ("invalid-request", "the request is not valid", 400),
            Self::Forbidden => ("forbidden", "this user may not speak with it", 403),
            Self::NotFound => ("not-found", "not found", 404),
            Self::MethodNotAllowed => ("method-not-allowed", "no such method here", 405),
            Self::StaleGeneration => ("stale-generation", "the app has changed meanwhile", 409),
            Self::RouteTaken => ("route-taken", "another app has this host and path", 409),
            Self::PreviouslyFailed => ("failed-before", "just this has failed before", 409),
            Self::NotRunning => ("not-running", "the pod does not run", 409),
            Self::TooLarge => ("too-large", "the body is too large", 413),
            Self::UrlTooLong => ("url-too-long", "the URL is too long", 414),
            Self::UnsupportedType => ("unsupported-type", "the body has the wrong type", 415),
            Self::InvalidSpec => ("invalid-spec", "the specification is not valid", 422),
            Self::Rejected => ("rejected", "the container engine refused it", 422),
            Self::UpgradeRequired => ("upgrade-required", "a WebSocket is wanted here", 426),
            Self::HeadersTooLarge => ("headers-too-large", "the headers are too large", 431),
            Self::Internal => ("internal", "something failed", 500),
            Self::Unsupported => ("unsupported", "the container runtime does not support it", 501),
            Self::EngineFailed => ("engine-failed", "the container engine failed", 502),
            Self::NotConnected => ("not-connected", "the pod takes no connection", 502),
            Self::StoreBusy => ("store-busy", "the store is busy", 503),
            Self::EngineUnreachable => {
                ("engine-unreachable", "the container engine does not answer", 503)
            }
            Self::NotReady => ("not-ready", "not everything answers", 503),
            Self::Stopping => ("stopping", "the orchestrator is stopping", 503),
            Self::EngineTimeout => {
                ("engine-timeout", "the container engine did not finish in time", 504)
            }
            Self::StoreFull => ("store-full", "the store is full", 507),
        }
    }

    /// The value of [`Problem::kind`].
    pub fn urn(self) -> String {
        format!("urn:dubernetes:error:{}", self.row().0)
    }

    /// A problem of this kind.
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
    fn every_kind_has_a_word_of_its_own_and_an_error_status() {
        let words: BTreeSet<_> = ProblemKind::ALL.iter().map(|kind| kind.row().0).collect();
        assert_eq!(words.len(), ProblemKind::ALL.len());
        for kind in ProblemKind::ALL {
            let (word, _, status) = kind.row();
            assert!((400..600).contains(&status), "{word} {status}");
            assert!(kind.problem("x").is(kind), "{word}");
        }
    }
}
