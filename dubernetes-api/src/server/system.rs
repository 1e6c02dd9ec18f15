//! Endpoints for the orchestrator itself: status, version, teardown, health, documents.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use axum::Json as JsonResponse;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use dubernetes_controller::Snapshot;
use dubernetes_core::app::Tls;
use dubernetes_core::call::OperationKey;
use dubernetes_core::error::chain;
use dubernetes_core::ingress::ObservedIngress;
use dubernetes_core::plan::{Blocked, Phase, Plan, Wait};
use dubernetes_core::state;
use dubernetes_manifest::reference;

use crate::problem::ApiError;
use crate::server::extract::{NoParams, Params};
use crate::server::{ApiState, OrchestratorInfo, view};
use crate::wire::{
    App, EngineState, EngineStatus, FailedApp, FieldProblem, Health, HealthState, IngressState,
    IngressStatus, Orchestrator, ProblemKind, Status, Version,
};
use crate::{openapi, path};

/// Get the status of the orchestrator, its engine and its ingress.
#[utoipa::path(get, path = path::STATUS, operation_id = "get_status",
    tag = "system", responses((status = 200, body = Status)))]
pub(super) async fn status(
    State(state): State<ApiState>,
    _: Params<NoParams>,
) -> Result<JsonResponse<Status>, ApiError> {
    let snapshot = state.latest_snapshot().await;
    let mut failed = Vec::new();
    let (apps, store_problem) = match state.store.list().await {
        Ok(stored) => {
            let apps = stored.apps.values().map(|app| view::app(&state.info, &snapshot, app));
            let mut phases = BTreeMap::new();
            for App { name, status, .. } in apps {
                *phases.entry(status.phase.to_string()).or_insert(0) += 1;
                if status.phase == Phase::Failed {
                    failed.push(FailedApp { name, status });
                }
            }
            let problem = snapshot.store_problem.as_ref().or(snapshot.events_problem.as_ref());
            (phases, problem.cloned().or_else(|| state.store.displacement()))
        }
        // People read the status when something is wrong, so it never fails.
        Err(error) => (BTreeMap::new(), Some(chain(&error))),
    };
    let OrchestratorInfo { instance, version: own, pid, mode, state_dir, .. } = state.info.clone();
    Ok(JsonResponse(Status {
        instance,
        orchestrator: Orchestrator { version: own, pid, mode, state_dir },
        engine: engine_status(&state.info, &snapshot),
        ingress: ingress_status(&state.info, &snapshot),
        network: snapshot.observed.network.is_some(),
        apps,
        failed,
        teardown: snapshot.desired.teardown.map(|_| teardown_text(&snapshot.plan)),
        blocked: snapshot.plan.blocked.iter().map(blocked_text).collect(),
        store_problem,
        last_round: snapshot.at,
        passes: snapshot.passes,
    }))
}

fn engine_status(info: &OrchestratorInfo, snapshot: &Snapshot) -> EngineStatus {
    let reason = engine_problem(snapshot);
    let since = match &snapshot.observed.engine {
        state::EngineStatus::Unreachable { since, .. } => Some(*since),
        state::EngineStatus::Reachable => None,
    };
    EngineStatus {
        state: if reason.is_some() { EngineState::Away } else { EngineState::Answering },
        version: snapshot.engine.clone(),
        place: info.engine.clone(),
        since,
        reason,
    }
}

/// Returns why the engine is not known to be reachable.
fn engine_problem(snapshot: &Snapshot) -> Option<String> {
    match &snapshot.observed.engine {
        state::EngineStatus::Unreachable { reason, .. } => Some(reason.clone()),
        state::EngineStatus::Reachable if snapshot.passes == 0 => Some(NO_PASS_YET.to_owned()),
        state::EngineStatus::Reachable => None,
    }
}

fn ingress_status(info: &OrchestratorInfo, snapshot: &Snapshot) -> IngressStatus {
    let observed = &snapshot.observed.ingress;
    let routes = observed.table().map_or(0, |table| table.routes.len());
    let (state, reason) = match observed {
        ObservedIngress::Serving { .. } if engine_problem(snapshot).is_some() => {
            let before = if routes == 1 {
                "1 route was".to_owned()
            } else {
                format!("{routes} routes were")
            };
            let reason = format!("the engine does not answer; {before} served before");
            (IngressState::Unknown, Some(reason))
        }
        ObservedIngress::Absent => (IngressState::Absent, last_failure(snapshot)),
        ObservedIngress::Down { reason } => {
            let reason = last_failure(snapshot).unwrap_or_else(|| reason.clone());
            (IngressState::Down, Some(reason))
        }
        ObservedIngress::Unknown { reason } => (IngressState::Unknown, Some(reason.clone())),
        ObservedIngress::Serving { .. } => (IngressState::Serving, None),
    };
    let bind = info.http_bind.iter();
    let settings: Vec<_> = bind.map(|bind| SocketAddr::new(*bind, info.http_port)).collect();
    let seen = &snapshot.ingress_listens;
    let listens = if seen.is_empty() { settings.clone() } else { seen.clone() };
    IngressStatus {
        state,
        reason,
        listens,
        settings,
        routes,
        https_port: info.https_port,
        trusted_proxies: info.trusted_proxies.clone(),
        default_tls: match &snapshot.desired.default_tls {
            Some(Tls::Issued(issued)) => Some(*issued),
            Some(Tls::Provided(_)) | None => None,
        },
        proxy_protocol: info.proxy_protocol,
    }
}

