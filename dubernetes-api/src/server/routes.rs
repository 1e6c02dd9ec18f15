//! Routes: which requests go where.

use std::collections::BTreeSet;

use axum::Json as Answer;
use axum::extract::State;
use dubernetes_controller::Snapshot;
use dubernetes_core::app::{HostName, RoutePath};
use dubernetes_core::ingress::{self, Endpoint};

use crate::path;
use crate::problem::ApiError;
use crate::server::ApiState;
use crate::server::extract::{NoParams, Params};
use crate::wire::{EndpointState, List, Problem, Route, RouteEndpoint};

/// The routes, in the order of host and path.
#[utoipa::path(get, path = path::ROUTES, tag = "system", responses(
    (status = 200, body = List<Route>),
    (status = "default", body = Problem, content_type = "application/problem+json"),
))]
pub(super) async fn list(
    State(state): State<ApiState>,
    _: Params<NoParams>,
) -> Result<Answer<List<Route>>, ApiError> {
    Ok(Answer(List::new(routes(&*state.looked().await))))
}

fn routes(snapshot: &Snapshot) -> Vec<Route> {
    let wanted = &snapshot.plan.routes.routes;
    let served: &[ingress::Route] =
        snapshot.observed.ingress.table().map_or(&[], |table| &table.routes);
    let keys: BTreeSet<_> = wanted.iter().chain(served).map(key).collect();
    let both = keys.into_iter().filter_map(|at| {
        let find = |routes: &'_ [ingress::Route]| routes.iter().position(|route| key(route) == at);
        let wanted = find(wanted).map(|index| &wanted[index]);
        let served = find(served).map(|index| &served[index]);
        joined(snapshot, wanted.or(served)?, wanted, served)
    });
    both.collect()
}

fn key(route: &ingress::Route) -> (&HostName, &RoutePath) {
    (&route.host, &route.path)
}

/// One route as it is wanted and as it is served. `None` if it is the empty rest of an app that
/// is gone.
fn joined(
    snapshot: &Snapshot,
    shown: &ingress::Route,
    wanted: Option<&ingress::Route>,
    served: Option<&ingress::Route>,
) -> Option<Route> {
    let of = |route: Option<&ingress::Route>| -> BTreeSet<Endpoint> {
        route.into_iter().flat_map(|route| route.endpoints.iter().cloned()).collect()
    };
    let (wanted, served) = (of(wanted), of(served));
    let endpoints = wanted.union(&served).map(|endpoint| RouteEndpoint {
        pod: endpoint.pod.clone(),
        address: endpoint.address,
        port: endpoint.port,
        state: match (wanted.contains(endpoint), served.contains(endpoint)) {
            (_, false) => EndpointState::Pending,
            (true, true) => EndpointState::Active,
            (false, true) => EndpointState::Leaving,
        },
    });
    let endpoints: Vec<_> = endpoints.collect();
    let port = match snapshot.desired.apps.get(&shown.app) {
        Some(app) => app.spec.port,
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
