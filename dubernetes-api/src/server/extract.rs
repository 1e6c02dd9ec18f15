//! What a request says beside its body: names in the path, keys of the query, headers.

use axum::extract::{FromRequestParts, Path, Query, RawPathParams};
use axum::http::header::{ACCEPT, IF_MATCH};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use dubernetes_core::app::AppName;
use dubernetes_core::error::one_line;
use dubernetes_core::selector::Selector;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::problem::ApiError;
use crate::wire::ProblemKind;

/// The query, with unknown and repeated keys refused; its type denies unknown fields.
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

/// No query at all.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoParams {}

/// Only of one app.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct OfApp {
    /// Only of this app.
    #[param(value_type = Option<String>)]
    pub(super) app: Option<AppName>,
}

/// Only of some apps.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Of {
    /// Only of this app.
    #[param(value_type = Option<String>)]
    pub(super) app: Option<AppName>,
    /// Only of apps with these labels: `key=value`, `key!=value`, `key` and `!key`, joined by
    /// commas.
    #[param(value_type = Option<String>)]
    pub(super) selector: Option<Selector>,
}

/// Only apps with these labels.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Selected {
    /// `key=value`, `key!=value`, `key` and `!key`, joined by commas.
    #[param(value_type = Option<String>)]
    pub(super) selector: Option<Selector>,
}

/// The `{name}` of the path, as it was written. A name that is no text is that of nothing.
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

/// The `{name}` of the path, as that of an app. A name that no app can have is not found.
pub(super) struct App(pub(super) AppName);

impl<S: Send + Sync> FromRequestParts<S> for App {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Name(name) = Name::from_request_parts(parts, state).await?;
        AppName::parse(&name).map(Self).map_err(|_| ApiError::not_found("app", &name))
    }
}

/// The generation that the caller expects, from `If-Match: "N"`.
pub(super) fn expected_generation(headers: &HeaderMap) -> Result<Option<u64>, ApiError> {
    let Some(text) = one(headers, &IF_MATCH)? else { return Ok(None) };
    let number = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match number.and_then(whole) {
        Some(generation) => Ok(Some(generation)),
        None => Err(malformed(&IF_MATCH, "a generation in quotes, such as `\"3\"`,", text)),
    }
}

/// The last event that the caller has, from `Last-Event-ID`.
pub(super) fn last_event(headers: &HeaderMap) -> Result<Option<u64>, ApiError> {
    let name = HeaderName::from_static("last-event-id");
    let Some(text) = one(headers, &name)? else { return Ok(None) };
    whole(text).map(Some).ok_or_else(|| malformed(&name, "the id of an event", text))
}

/// Whether the caller wants this media type.
pub(super) fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|one| one.split(';').next().is_some_and(|one| one.trim() == media_type))
}

/// Digits alone: `parse` would take a sign as well.
fn whole(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, ApiError> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        let detail = format!("the header `{name}` stands there twice");
        return Err(ApiError::new(ProblemKind::InvalidRequest, detail));
    }
    match value.to_str() {
        Ok(text) => Ok(Some(text.trim())),
        Err(_) => Err(malformed(name, "text", "other bytes")),
    }
}

fn malformed(name: &HeaderName, expected: &str, found: &str) -> ApiError {
    let found = found.escape_debug();
    let detail = format!("{expected} was expected in the header `{name}`, not `{found}`");
    ApiError::new(ProblemKind::InvalidRequest, detail)
}
