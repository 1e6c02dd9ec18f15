//! Predictions for one app: the effect of an undo, a restart, a pause or a resumption, and what
//! happens without any of them.

use axum::Json as JsonResponse;
use axum::extract::State;
use dubernetes_core::app::AppName;
use dubernetes_core::state::DesiredState;
use dubernetes_core::store::{
    Change, Put, RolloutAction, RolloutCommand, StoreError, decide_rollout_command,
};

use super::{app_plan, newest_revision_seen};
use crate::path;
use crate::problem::ApiError;
use crate::server::ApiState;
use crate::server::body::Json;
use crate::server::extract::{App, NoParams, Params};
use crate::server::rollout::requested_action;
use crate::wire::{AppPlan, RolloutRequest};

/// Predict the effect of a change of the rollout. Nothing is changed.
#[utoipa::path(post, path = path::APP_ROLLOUT_PLAN, operation_id = "plan_rollout",
    tag = "apps",
    params(("name" = String, Path, description = "Name of the app")),
    request_body = RolloutRequest,
    responses(
        (status = 200, body = AppPlan),
        (status = 404, description = "Unknown app or revision"),
        (status = 422),
    )
)]
pub(in crate::server) async fn plan_rollout(
    State(state): State<ApiState>,
    App(name): App,
    _: Params<NoParams>,
    body: Json,
) -> Result<JsonResponse<AppPlan>, ApiError> {
    let action = requested_action(body.read()?)?;
    predict(&state, name, Some(action)).await
}

/// Predict what happens to an app from now on: the steps to its desired state, if everything
/// succeeds.
#[utoipa::path(get, path = path::APP_FORECAST, operation_id = "forecast_app",
    tag = "apps",
    params(("name" = String, Path, description = "Name of the app")),
    responses(
        (status = 200, body = AppPlan),
        (status = 404),
    )
)]
pub(in crate::server) async fn forecast_app(
    State(state): State<ApiState>,
    App(name): App,
    _: Params<NoParams>,
) -> Result<JsonResponse<AppPlan>, ApiError> {
    predict(&state, name, None).await
}

async fn predict(
    state: &ApiState,
    name: AppName,
    action: Option<RolloutAction>,
) -> Result<JsonResponse<AppPlan>, ApiError> {
    let mut desired = DesiredState::new(state.info.instance.clone(), state.store.list().await?);
    let app = state.store.get(&name).await?;
    let revisions = state.store.revisions(&name).await?;
    let snapshot = state.latest_snapshot().await;
    desired.default_tls.clone_from(&snapshot.desired.default_tls);
    let now = state.clock.now();
    let newest_seen = newest_revision_seen(&snapshot, &name);
    let put = match action {
        Some(action) => {
            let command = RolloutCommand { name: name.clone(), action, newest_seen, now };
            decide_rollout_command(&app, &revisions, &command)?.put
        }
        None => Put { app, change: Change::Unchanged },
    };
    desired.revisions.insert(name.clone(), revisions);
    // A forecast for many replicas takes a while, and must not block other requests.
    let plan = tokio::task::spawn_blocking(move || {
        let mut after = desired.clone();
        after.apps.insert(name.clone(), put.app);
        app_plan(&desired, &after, &snapshot, &name, put.change, None, now)
            .ok_or(StoreError::NotFound { name })
    });
    match plan.await {
        Ok(plan) => Ok(JsonResponse(plan?)),
        Err(_) => Err(ApiError::stopping()),
    }
}
