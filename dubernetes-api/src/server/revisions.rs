//! Revisions: what a rollout moves between.

use axum::Json as Answer;
use axum::extract::State;

use crate::path;
use crate::problem::ApiError;
use crate::server::extract::{App, NoParams, Params};
use crate::server::{ApiState, view};
use crate::wire::{List, Problem, Revision};

/// The revisions of an app that are kept, oldest first.
#[utoipa::path(get, path = path::APP_REVISIONS, tag = "apps",
    params(("name" = String, Path, description = "The app")),
    responses(
        (status = 200, body = List<Revision>),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    State(state): State<ApiState>,
    App(name): App,
    _: Params<NoParams>,
) -> Result<Answer<List<Revision>>, ApiError> {
    let wanted = state.store.get(&name).await?.revision;
    let revisions = state.store.revisions(&name).await?.into_iter();
    let revisions = revisions.map(|kept| view::revision(&name, wanted, kept));
    Ok(Answer(List::new(revisions.collect())))
}
