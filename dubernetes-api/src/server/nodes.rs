//! Endpoint for nodes.

use std::collections::BTreeMap;

use axum::Json as JsonResponse;
use axum::extract::State;
use dubernetes_core::runtime::NodeInfo;

use crate::path;
use crate::problem::ApiError;
use crate::server::ApiState;
use crate::server::extract::{NoParams, Params};
use crate::wire::{List, Node, NodeAvailability, NodeState};

/// List the hosts on which replicas run, ordered by name; none if the runtime has a single host.
#[utoipa::path(get, path = path::NODES, operation_id = "list_nodes",
    tag = "system", responses((status = 200, body = List<Node>)))]
pub(super) async fn list(
    State(state): State<ApiState>,
    _: Params<NoParams>,
) -> Result<JsonResponse<List<Node>>, ApiError> {
    let Some(nodes) = state.runtime.nodes() else { return Ok(JsonResponse(List::new(Vec::new()))) };
    let listed = nodes.list().await?;
    let places = nodes.places();
    let snapshot = state.latest_snapshot().await;
    let mut pods: BTreeMap<&str, usize> = BTreeMap::new();
    for pod in snapshot.plan.statuses.values().flat_map(|status| &status.pods) {
        let place = pod.container_id.as_ref().and_then(|id| places.get(id));
        if let Some(place) = place {
            *pods.entry(place).or_default() += 1;
        }
    }
    let node = |node: NodeInfo| {
        let pods = pods.get(node.name.as_str()).copied().unwrap_or_default();
        view(node, pods)
    };
    Ok(JsonResponse(List::new(listed.into_iter().map(node).collect())))
}

fn view(node: NodeInfo, pods: usize) -> Node {
    let NodeInfo { name, address, is_ready, is_active, is_drained, is_connected, is_entry } = node;
    let message = match is_connected {
        true => String::new(),
        false => format!("no connection to its engine: start with `--node {name}=unix:///PATH`"),
    };
    Node {
        name,
        address,
        state: if is_ready { NodeState::Ready } else { NodeState::NotReady },
        availability: match (is_active, is_drained) {
            (true, _) => NodeAvailability::Active,
            (false, true) => NodeAvailability::Drained,
            (false, false) => NodeAvailability::Paused,
        },
        entry: is_entry,
        pods,
        message,
    }
}
