//! Endpoint for revisions.

use axum::Json as JsonResponse;
use axum::extract::State;

use crate::path;
use crate::problem::ApiError;
use crate::server::extract::{App, NoParams, Params};
use crate::server::{ApiState, view};
use crate::wire::{List, Revision};

/// List the kept revisions of an app, oldest first.
#[utoipa::path(get, path = path::APP_REVISIONS, operation_id = "list_revisions",
    tag = "apps",
    params(("name" = String, Path, description = "Name of the app")),
    responses(
        (status = 200, body = List<Revision>),
        (status = 404),
    )
)]
pub(super) async fn list(
    State(state): State<ApiState>,
    App(name): App,
    _: Params<NoParams>,
) -> Result<JsonResponse<List<Revision>>, ApiError> {
    let desired = state.store.get(&name).await?.revision;
    let revisions = state.store.revisions(&name).await?.into_iter();
    let revisions = revisions.map(|kept| view::revision(&name, desired, kept));
    Ok(JsonResponse(List::new(revisions.collect())))
}
