//! Endpoint for routes.

use std::collections::BTreeSet;

use axum::Json as JsonResponse;
use axum::extract::State;
use dubernetes_controller::Snapshot;
use dubernetes_core::app::{HostPattern, RoutePath};
use dubernetes_core::ingress::{self, Endpoint};

use crate::path;
use crate::problem::ApiError;
use crate::server::ApiState;
use crate::server::extract::{NoParams, Params};
use crate::wire::{EndpointState, List, Route, RouteEndpoint};

/// List routes, ordered by host and path.
#[utoipa::path(get, path = path::ROUTES, operation_id = "list_routes",
    tag = "system", responses((status = 200, body = List<Route>)))]
pub(super) async fn list(
    State(state): State<ApiState>,
    _: Params<NoParams>,
) -> Result<JsonResponse<List<Route>>, ApiError> {
    Ok(JsonResponse(List::new(routes(&*state.latest_snapshot().await))))
}

fn routes(snapshot: &Snapshot) -> Vec<Route> {
    let desired = &snapshot.plan.routes.table.routes;
    let served: &[ingress::Route] =
        snapshot.observed.ingress.table().map_or(&[], |table| &table.routes);
    let keys: BTreeSet<_> = desired.iter().chain(served).map(key).collect();
    let both = keys.into_iter().filter_map(|at| {
        let find = |routes: &'_ [ingress::Route]| routes.iter().position(|route| key(route) == at);
        let desired = find(desired).map(|index| &desired[index]);
        let served = find(served).map(|index| &served[index]);
        merge_route(snapshot, desired.or(served)?, desired, served)
    });
    both.collect()
}

fn key(route: &ingress::Route) -> (&HostPattern, &RoutePath) {
    (&route.host, &route.path)
}

/// Merges the desired and the served form of a route. Returns `None` for an empty route of an app
/// that is gone.
fn merge_route(
    snapshot: &Snapshot,
    shown: &ingress::Route,
    desired: Option<&ingress::Route>,
    served: Option<&ingress::Route>,
) -> Option<Route> {
    let endpoints_of = |route: Option<&ingress::Route>| -> BTreeSet<Endpoint> {
        route.into_iter().flat_map(|route| route.endpoints.iter().cloned()).collect()
    };
    let desired = endpoints_of(desired);
    let served = endpoints_of(served);
    let endpoints = desired.union(&served).map(|endpoint| RouteEndpoint {
        pod: endpoint.pod.clone(),
        address: endpoint.address,
        port: endpoint.port,
        state: match (desired.contains(endpoint), served.contains(endpoint)) {
            (_, false) => EndpointState::Pending,
            (true, true) => EndpointState::Active,
            (false, true) => EndpointState::Leaving,
        },
    });
    let endpoints: Vec<_> = endpoints.collect();
    let port = match snapshot.desired.apps.get(&shown.app) {
        Some(app) => app.spec.port_at(&shown.host, &shown.path),
        None => endpoints.first()?.port,
    };
    Some(Route {
        host: shown.host.clone(),
        path: shown.path.clone(),
        app: shown.app.clone(),
        port,
        endpoints,
    })
}
