//! The route table: ready replicas as endpoints, and which app keeps a route that two claim.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::app::{AppName, Place, RouteConflict, RoutePath};
use crate::call::OperationKey;
use crate::ingress::{Endpoint, HostPort, Listener, ObservedIngress, Route, RouteTable, on_port};
use crate::plan::{Block, RouteStep};
use crate::runtime::{Capability, ContainerState};
use crate::state::{DesiredState, ObservedReplica, Readiness};

use super::app::App;
use super::backoff::back_off;
use super::classify::Replicas;
use super::context::Context;
use super::replica::Replica;
use super::step::Step;
use super::teardown;

/// Returns the apps whose route another app has. An apply of such an app is refused; a store that
/// was edited by hand may hold one, and then the first name wins.
pub(crate) fn conflicts(desired: &DesiredState) -> BTreeMap<AppName, RouteConflict> {
    let mut conflicts = BTreeMap::new();
    let mut routes = BTreeMap::new();
    let mut ports: Vec<(&AppName, Place)> = Vec::new();
    for (name, stored) in &desired.apps {
        let of_app = stored.spec.routes();
        let taken = of_app.iter().find_map(|route| Some((route, *routes.get(route)?)));
        let taken = taken.map(|((host, path), owner)| {
            (owner, Place::Route { host: host.clone(), path: RoutePath::clone(path) })
        });
        let mut mapped = stored.spec.ports.iter().copied().map(Place::Port);
        let taken = taken.or_else(|| {
            mapped.find_map(|place| {
                Some(ports.iter().find(|(_, port)| port.overlaps(&place))?.clone())
            })
        });
        match taken {
            Some((owner, place)) => {
                let conflict = RouteConflict { owner: AppName::clone(owner), place };
                conflicts.insert(name.clone(), conflict);
            }
            None => {
                routes.extend(of_app.into_iter().map(|route| (route, name)));
                ports.extend(stored.spec.ports.iter().map(|port| (name, Place::Port(*port))));
            }
        }
    }
    conflicts
}

/// Returns the routes of one app to its ready replicas, its published ports, and the listeners for
/// its name; only the latter, and why, if another app has one of its places.
pub(super) fn plan(
    context: &Context<'_>,
    app: &App<'_>,
    endpoints: &[Endpoint],
    conflict: Option<&RouteConflict>,
) -> (RouteTable, Option<Step>) {
    let address = app.address;
    let listeners = address.map(|address| Listener::of_app(&app.stored.spec, address, endpoints));
    let listeners = listeners.unwrap_or_default();
    if let Some(conflict) = conflict {
        let block = Block::RouteTaken { conflict: conflict.to_string() };
        let table = RouteTable { listeners, ..RouteTable::default() };
        return (table, Some(Step::block(Some(app.name()), block)));
    }
    let spec = &app.stored.spec;
    let address = address.filter(|_| app.publisher.is_in_table(context, app.observed));
    let ports = address.map(|address| HostPort::of_app(spec, address)).unwrap_or_default();
    (
        RouteTable {
            routes: Route::of_app(spec, endpoints),
            listeners,
            ports,
            ..RouteTable::default()
        },
        None,
    )
}

/// Returns the route, or, while its app has no ready replica, the same route to the app that served
/// it before and has given it up: requests to a host that moves find a replica all the time.
pub(super) fn hand_over(
    context: &Context<'_>,
    route: Route,
    endpoints: &BTreeMap<AppName, Vec<Endpoint>>,
) -> Route {
    let served = context.observed.ingress.table().into_iter().flat_map(|table| &table.routes);
    let mut former = served.filter(|former| former.is_at_place_of(&route));
    if route.endpoints.is_empty()
        && let Some(former) = former.find(|former| former.app != route.app)
        && let Some(ready) = endpoints.get(&former.app).filter(|ready| !ready.is_empty())
    {
        let endpoints = on_port(ready, other_port(context, former, ready));
        return Route { endpoints, ..former.clone() };
    }
    route
}

/// Returns the port of a served route, if it is not the own port of its app's replicas.
fn other_port(context: &Context<'_>, served: &Route, ready: &[Endpoint]) -> Option<u16> {
    if context.observed.lacks.contains(&Capability::PlannedAddresses) {
        return None;
    }
    let mut others = served.endpoints.iter().filter(|endpoint| {
        ready.iter().any(|own| own.address == endpoint.address && own.port != endpoint.port)
    });
    others.next().map(|endpoint| endpoint.port)
}

