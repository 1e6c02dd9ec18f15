//! Pods: the replicas of apps, as the controller saw them last.

use std::collections::BTreeMap;

use axum::Json as Answer;
use axum::extract::State;
use axum::http::StatusCode;
use dubernetes_controller::Snapshot;
use dubernetes_core::app::{AppName, AppSpec};
use dubernetes_core::plan::{AppStatus, PodStatus};
use dubernetes_core::runtime::ContainerId;
use dubernetes_core::store::StoreError;

use crate::path;
use crate::problem::ApiError;
use crate::server::extract::{Name, NoParams, Of, Params};
use crate::server::{ApiState, view};
use crate::wire::{List, Pod, Problem, ProblemKind};

/// The pods of all apps or of some, those of deleted apps included.
#[utoipa::path(get, path = path::PODS, tag = "pods", params(Of), responses(
    (status = 200, body = List<Pod>),
    (status = "default", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn list(
    State(state): State<ApiState>,
    Params(of): Params<Of>,
) -> Result<Answer<List<Pod>>, ApiError> {
    let snapshot = state.looked().await;
    let mut pods = Vec::new();
    for (name, status) in chosen(&snapshot, &of) {
        let specs = Specs::read(&state, &snapshot, name, status).await?;
        pods.extend(status.pods.iter().map(|pod| shown(&state, &snapshot, &specs, pod)));
    }
    Ok(Answer(List::new(pods)))
}

/// One pod.
#[utoipa::path(get, path = path::POD, tag = "pods",
    params(("name" = String, Path, description = "The pod, such as `web-1`")),
    responses(
        (status = 200, body = Pod),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn get(
    State(state): State<ApiState>,
    Name(name): Name,
    _: Params<NoParams>,
) -> Result<Answer<Pod>, ApiError> {
    let snapshot = state.looked().await;
    let (status, pod) = find(&snapshot, &name)?;
    let specs = Specs::read(&state, &snapshot, &pod.app, status).await?;
    Ok(Answer(shown(&state, &snapshot, &specs, pod)))
}

fn shown(state: &ApiState, snapshot: &Snapshot, specs: &Specs, pod: &PodStatus) -> Pod {
    let probes = pod.container_id.as_ref().map(|id| state.controller.probes(id));
    view::pod(pod, specs.image(snapshot, pod), probes.unwrap_or_default())
}

/// Has a pod replaced by another one, by the rules of a rollout.
#[utoipa::path(delete, path = path::POD, tag = "pods",
    params(("name" = String, Path, description = "The pod, such as `web-1`")),
    responses(
        (status = 202, description = "It will be replaced"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, body = Problem, content_type = "application/problem+json",
            description = "It has no container"),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn delete(
    State(state): State<ApiState>,
    Name(name): Name,
    _: Params<NoParams>,
) -> Result<StatusCode, ApiError> {
    let snapshot = state.looked().await;
    let (_, pod) = find(&snapshot, &name)?;
    state.controller.evict(container(pod)?);
    Ok(StatusCode::ACCEPTED)
}

/// The pod of that name and its app's status. Where two containers have a name, the ready one is
/// meant.
pub(super) fn find<'a>(
    snapshot: &'a Snapshot,
    name: &str,
) -> Result<(&'a AppStatus, &'a PodStatus), ApiError> {
    let all = snapshot.plan.statuses.values();
    all.flat_map(|status| status.pods.iter().map(move |pod| (status, pod)))
        .filter(|(_, pod)| pod.name == name)
        .max_by_key(|(_, pod)| (pod.ready, pod.started_at))
        .ok_or_else(|| ApiError::not_found("pod", name))
}

/// The pod's container.
pub(super) fn container(pod: &PodStatus) -> Result<ContainerId, ApiError> {
    pod.container_id.clone().ok_or_else(|| {
        let detail = format!("pod `{}` has no container yet", pod.name);
        ApiError::new(ProblemKind::NotRunning, detail)
    })
}

/// The apps that are asked for, those that are deleted included unless labels are asked for:
/// these went with the specification.
pub(super) fn chosen<'a>(
    snapshot: &'a Snapshot,
    of: &'a Of,
) -> impl Iterator<Item = (&'a AppName, &'a AppStatus)> {
    let selected = |name: &AppName| match &of.selector {
        None => true,
        Some(selector) => {
            let stored = snapshot.desired.apps.get(name);
            stored.is_some_and(|stored| selector.matches(&stored.spec.labels))
        }
    };
    snapshot
        .plan
        .statuses
        .iter()
        .filter(move |(name, _)| of.app.as_ref().is_none_or(|app| app == *name) && selected(name))
}

/// The specifications of the revisions that the pods of one app run.
pub(super) struct Specs(BTreeMap<u64, AppSpec>);

impl Specs {
    pub(super) async fn read(
        state: &ApiState,
        snapshot: &Snapshot,
        app: &AppName,
        status: &AppStatus,
    ) -> Result<Self, ApiError> {
        let mut specs = BTreeMap::new();
        if let Some(stored) = snapshot.desired.apps.get(app) {
            specs.insert(stored.revision, stored.spec.clone());
        }
        // Only during a rollout is there a pod of another revision.
        if status.pods.iter().any(|pod| !specs.contains_key(&pod.revision)) {
            match state.store.revisions(app).await {
                Ok(kept) => specs.extend(kept.into_iter().map(|kept| (kept.revision, kept.spec))),
                Err(StoreError::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Self(specs))
    }

    /// What the pod runs, if that is still known.
    pub(super) fn of(&self, pod: &PodStatus) -> Option<&AppSpec> {
        self.0.get(&pod.revision)
    }

    /// The image that it names; else the id of the one that the pod runs.
    fn image(&self, snapshot: &Snapshot, pod: &PodStatus) -> Option<String> {
        self.of(pod).map(|spec| spec.image.to_string()).or_else(|| {
            let id = pod.container_id.as_ref()?;
            let seen = snapshot.observed.replicas.iter().find(|replica| replica.id == *id)?;
            Some(seen.image_id.to_string())
        })
    }
}
