//! Output: that of one pod, or of all replicas of an app, merged.

mod follow;
mod merge;
mod previous;

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use dubernetes_controller::Snapshot;
use dubernetes_core::app::AppName;
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
use crate::wire::{LogJson, Problem, ProblemKind};

/// Which output is wanted.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// Go on with new lines.
    #[serde(default)]
    #[param(required = false)]
    follow: bool,
    /// Only the last so many lines of each pod.
    tail: Option<u32>,
    /// Only lines written since then.
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    /// Of the container that crashed before the present one of each pod: its last 200 lines, as
    /// far as this orchestrator has seen it. Not with `follow`.
    #[serde(default)]
    #[param(required = false)]
    previous: bool,
}

impl Wanted {
    fn options(&self) -> LogOptions {
        LogOptions { follow: self.follow, tail: self.tail, since: self.since }
    }
}

/// The output of all replicas of an app, in the order of time.
///
/// With `follow` new lines come as they are written, replicas that come later join, and a note
/// tells of it.
#[utoipa::path(get, path = path::APP_LOGS, tag = "apps",
    params(("name" = String, Path, description = "The app"), Wanted),
    responses(
        (status = 200, body = LogJson, content_type = "application/x-ndjson"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn of_app(
    State(state): State<ApiState>,
    App(name): App,
    Params(wanted): Params<Wanted>,
    stop: Stop,
) -> Result<Response, ApiError> {
    let snapshot = state.looked().await;
    match state.store.get(&name).await {
        Ok(_) => {}
        // The replicas of a deleted app may still have something to say.
        Err(StoreError::NotFound { .. }) if snapshot.plan.statuses.contains_key(&name) => {}
        Err(error) => return Err(error.into()),
    }
    answer(&state, Target::App(name), &wanted, stop).await
}

/// The output of one pod.
///
/// With `follow` new lines come as they are written, and those of the container that takes its
/// place after a restart as well.
#[utoipa::path(get, path = path::POD_LOGS, tag = "pods",
    params(("name" = String, Path, description = "The pod, such as `web-1`"), Wanted),
    responses(
        (status = 200, body = LogJson, content_type = "application/x-ndjson"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn of_pod(
    State(state): State<ApiState>,
    Name(name): Name,
    Params(wanted): Params<Wanted>,
    stop: Stop,
) -> Result<Response, ApiError> {
    let snapshot = state.looked().await;
    pods::find(&snapshot, &name)?;
    answer(&state, Target::Pod(name), &wanted, stop).await
}

async fn answer(
    state: &ApiState,
    target: Target,
    wanted: &Wanted,
    stop: Stop,
) -> Result<Response, ApiError> {
    let options = &wanted.options();
    if let (false, EngineStatus::Unreachable { reason, .. }) =
        (wanted.previous, &state.controller.snapshot().observed.engine)
    {
        let detail = format!("the engine does not answer: {reason}");
        return Err(ApiError::new(ProblemKind::EngineUnreachable, detail));
    }
    if !wanted.previous {
        require(state.runtime.logs(), Capability::Logs)?;
    }
    let items = if wanted.previous {
        previous::lines(state, &target, options)?
    } else if options.follow {
        follow::follow(state, target, options).await?
    } else {
        let sources = target.sources(&state.controller.snapshot());
        merge::merge(Arc::clone(&state.runtime), sources, options).await?
    };
    Ok(stream::ndjson(stop, items))
}

/// Whose output is wanted.
#[derive(Debug, Clone)]
enum Target {
    App(AppName),
    Pod(String),
}

/// A container that has written, or may write.
#[derive(Debug, Clone)]
struct Source {
    pod: String,
    revision: u64,
    id: ContainerId,
}

impl Target {
    fn pods<'a>(&'a self, snapshot: &'a Snapshot) -> impl Iterator<Item = &'a PodStatus> {
        let all = snapshot.plan.statuses.values().flat_map(|status| &status.pods);
        all.filter(move |pod| match self {
            Self::App(app) => pod.app == *app,
            Self::Pod(name) => pod.name == *name,
        })
    }

    /// The containers that were started: one that was only created has written nothing, and
    /// following it would end before it begins.
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

    /// Whether nothing of it is there or wanted any more.
    fn is_gone(&self, snapshot: &Snapshot) -> bool {
        let wanted = match self {
            Self::App(app) => snapshot.desired.apps.contains_key(app),
            Self::Pod(_) => false,
        };
        !wanted && self.pods(snapshot).next().is_none()
    }
}
