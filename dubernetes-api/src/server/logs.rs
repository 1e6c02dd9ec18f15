//! Logs of one pod, or of all replicas of an app, merged.

mod follow;
mod merge;
mod previous;

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use dubernetes_controller::Snapshot;
use dubernetes_core::app::{AppName, PodName, RevisionId};
use dubernetes_core::plan::{PodState, PodStatus};
use dubernetes_core::runtime::{Capability, ContainerId, LogOptions, require};
use dubernetes_core::state::EngineStatus;
use dubernetes_core::store::StoreError;
use jiff::Timestamp;
use serde::Deserialize;

use crate::path;
use crate::problem::ApiError;
use crate::server::extract::{App, Name, Params};
use crate::server::stream::{self, Stop};
use crate::server::{ApiState, pods};
use crate::wire::{LogJson, ProblemKind};

/// Selects lines of output.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct LogQuery {
    /// Continue with new lines.
    #[serde(default)]
    #[param(required = false)]
    follow: bool,
    /// Only the last lines of each pod, at most this many.
    tail: Option<u32>,
    /// Only lines at or after this time.
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    /// The last 200 lines of the container that crashed before each pod's present one, if this
    /// orchestrator has seen the crash. Excludes `follow`.
    #[serde(default)]
    #[param(required = false)]
    previous: bool,
}

impl LogQuery {
    fn options(&self) -> LogOptions {
        LogOptions { follow: self.follow, tail: self.tail, since: self.since }
    }
}

/// Read the logs of all replicas of an app, ordered by time.
///
/// With `follow` the response continues with new lines. New replicas join, and a note announces
/// each.
#[utoipa::path(get, path = path::APP_LOGS, operation_id = "read_app_logs",
    tag = "apps",
    params(("name" = String, Path, description = "Name of the app"), LogQuery),
    responses(
        (status = 200, body = LogJson, content_type = "application/x-ndjson"),
        (status = 404),
    )
)]
pub(super) async fn read_app(
    State(state): State<ApiState>,
    App(name): App,
    Params(query): Params<LogQuery>,
    stop: Stop,
) -> Result<Response, ApiError> {
    require_app(&state, &name).await?;
    respond(&state, Target::App(name), &query, stop).await
}

/// Fails unless the app exists, or has replicas that may still write: those of a deleted one.
pub(super) async fn require_app(state: &ApiState, name: &AppName) -> Result<(), ApiError> {
    let snapshot = state.latest_snapshot().await;
    match state.store.get(name).await {
        Ok(_) => Ok(()),
        Err(StoreError::NotFound { .. }) if snapshot.plan.statuses.contains_key(name) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Read the logs of one pod.
///
/// With `follow` the response continues with new lines, also those of the container that replaces
/// the present one after a restart.
#[utoipa::path(get, path = path::POD_LOGS, operation_id = "read_pod_logs",
    tag = "pods",
    params(("name" = String, Path, description = "Name of the pod, such as `web-1`"), LogQuery),
    responses(
        (status = 200, body = LogJson, content_type = "application/x-ndjson"),
        (status = 404),
    )
)]
pub(super) async fn read_pod(
    State(state): State<ApiState>,
    Name(name): Name,
    Params(query): Params<LogQuery>,
    stop: Stop,
) -> Result<Response, ApiError> {
    let snapshot = state.latest_snapshot().await;
    pods::find(&snapshot, &name)?;
    respond(&state, Target::Pod(name), &query, stop).await
}

async fn respond(
    state: &ApiState,
    target: Target,
    query: &LogQuery,
    stop: Stop,
) -> Result<Response, ApiError> {
    let options = &query.options();
    let snapshot = state.controller.snapshot();
    if !query.previous {
        require(state.runtime.logs(), Capability::Logs)?;
        if let EngineStatus::Unreachable { reason, .. } = &snapshot.observed.engine {
            let detail = format!("the container engine is unreachable: {reason}");
            return Err(ApiError::new(ProblemKind::EngineUnreachable, detail));
        }
    }
    let items = if query.previous {
        previous::lines(state, &target, options)?
    } else if options.follow {
        follow::follow(state, target, options).await?
    } else {
        let sources = target.sources(&snapshot);
        merge::merge(Arc::clone(&state.runtime), sources, options).await?
    };
    Ok(stream::ndjson(stop, items))
}

/// Whose logs to read.
#[derive(Debug, Clone)]
enum Target {
    App(AppName),
    Pod(String),
}

/// A container that has written output, or may write some.
#[derive(Debug, Clone)]
struct Source {
    pod: PodName,
    revision: RevisionId,
    id: ContainerId,
}

impl Target {
    fn pods<'a>(&'a self, snapshot: &'a Snapshot) -> impl Iterator<Item = &'a PodStatus> {
        let all = snapshot.plan.statuses.values();
        let all = all.flat_map(|status| status.pods.iter().chain(&status.one_offs));
        all.filter(move |pod| match self {
            Self::App(app) => pod.app == *app && !pod.name.is_one_off(),
            Self::Pod(name) => pod.name == name.as_str(),
        })
    }

    /// Returns the containers that were started. A container that was only created has no output,
    /// and following it would end at once.
    fn sources(&self, snapshot: &Snapshot) -> Vec<Source> {
        let started = self.pods(snapshot).filter(|pod| {
            pod.started_at.is_some() || matches!(pod.state, PodState::Exited | PodState::BackOff)
        });
        let source = |pod: &PodStatus| {
            let id = pod.container_id.clone()?;
            Some(Source { pod: pod.name.clone(), revision: pod.revision, id })
        };
        started.filter_map(source).collect()
    }

    /// Returns whether the target is neither desired nor has any pod left.
    fn is_gone(&self, snapshot: &Snapshot) -> bool {
        let desired = match self {
            Self::App(app) => snapshot.desired.apps.contains_key(app),
            Self::Pod(_) => false,
        };
        !desired && self.pods(snapshot).next().is_none()
    }
}
