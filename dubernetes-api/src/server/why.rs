//! Explains the state of an app or a pod, with the last output of the container that caused it.

use std::time::Duration;

use axum::Json as JsonResponse;
use axum::extract::State;
use dubernetes_controller::Snapshot;
use dubernetes_core::app::{AppName, PodName};
use dubernetes_core::event::Event;
use dubernetes_core::runtime::{Capability, ContainerId, LogOptions, RuntimeError, require};
use dubernetes_core::store::{EventQuery, StoredApp};
use dubernetes_core::why::{self, ExplainInput, OUTPUT_LINES, Why};
use futures_util::TryStreamExt as _;

use crate::path;
use crate::problem::ApiError;
use crate::server::ApiState;
use crate::server::extract::{App, Name, NoParams, Params};

/// Number of newest events to search.
const EVENT_LIMIT: u32 = 200;
/// Longest wait for a pass over a new spec.
const PASS_LIMIT: Duration = Duration::from_secs(1);
/// Deadline for reading the output: the explanation is useful without it.
const OUTPUT_LIMIT: Duration = Duration::from_secs(1);
/// Deadline for reading what the ingress could not pass on. It is read also where nothing is wrong.
const PROBLEMS_LIMIT: Duration = Duration::from_millis(500);

/// Explain the state of an app: the root cause, what led to it, and what happens next.
#[utoipa::path(get, path = path::APP_WHY, operation_id = "explain_app",
    tag = "apps",
    params(("name" = String, Path, description = "Name of the app")),
    responses(
        (status = 200, body = crate::openapi::Why),
        (status = 404),
    )
)]
pub(super) async fn explain_app(
    State(state): State<ApiState>,
    App(name): App,
    _: Params<NoParams>,
) -> Result<JsonResponse<Why>, ApiError> {
    let stored = state.store.get(&name).await;
    let snapshot = match &stored {
        Ok(stored) => snapshot_covering(&state, stored).await,
        Err(_) => state.latest_snapshot().await,
    };
    let events = events(&state, &name).await?;
    let input = explain_input(&state, &snapshot, &events);
    match why::explain_app(&input, &name) {
        Some(why) => {
            let by = why::app_evidence(&input, &name);
            Ok(JsonResponse(add_evidence(&state, &input, by, why).await))
        }
        // An app that no pass has seen yet: report what the store says.
        None => Err(stored.map_or_else(ApiError::from, |_| not_observed(&name))),
    }
}

/// Explain the state of a pod: the root cause, what led to it, and what happens next.
#[utoipa::path(get, path = path::POD_WHY, operation_id = "explain_pod",
    tag = "pods",
    params(("name" = String, Path, description = "Name of the pod, such as `web-1`")),
    responses(
        (status = 200, body = crate::openapi::Why),
        (status = 404),
    )
)]
pub(super) async fn explain_pod(
    State(state): State<ApiState>,
    Name(name): Name,
    _: Params<NoParams>,
) -> Result<JsonResponse<Why>, ApiError> {
    let snapshot = state.latest_snapshot().await;
    let (_, pod) = super::pods::find(&snapshot, &name)?;
    let events = events(&state, &pod.app).await?;
    let input = explain_input(&state, &snapshot, &events);
    let why = why::explain_pod(&input, &name).ok_or_else(|| ApiError::not_found("pod", &name))?;
    let by = why::pod_evidence(&input, &name);
    Ok(JsonResponse(add_evidence(&state, &input, by, why).await))
}

fn explain_input<'a>(
    state: &ApiState,
    snapshot: &'a Snapshot,
    events: &'a [Event],
) -> ExplainInput<'a> {
    ExplainInput {
        desired: &snapshot.desired,
        observed: &snapshot.observed,
        plan: &snapshot.plan,
        events,
        requeue_at: snapshot.requeue_at,
        now: state.clock.now(),
    }
}

/// Returns a snapshot that covers the stored spec, or the last one if that takes too long.
async fn snapshot_covering(state: &ApiState, stored: &StoredApp) -> std::sync::Arc<Snapshot> {
    let mut snapshots = state.controller.snapshots();
    let covering = snapshots.wait_for(|snapshot| {
        let status = snapshot.plan.statuses.get(&stored.spec.name);
        status.is_some_and(|status| status.observed_generation >= stored.generation)
    });
    // On a timeout, or if the orchestrator has ended, use the last snapshot.
    let _ = tokio::time::timeout(PASS_LIMIT, covering).await;
    state.latest_snapshot().await
}

fn not_observed(name: &AppName) -> ApiError {
    ApiError::new(
        crate::wire::ProblemKind::NotReady,
        format!("app `{name}` has not been observed yet"),
    )
}

async fn events(state: &ApiState, app: &AppName) -> Result<Vec<Event>, ApiError> {
    let query = EventQuery { app: Some(app.clone()), limit: EVENT_LIMIT, ..EventQuery::default() };
    Ok(state.store.events(&query).await?)
}

/// Adds the output of the container that explains the state, and answers that the ingress could not
/// pass on. What cannot be read in time is left out: the container is gone, or the engine is slow.
async fn add_evidence(
    state: &ApiState,
    input: &ExplainInput<'_>,
    by: Option<(PodName, ContainerId)>,
    why: Why,
) -> Why {
    let output = async {
        let (pod, container) = by?;
        let lines = tokio::time::timeout(OUTPUT_LIMIT, last_lines(state, &container)).await;
        Some((pod, lines.ok()?.ok()?))
    };
    let problems = tokio::time::timeout(PROBLEMS_LIMIT, state.controller.answer_problems());
    let (output, problems) = tokio::join!(output, problems);
    let why = match output {
        Some((pod, lines)) => why.with_output(pod, &lines),
        None => why,
    };
    why.with_answer_problems(input, &problems.unwrap_or_default())
}

async fn last_lines(state: &ApiState, id: &ContainerId) -> Result<Vec<String>, RuntimeError> {
    let options = LogOptions { tail: Some(OUTPUT_LINES), ..LogOptions::default() };
    let lines = require(state.runtime.logs(), Capability::Logs)?.read(id, &options).await?;
    lines.map_ok(|line| line.text).try_collect().await
}
