//! The orchestrator itself: who it is, how it is, and how everything goes.

use std::collections::BTreeMap;

use axum::Json as Answer;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use dubernetes_controller::Snapshot;
use dubernetes_core::error::chain;
use dubernetes_core::ingress::ObservedIngress;
use dubernetes_core::plan::{Blocked, OperationKey};
use dubernetes_core::state;
use dubernetes_manifest::reference;

use crate::problem::ApiError;
use crate::server::extract::{NoParams, Params};
use crate::server::{About, ApiState, view};
use crate::wire::{
    EngineState, EngineStatus, FieldProblem, Health, IngressState, IngressStatus, Orchestrator,
    Problem, ProblemKind, Status, Version,
};
use crate::{openapi, path};

/// How the orchestrator is.
#[utoipa::path(get, path = path::STATUS, tag = "system", responses(
    (status = 200, body = Status),
    (status = "default", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn status(
    State(state): State<ApiState>,
    _: Params<NoParams>,
) -> Result<Answer<Status>, ApiError> {
    let snapshot = state.looked().await;
    let (apps, store_problem) = match state.store.list().await {
        Ok(stored) => {
            let apps = stored.apps.values().map(|app| view::app(&state.about, &snapshot, app));
            let mut phases = BTreeMap::new();
            for app in apps {
                *phases.entry(app.status.phase.to_string()).or_insert(0) += 1;
            }
            (phases, snapshot.store_problem.clone())
        }
        // This is where a person looks when something is wrong: it answers all the same.
        Err(error) => (BTreeMap::new(), Some(chain(&error))),
    };
    let About { instance, version: own, pid, mode, state_dir, .. } = state.about.clone();
    Ok(Answer(Status {
        instance,
        orchestrator: Orchestrator { version: own, pid, mode, state_dir },
        engine: EngineStatus { place: state.about.engine.clone(), ..engine(&snapshot) },
        ingress: ingress(&state.about, &snapshot),
        network: snapshot.observed.network.is_some(),
        apps,
        blocked: snapshot.plan.blocked.iter().map(blocked).collect(),
        store_problem,
        last_round: snapshot.at,
        passes: snapshot.passes,
    }))
}

fn engine(snapshot: &Snapshot) -> EngineStatus {
    let version = snapshot.engine.clone();
    match &snapshot.observed.engine {
        state::EngineStatus::Unreachable { since, reason } => EngineStatus {
            state: EngineState::Away,
            version,
            place: None,
            since: Some(*since),
            reason: Some(reason.clone()),
        },
        state::EngineStatus::Reachable if snapshot.passes == 0 => EngineStatus {
            state: EngineState::Away,
            version,
            place: None,
            since: None,
            reason: Some(NOT_LOOKED.to_owned()),
        },
        state::EngineStatus::Reachable => {
            let state = EngineState::Answering;
            EngineStatus { state, version, place: None, since: None, reason: None }
        }
    }
}

fn ingress(about: &About, snapshot: &Snapshot) -> IngressStatus {
    let observed = &snapshot.observed.ingress;
    let (state, reason) = match observed {
        ObservedIngress::Absent => (IngressState::Absent, last_failure(snapshot)),
        ObservedIngress::Down { reason } => {
            let reason = last_failure(snapshot).unwrap_or_else(|| reason.clone());
            (IngressState::Down, Some(reason))
        }
        ObservedIngress::Serving { .. } => (IngressState::Serving, None),
    };
    let routes = observed.table().map_or(0, |table| table.routes.len());
    IngressStatus { state, reason, address: about.http_bind, port: about.http_port, routes }
}

/// Why the ingress could not be made to serve, if the last try failed: a taken port, for instance.
fn last_failure(snapshot: &Snapshot) -> Option<String> {
    Some(snapshot.observed.failures.get(&OperationKey::Routes)?.message.clone())
}

fn blocked(blocked: &Blocked) -> String {
    let app = blocked.app.as_ref().map(|app| app.as_str());
    match blocked.pod.as_deref().or(app) {
        Some(object) => format!("{object}: {}", blocked.block),
        None => blocked.block.to_string(),
    }
}

/// Who answers. Every command asks this first, so it waits for nobody.
#[utoipa::path(get, path = path::VERSION, tag = "system", responses(
    (status = 200, body = Version),
    (status = "default", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn version(
    State(state): State<ApiState>,
    _: Params<NoParams>,
) -> Result<Answer<Version>, ApiError> {
    Ok(Answer(Version {
        version: state.about.version.clone(),
        api: path::API_VERSION.to_owned(),
        engine: state.controller.snapshot().engine.clone(),
        instance: state.about.instance.clone(),
    }))
}

/// Removes everything that the instance owns, and answers once it is gone. Named volumes stay.
#[utoipa::path(post, path = path::DOWN, tag = "system", responses(
    (status = 204, description = "Everything is gone"),
    (status = "default", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn down(
    State(state): State<ApiState>,
    _: Params<NoParams>,
) -> Result<StatusCode, ApiError> {
    match state.controller.teardown().await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(error) => Err(ApiError::new(ProblemKind::Internal, error.to_string())),
    }
}

/// Whether the process is alive.
#[utoipa::path(get, path = path::HEALTHZ, tag = "system", responses(
    (status = 200, body = Health),
))]
pub(super) async fn healthz(_: Params<NoParams>) -> Answer<Health> {
    Answer(Health { status: OK.to_owned(), checks: BTreeMap::new() })
}

