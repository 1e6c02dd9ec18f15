//! Endpoints for secrets. Values only go in.

use axum::Json as JsonResponse;
use axum::extract::State;
use axum::http::StatusCode;
use dubernetes_core::app::{self, MAX_CONTENT_BYTES, SecretName};
use dubernetes_core::error::chain;
use dubernetes_core::event::{EventKind, EventReason, NewEvent};
use dubernetes_core::store::{Change, SetSecret, StoreError, StoredApp};

use crate::path;
use crate::problem::ApiError;
use crate::server::body::Raw;
use crate::server::extract::{Name, NoParams, Params};
use crate::server::{ApiState, view};
use crate::wire::{FieldProblem, KeyRotation, List, ProblemKind, Secret, SecretSet};

/// List secrets without their values, ordered by name.
#[utoipa::path(get, path = path::SECRETS, operation_id = "list_secrets",
    tag = "secrets", responses((status = 200, body = List<Secret>)))]
pub(super) async fn list(
    State(state): State<ApiState>,
    _: Params<NoParams>,
) -> Result<JsonResponse<List<Secret>>, ApiError> {
    let secrets = state.controller.secrets().await?;
    Ok(JsonResponse(List::new(secrets.into_iter().map(Secret::from).collect())))
}

/// Create a secret or change its value, which is the body. Each app that uses the secret gets a
/// new revision, which is rolled out like any other.
#[utoipa::path(put, path = path::SECRET, operation_id = "set_secret",
    tag = "secrets",
    params(("name" = String, Path, description = "Name of the secret")),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses(
        (status = 200, body = SecretSet, description = "Configured or unchanged"),
        (status = 201, body = SecretSet, description = "Created"),
        (status = 422, description = "An app cannot use the value"),
    )
)]
pub(super) async fn set(
    State(state): State<ApiState>,
    Name(name): Name,
    _: Params<NoParams>,
    Raw(body): Raw,
) -> Result<(StatusCode, JsonResponse<SecretSet>), ApiError> {
    let name = SecretName::parse(&name).map_err(|error| {
        let problem = FieldProblem::new("name", format!("the name of a secret: {error}"));
        ApiError::invalid(vec![problem])
    })?;
    if body.len() > MAX_CONTENT_BYTES {
        let detail = format!("the value of a secret has more than {MAX_CONTENT_BYTES} bytes");
        return Err(ApiError::new(ProblemKind::TooLarge, detail));
    }
    let set = SetSecret::new(name.clone(), app::Secret::new(body), state.clock.now());
    let set = set.map_err(|error| ApiError::new(ProblemKind::InvalidRequest, error.to_string()))?;
    // The handle numbers revisions above the observed ones, so wait for the first pass.
    state.latest_snapshot().await;
    let put = state.controller.set_secret(set).await.map_err(|error| unusable(&name, error))?;
    record(&state, &name, &put.apps).await;
    let snapshot = state.controller.snapshot();
    let apps = put.apps.iter().map(|app| view::app(&state.info, &snapshot, app)).collect();
    let status = match put.change {
        Change::Created => StatusCode::CREATED,
        Change::Configured | Change::Unchanged => StatusCode::OK,
    };
    Ok((status, JsonResponse(SecretSet { name, change: put.change, apps })))
}

/// Delete a secret that no app uses.
#[utoipa::path(delete, path = path::SECRET, operation_id = "delete_secret",
    tag = "secrets",
    params(("name" = String, Path, description = "Name of the secret")),
    responses(
        (status = 204, description = "Deleted"),
        (status = 404),
        (status = 409, description = "Apps use the secret"),
    )
)]
pub(super) async fn delete(
    State(state): State<ApiState>,
    Name(name): Name,
    _: Params<NoParams>,
) -> Result<StatusCode, ApiError> {
    let name = SecretName::parse(&name).map_err(|_| ApiError::not_found("secret", &name))?;
    state.controller.delete_secret(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Encrypt all secrets and contents of files with a new key, and forget the old one.
#[utoipa::path(post, path = path::SECRET_KEY_ROTATION, operation_id = "rotate_secret_key",
    tag = "secrets", responses((status = 200, body = KeyRotation)))]
pub(super) async fn rotate_key(
    State(state): State<ApiState>,
    _: Params<NoParams>,
) -> Result<JsonResponse<KeyRotation>, ApiError> {
    let values = state.controller.rotate_key().await?;
    Ok(JsonResponse(KeyRotation { values }))
}

/// Names the app that cannot use a value.
fn unusable(secret: &SecretName, error: StoreError) -> ApiError {
    match error {
        StoreError::Invalid { name, problems } => {
            let detail = format!("app `{name}` cannot use this value of secret `{secret}`");
            let problems = problems.problems.into_iter().map(FieldProblem::from);
            ApiError::new(ProblemKind::InvalidSpec, detail).with_errors(problems.collect())
        }
        error => error.into(),
    }
}

/// Records the cause of the new revisions.
async fn record(state: &ApiState, secret: &SecretName, apps: &[StoredApp]) {
    let event = |app: &StoredApp| NewEvent {
        time: state.clock.now(),
        kind: EventKind::Normal,
        app: Some(app.spec.name.clone()),
        pod: None,
        revision: Some(app.revision),
        reason: EventReason::SecretChanged,
        message: format!("secret {secret} changed: revision {}", app.revision),
    };
    let events: Vec<_> = apps.iter().map(event).collect();
    // The secret is set even if the events cannot be stored.
    if let Err(error) = state.store.append(&events).await {
        tracing::warn!(error = %chain(&error), "cannot record the change of a secret");
    }
}
