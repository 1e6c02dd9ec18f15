//! A request's body: JSON within a limit, with its type said and without an encoding.

use axum::extract::{FromRequest, Request};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse as _;
use bytes::Bytes;
use dubernetes_core::app::AppSpec;
use dubernetes_core::error::one_line;
use dubernetes_core::manifest::{self, JsonError};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::problem::ApiError;
use crate::server::MAX_BODY;
use crate::wire::{FieldProblem, ProblemKind};

/// The bytes of a body that says to be JSON.
pub(super) struct Json(pub(super) Bytes);

impl<S: Send + Sync> FromRequest<S> for Json {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        check_type(request.headers())?;
        Bytes::from_request(request, state).await.map(Self).map_err(|rejection| {
            match rejection.into_response().status() {
                StatusCode::PAYLOAD_TOO_LARGE => {
                    let detail = format!("the body has more than {MAX_BODY} bytes");
                    ApiError::new(ProblemKind::TooLarge, detail)
                }
                _ => ApiError::new(ProblemKind::InvalidRequest, "the body ended too early"),
            }
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
        serde_json::from_slice(&self.0).map_err(|error| match error.classify() {
            Category::Data => ApiError::invalid(vec![place(&error)]),
            Category::Syntax | Category::Eof | Category::Io => not_json(place(&error)),
        })
    }

    /// Reads a specification and checks every rule.
    pub(super) fn spec(&self) -> Result<AppSpec, ApiError> {
        read_spec(&self.0)
    }
}

/// Reads a specification and checks every rule, those of its file included.
pub(super) fn read_spec(bytes: &[u8]) -> Result<AppSpec, ApiError> {
    manifest::from_json(bytes).map_err(|error| match error {
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
