//! Resource usage of pods: CPU time between two readings, and memory.

use std::time::Duration;

use axum::Json as JsonResponse;
use axum::extract::State;
use dubernetes_core::plan::PodStatus;
use dubernetes_core::runtime::{Capability, ContainerId, RuntimeError, Stats, require};
use futures_util::{StreamExt as _, stream};

use crate::path;
use crate::problem::ApiError;
use crate::server::extract::{Params, PodQuery};
use crate::server::pods::Specs;
use crate::server::{ApiState, pods};
use crate::wire::{List, PodStats};

/// Time between two readings. CPU time is counted in small steps, so a shorter time is less
/// precise.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(500);

/// Readings in flight at a time; an engine needs some milliseconds for each.
const MAX_IN_FLIGHT: usize = 8;

/// List the resource usage of the pods of all or some apps, ordered by name.
///
/// Takes half a second: CPU usage is the difference between two readings.
#[utoipa::path(get, path = path::STATS, operation_id = "list_stats",
    tag = "pods", params(PodQuery), responses((status = 200, body = List<PodStats>)))]
pub(super) async fn list(
    State(state): State<ApiState>,
    Params(query): Params<PodQuery>,
) -> Result<JsonResponse<List<PodStats>>, ApiError> {
    let snapshot = state.latest_snapshot().await;
    let mut rows = Vec::new();
    for (name, status) in pods::selected_apps(&snapshot, &query) {
        let specs = Specs::read(&state, &snapshot, name, status).await?;
        rows.extend(status.pods.iter().map(|pod| (pod, row(pod, &specs))));
    }
    let first = readings(&state, &rows).await?;
    if first.iter().any(Option::is_some) {
        tokio::time::sleep(SAMPLE_INTERVAL).await;
    }
    let second = readings(&state, &rows).await?;
    let mut items: Vec<_> = rows
        .into_iter()
        .zip(first.into_iter().zip(second))
        .map(|((_, row), (first, second))| PodStats {
            cpu: first.zip(second).and_then(|(first, second)| second.millicores_since(&first)),
            memory: second.map(|stats| stats.memory_bytes),
            ..row
        })
        .collect();
    items.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(JsonResponse(List::new(items)))
}

fn row(pod: &PodStatus, specs: &Specs) -> PodStats {
    let limits = specs.for_pod(pod).map(|spec| &spec.resources);
    PodStats {
        name: pod.name.clone(),
        app: pod.app.clone(),
        cpu: None,
        cpu_limit: limits.and_then(|limits| limits.cpu).map(|cpu| u64::from(cpu.millis())),
        memory: None,
        memory_limit: limits.and_then(|limits| limits.memory).map(|memory| memory.bytes()),
    }
}

/// Reads each running pod. A pod that has exited meanwhile has no reading; an unreachable engine is
/// an error.
async fn readings(
    state: &ApiState,
    rows: &[(&PodStatus, PodStats)],
) -> Result<Vec<Option<Stats>>, ApiError> {
    let running = |pod: &PodStatus| pod.started_at.and(pod.container_id.clone());
    let ids: Vec<_> = rows.iter().map(|(pod, _)| running(pod)).collect();
    let read: Vec<_> =
        stream::iter(ids).map(|id| reading(state, id)).buffered(MAX_IN_FLIGHT).collect().await;
    Ok(read.into_iter().collect::<Result<_, RuntimeError>>()?)
}

async fn reading(state: &ApiState, id: Option<ContainerId>) -> Result<Option<Stats>, RuntimeError> {
    let Some(id) = id else { return Ok(None) };
    match require(state.runtime.stats(), Capability::Stats)?.read(&id).await {
        Ok(stats) => Ok(Some(stats)),
        Err(RuntimeError::NotFound { .. } | RuntimeError::NotRunning { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
