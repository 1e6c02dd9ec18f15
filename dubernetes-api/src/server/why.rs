//! Why an app or a pod is as it is, with the last output of the container that explains it.

use std::time::Duration;

use axum::Json as Answer;
use axum::extract::State;
use dubernetes_controller::Snapshot;
use dubernetes_core::app::AppName;
use dubernetes_core::event::Event;
use dubernetes_core::runtime::{Capability, ContainerId, LogOptions, RuntimeError, require};
use dubernetes_core::store::{EventQuery, StoredApp};
use dubernetes_core::why::{self, Known, OUTPUT_LINES, Why};
use futures_util::TryStreamExt as _;

use crate::path;
use crate::problem::ApiError;
use crate::server::ApiState;
use crate::server::extract::{App, Name, NoParams, Params};
use crate::wire::Problem;

/// So many of the newest events are looked through.
const EVENTS: u32 = 200;
/// How long the controller may take to look at a specification that is new.
const NEW_LOOK: Duration = Duration::from_secs(1);
/// How long a container's output may take: the answer is worth more than its last lines.
const OUTPUT_LIMIT: Duration = Duration::from_secs(1);

/// Why an app is as it is: the true cause, and what leads to it and follows from it.
#[utoipa::path(get, path = path::APP_WHY, tag = "apps",
    params(("name" = String, Path, description = "The app")),
    responses(
        (status = 200, body = crate::openapi::Why),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn of_app(
    State(state): State<ApiState>,
    App(name): App,
    _: Params<NoParams>,
) -> Result<Answer<Why>, ApiError> {
    let stored = state.store.get(&name).await;
    let snapshot = match &stored {
        Ok(stored) => looked_at(&state, stored).await,
        Err(_) => state.looked().await,
    };
    let events = events(&state, &name).await?;
    let known = known(&state, &snapshot, &events);
    match why::of_app(&known, &name) {
        Some(why) => {
            let by = why::app_explained_by(&known, &name);
            Ok(Answer(explained(&state, by, why).await))
        }
        // What the store says of an app that the controller does not know.
        None => Err(stored.map_or_else(ApiError::from, |_| not_looked_at(&name))),
    }
}

/// Why a pod is as it is: the true cause, and what leads to it and follows from it.
#[utoipa::path(get, path = path::POD_WHY, tag = "pods",
    params(("name" = String, Path, description = "The pod, such as `web-1`")),
    responses(
        (status = 200, body = crate::openapi::Why),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn of_pod(
    State(state): State<ApiState>,
    Name(name): Name,
    _: Params<NoParams>,
) -> Result<Answer<Why>, ApiError> {
    let snapshot = state.looked().await;
    let (_, pod) = super::pods::find(&snapshot, &name)?;
    let events = events(&state, &pod.app).await?;
    let known = known(&state, &snapshot, &events);
    let why = why::of_pod(&known, &name).ok_or_else(|| ApiError::not_found("pod", &name))?;
    let by = why::pod_explained_by(&known, &name);
    Ok(Answer(explained(&state, by, why).await))
}

fn known<'a>(state: &ApiState, snapshot: &'a Snapshot, events: &'a [Event]) -> Known<'a> {
    Known {
        desired: &snapshot.desired,
        observed: &snapshot.observed,
        plan: &snapshot.plan,
        events,
        requeue_at: snapshot.requeue_at,
        now: state.clock.now(),
    }
}

/// The last look of the controller, which gets a moment if it has not looked at this
/// specification yet.
async fn looked_at(state: &ApiState, stored: &StoredApp) -> std::sync::Arc<Snapshot> {
    let mut snapshots = state.controller.snapshots();
    let looked = snapshots.wait_for(|snapshot| {
        let status = snapshot.plan.statuses.get(&stored.spec.name);
        status.is_some_and(|status| status.observed_generation >= stored.generation)
    });
    // A controller that has ended, or is slow, has told all that is known.
    let _ = tokio::time::timeout(NEW_LOOK, looked).await;
    state.looked().await
}

fn not_looked_at(name: &AppName) -> ApiError {
    ApiError::new(crate::wire::ProblemKind::NotReady, format!("app `{name}` was not looked at yet"))
}

async fn events(state: &ApiState, app: &AppName) -> Result<Vec<Event>, ApiError> {
    let query = EventQuery { app: Some(app.clone()), limit: EVENTS, ..EventQuery::default() };
    Ok(state.store.events(&query).await?)
}

/// The same with the output of the container that explains it, as far as that can be had.
async fn explained(state: &ApiState, by: Option<(String, ContainerId)>, why: Why) -> Why {
    let Some((pod, container)) = by else { return why };
    let lines = tokio::time::timeout(OUTPUT_LIMIT, last_lines(state, &container)).await;
    match lines {
        Ok(Ok(lines)) => why.with_output(pod, &lines),
        // A container that is gone, or an engine that is slow, has nothing to add.
        Ok(Err(_)) | Err(_) => why,
    }
}

async fn last_lines(state: &ApiState, id: &ContainerId) -> Result<Vec<String>, RuntimeError> {
    let options = LogOptions { tail: Some(OUTPUT_LINES), ..LogOptions::default() };
    let lines = require(state.runtime.logs(), Capability::Logs)?.read(id, &options).await?;
    lines.map_ok(|line| line.text).try_collect().await
}
