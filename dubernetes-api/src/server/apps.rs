//! Endpoints for apps.

use axum::Json as JsonResponse;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use dubernetes_core::app::{AppName, AppSpec, Content, Generation, PodName};
use dubernetes_core::error::chain;
use dubernetes_core::event::{EventKind, EventReason, NewEvent};
use dubernetes_core::store::{Change, PutApp, StoreError, StoredApp};

use serde::Deserialize;
use utoipa::IntoParams;

use crate::path;
use crate::problem::ApiError;
use crate::server::body::Json;
use crate::server::extract::{self, Name, NoParams, Params, SelectorQuery};
use crate::server::{ApiState, moved_image, view};
use crate::wire::{App, Applied, FieldProblem, List, ProblemKind, Scale};

/// A scale competes with other writes of the same app only, and each lost race means that another
/// write succeeded.
const SCALE_RETRIES: u32 = 8;

/// List apps, ordered by name.
#[utoipa::path(get, path = path::APPS, operation_id = "list_apps",
    tag = "apps", params(SelectorQuery), responses((status = 200, body = List<App>)))]
pub(super) async fn list(
    State(state): State<ApiState>,
    Params(SelectorQuery { selector }): Params<SelectorQuery>,
) -> Result<JsonResponse<List<App>>, ApiError> {
    let stored = state.store.list().await?;
    let snapshot = state.latest_snapshot().await;
    let selected = |app: &&StoredApp| {
        selector.as_ref().is_none_or(|selector| selector.matches(&app.spec.labels))
    };
    let apps =
        stored.apps.values().filter(selected).map(|app| view::app(&state.info, &snapshot, app));
    Ok(JsonResponse(List::new(apps.collect())))
}

/// Get one app.
#[utoipa::path(get, path = path::APP, operation_id = "get_app",
    tag = "apps",
    params(("name" = String, Path, description = "Name of the app")),
    responses(
        (status = 200, body = App),
        (status = 404),
    )
)]
pub(super) async fn get(
    State(state): State<ApiState>,
    extract::App(name): extract::App,
    _: Params<NoParams>,
) -> Result<JsonResponse<App>, ApiError> {
    let stored = state.store.get(&name).await?;
    let snapshot = state.latest_snapshot().await;
    Ok(JsonResponse(view::app(&state.info, &snapshot, &stored)))
}

/// Options of an apply.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PutQuery {
    /// Retry a spec whose revision has already failed.
    #[serde(default)]
    retry: bool,
}

/// Create or update an app.
///
/// With `If-Match: "N"`, only if the stored generation is N; 0 means that the app does not exist.
#[utoipa::path(put, path = path::APP, operation_id = "apply_app",
    tag = "apps",
    params(
        ("name" = String, Path, description = "Name of the app, the same as in the body"),
        PutQuery,
        ("If-Match" = Option<String>, Header, description = "The expected generation, in quotes"),
    ),
    request_body = crate::openapi::AppSpec,
    responses(
        (status = 200, body = Applied, description = "Configured or unchanged"),
        (status = 201, body = Applied, description = "Created"),
        (status = 409,
            description = "Stale generation, taken route, or spec that has already failed"),
        (status = 422),
    )
)]
pub(super) async fn put(
    State(state): State<ApiState>,
    Name(name): Name,
    Params(PutQuery { retry }): Params<PutQuery>,
    headers: HeaderMap,
    body: Json,
) -> Result<(StatusCode, JsonResponse<Applied>), ApiError> {
    let expected = extract::expected_generation(&headers)?;
    let mut spec = body.spec()?;
    if spec.name.as_str() != name {
        let message = format!(
            "the path names app `{}`, but the body names `{}`",
            name.escape_debug(),
            spec.name
        );
        return Err(ApiError::invalid(vec![FieldProblem {
            pointer: Some("/name".to_owned()),
            hint: Some("use the same name in both".to_owned()),
            ..FieldProblem::new("name", message)
        }]));
    }
    fill_contents(&state, &mut spec).await?;
    let applied = put_and_record(&state, spec, expected, retry).await?;
    let applied = moved_image::check(&state, applied).await?;
    let status = match applied.change {
        Change::Created => StatusCode::CREATED,
        Change::Configured | Change::Unchanged => StatusCode::OK,
    };
    Ok((status, JsonResponse(applied)))
}

/// Delete an app. The response is sent once the request is stored; the replicas are terminated
/// after that.
#[utoipa::path(delete, path = path::APP, operation_id = "delete_app",
    tag = "apps",
    params(("name" = String, Path, description = "Name of the app")),
    responses(
        (status = 202, description = "Deletion requested"),
        (status = 404),
    )
)]
pub(super) async fn delete(
    State(state): State<ApiState>,
    extract::App(name): extract::App,
    _: Params<NoParams>,
) -> Result<StatusCode, ApiError> {
    state.controller.delete(&name).await?;
    record_request(&state, &name, None, "deletion").await;
    Ok(StatusCode::ACCEPTED)
}

