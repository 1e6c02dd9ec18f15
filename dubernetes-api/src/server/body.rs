//! Request bodies: JSON of declared type, without an encoding, limited in size and time.

use std::time::Duration;

use axum::body::Body;
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

/// Deadline for reading a body; the largest takes a moment over a local socket.
const BODY_LIMIT: Duration = Duration::from_secs(30);

/// A body that is declared as JSON.
pub(super) struct Json(pub(super) Bytes);

/// A body of any bytes, declared as such.
pub(super) struct Raw(pub(super) Bytes);

impl<S: Send + Sync> FromRequest<S> for Raw {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        check_type(request.headers(), OCTET_STREAM)?;
        read_body(request, state).await.map(Self)
    }
}

impl<S: Send + Sync> FromRequest<S> for Json {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        check_type(request.headers(), JSON)?;
        read_body(request, state).await.map(Self)
    }
}

/// An archive of images, of any size, that is read as it arrives.
pub(super) struct Archive(pub(super) Body);

impl<S: Send + Sync> FromRequest<S> for Archive {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        check_type(request.headers(), TAR)?;
        Ok(Self(request.into_body()))
    }
}

const TAR: &str = "application/x-tar";
const JSON: &str = "application/json";
const OCTET_STREAM: &str = "application/octet-stream";

async fn read_body<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, ApiError> {
    let read = tokio::time::timeout(BODY_LIMIT, Bytes::from_request(request, state)).await;
    let Ok(read) = read else {
        let detail = format!("the body took longer than {BODY_LIMIT:?}");
        return Err(ApiError::new(ProblemKind::InvalidRequest, detail));
    };
    read.map_err(|rejection| match rejection.into_response().status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let detail = format!("the body has more than {MAX_BODY} bytes");
            ApiError::new(ProblemKind::TooLarge, detail)
        }
        _ => ApiError::new(ProblemKind::InvalidRequest, "the body ended early"),
    })
}

impl Json {
    /// Parses a small body. JSON of another shape is reported as a violated rule.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        self.read_borrowed()
    }

    /// Parses a body, some parts of which stay borrowed raw JSON.
    pub(super) fn read_borrowed<'a, T: Deserialize<'a>>(&'a self) -> Result<T, ApiError> {
        let mut json = serde_json::Deserializer::from_slice(&self.0);
        let read = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let field = (dotted(error.path()), pointer(error.path()));
            (Some(field), error.into_inner())
        });
        let whole = read.and_then(|read| match json.end() {
            Ok(()) => Ok(read),
            Err(error) => Err((None, error)),
        });
        whole.map_err(|(at, error)| match (error.classify(), at) {
            (Category::Data, Some((path, pointer))) => {
                let pointer = Some(pointer);
                ApiError::invalid(vec![FieldProblem { path, pointer, ..position(&error) }])
            }
            (_, _) => invalid_json(position(&error)),
        })
    }

    /// Parses a spec and checks every rule.
    pub(super) fn spec(&self) -> Result<AppSpec, ApiError> {
        read_spec(&self.0)
    }
}

/// Parses a spec and checks every rule, those of the manifest included.
pub(super) fn read_spec(bytes: &[u8]) -> Result<AppSpec, ApiError> {
    dubernetes_manifest::from_json(bytes).map_err(|error| match error {
        JsonError::Syntax { message, line, column } => invalid_json(FieldProblem {
            line: Some(line),
            column: Some(column),
            ..FieldProblem::new("", message)
        }),
        JsonError::Invalid(problems) => {
            ApiError::invalid(problems.into_iter().map(FieldProblem::from).collect())
        }
    })
}

/// Returns the named segments of a path.
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

/// Returns the JSON pointer (RFC 6901) of a path.
fn pointer(path: &Path) -> String {
    steps(path).map(|step| format!("/{}", step.replace('~', "~0").replace('/', "~1"))).collect()
}

fn invalid_json(problem: FieldProblem) -> ApiError {
    let position = match (problem.line, problem.column) {
        (Some(line), Some(column)) => format!("line {line}, column {column}: "),
        _ => String::new(),
    };
    let detail = format!("{position}{}", problem.message);
    ApiError::new(ProblemKind::InvalidJson, detail).with_errors(vec![problem])
}

fn position(error: &serde_json::Error) -> FieldProblem {
    let text = one_line(&error.to_string());
    // The library appends the position, which has its own fields here.
    let message = text.rsplit_once(" at line ").map_or(&*text, |(message, _)| message);
    FieldProblem {
        line: Some(error.line()),
        column: Some(error.column()),
        ..FieldProblem::new("", message)
    }
}

fn check_type(headers: &HeaderMap, expected: &str) -> Result<(), ApiError> {
    let refused = |detail: String| Err(ApiError::new(ProblemKind::UnsupportedType, detail));
    if let Some(encoding) = headers.get(CONTENT_ENCODING) {
        let encoding = encoding.to_str().unwrap_or_default().escape_debug();
        return refused(format!("content encoding `{encoding}` is not supported"));
    }
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (types.next(), types.next()) else {
        return refused(format!("expected exactly one `content-type` header: `{expected}`"));
    };
    let value = value.to_str().unwrap_or_default();
    let mut parts = value.split(';').map(|part| part.trim().to_ascii_lowercase());
    let is_expected = parts.next().is_some_and(|media_type| media_type == expected);
    if is_expected && parts.all(|part| part == "charset=utf-8" || part == "charset=\"utf-8\"") {
        return Ok(());
    }
    refused(format!("expected content type `{expected}`, found `{}`", value.escape_debug()))
}