/// Whether another app than that of a served route claims its place now.
pub(super) fn is_claimed_by_another(context: &Context<'_>, served: &Route) -> bool {
    context.desired.apps.iter().any(|(name, stored)| {
        *name != served.app && stored.spec.routes().contains(&(served.host.clone(), &served.path))
    })
}

/// Returns the ready replicas.
pub(super) fn endpoints(replicas: &Replicas<'_>) -> Vec<Endpoint> {
    let endpoint = |replica: &Replica<'_>| {
        let endpoint = replica.observed.endpoint?;
        Some(Endpoint { pod: replica.pod(), address: endpoint.ip(), port: endpoint.port() })
    };
    let ready = replicas.kept().filter(|replica| replica.ready);
    let mut endpoints: Vec<_> = ready.filter_map(endpoint).collect();
    endpoints.sort();
    endpoints.dedup();
    endpoints
}

/// How long the routes of a new app wait for its first ready replica. A client gets 404 until then,
/// as before the app was applied, and 503 later.
const FIRST_ENDPOINT: SignedDuration = SignedDuration::from_secs(1);

/// How long a ready replica of a routed app waits for those that start beside it: they become ready
/// soon, and one change of the ingress is enough then.
const FURTHER_ENDPOINTS: SignedDuration = SignedDuration::from_secs(1);

/// A failed table is tried again after at most 32 s: the port may be free again.
const MAX_BACK_OFF_STEP: u32 = 6;

/// Returns what to do about the table now. Another table than the failed one is applied at once; a
/// proxy that does not serve yet is started, not reloaded, and so needs no pace.
pub(super) fn next_step(context: &Context<'_>, table: &RouteTable) -> RouteStep {
    let observed = context.observed;
    if observed.in_flight.contains_key(&OperationKey::Routes) {
        return RouteStep::InProgress;
    }
    if teardown::removes_ingress(context) {
        return RouteStep::InSync;
    }
    let (is_served, serves) = match &observed.ingress {
        ObservedIngress::Serving { table: served } => (served == table, true),
        ObservedIngress::Down { .. } => (false, false),
        ObservedIngress::Absent => (table.is_empty(), false),
        // A replica that was served may be missing in the table until it has been probed.
        ObservedIngress::Unknown { .. } if has_unprobed(context) => {
            return RouteStep::Unknown;
        }
        ObservedIngress::Unknown { .. } => (false, true),
    };
    if is_served {
        return RouteStep::InSync;
    }
    let failure = observed.failures.get(&OperationKey::Routes);
    if let Some(until) = further_endpoints_due(context, table).filter(|_| failure.is_none()) {
        return RouteStep::AwaitsEndpoints { until };
    }
    if let Some(until) = first_endpoints_due(context, table).filter(|_| failure.is_none()) {
        return match &observed.ingress {
            ObservedIngress::Absent => RouteStep::Start,
            _ => RouteStep::AwaitsEndpoints { until },
        };
    }
    if let Some(failure) = failure.filter(|_| observed.refused_routes.as_ref() == Some(table)) {
        let wait = back_off(failure.count.min(MAX_BACK_OFF_STEP));
        let at = failure.at.min(context.now).saturating_add(wait).unwrap_or(context.now);
        if at > context.now {
            return RouteStep::Retry { at };
        }
    }
    let is_paced = serves && !serves_dead_endpoint(context, table);
    match observed.routes_paced_until.filter(|until| is_paced && *until > context.now) {
        Some(until) => RouteStep::Paced { until },
        None => RouteStep::Apply,
    }
}

/// Returns until when a table waits whose only news are routes without an endpoint: the first
/// replicas of an app usually become ready soon, and one change of the ingress is enough then.
fn first_endpoints_due(context: &Context<'_>, table: &RouteTable) -> Option<Timestamp> {
    let served = match &context.observed.ingress {
        ObservedIngress::Serving { table } => table,
        ObservedIngress::Absent => &RouteTable::default(),
        ObservedIngress::Down { .. } | ObservedIngress::Unknown { .. } => return None,
    };
    let starting: BTreeMap<_, _> = context
        .desired
        .apps
        .iter()
        .filter_map(|(name, stored)| {
            let started_at = stored.rollout_started_at.min(context.now);
            Some((name, started_at.saturating_add(FIRST_ENDPOINT).ok()?))
        })
        .filter(|(name, due)| *due > context.now && !serves(served, name))
        .filter(|(name, _)| serves(table, name) && !has_endpoint(table, name))
        .collect();
    let due = starting.values().min().copied()?;
    let mut others = table.clone();
    others.routes.retain(|route| !starting.contains_key(&route.app));
    others.listeners.retain(|listener| !starting.contains_key(&listener.app));
    others.ports.retain(|port| !starting.contains_key(&port.app));
    others.tls.retain(|tls| !starting.contains_key(&tls.app));
    (others == *served).then_some(due)
}

