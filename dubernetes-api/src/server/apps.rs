//! Apps: what users want.

use axum::Json as Answer;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use dubernetes_core::app::{AppName, AppSpec};
use dubernetes_core::event::{EventKind, EventReason, NewEvent};
use dubernetes_core::store::{Change, PutApp, StoreError, StoredApp};

use serde::Deserialize;
use utoipa::IntoParams;

use crate::path;
use crate::problem::ApiError;
use crate::server::body::Json;
use crate::server::extract::{self, Name, NoParams, Params, Selected};
use crate::server::{ApiState, view};
use crate::wire::{App, Applied, FieldProblem, List, Problem, ProblemKind, Scale};

/// A scale competes with applies of the same app only, and each lost race is one that somebody
/// else has won.
const SCALE_TRIES: u32 = 8;

/// The apps, in the order of their names.
#[utoipa::path(get, path = path::APPS, tag = "apps", params(Selected), responses(
    (status = 200, body = List<App>),
    (status = "default", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn list(
    State(state): State<ApiState>,
    Params(Selected { selector }): Params<Selected>,
) -> Result<Answer<List<App>>, ApiError> {
    let stored = state.store.list().await?;
    let snapshot = state.looked().await;
    let wanted = |app: &&StoredApp| {
        selector.as_ref().is_none_or(|selector| selector.matches(&app.spec.labels))
    };
    let apps =
        stored.apps.values().filter(wanted).map(|app| view::app(&state.about, &snapshot, app));
    Ok(Answer(List::new(apps.collect())))
}

/// One app.
#[utoipa::path(get, path = path::APP, tag = "apps",
    params(("name" = String, Path, description = "The app")),
    responses(
        (status = 200, body = App),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn get(
    State(state): State<ApiState>,
    extract::App(name): extract::App,
    _: Params<NoParams>,
) -> Result<Answer<App>, ApiError> {
    let stored = state.store.get(&name).await?;
    let snapshot = state.looked().await;
    Ok(Answer(view::app(&state.about, &snapshot, &stored)))
}

/// How a specification is applied.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct OfPut {
    /// Whether a revision with just this content that has failed is tried again.
    #[serde(default)]
    retry: bool,
}

/// Stores an app as it is wanted.
///
/// With `If-Match: "N"` only if N is its present generation; 0 stands for an app that does not
/// exist.
#[utoipa::path(put, path = path::APP, tag = "apps",
    params(
        ("name" = String, Path, description = "The app; the body's name is the same"),
        OfPut,
        ("If-Match" = Option<String>, Header, description = "The expected generation, in quotes"),
    ),
    request_body = crate::openapi::AppSpec,
    responses(
        (status = 200, body = Applied, description = "It was there: configured or unchanged"),
        (status = 201, body = Applied, description = "It is new"),
        (status = 409, body = Problem, content_type = "application/problem+json",
            description = "Another generation is present, the route is taken, or it has failed before"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn put(
    State(state): State<ApiState>,
    Name(name): Name,
    Params(OfPut { retry }): Params<OfPut>,
    headers: HeaderMap,
    body: Json,
) -> Result<(StatusCode, Answer<Applied>), ApiError> {
    let expected = extract::expected_generation(&headers)?;
    let mut spec = body.spec()?;
    if spec.name.as_str() != name {
        let message =
            format!("the path says `{}`, and the body `{}`", name.escape_debug(), spec.name);
        return Err(ApiError::invalid(vec![FieldProblem {
            path: "name".to_owned(),
            pointer: Some("/name".to_owned()),
            line: None,
            column: None,
            message,
            hint: Some("write the same name in both".to_owned()),
        }]));
    }
    complete(&state, &mut spec).await?;
    let applied = store(&state, spec, expected, retry).await?;
    let status = match applied.change {
        Change::Created => StatusCode::CREATED,
        Change::Configured | Change::Unchanged => StatusCode::OK,
    };
    Ok((status, Answer(applied)))
}

/// Deletes an app. The answer comes once the wish is stored; the replicas go after that.
#[utoipa::path(delete, path = path::APP, tag = "apps",
    params(("name" = String, Path, description = "The app")),
    responses(
        (status = 202, description = "It will be removed"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn delete(
    State(state): State<ApiState>,
    extract::App(name): extract::App,
    _: Params<NoParams>,
) -> Result<StatusCode, ApiError> {
    state.controller.delete(&name).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Sets the number of an app's replicas, whatever else is stored at that time.
#[utoipa::path(post, path = path::APP_SCALE, tag = "apps",
    params(("name" = String, Path, description = "The app")),
    request_body = Scale,
    responses(
        (status = 200, body = Applied),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn scale(
    State(state): State<ApiState>,
    extract::App(name): extract::App,
    _: Params<NoParams>,
    body: Json,
) -> Result<Answer<Applied>, ApiError> {
    let Scale { replicas } = body.read()?;
    let mut lost = 0;
    loop {
        let stored = state.store.get(&name).await?;
        let spec = AppSpec { replicas, ..stored.spec };
        let problems = spec.problems();
        if !problems.is_empty() {
            // Whatever it is, the number brought it about.
            let pointer = Some("/replicas".to_owned());
            let problems = problems.into_iter().map(FieldProblem::from);
            let problems = problems.map(|p| FieldProblem { pointer: pointer.clone(), ..p });
            return Err(ApiError::invalid(problems.collect()));
        }
        match put_app(&state, spec, Some(stored.generation), false).await {
            Ok(applied) => return Ok(Answer(applied)),
            Err(StoreError::StaleGeneration { .. }) if lost < SCALE_TRIES => lost += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Takes contents that the body leaves out from what is stored: an app that was read can be put
/// back. Without its contents no app is stored.
async fn complete(state: &ApiState, spec: &mut AppSpec) -> Result<(), ApiError> {
    if spec.missing_contents().is_empty() {
        return Ok(());
    }
    match state.store.get(&spec.name).await {
        Ok(stored) => spec.fill_contents_from(&stored.spec),
        Err(StoreError::NotFound { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let problem = |path: String| FieldProblem {
        message: format!("the content of the file in `{path}` is missing"),
        pointer: path.split_once('.').map(|(key, entry)| {
            // The entry's own name may have any character.
            format!("/{key}/{}", entry.replace('~', "~0").replace('/', "~1"))
        }),
        path,
        line: None,
        column: None,
        hint: Some(
            "add it as `content`, in base64; the program does when it reads the file".into(),
        ),
    };
    match spec.missing_contents() {
        missing if missing.is_empty() => Ok(()),
        missing => Err(ApiError::invalid(missing.into_iter().map(problem).collect())),
    }
}

async fn store(
    state: &ApiState,
    spec: AppSpec,
    expected: Option<u64>,
    retry: bool,
) -> Result<Applied, ApiError> {
    let name = spec.name.clone();
    let put = put_app(state, spec, expected, retry).await;
    if let Err(StoreError::RouteTaken(conflict)) = &put {
        remember_refusal(state, &name, conflict.to_string()).await;
    }
    put.map_err(|error| match error {
        StoreError::StaleGeneration { present: 0, .. } => ApiError::new(
            ProblemKind::StaleGeneration,
            format!("app `{name}` does not exist, but a generation of it was expected"),
        )
        .with("generation", 0),
        error => error.into(),
    })
}

/// Whoever looks for the app later is told why it is not as its file says.
async fn remember_refusal(state: &ApiState, name: &AppName, message: String) {
    let event = NewEvent {
        time: state.clock.now(),
        kind: EventKind::Warning,
        app: Some(name.clone()),
        pod: None,
        revision: None,
        reason: EventReason::Refused,
        message,
    };
    // The refusal itself is the answer, whether or not it can be kept.
    let _ = state.store.append(&[event]).await;
}

async fn put_app(
    state: &ApiState,
    spec: AppSpec,
    expected_generation: Option<u64>,
    retry: bool,
) -> Result<Applied, StoreError> {
    // The handle raises the revision above those of observed replicas, so wait for the first pass.
    state.looked().await;
    let put = PutApp { expected_generation, retry, ..PutApp::new(spec, state.clock.now()) };
    let put = state.controller.put(put).await?;
    let app = view::app(&state.about, &state.controller.snapshot(), &put.app);
    Ok(Applied { change: put.change, app })
}