/// Returns why the last attempt to start the ingress failed, such as a port in use.
fn last_failure(snapshot: &Snapshot) -> Option<String> {
    Some(snapshot.observed.failures.get(&OperationKey::Routes)?.message.clone())
}

/// Returns the first failure of a teardown, or that there is none.
fn teardown_text(plan: &Plan) -> String {
    let failed = plan.waiting.iter().find(|waiting| matches!(waiting.wait, Wait::Retry { .. }));
    match failed {
        Some(waiting) => format!("{}: {}", waiting.object(), waiting.wait),
        None => "in progress".to_owned(),
    }
}

fn blocked_text(blocked: &Blocked) -> String {
    let app = blocked.app.as_ref().map(|app| app.as_str());
    match app {
        Some(object) => format!("{object}: {}", blocked.block),
        None => blocked.block.to_string(),
    }
}

/// Get the versions of the orchestrator, its API and its engine. Never waits: every command asks
/// this first.
#[utoipa::path(get, path = path::VERSION, operation_id = "get_version",
    tag = "system", responses((status = 200, body = Version)))]
pub(super) async fn version(
    State(state): State<ApiState>,
    _: Params<NoParams>,
) -> Result<JsonResponse<Version>, ApiError> {
    Ok(JsonResponse(Version {
        version: state.info.version.clone(),
        api: path::API_VERSION.to_owned(),
        engine: state.controller.snapshot().engine.clone(),
        instance: state.info.instance.clone(),
    }))
}

/// Tear down the instance: remove everything that it owns. Responds once all is gone. Named volumes
/// stay. The request is stored: until all is gone, no app can be applied.
#[utoipa::path(post, path = path::DOWN, operation_id = "tear_down",
    tag = "system", responses((status = 204, description = "Everything is removed")))]
pub(super) async fn down(
    State(state): State<ApiState>,
    _: Params<NoParams>,
) -> Result<StatusCode, ApiError> {
    match state.controller.teardown().await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(error) => Err(ApiError::new(ProblemKind::Internal, error.to_string())),
    }
}

/// Check whether the process is alive.
#[utoipa::path(get, path = path::HEALTHZ, operation_id = "check_liveness",
    tag = "system", responses((status = 200, body = Health)))]
pub(super) async fn healthz(_: Params<NoParams>) -> JsonResponse<Health> {
    JsonResponse(Health { status: HealthState::Ok, checks: BTreeMap::new() })
}

/// Check whether store, engine and ingress are ready, the latter two as of the last pass.
#[utoipa::path(get, path = path::READYZ, operation_id = "check_readiness",
    tag = "system", responses(
    (status = 200, body = Health),
    (status = 503),
))]
pub(super) async fn readyz(
    State(state): State<ApiState>,
    _: Params<NoParams>,
) -> Result<JsonResponse<Health>, ApiError> {
    let snapshot = state.controller.snapshot();
    let checks = [
        ("store", state.store.list().await.err().map(|error| chain(&error))),
        ("engine", engine_problem(&snapshot)),
        ("ingress", ingress_problem(&snapshot)),
    ];
    let problems: Vec<_> = checks
        .iter()
        .filter_map(|(name, problem)| Some(FieldProblem::new(*name, problem.clone()?)))
        .collect();
    if problems.is_empty() {
        let checks = checks.into_iter().map(|(name, _)| (name.to_owned(), HealthState::Ok));
        return Ok(JsonResponse(Health { status: HealthState::Ok, checks: checks.collect() }));
    }
    let names: Vec<_> = problems.iter().map(|problem| problem.path.as_str()).collect();
    let detail = format!("not ready: {}", names.join(", "));
    Err(ApiError::new(ProblemKind::NotReady, detail).with_errors(problems))
}

const NO_PASS_YET: &str = "the orchestrator has not completed its first pass yet";

/// An ingress that no app needs may be absent.
fn ingress_problem(snapshot: &Snapshot) -> Option<String> {
    if snapshot.passes == 0 {
        return Some(NO_PASS_YET.to_owned());
    }
    if snapshot.plan.routes.table.is_empty() {
        return None;
    }
    match &snapshot.observed.ingress {
        ObservedIngress::Serving { .. } => None,
        ObservedIngress::Down { reason } | ObservedIngress::Unknown { reason } => {
            Some(last_failure(snapshot).unwrap_or_else(|| reason.clone()))
        }
        ObservedIngress::Absent => {
            let none = || "there is no ingress yet".to_owned();
            Some(last_failure(snapshot).unwrap_or_else(none))
        }
    }
}

/// Get the JSON schema of the manifest, for editors. The schema of request bodies is in the OpenAPI
/// document.
#[utoipa::path(get, path = path::SCHEMA, operation_id = "get_manifest_schema",
    tag = "system", responses(
    (status = 200, body = Object, content_type = "application/schema+json",
        description = "JSON schema, draft 2020-12"),
))]
pub(super) async fn schema(_: Params<NoParams>) -> Response {
    let schema = reference::schema(reference::Form::File);
    ([(CONTENT_TYPE, SCHEMA_JSON)], format!("{schema:#}\n")).into_response()
}

const SCHEMA_JSON: &str = "application/schema+json";

/// Get this document.
#[utoipa::path(get, path = path::OPENAPI, operation_id = "get_openapi",
    tag = "system", responses((status = 200, body = Object, description = "OpenAPI 3.1")))]
pub(super) async fn document(
    Extension(document): Extension<openapi::DocumentText>,
    _: Params<NoParams>,
) -> Response {
    ([(CONTENT_TYPE, "application/json")], document.into_string()).into_response()
}
