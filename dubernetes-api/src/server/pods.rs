//! Endpoints for pods: the replicas of apps and one-off containers, as of the last pass.

use std::collections::BTreeMap;

use axum::Json as JsonResponse;
use axum::extract::State;
use axum::http::StatusCode;
use dubernetes_controller::Snapshot;
use dubernetes_core::app::{AppName, AppSpec, HashedSpec, RevisionId};
use dubernetes_core::plan::{AppStatus, PodStatus};
use dubernetes_core::runtime::ContainerId;
use dubernetes_core::store::StoreError;

use crate::path;
use crate::problem::ApiError;
use crate::server::extract::{Name, NoParams, Params, PodQuery};
use crate::server::{ApiState, apps, view};
use crate::wire::{List, Pod, ProblemKind};

/// List the pods of all or some apps, those of deleted apps included.
#[utoipa::path(get, path = path::PODS, operation_id = "list_pods",
    tag = "pods", params(PodQuery), responses((status = 200, body = List<Pod>)))]
pub(super) async fn list(
    State(state): State<ApiState>,
    Params(query): Params<PodQuery>,
) -> Result<JsonResponse<List<Pod>>, ApiError> {
    let snapshot = state.latest_snapshot().await;
    let mut pods = Vec::new();
    for (name, status) in selected_apps(&snapshot, &query) {
        let specs = Specs::read(&state, &snapshot, name, status).await?;
        pods.extend(all_of(status).map(|pod| pod_view(&state, &snapshot, &specs, pod)));
    }
    Ok(JsonResponse(List::new(pods)))
}

/// Get one pod.
#[utoipa::path(get, path = path::POD, operation_id = "get_pod",
    tag = "pods",
    params(("name" = String, Path, description = "Name of the pod, such as `web-1`")),
    responses(
        (status = 200, body = Pod),
        (status = 404),
    )
)]
pub(super) async fn get(
    State(state): State<ApiState>,
    Name(name): Name,
    _: Params<NoParams>,
) -> Result<JsonResponse<Pod>, ApiError> {
    let snapshot = state.latest_snapshot().await;
    let (status, pod) = find(&snapshot, &name)?;
    let specs = Specs::read(&state, &snapshot, &pod.app, status).await?;
    Ok(JsonResponse(pod_view(&state, &snapshot, &specs, pod)))
}

fn pod_view(state: &ApiState, snapshot: &Snapshot, specs: &Specs, pod: &PodStatus) -> Pod {
    let probes = pod.container_id.as_ref().map(|id| state.controller.probes(id));
    let nodes = state.runtime.nodes();
    let node = nodes.and_then(|nodes| nodes.places().remove(pod.container_id.as_ref()?));
    Pod { node, ..view::pod(pod, specs.image(snapshot, pod), probes.unwrap_or_default()) }
}

/// Delete a pod; a new one replaces it, by the rules of a rollout.
#[utoipa::path(delete, path = path::POD, operation_id = "delete_pod",
    tag = "pods",
    params(("name" = String, Path, description = "Name of the pod, such as `web-1`")),
    responses(
        (status = 202, description = "Replacement requested"),
        (status = 404),
        (status = 409, description = "The pod has no container"),
    )
)]
pub(super) async fn delete(
    State(state): State<ApiState>,
    Name(name): Name,
    _: Params<NoParams>,
) -> Result<StatusCode, ApiError> {
    let snapshot = state.latest_snapshot().await;
    let (_, pod) = find(&snapshot, &name)?;
    if pod.name.is_one_off() {
        let detail = format!("`{}` is a one-off container, which ends with its client", pod.name);
        return Err(ApiError::new(ProblemKind::Rejected, detail));
    }
    state.controller.evict(&pod.app, &container_id(pod)?).await?;
    apps::record_request(&state, &pod.app, Some(&pod.name), "replacement").await;
    Ok(StatusCode::ACCEPTED)
}

/// Returns the pod of that name with its app's status. If two containers share the name, the ready
/// one is returned.
pub(super) fn find<'a>(
    snapshot: &'a Snapshot,
    name: &str,
) -> Result<(&'a AppStatus, &'a PodStatus), ApiError> {
    let all = snapshot.plan.statuses.values();
    all.flat_map(|status| all_of(status).map(move |pod| (status, pod)))
        .filter(|(_, pod)| pod.name == name)
        .max_by_key(|(_, pod)| (pod.ready, pod.started_at))
        .ok_or_else(|| ApiError::not_found("pod", name))
}

/// Returns the replicas of an app, and its one-off containers.
fn all_of(status: &AppStatus) -> impl Iterator<Item = &PodStatus> {
    status.pods.iter().chain(&status.one_offs)
}

/// Returns the pod's container.
pub(super) fn container_id(pod: &PodStatus) -> Result<ContainerId, ApiError> {
    pod.container_id.clone().ok_or_else(|| {
        let detail = format!("pod `{}` has no container yet", pod.name);
        ApiError::new(ProblemKind::NotRunning, detail)
    })
}

/// Returns the selected apps. Deleted apps are included unless labels are selected: the labels were
/// deleted with the spec.
pub(super) fn selected_apps<'a>(
    snapshot: &'a Snapshot,
    query: &'a PodQuery,
) -> impl Iterator<Item = (&'a AppName, &'a AppStatus)> {
    let selected = |name: &AppName| match &query.selector {
        None => true,
        Some(selector) => {
            let stored = snapshot.desired.apps.get(name);
            stored.is_some_and(|stored| selector.matches(&stored.spec.labels))
        }
    };
    snapshot.plan.statuses.iter().filter(move |(name, _)| {
        query.app.as_ref().is_none_or(|app| app == *name) && selected(name)
    })
}

/// Specs of the revisions that the pods of one app run.
pub(super) struct Specs(BTreeMap<RevisionId, HashedSpec>);

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
        // Only a rollout has pods of another revision.
        if all_of(status).any(|pod| !specs.contains_key(&pod.revision)) {
            match state.store.revisions(app).await {
                Ok(kept) => specs.extend(kept.into_iter().map(|kept| (kept.revision, kept.spec))),
                Err(StoreError::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Self(specs))
    }

    /// Returns the spec that the pod runs, if it is still stored.
    pub(super) fn for_pod(&self, pod: &PodStatus) -> Option<&AppSpec> {
        self.0.get(&pod.revision).map(|spec| &**spec)
    }

    /// Returns the image in the pod's spec, or else the id of the image that it runs.
    fn image(&self, snapshot: &Snapshot, pod: &PodStatus) -> Option<String> {
        self.for_pod(pod).map(|spec| spec.artifact.to_string()).or_else(|| {
            let id = pod.container_id.as_ref()?;
            let seen = snapshot.observed.replicas.iter().find(|replica| replica.id == *id)?;
            Some(seen.image_id.to_string())
        })
    }
}
