//! Maps errors to problem+json responses.
//!
//! Words, titles and statuses of all kinds are in one table, [`ProblemKind::row`].

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, UPGRADE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use dubernetes_core::app::{self, Place, RouteConflict};
use dubernetes_core::dial::DialError;
use dubernetes_core::error::chain;
use dubernetes_core::ingress::IngressError;
use dubernetes_core::runtime::RuntimeError;
use dubernetes_core::store::StoreError;
use dubernetes_manifest::BodyProblem;

use crate::wire::{FieldProblem, PROBLEM_JSON, Problem, ProblemKind};

/// Seconds after which a caller may repeat a request that failed temporarily.
const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// Longest accepted path and query, in bytes.
const MAX_URL: usize = 8 << 10;
/// Largest accepted sum of all headers, in bytes.
const MAX_HEADERS: usize = 32 << 10;

/// Error of a request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ApiError(Box<Problem>);

impl ApiError {
    pub(crate) fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self(Box::new(kind.problem(detail)))
    }

    pub(crate) fn not_found(what: &str, name: &str) -> Self {
        let name = name.escape_debug();
        Self::new(ProblemKind::NotFound, format!("{what} `{name}` not found"))
    }

    /// Reports the rules that a specification violates.
    pub(crate) fn invalid(problems: Vec<FieldProblem>) -> Self {
        let detail = match &problems[..] {
            [one] if one.path.is_empty() => one.message.clone(),
            [one] => format!("`{}`: {}", one.path, one.message),
            many => format!("{} problems", many.len()),
        };
        let mut error = Self::new(ProblemKind::InvalidSpec, detail);
        error.0.errors = problems;
        error
    }

    pub(crate) fn stopping() -> Self {
        Self::new(ProblemKind::Stopping, "the orchestrator is stopping")
    }

    pub(crate) fn with_errors(mut self, errors: Vec<FieldProblem>) -> Self {
        self.0.errors = errors;
        self
    }

    pub(crate) fn with(mut self, key: &str, value: impl Into<serde_json::Value>) -> Self {
        self.0.extra.insert(key.to_owned(), value.into());
        self
    }

    pub(crate) fn into_problem(self) -> Problem {
        *self.0
    }
}

impl From<app::Problem> for FieldProblem {
    fn from(problem: app::Problem) -> Self {
        let app::Problem { path, message, hint } = problem;
        Self { hint, ..Self::new(path, message) }
    }
}

impl From<BodyProblem> for FieldProblem {
    fn from(found: BodyProblem) -> Self {
        Self { pointer: Some(found.pointer), ..Self::from(found.problem) }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let detail = chain(&error);
        match error {
            StoreError::Invalid { problems, .. } => {
                Self::invalid(problems.problems.into_iter().map(FieldProblem::from).collect())
            }
            StoreError::NotFound { name } => Self::not_found("app", name.as_str()),
            StoreError::TearingDown => Self::new(ProblemKind::TearingDown, detail),
            StoreError::StaleGeneration { present, .. } => {
                Self::new(ProblemKind::StaleGeneration, detail).with("generation", present.0)
            }
            StoreError::RouteTaken(RouteConflict { owner, place }) => {
                let problem =
                    Self::new(ProblemKind::RouteTaken, detail).with("owner", owner.as_str());
                match place {
                    Place::Route { host, path } => {
                        problem.with("host", host.to_string()).with("path", path.as_str())
                    }
                    Place::Port(mapping) => problem.with("port", mapping.to_string()),
                }
            }
            StoreError::PreviouslyFailed { revision, .. } => {
                Self::new(ProblemKind::PreviouslyFailed, detail).with("revision", revision.0)
            }
            StoreError::NoRevision { kept, .. } => Self::new(ProblemKind::NotFound, detail)
                .with("revisions", kept.into_iter().map(|kept| kept.0).collect::<Vec<_>>()),
            StoreError::SecretNotFound { name } => Self::not_found("secret", name.as_str()),
            StoreError::SecretInUse { apps, .. } => Self::new(ProblemKind::InUse, detail)
                .with("apps", apps.into_iter().map(String::from).collect::<Vec<_>>()),
            StoreError::Busy(_) => Self::new(ProblemKind::StoreBusy, detail),
            StoreError::Full(_) => Self::new(ProblemKind::StoreFull, detail),
            StoreError::Failed(_) => Self::new(ProblemKind::Internal, detail),
        }
    }
}

