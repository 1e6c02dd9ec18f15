//! Endpoint for the rollout of an app.

use axum::Json as JsonResponse;
use axum::extract::State;
use dubernetes_core::store::{self, Change};

use crate::path;
use crate::problem::ApiError;
use crate::server::body::Json;
use crate::server::extract::{App, NoParams, Params};
use crate::server::{ApiState, apps, view};
use crate::wire::{Applied, FieldProblem, RolloutAction, RolloutRequest};

/// Undo or restart an app, or pause or resume its rollout.
///
/// Undo and restart create a new revision, which is rolled out like any other.
#[utoipa::path(post, path = path::APP_ROLLOUT, operation_id = "update_rollout",
    tag = "apps",
    params(("name" = String, Path, description = "Name of the app")),
    request_body = RolloutRequest,
    responses(
        (status = 200, body = Applied),
        (status = 404, description = "Unknown app or revision"),
        (status = 422),
    )
)]
pub(super) async fn update(
    State(state): State<ApiState>,
    App(name): App,
    _: Params<NoParams>,
    body: Json,
) -> Result<JsonResponse<Applied>, ApiError> {
    let action = requested_action(body.read()?)?;
    // The handle numbers revisions above the observed ones, so wait for the first pass.
    state.latest_snapshot().await;
    let put = state.controller.update_rollout(&name, action).await?;
    if put.change != Change::Unchanged {
        let what = match action {
            store::RolloutAction::Undo { to: None } => "undo of the rollout".to_owned(),
            store::RolloutAction::Undo { to: Some(to) } => format!("undo to revision {to}"),
            store::RolloutAction::Restart => "restart of all replicas".to_owned(),
            store::RolloutAction::Pause => "pause of the rollout".to_owned(),
            store::RolloutAction::Resume => "resumption of the rollout".to_owned(),
        };
        apps::record_request(&state, &name, None, &what).await;
    }
    let app = view::app(&state.info, &state.controller.snapshot(), &put.app);
    Ok(JsonResponse(Applied { change: put.change, app, note: None }))
}

/// Returns the action of a request.
pub(super) fn requested_action(request: RolloutRequest) -> Result<store::RolloutAction, ApiError> {
    let RolloutRequest { action: requested, to } = request;
    let action = match requested {
        RolloutAction::Undo => store::RolloutAction::Undo { to },
        RolloutAction::Restart => store::RolloutAction::Restart,
        RolloutAction::Pause => store::RolloutAction::Pause,
        RolloutAction::Resume => store::RolloutAction::Resume,
    };
    if to.is_some() && requested != RolloutAction::Undo {
        return Err(ApiError::invalid(vec![FieldProblem {
            pointer: Some("/to".to_owned()),
            hint: Some("remove it".to_owned()),
            ..FieldProblem::new("to", "`to` is only allowed with the action `undo`")
        }]));
    }
    Ok(action)
}
