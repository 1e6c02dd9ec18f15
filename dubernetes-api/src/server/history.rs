//! What an app used in the last hour.

use axum::Json as JsonResponse;
use axum::extract::State;

use crate::path;
use crate::problem::ApiError;
use crate::server::extract::{App, NoParams, Params};
use crate::server::{ApiState, logs};
use crate::wire::History;

/// Show what an app used in the last hour: CPU, memory and requests.
///
/// The orchestrator samples it once a minute and keeps it in memory, until it ends.
#[utoipa::path(get, path = path::APP_HISTORY, operation_id = "get_app_history",
    tag = "apps",
    params(("name" = String, Path, description = "Name of the app")),
    responses(
        (status = 200, body = History),
        (status = 404),
    )
)]
pub(super) async fn get(
    State(state): State<ApiState>,
    App(name): App,
    _: Params<NoParams>,
) -> Result<JsonResponse<History>, ApiError> {
    logs::require_app(&state, &name).await?;
    let is_measured = state.runtime.stats().is_some();
    Ok(JsonResponse(History::new(is_measured, state.controller.history(&name))))
}