/// Returns until when a table waits whose only news are further endpoints of apps that are still
/// starting replicas.
fn further_endpoints_due(context: &Context<'_>, table: &RouteTable) -> Option<Timestamp> {
    let served = context.observed.ingress.table()?;
    let only_adds = table.is_same_but_for_endpoints(served, |new, old| {
        old.is_empty() == new.is_empty() && old.iter().all(|endpoint| new.contains(endpoint))
    });
    if !only_adds {
        return None;
    }
    let known: BTreeSet<_> = served.endpoints().collect();
    let added = table.endpoints().filter(|endpoint| !known.contains(endpoint));
    let due = added.map(|endpoint| {
        let mut replicas = context.observed.replicas.iter();
        let replica = replicas.find(|replica| replica.has_socket(endpoint))?;
        let Readiness::Ready { since } = replica.readiness else { return None };
        let due = since.min(context.now).saturating_add(FURTHER_ENDPOINTS).ok()?;
        is_starting_replicas(context, &replica.labels.app).then_some(due)
    });
    due.collect::<Option<Vec<_>>>()?.into_iter().min().filter(|due| *due > context.now)
}

/// Whether replicas of an app are being created, or have just started.
fn is_starting_replicas(context: &Context<'_>, app: &AppName) -> bool {
    let mut calls = context.observed.in_flight.keys();
    let is_create =
        |key: &OperationKey| matches!(key, OperationKey::Create { app: of, .. } if of == app);
    let is_starting = |replica: &ObservedReplica| match &replica.state {
        ContainerState::Created => true,
        ContainerState::Running { started_at } => {
            let soon = started_at.min(&context.now).saturating_add(FURTHER_ENDPOINTS);
            !matches!(replica.readiness, Readiness::Ready { .. })
                && soon.is_ok_and(|soon| soon > context.now)
        }
        ContainerState::Paused
        | ContainerState::Exited(_)
        | ContainerState::StartFailed { .. }
        | ContainerState::Removing => false,
    };
    let mut of_app = context.observed.replicas.iter().filter(|replica| replica.labels.app == *app);
    calls.any(is_create) || of_app.any(is_starting)
}

/// Whether a table has anything of an app.
fn serves(table: &RouteTable, app: &AppName) -> bool {
    table.routes.iter().any(|route| route.app == *app)
        || table.listeners.iter().any(|listener| listener.app == *app)
        || table.ports.iter().any(|port| port.app == *app)
}

fn has_endpoint(table: &RouteTable, app: &AppName) -> bool {
    let routes = table.routes.iter().map(|route| (&route.app, &route.endpoints));
    let listeners = table.listeners.iter().map(|listener| (&listener.app, &listener.endpoints));
    routes.chain(listeners).any(|(owner, endpoints)| owner == app && !endpoints.is_empty())
}

/// Whether requests still go to an address where nothing runs any more. A table without it does not
/// wait for the pace: until then each such request hangs.
fn serves_dead_endpoint(context: &Context<'_>, table: &RouteTable) -> bool {
    let Some(served) = context.observed.ingress.table() else { return false };
    let kept: BTreeSet<_> = table.endpoints().collect();
    let runs = |endpoint| {
        let mut replicas = context.observed.replicas.iter();
        replicas.any(|replica| replica.is_running() && replica.has_socket(endpoint))
    };
    served.endpoints().any(|endpoint| !kept.contains(&endpoint) && !runs(endpoint))
}

/// Whether a replica that the table may lack waits for its first probe. Orphans and replicas of
/// deleted apps are not probed, and not routed.
fn has_unprobed(context: &Context<'_>) -> bool {
    context.observed.replicas.iter().any(|replica| {
        replica.is_running()
            && replica.readiness == Readiness::Unknown
            && context.desired.apps.contains_key(&replica.labels.app)
    })
}

/// Joins the tables of all apps. Routes are sorted by host, then by path; listeners and published
/// ports by app.
pub(super) fn join(tables: impl IntoIterator<Item = RouteTable>) -> RouteTable {
    let mut all = RouteTable::default();
    for table in tables {
        all.routes.extend(table.routes);
        all.listeners.extend(table.listeners);
        all.ports.extend(table.ports);
        all.tls.extend(table.tls);
    }
    all.tls.sort_by(|a, b| a.host.cmp(&b.host));
    all.routes.sort_by(|a, b| (&a.host, &a.path).cmp(&(&b.host, &b.path)));
    all
}
