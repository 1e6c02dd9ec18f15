//! Extractors: names in the path, query parameters, headers.

use axum::extract::{FromRequestParts, Path, Query, RawPathParams};
use axum::http::header::{ACCEPT, IF_MATCH};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use dubernetes_core::app::{AppName, Generation};
use dubernetes_core::error::one_line;
use dubernetes_core::selector::Selector;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::problem::ApiError;
use crate::wire::ProblemKind;

/// Query parameters. Unknown and repeated keys are refused; `T` denies unknown fields.
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        match Query::<T>::try_from_uri(&parts.uri) {
            Ok(Query(params)) => Ok(Self(params)),
            Err(error) => {
                let text = one_line(&error.body_text());
                let text = text.rsplit_once("query string: ").map_or(&*text, |(_, why)| why);
                Err(ApiError::new(ProblemKind::InvalidQuery, text.to_owned()))
            }
        }
    }
}

/// No query parameters.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoParams {}

/// Query that selects one app.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AppQuery {
    /// Only this app.
    #[param(value_type = Option<String>)]
    pub(super) app: Option<AppName>,
}

/// Query that selects pods.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PodQuery {
    /// Only pods of this app.
    #[param(value_type = Option<String>)]
    pub(super) app: Option<AppName>,
    /// Only pods of apps with these labels: `key=value`, `key!=value`, `key` and `!key`, joined by
    /// commas.
    #[param(value_type = Option<String>)]
    pub(super) selector: Option<Selector>,
}

/// Query that selects apps by labels.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SelectorQuery {
    /// Only apps with these labels: `key=value`, `key!=value`, `key` and `!key`, joined by commas.
    #[param(value_type = Option<String>)]
    pub(super) selector: Option<Selector>,
}

/// The `{name}` in the path, decoded. A name that is not UTF-8 is not found.
pub(super) struct Name(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        if let Ok(Path(name)) = Path::<String>::from_request_parts(parts, state).await {
            return Ok(Self(name));
        }
        let raw = RawPathParams::from_request_parts(parts, state).await;
        let raw = raw.ok().and_then(|raw| raw.iter().next().map(|(_, name)| name.to_owned()));
        Err(ApiError::not_found("object", &raw.unwrap_or_default()))
    }
}

/// The `{name}` in the path as an app name. An invalid app name is not found.
pub(super) struct App(pub(super) AppName);

impl<S: Send + Sync> FromRequestParts<S> for App {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Name(name) = Name::from_request_parts(parts, state).await?;
        AppName::parse(&name).map(Self).map_err(|_| ApiError::not_found("app", &name))
    }
}

/// Returns the generation that the caller expects, from `If-Match: "N"`.
pub(super) fn expected_generation(headers: &HeaderMap) -> Result<Option<Generation>, ApiError> {
    let Some(text) = single_header(headers, &IF_MATCH)? else { return Ok(None) };
    let number = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match number.and_then(parse_digits) {
        Some(generation) => Ok(Some(Generation(generation))),
        None => Err(malformed_header(&IF_MATCH, "a generation in quotes, such as `\"3\"`,", text)),
    }
}

/// Returns the last event that the caller knows, from `Last-Event-ID`.
pub(super) fn last_event(headers: &HeaderMap) -> Result<Option<u64>, ApiError> {
    let name = HeaderName::from_static("last-event-id");
    let Some(text) = single_header(headers, &name)? else { return Ok(None) };
    parse_digits(text).map(Some).ok_or_else(|| malformed_header(&name, "the id of an event", text))
}

/// Returns whether the caller accepts this media type.
pub(super) fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|one| one.split(';').next().is_some_and(|one| one.trim() == media_type))
}

/// Parses digits only: `parse` would accept a sign, too.
fn parse_digits(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn single_header<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a str>, ApiError> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        let detail = format!("the header `{name}` is repeated");
        return Err(ApiError::new(ProblemKind::InvalidRequest, detail));
    }
    match value.to_str() {
        Ok(text) => Ok(Some(text.trim())),
        Err(_) => Err(malformed_header(name, "text", "other bytes")),
    }
}

fn malformed_header(name: &HeaderName, expected: &str, found: &str) -> ApiError {
    let found = found.escape_debug();
    let detail = format!("expected {expected} in the header `{name}`, found `{found}`");
    ApiError::new(ProblemKind::InvalidRequest, detail)
}
