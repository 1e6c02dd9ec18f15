//! Ready replicas as a route table, a whole value, and which app has a route that two want.

use std::collections::BTreeMap;

use crate::app::AppName;
use crate::ingress::{Endpoint, Route, RouteTable};
use crate::state::{DesiredState, ObservedReplica, RouteConflict};
use crate::store::StoredApp;

/// Apps that want a route which another one has. Apply refuses these; a store that was edited
/// by hand could hold them all the same, and then the first name wins.
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

/// The routes of one app to the replicas that should get requests.
pub(super) fn of_app<'a>(
    stored: &StoredApp,
    serving: impl Iterator<Item = &'a ObservedReplica>,
) -> Vec<Route> {
    let Some(access) = &stored.spec.access else { return Vec::new() };
    let endpoint = |replica: &ObservedReplica| Endpoint {
        pod: replica.pod(),
        address: replica.labels.address,
        port: replica.labels.port,
    };
    let mut endpoints: Vec<_> = serving.map(endpoint).collect();
    endpoints.sort();
    endpoints.dedup();
    let hosts = access.hosts.iter();
    hosts
        .zip(std::iter::repeat_n(endpoints, access.hosts.len()))
        .map(|(host, endpoints)| Route {
            host: host.clone(),
            path: access.path.clone(),
            app: stored.spec.name.clone(),
            endpoints,
        })
        .collect()
}

/// The order of the table: by host, then by path.
pub(super) fn order(table: &mut RouteTable) {
    table.routes.sort_by(|a, b| (&a.host, &a.path).cmp(&(&b.host, &b.path)));
}
