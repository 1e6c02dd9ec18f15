//! A request's body: JSON within limits of size and time, with its type said and without an encoding.

use std::time::Duration;

use axum::extract::{FromRequest, Request};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse as _;
use bytes::Bytes;
use dubernetes_core::app::AppSpec;
use dubernetes_core::error::one_line;
use dubernetes_manifest::JsonError;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use serde_path_to_error::{Path, Segment};

use crate::problem::ApiError;
use crate::server::MAX_BODY;
use crate::wire::{FieldProblem, ProblemKind};

/// How long a body may take; the largest takes a moment over a socket of this machine.
const BODY_LIMIT: Duration = Duration::from_secs(30);

/// The bytes of a body that says to be JSON.
pub(super) struct Json(pub(super) Bytes);

impl<S: Send + Sync> FromRequest<S> for Json {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        check_type(request.headers())?;
        let read = tokio::time::timeout(BODY_LIMIT, Bytes::from_request(request, state)).await;
        let Ok(read) = read else {
            let detail = format!("the body took longer than {BODY_LIMIT:?}");
            return Err(ApiError::new(ProblemKind::InvalidRequest, detail));
        };
        read.map(Self).map_err(|rejection| match rejection.into_response().status() {
            StatusCode::PAYLOAD_TOO_LARGE => {
                let detail = format!("the body has more than {MAX_BODY} bytes");
                ApiError::new(ProblemKind::TooLarge, detail)
            }
            _ => ApiError::new(ProblemKind::InvalidRequest, "the body ended too early"),
        })
    }
}

impl Json {
    /// Reads a body of a few fields. What is JSON and not such a body breaks a rule.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        self.read_borrowed()
    }

    /// The same, with parts that are left as they stand in the body.
    pub(super) fn read_borrowed<'a, T: Deserialize<'a>>(&'a self) -> Result<T, ApiError> {
        let mut json = serde_json::Deserializer::from_slice(&self.0);
        let read = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let (path, pointer) = (dotted(error.path()), pointer(error.path()));
            (Some((path, pointer)), error.into_inner())
        });
        let whole = read.and_then(|read| match json.end() {
            Ok(()) => Ok(read),
            Err(error) => Err((None, error)),
        });
        whole.map_err(|(at, error)| match (error.classify(), at) {
            (Category::Data, Some((path, pointer))) => {
                let pointer = Some(pointer);
                ApiError::invalid(vec![FieldProblem { path, pointer, ..place(&error) }])
            }
            (_, _) => not_json(place(&error)),
        })
    }

    /// Reads a specification and checks every rule.
    pub(super) fn spec(&self) -> Result<AppSpec, ApiError> {
        read_spec(&self.0)
    }
}

/// Reads a specification and checks every rule, those of its file included.
pub(super) fn read_spec(bytes: &[u8]) -> Result<AppSpec, ApiError> {
    dubernetes_manifest::from_json(bytes).map_err(|error| match error {
        JsonError::Syntax { message, line, column } => not_json(FieldProblem {
            path: String::new(),
            pointer: None,
            line: Some(line),
            column: Some(column),
            message,
            hint: None,
        }),
        JsonError::Invalid(problems) => {
            ApiError::invalid(problems.into_iter().map(FieldProblem::from).collect())
        }
    })
}

/// The steps to a field, as far as they have names.
fn steps(path: &Path) -> impl Iterator<Item = String> {
    path.iter().filter_map(|segment| match segment {
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Map { key } => Some(key.clone()),
        Segment::Enum { .. } | Segment::Unknown => None,
    })
}

fn dotted(path: &Path) -> String {
    steps(path).collect::<Vec<_>>().join(".")
}

/// The JSON pointer (RFC 6901).
fn pointer(path: &Path) -> String {
    steps(path).map(|step| format!("/{}", step.replace('~', "~0").replace('/', "~1"))).collect()
}

fn not_json(problem: FieldProblem) -> ApiError {
    let place = match (problem.line, problem.column) {
        (Some(line), Some(column)) => format!("line {line}, column {column}: "),
        _ => String::new(),
    };
    let detail = format!("{place}{}", problem.message);
    ApiError::new(ProblemKind::InvalidJson, detail).with_errors(vec![problem])
}

fn place(error: &serde_json::Error) -> FieldProblem {
    let text = one_line(&error.to_string());
    // The library ends its text with the place, which has fields of its own here.
    let message = text.rsplit_once(" at line ").map_or(&*text, |(message, _)| message);
    FieldProblem {
        path: String::new(),
        pointer: None,
        line: Some(error.line()),
        column: Some(error.column()),
        message: message.to_owned(),
        hint: None,
    }
}

fn check_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let refused = |detail: String| Err(ApiError::new(ProblemKind::UnsupportedType, detail));
    if let Some(encoding) = headers.get(CONTENT_ENCODING) {
        let encoding = encoding.to_str().unwrap_or_default().escape_debug();
        return refused(format!("a body without encoding is wanted, not `{encoding}`"));
    }
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (types.next(), types.next()) else {
        return refused("the body's type must be said once: `application/json`".to_owned());
    };
    let value = value.to_str().unwrap_or_default();
    let mut parts = value.split(';').map(|part| part.trim().to_ascii_lowercase());
    let json = parts.next().is_some_and(|media_type| media_type == "application/json");
    if json && parts.all(|part| part == "charset=utf-8" || part == "charset=\"utf-8\"") {
        return Ok(());
    }
    refused(format!("`application/json` is wanted, not `{}`", value.escape_debug()))
}
