//! Wishes for the rollout of an app.

use axum::Json as Answer;
use axum::extract::State;
use dubernetes_core::store;

use crate::path;
use crate::problem::ApiError;
use crate::server::body::Json;
use crate::server::extract::{App, NoParams, Params};
use crate::server::{ApiState, view};
use crate::wire::{Applied, FieldProblem, Problem, RolloutAction, RolloutWish};

/// Goes back to an earlier revision, restarts all replicas, or pauses or resumes the rollout.
///
/// Going back and restarting make a new revision, and go the way of every rollout.
#[utoipa::path(post, path = path::APP_ROLLOUT, tag = "apps",
    params(("name" = String, Path, description = "The app")),
    request_body = RolloutWish,
    responses(
        (status = 200, body = Applied),
        (status = 404, body = Problem, content_type = "application/problem+json",
            description = "There is no such app, or no such revision"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn wish(
    State(state): State<ApiState>,
    App(name): App,
    _: Params<NoParams>,
    body: Json,
) -> Result<Answer<Applied>, ApiError> {
    let RolloutWish { action: requested, to } = body.read()?;
    let action = match requested {
        RolloutAction::Undo => store::RolloutAction::Undo { to },
        RolloutAction::Restart => store::RolloutAction::Restart,
        RolloutAction::Pause => store::RolloutAction::Pause,
        RolloutAction::Resume => store::RolloutAction::Resume,
    };
    if to.is_some() && requested != RolloutAction::Undo {
        return Err(ApiError::invalid(vec![FieldProblem {
            path: "to".to_owned(),
            pointer: Some("/to".to_owned()),
            line: None,
            column: None,
            message: "`to` stands only beside the action `undo`".to_owned(),
            hint: Some("delete it".to_owned()),
        }]));
    }
    // The handle raises the revision above those of observed replicas, so wait for the first pass.
    state.looked().await;
    let put = state.controller.update_rollout(&name, action).await?;
    let app = view::app(&state.about, &state.controller.snapshot(), &put.app);
    Ok(Answer(Applied { change: put.change, app }))
}
