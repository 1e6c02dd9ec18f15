//! Table columns of each kind of object.

use dubernetes_api::text::{age, reason, with_next_try};
use dubernetes_api::wire::{
    App, Certificate, CertificateState, EndpointState, Event, Node, NodeState, Pod, Revision,
    Route, Secret,
};
use jiff::Timestamp;
use serde::Serialize;

use super::table::Cell;
use crate::style;

/// An object that can be listed.
pub(crate) trait Row: Serialize + PartialEq + Sized {
    /// Whether the last column explains the object's state, and so is shown at any width.
    const ENDS_WITH_CAUSE: bool = false;

    /// Returns the columns of a wide table.
    fn columns() -> Vec<Column<Self>>;

    /// Returns `kind/name`, which is unique among objects of a kind.
    fn full_name(&self) -> String;
}

/// A column of a table.
#[derive(Debug)]
pub(crate) struct Column<T> {
    /// Title.
    pub(crate) title: &'static str,
    /// Whether only a wide table has it.
    pub(crate) is_wide: bool,
    /// Returns the cell of an object.
    pub(crate) cell: fn(&T, View) -> Cell,
}

/// How a table is shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View {
    /// Whether it has more columns.
    pub(crate) wide: bool,
    /// The time that ages are counted to.
    pub(crate) now: Timestamp,
}

/// Returns a column of every table.
pub(crate) fn column<T>(title: &'static str, cell: fn(&T, View) -> Cell) -> Column<T> {
    Column { title, is_wide: false, cell }
}

/// Returns a column of wide tables.
pub(crate) fn wide<T>(title: &'static str, cell: fn(&T, View) -> Cell) -> Column<T> {
    Column { title, is_wide: true, cell }
}

impl Row for App {
    const ENDS_WITH_CAUSE: bool = true;

    fn columns() -> Vec<Column<Self>> {
        vec![
            column("NAME", |app, _| Cell::new(app.name.as_str())),
            column("STATUS", |app, _| {
                Cell::styled(app.status.phase.as_str(), style::phase(app.status.phase))
            }),
            column("READY", |app, _| {
                Cell::new(format!("{}/{}", app.status.ready, app.status.desired))
            }),
            column("UPDATED", |app, _| Cell::new(app.status.updated.to_string())),
            column("REVISION", |app, _| Cell::new(app.status.revision.to_string())),
            column("HOST", |app, _| {
                let routes = app.spec.routes();
                let mut hosts: Vec<_> = routes.iter().map(|(host, _)| host.to_string()).collect();
                hosts.dedup();
                Cell::new(hosts.join(","))
            }),
            column("AGE", |app, view| Cell::new(age(app.created_at, view.now))),
            wide("IMAGE", |app, _| Cell::new(app.spec.artifact.as_str())),
            column("REASON", |app, view| Cell::new(reason(&app.status, view.now))),
        ]
    }

    fn full_name(&self) -> String {
        format!("app/{}", self.name)
    }
}

impl Row for Pod {
    const ENDS_WITH_CAUSE: bool = true;

    fn columns() -> Vec<Column<Self>> {
        vec![
            column("NAME", |pod, _| Cell::new(&pod.name)),
            column("APP", |pod, _| Cell::new(pod.app.as_str())),
            column("STATE", |pod, _| {
                Cell::styled(pod.state.as_str(), style::pod_state(pod.state, pod.ready))
            }),
            column("READY", |pod, _| yes_or_no(pod.ready)),
            column("RESTARTS", |pod, _| Cell::new(pod.restarts.to_string())),
            column("REVISION", |pod, _| Cell::new(pod.revision.to_string())),
            column("AGE", |pod, view| {
                Cell::new(or_none(pod.created_at.map(|created| age(created, view.now))))
            }),
            wide("ADDRESS", |pod, _| Cell::new(or_none(pod.address))),
            wide("CONTAINER", |pod, _| {
                Cell::new(or_none(pod.container_id.as_ref().map(|id| match &pod.node {
                    Some(node) => format!("{}@{node}", short_id(&id.0)),
                    None => short_id(&id.0),
                })))
            }),
            wide("IMAGE", |pod, _| Cell::new(or_none(pod.image.as_ref()))),
            column("REASON", |pod, view| {
                Cell::new(with_next_try(&pod.message, pod.next_try, view.now))
            }),
        ]
    }

    fn full_name(&self) -> String {
        format!("pod/{}", self.name)
    }
}

impl Row for Secret {
    fn columns() -> Vec<Column<Self>> {
        vec![
            column("NAME", |secret, _| Cell::new(secret.name.as_str())),
            column("SHA256", |secret, view| {
                let hash = secret.sha256.to_string();
                let shown = if view.wide { hash.len() } else { 8 };
                Cell::new(hash.get(..shown).unwrap_or(&hash))
            }),
            column("UPDATED", |secret, view| Cell::new(age(secret.updated_at, view.now))),
            column("USED BY", |secret, _| {
                let users: Vec<_> = secret.used_by.iter().map(ToString::to_string).collect();
                Cell::new(users.join(","))
            }),
        ]
    }

    fn full_name(&self) -> String {
        format!("secret/{}", self.name)
    }
}

