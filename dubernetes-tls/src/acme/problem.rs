//! What the answers of an authority mean for the caller. Pure.

use std::fmt::Write as _;

use dubernetes_core::app::HostName;
use dubernetes_core::certificate::CertificateError;
use dubernetes_core::error::{SharedError, chain, one_line};
use instant_acme::{Error, Problem};
use jiff::Timestamp;

/// Prefix of the types of problems that RFC 8555 knows.
const PREFIX: &str = "urn:ietf:params:acme:error:";

/// Classifies an error. `retry_at` is what the last answer said.
pub(super) fn classify(error: &Error, retry_at: Option<Timestamp>) -> CertificateError {
    match error {
        Error::Api(problem) => refused(problem, retry_at),
        Error::Crypto | Error::KeyRejected | Error::Unsupported(_) => {
            CertificateError::Failed(SharedError::text(chain(error)))
        }
        // What cannot be read is not the answer of an authority, but of something in between.
        _ => CertificateError::Unreachable(SharedError::text(chain(error))),
    }
}

/// Returns whether the authority did not accept a nonce, which says nothing about the request.
pub(super) fn is_bad_nonce(error: &Error) -> bool {
    matches!(error, Error::Api(problem) if kind(problem) == "badNonce")
}

/// Returns what it means that a challenge has failed with a problem.
pub(super) fn not_verified(host: &HostName, problem: &Problem) -> CertificateError {
    match refused(problem, None) {
        CertificateError::Refused { message } => {
            CertificateError::NotVerified { host: host.clone(), message }
        }
        other => other,
    }
}

fn refused(problem: &Problem, retry_at: Option<Timestamp>) -> CertificateError {
    let message = message(problem);
    match kind(problem) {
        "rateLimited" => CertificateError::RateLimited { message, retry_at },
        "serverInternal" | "badNonce" => CertificateError::Unreachable(SharedError::text(message)),
        _ if problem.status.is_some_and(|status| status >= 500) => {
            CertificateError::Unreachable(SharedError::text(message))
        }
        _ => CertificateError::Refused { message },
    }
}

/// Returns the type of a problem without its prefix.
fn kind(problem: &Problem) -> &str {
    let kind = problem.r#type.as_deref().unwrap_or_default();
    kind.strip_prefix(PREFIX).unwrap_or(kind)
}

/// Returns the authority's text on one line, with those of the problems of single hosts.
fn message(problem: &Problem) -> String {
    let kind = kind(problem);
    let unknown = if kind.is_empty() { "it gives no reason" } else { kind };
    let mut text = problem.detail.clone().unwrap_or_else(|| unknown.to_owned());
    for detail in problem.subproblems.iter().filter_map(|one| one.detail.as_ref()) {
        // Writing to a string cannot fail.
        let _ = write!(text, "; {detail}");
    }
    one_line(&text)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn problem(value: Value) -> Problem {
        serde_json::from_value(value).unwrap()
    }

    fn shown(value: Value) -> String {
        let retry_at = "2026-01-01T00:00:00Z".parse().unwrap();
        let error = classify(&Error::Api(problem(value)), Some(retry_at));
        format!("{error:?}")
    }

    #[test]
    fn problems_of_requests_are_classified() {
        let urn = |name: &str| format!("{PREFIX}{name}");
        let cases = [
            (
                json!({"type": urn("rateLimited"), "detail": "too\nmany", "status": 429}),
                "RateLimited { message: \"too many\", retry_at: Some(2026-01-01T00:00:00Z) }",
            ),
            // Let's Encrypt answers so when it is overloaded.
            (
                json!({"type": urn("rateLimited"), "detail": "busy", "status": 503}),
                "RateLimited { message: \"busy\", retry_at: Some(2026-01-01T00:00:00Z) }",
            ),
            (
                json!({"type": urn("serverInternal"), "detail": "oops", "status": 500}),
                "Unreachable(\"oops\")",
            ),
            (json!({"type": "about:blank", "status": 502}), "Unreachable(\"about:blank\")"),
            (json!({"type": urn("badNonce"), "detail": "no"}), "Unreachable(\"no\")"),
            (
                json!({"type": urn("unauthorized"), "detail": "account is deactivated"}),
                "Refused { message: \"account is deactivated\" }",
            ),
            (json!({"type": urn("caa")}), "Refused { message: \"caa\" }"),
            (json!({}), "Refused { message: \"it gives no reason\" }"),
            (
                json!({"type": urn("rejectedIdentifier"), "detail": "no order", "subproblems": [
                    {"type": urn("rejectedIdentifier"), "detail": "x.test is forbidden"}]}),
                "Refused { message: \"no order; x.test is forbidden\" }",
            ),
        ];
        for (value, expected) in cases {
            assert_eq!(shown(value), expected);
        }
    }

    #[test]
    fn failed_challenge_is_not_verified() {
        let host = HostName::parse("shop.example.com").unwrap();
        for kind in ["dns", "connection", "unauthorized", "tls", "incorrectResponse", "caa"] {
            let problem = problem(json!({"type": format!("{PREFIX}{kind}"), "detail": "why"}));
            let expected = "the certificate authority could not verify shop.example.com: why";
            assert_eq!(not_verified(&host, &problem).to_string(), expected);
        }
        let internal = problem(json!({"type": format!("{PREFIX}serverInternal")}));
        assert!(matches!(not_verified(&host, &internal), CertificateError::Unreachable(_)));
    }

    #[test]
    fn other_failures_are_classified() {
        let unreachable = [
            Error::Timeout(None),
            Error::Str("no nonce found in newNonce response"),
            Error::Json(serde_json::from_str::<Value>("<html>").unwrap_err()),
            Error::Other("connection refused".into()),
        ];
        for error in unreachable {
            let error = classify(&error, None);
            assert!(matches!(error, CertificateError::Unreachable(_)), "{error:?}");
        }
        assert!(matches!(classify(&Error::KeyRejected, None), CertificateError::Failed(_)));
    }

    #[test]
    fn only_bad_nonces_are_bad_nonces() {
        let bad = Error::Api(problem(json!({"type": format!("{PREFIX}badNonce")})));
        let other = Error::Api(problem(json!({"type": format!("{PREFIX}malformed")})));
        assert!(is_bad_nonce(&bad));
        assert!(!is_bad_nonce(&other));
        assert!(!is_bad_nonce(&Error::Crypto));
    }
}