const OK: &str = "ok";

/// Whether store, engine and ingress answer, as the controller saw the latter two last.
#[utoipa::path(get, path = path::READYZ, tag = "system", responses(
    (status = 200, body = Health),
    (status = 503, body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn readyz(
    State(state): State<ApiState>,
    _: Params<NoParams>,
) -> Result<Answer<Health>, ApiError> {
    let snapshot = state.controller.snapshot();
    let checks = [
        ("store", state.store.list().await.err().map(|error| chain(&error))),
        ("engine", engine(&snapshot).reason),
        ("ingress", ingress_problem(&snapshot)),
    ];
    let problems = checks.iter().filter_map(|(name, problem)| {
        Some(FieldProblem {
            path: (*name).to_owned(),
            pointer: None,
            line: None,
            column: None,
            message: problem.clone()?,
            hint: None,
        })
    });
    let problems: Vec<_> = problems.collect();
    if problems.is_empty() {
        let checks = checks.into_iter().map(|(name, _)| (name.to_owned(), OK.to_owned()));
        return Ok(Answer(Health { status: OK.to_owned(), checks: checks.collect() }));
    }
    let names: Vec<_> = problems.iter().map(|problem| problem.path.as_str()).collect();
    let detail = format!("not ready: {}", names.join(", "));
    Err(ApiError::new(ProblemKind::NotReady, detail).with_errors(problems))
}

const NOT_LOOKED: &str = "the controller has not looked yet";

/// An ingress that nobody needs may be absent.
fn ingress_problem(snapshot: &Snapshot) -> Option<String> {
    if snapshot.passes == 0 {
        return Some(NOT_LOOKED.to_owned());
    }
    match &snapshot.observed.ingress {
        ObservedIngress::Serving { .. } => None,
        _ if snapshot.plan.routes.is_empty() => None,
        ObservedIngress::Down { reason } => {
            Some(last_failure(snapshot).unwrap_or_else(|| reason.clone()))
        }
        ObservedIngress::Absent => {
            let none = || "there is no ingress yet".to_owned();
            Some(last_failure(snapshot).unwrap_or_else(none))
        }
    }
}

/// The JSON schema of the file, for editors: what a body may be says the document.
#[utoipa::path(get, path = path::SCHEMA, tag = "system", responses(
    (status = 200, body = Object, content_type = "application/schema+json",
        description = "JSON schema, draft 2020-12"),
))]
pub(super) async fn schema(_: Params<NoParams>) -> Response {
    let schema = reference::schema(reference::Form::File);
    ([(CONTENT_TYPE, SCHEMA_JSON)], format!("{schema:#}\n")).into_response()
}

const SCHEMA_JSON: &str = "application/schema+json";

/// This document.
#[utoipa::path(get, path = path::OPENAPI, tag = "system", responses(
    (status = 200, body = Object, description = "OpenAPI 3.1"),
))]
pub(super) async fn document(
    Extension(document): Extension<openapi::Text>,
    _: Params<NoParams>,
) -> Response {
    ([(CONTENT_TYPE, "application/json")], document.into_string()).into_response()
}