/// Set the number of replicas of an app. The rest of its spec stays as stored.
#[utoipa::path(post, path = path::APP_SCALE, operation_id = "scale_app",
    tag = "apps",
    params(("name" = String, Path, description = "Name of the app")),
    request_body = Scale,
    responses(
        (status = 200, body = Applied),
        (status = 404),
        (status = 422),
    )
)]
pub(super) async fn scale(
    State(state): State<ApiState>,
    extract::App(name): extract::App,
    _: Params<NoParams>,
    body: Json,
) -> Result<JsonResponse<Applied>, ApiError> {
    let Scale { replicas } = body.read()?;
    let mut lost = 0;
    loop {
        let stored = state.store.get(&name).await?;
        let before = stored.spec.replicas;
        let spec = AppSpec { replicas, ..stored.spec.into_inner() };
        match put_app(&state, spec, Some(stored.generation), false).await {
            Ok(applied) => {
                if applied.change != Change::Unchanged {
                    let what = format!("change from {before} to {replicas} replicas");
                    record_request(&state, &name, None, &what).await;
                }
                return Ok(JsonResponse(applied));
            }
            Err(StoreError::StaleGeneration { .. }) if lost < SCALE_RETRIES => lost += 1,
            Err(StoreError::Invalid { problems, .. }) => {
                // Only the new number can have caused a violation.
                let pointer = Some("/replicas".to_owned());
                let problems = problems.problems.into_iter().map(FieldProblem::from);
                let problems = problems.map(|p| FieldProblem { pointer: pointer.clone(), ..p });
                return Err(ApiError::invalid(problems.collect()));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Fills in contents that the body omits from the stored app, so that an app that was read can be
/// written back. Contents of files that remain missing are an error; secrets are left to the store.
async fn fill_contents(state: &ApiState, spec: &mut AppSpec) -> Result<(), ApiError> {
    let has_hash = spec
        .content_refs()
        .iter()
        .any(|(_, reference)| matches!(reference.content, Content::Hash(_)));
    if !has_hash && spec.missing_contents().is_empty() {
        return Ok(());
    }
    match state.store.get(&spec.name).await {
        Ok(stored) => spec.fill_contents_from(&stored.spec),
        Err(StoreError::NotFound { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let problem = |path: String| FieldProblem {
        pointer: path.split_once('.').map(|(key, entry)| {
            // The name of an entry may contain any character.
            format!("/{key}/{}", entry.replace('~', "~0").replace('/', "~1"))
        }),
        hint: Some(
            "add it as `content` in base64; the command line does so when it reads the file".into(),
        ),
        ..FieldProblem::new(&*path, format!("the content of the file in `{path}` is missing"))
    };
    match spec.missing_contents() {
        missing if missing.is_empty() => Ok(()),
        missing => Err(ApiError::invalid(missing.into_iter().map(problem).collect())),
    }
}

async fn put_and_record(
    state: &ApiState,
    spec: AppSpec,
    expected: Option<Generation>,
    retry: bool,
) -> Result<Applied, ApiError> {
    let name = spec.name.clone();
    let put = put_app(state, spec, expected, retry).await;
    if let Err(StoreError::RouteTaken(conflict)) = &put {
        record_refusal(state, &name, conflict.to_string()).await;
    }
    put.map_err(|error| match error {
        StoreError::StaleGeneration { present: Generation::NONE, .. } => ApiError::new(
            ProblemKind::StaleGeneration,
            format!("app `{name}` does not exist, but a generation was expected"),
        )
        .with("generation", 0),
        error => error.into(),
    })
}

/// Records the refusal, so that `why` and `events` can show it later.
async fn record_refusal(state: &ApiState, name: &AppName, message: String) {
    let event = NewEvent {
        time: state.clock.now(),
        kind: EventKind::Warning,
        app: Some(name.clone()),
        pod: None,
        revision: None,
        reason: EventReason::Refused,
        message,
    };
    // The caller gets the refusal even if the event cannot be stored.
    let _ = state.store.append(&[event]).await;
}

/// Records that a user asked for a change, so that `events` names the cause of what follows.
pub(super) async fn record_request(
    state: &ApiState,
    app: &AppName,
    pod: Option<&PodName>,
    what: &str,
) {
    let event = NewEvent {
        time: state.clock.now(),
        kind: EventKind::Normal,
        app: Some(app.clone()),
        pod: pod.cloned(),
        revision: None,
        reason: EventReason::Requested,
        message: format!("{what} requested by a user"),
    };
    // The request was carried out even if the event cannot be stored.
    if let Err(error) = state.store.append(&[event]).await {
        tracing::warn!(error = %chain(&error), "cannot record a request");
    }
}

async fn put_app(
    state: &ApiState,
    spec: AppSpec,
    expected_generation: Option<Generation>,
    retry: bool,
) -> Result<Applied, StoreError> {
    // The handle numbers revisions above the observed ones, so wait for the first pass.
    state.latest_snapshot().await;
    let spec = state.controller.validate(spec)?;
    let put = PutApp { expected_generation, retry, ..PutApp::new(spec, state.clock.now()) };
    let put = state.controller.put(put).await?;
    let app = view::app(&state.info, &state.controller.snapshot(), &put.app);
    Ok(Applied { change: put.change, app, note: None })
}