impl Row for Revision {
    fn columns() -> Vec<Column<Self>> {
        vec![
            column("APP", |revision, _| Cell::new(revision.app.as_str())),
            column("REVISION", |revision, _| Cell::new(revision.revision.to_string())),
            column("CURRENT", |revision, _| yes_or_no(revision.current)),
            column("IMAGE", |revision, _| Cell::new(&revision.image)),
            column("CAUSE", |revision, _| Cell::new(&revision.cause)),
            column("OUTCOME", |revision, _| Cell::new(revision.outcome.as_str())),
            column("AGE", |revision, view| Cell::new(age(revision.created_at, view.now))),
            wide("DIGEST", |revision, _| Cell::new(or_none(revision.digest.as_ref()))),
        ]
    }

    fn full_name(&self) -> String {
        format!("revision/{}/{}", self.app, self.revision)
    }
}

impl Row for Event {
    fn columns() -> Vec<Column<Self>> {
        vec![
            column("AGE", |event, view| Cell::new(age(event.time, view.now))),
            wide("FIRST", |event, view| Cell::new(age(event.first_at, view.now))),
            column("TYPE", |event, _| Cell::new(event.kind.as_str())),
            column("OBJECT", |event, _| Cell::new(event.object().unwrap_or_default())),
            wide("REVISION", |event, _| Cell::new(or_none(event.revision))),
            column("REASON", |event, _| Cell::new(&event.reason)),
            column("COUNT", |event, _| Cell::new(event.count.to_string())),
            column("MESSAGE", |event, _| Cell::new(&event.message)),
        ]
    }

    fn full_name(&self) -> String {
        format!("event/{}", self.id)
    }
}

impl Row for Route {
    fn columns() -> Vec<Column<Self>> {
        vec![
            column("HOST", |route, _| Cell::new(route.host.to_string())),
            column("PATH", |route, _| Cell::new(route.path.as_str())),
            column("APP", |route, _| Cell::new(route.app.as_str())),
            column("PORT", |route, _| Cell::new(route.port.to_string())),
            column("ACTIVE", |route, _| {
                let active = route.endpoints.iter().filter(|e| e.state == EndpointState::Active);
                Cell::new(format!("{}/{}", active.count(), route.endpoints.len()))
            }),
            wide("ENDPOINTS", |route, _| {
                let endpoints = route.endpoints.iter().map(|e| format!("{}={}", e.pod, e.address));
                Cell::new(endpoints.collect::<Vec<_>>().join(","))
            }),
        ]
    }

    fn full_name(&self) -> String {
        let path = if self.path.is_root() { "" } else { self.path.as_str() };
        format!("route/{}{path}", self.host)
    }
}

impl Row for Certificate {
    const ENDS_WITH_CAUSE: bool = true;

    fn columns() -> Vec<Column<Self>> {
        vec![
            column("HOST", |found, _| Cell::new(found.host.to_string())),
            column("APP", |found, _| Cell::new(found.app.as_str())),
            column("SOURCE", |found, _| Cell::new(found.source.as_str())),
            column("STATE", |found, _| {
                let is_good = found.state == CertificateState::Served && found.message.is_empty();
                Cell::styled(found.state.as_str(), good_or_warning(is_good))
            }),
            column("EXPIRES", |found, _| date(found.not_after)),
            column("RENEWED", |found, _| date(found.renew_at)),
            wide("ISSUER", |found, _| Cell::new(or_none(found.issuer.as_ref()))),
            column("REASON", |found, view| {
                Cell::new(with_next_try(&found.message, found.next_try, view.now))
            }),
        ]
    }

    fn full_name(&self) -> String {
        format!("certificate/{}", self.host)
    }
}

impl Row for Node {
    const ENDS_WITH_CAUSE: bool = true;

    fn columns() -> Vec<Column<Self>> {
        vec![
            column("NAME", |node, _| Cell::new(&node.name)),
            column("STATE", |node, _| {
                let is_good = node.state == NodeState::Ready;
                Cell::styled(node.state.as_str(), good_or_warning(is_good))
            }),
            column("AVAILABILITY", |node, _| Cell::new(node.availability.as_str())),
            column("ENTRY", |node, _| yes_or_no(node.entry)),
            column("ADDRESS", |node, _| Cell::new(&node.address)),
            column("PODS", |node, _| Cell::new(node.pods.to_string())),
            column("REASON", |node, _| Cell::new(&node.message)),
        ]
    }

    fn full_name(&self) -> String {
        format!("node/{}", self.name)
    }
}

/// Returns the cell of a fact.
pub(crate) fn yes_or_no(fact: bool) -> Cell {
    Cell::new(if fact { "yes" } else { "no" })
}

fn good_or_warning(is_good: bool) -> anstyle::Style {
    if is_good { style::ADDED } else { style::WARNING }
}

fn date(at: Option<Timestamp>) -> Cell {
    Cell::new(or_none(at.map(|at| at.strftime("%Y-%m-%d"))))
}

/// Returns the value's text, or an empty text, which a table shows as `<none>`.
pub(crate) fn or_none<T: ToString>(value: Option<T>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// Returns the first 12 characters of an id, as the engine's own tools do.
pub(crate) fn short_id(id: &str) -> String {
    id.trim_start_matches("sha256:").chars().take(12).collect()
}
