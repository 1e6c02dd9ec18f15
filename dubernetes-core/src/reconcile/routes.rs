//! The route table: ready replicas as endpoints, and which app keeps a route that two claim.

use std::collections::BTreeMap;

use crate::app::{AppName, RouteConflict};
use crate::ingress::{Endpoint, Route};
use crate::plan::Block;
use crate::state::DesiredState;

use super::app::App;
use super::classify::Replicas;
use super::replica::Replica;
use super::step::Step;

/// Returns the apps whose route another app has. An apply of such an app is refused; a store that
/// was edited by hand may hold one all the same, and then the first name wins.
pub(crate) fn conflicts(desired: &DesiredState) -> BTreeMap<AppName, RouteConflict> {
    let mut conflicts = BTreeMap::new();
    let mut owners = BTreeMap::new();
    for (name, stored) in &desired.apps {
        let Some(access) = &stored.spec.access else { continue };
        let routes = || access.hosts.iter().map(|host| (host, &access.path));
        let taken = routes().find_map(|route| Some((route, *owners.get(&route)?)));
        match taken {
            Some(((host, path), owner)) => {
                let conflict = RouteConflict {
                    owner: AppName::clone(owner),
                    host: host.clone(),
                    path: path.clone(),
                };
                conflicts.insert(name.clone(), conflict);
            }
            None => owners.extend(routes().map(|route| (route, name))),
        }
    }
    conflicts
}

/// Returns the routes of one app to its ready replicas; none, and why, if another app has one of
/// them.
pub(super) fn plan(
    app: &App<'_>,
    replicas: &Replicas<'_>,
    conflict: Option<&RouteConflict>,
) -> (Vec<Route>, Option<Step>) {
    if let Some(conflict) = conflict {
        let block = Block::RouteTaken { conflict: conflict.to_string() };
        return (Vec::new(), Some(Step::block(Some(app.name()), block)));
    }
    (routes(app, replicas), None)
}

fn routes(app: &App<'_>, replicas: &Replicas<'_>) -> Vec<Route> {
    let Some(access) = &app.stored.spec.access else { return Vec::new() };
    let endpoint = |replica: &Replica<'_>| Endpoint {
        pod: replica.pod(),
        address: replica.labels().address,
        port: replica.labels().port,
    };
    let mut endpoints: Vec<_> = replicas.kept().filter(|r| r.ready).map(endpoint).collect();
    endpoints.sort();
    endpoints.dedup();
    let hosts = access.hosts.iter().zip(std::iter::repeat_n(endpoints, access.hosts.len()));
    let routes = hosts.map(|(host, endpoints)| Route {
        host: host.clone(),
        path: access.path.clone(),
        app: app.name().clone(),
        endpoints,
    });
    routes.collect()
}

/// Sorts routes by host, then by path: the order of the table.
pub(super) fn sorted(mut routes: Vec<Route>) -> Vec<Route> {
    routes.sort_by(|a, b| (&a.host, &a.path).cmp(&(&b.host, &b.path)));
    routes
}