impl From<RuntimeError> for ApiError {
    fn from(error: RuntimeError) -> Self {
        let kind = match &error {
            RuntimeError::Unreachable { .. } => ProblemKind::EngineUnreachable,
            RuntimeError::Timeout { .. } => ProblemKind::EngineTimeout,
            RuntimeError::NotFound { .. } => ProblemKind::NotFound,
            RuntimeError::NameTaken { .. }
            | RuntimeError::Image { .. }
            | RuntimeError::Rejected { .. }
            | RuntimeError::NotRunning { .. }
            | RuntimeError::OwnedByOtherState { .. } => ProblemKind::Rejected,
            RuntimeError::Unsupported { .. } => ProblemKind::Unsupported,
            // Covers variants that later versions of the core add.
            RuntimeError::Failed { .. } | _ => ProblemKind::EngineFailed,
        };
        Self::new(kind, chain(&error))
    }
}

impl From<IngressError> for ApiError {
    fn from(error: IngressError) -> Self {
        match error {
            IngressError::Runtime(error) => error.into(),
            IngressError::PortTaken { .. }
            | IngressError::Refused { .. }
            | IngressError::NotAcknowledged
            | IngressError::Failed(_) => Self::new(ProblemKind::EngineFailed, chain(&error)),
        }
    }
}

impl From<DialError> for ApiError {
    fn from(error: DialError) -> Self {
        Self::new(ProblemKind::NotConnected, error.to_string())
    }
}

/// A problem that has no request path yet; [`render_problem`] adds it.
#[derive(Clone)]
struct PendingProblem(Box<Problem>);

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = Body::empty().into_response();
        *response.status_mut() = status_of(&self.0);
        response.extensions_mut().insert(PendingProblem(self.0));
        response
    }
}

fn status_of(problem: &Problem) -> StatusCode {
    StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Outermost layer: refuses oversized requests, and renders every error as problem+json.
pub(crate) async fn render_problem(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let url = request.uri().path_and_query().map_or(0, |whole| whole.as_str().len());
    let mut response = if url > MAX_URL {
        let detail = format!("the URL has {url} bytes, more than {MAX_URL}");
        return write_problem(Response::default(), &ProblemKind::UrlTooLong.problem(detail));
    } else if headers_size(request.headers()) > MAX_HEADERS {
        let detail = format!("the headers have more than {MAX_HEADERS} bytes");
        ApiError::new(ProblemKind::HeadersTooLarge, detail).into_response()
    } else {
        next.run(request).await
    };
    let pending = response.extensions_mut().remove::<PendingProblem>();
    let mut problem = match pending {
        Some(PendingProblem(problem)) => *problem,
        None if is_bare_error(&response) => problem_for_status(response.status(), &path),
        None => return response,
    };
    problem.instance = path;
    write_problem(response, &problem)
}

fn headers_size(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}

/// Returns whether the response is an error without a body from a library, such as the router's for
/// an unknown method.
fn is_bare_error(response: &Response) -> bool {
    let status = response.status();
    status.is_client_error() || status.is_server_error()
}

fn problem_for_status(status: StatusCode, path: &str) -> Problem {
    let shown = path.escape_debug();
    match status {
        StatusCode::NOT_FOUND => ProblemKind::NotFound.problem(format!("`{shown}` not found")),
        StatusCode::METHOD_NOT_ALLOWED => {
            ProblemKind::MethodNotAllowed.problem(format!("`{shown}` does not support this method"))
        }
        StatusCode::PAYLOAD_TOO_LARGE => ProblemKind::TooLarge.problem("the body is too large"),
        status if status.is_client_error() => {
            ProblemKind::InvalidRequest.problem("malformed request")
        }
        _ => ProblemKind::Internal.problem("the response could not be created"),
    }
}

/// Writes `problem` into `response`; other headers, such as `Allow`, are kept.
fn write_problem(mut response: Response, problem: &Problem) -> Response {
    let status = status_of(problem);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.remove(CONTENT_LENGTH);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, RETRY_SECONDS);
    }
    if status == StatusCode::UPGRADE_REQUIRED {
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    }
    // All map keys of a problem are strings, so it always serializes.
    *response.body_mut() = Body::from(serde_json::to_vec(problem).unwrap_or_default());
    response
}
