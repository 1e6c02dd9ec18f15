//! The access log of an app.

use axum::extract::State;
use axum::response::Response;
use dubernetes_core::app::PodName;
use dubernetes_core::ingress::AccessLogQuery;
use futures_util::StreamExt as _;
use jiff::Timestamp;
use serde::Deserialize;

use crate::path;
use crate::problem::ApiError;
use crate::server::extract::{App, Params};
use crate::server::stream::{self, Stop};
use crate::server::{ApiState, logs};
use crate::wire::ProblemKind;

/// Selects requests.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Selection {
    /// Continue with new requests.
    #[serde(default)]
    #[param(required = false)]
    follow: bool,
    /// Only the last requests, at most this many.
    tail: Option<u32>,
    /// Only requests that were answered at or after this time.
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    /// Only requests that this pod answered.
    #[param(value_type = Option<String>)]
    pod: Option<PodName>,
}

/// Read the requests to an app, as the ingress has logged them, ordered by time.
///
/// With `follow` the response continues with new requests. It ends with the ingress.
#[utoipa::path(get, path = path::APP_ACCESS_LOG, operation_id = "read_app_access_log",
    tag = "apps",
    params(("name" = String, Path, description = "Name of the app"), Selection),
    responses(
        (status = 200, body = crate::openapi::AccessLogEntry, content_type = stream::NDJSON),
        (status = 404),
        (status = 409, description = "A setting has switched the access log off"),
    )
)]
pub(super) async fn read(
    State(state): State<ApiState>,
    App(app): App,
    Params(selection): Params<Selection>,
    stop: Stop,
) -> Result<Response, ApiError> {
    logs::require_app(&state, &app).await?;
    let Selection { follow, tail, since, pod } = selection;
    let query = AccessLogQuery { app, pod, follow, tail, since };
    let Some(entries) = state.controller.access_log(&query).await? else {
        return Err(ApiError::new(ProblemKind::SwitchedOff, "the access log is off"));
    };
    let entries = entries.map(|entry| entry.map_err(ApiError::from));
    Ok(stream::ndjson(stop, entries.boxed()))
}
