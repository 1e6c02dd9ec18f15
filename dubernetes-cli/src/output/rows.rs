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
pub(crate) trait Row: Serialize + PartialEq {
    /// Whether the last column explains the object's state, and so is shown at any width.
    const ENDS_WITH_CAUSE: bool = false;

    /// Returns the column names.
    fn columns(wide: bool) -> Vec<&'static str>;

    /// Returns one cell per column.
    fn cells(&self, wide: bool, now: Timestamp) -> Vec<Cell>;

    /// Returns `kind/name`, which is unique among objects of a kind.
    fn full_name(&self) -> String;
}

impl Row for App {
    const ENDS_WITH_CAUSE: bool = true;

    fn columns(wide: bool) -> Vec<&'static str> {
        let mut columns =
            vec!["NAME", "STATUS", "READY", "UPDATED", "REVISION", "HOST", "AGE", "REASON"];
        if wide {
            columns.insert(7, "IMAGE");
        }
        columns
    }

    fn cells(&self, wide: bool, now: Timestamp) -> Vec<Cell> {
        let status = &self.status;
        let mut hosts: Vec<_> =
            self.spec.routes().iter().map(|(host, _)| host.to_string()).collect();
        hosts.dedup();
        let mut cells = vec![
            Cell::new(self.name.as_str()),
            Cell::styled(status.phase.as_str(), style::phase(status.phase)),
            Cell::new(format!("{}/{}", status.ready, status.desired)),
            Cell::new(status.updated.to_string()),
            Cell::new(status.revision.to_string()),
            Cell::new(hosts.join(",")),
            Cell::new(age(self.created_at, now)),
            Cell::new(reason(status, now)),
        ];
        if wide {
            cells.insert(7, Cell::new(self.spec.artifact.as_str()));
        }
        cells
    }

    fn full_name(&self) -> String {
        format!("app/{}", self.name)
    }
}

impl Row for Pod {
    const ENDS_WITH_CAUSE: bool = true;

    fn columns(wide: bool) -> Vec<&'static str> {
        let mut columns = vec!["NAME", "APP", "STATE", "READY", "RESTARTS", "REVISION", "AGE"];
        if wide {
            columns.extend(["ADDRESS", "CONTAINER", "IMAGE"]);
        }
        columns.push("REASON");
        columns
    }

    fn cells(&self, wide: bool, now: Timestamp) -> Vec<Cell> {
        let mut cells = vec![
            Cell::new(&self.name),
            Cell::new(self.app.as_str()),
            Cell::styled(self.state.as_str(), style::pod_state(self.state, self.ready)),
            Cell::new(if self.ready { "yes" } else { "no" }),
            Cell::new(self.restarts.to_string()),
            Cell::new(self.revision.to_string()),
            Cell::new(or_none(self.created_at.map(|created| age(created, now)))),
        ];
        if wide {
            cells.extend([
                Cell::new(or_none(self.address)),
                Cell::new(or_none(self.container_id.as_ref().map(|id| match &self.node {
                    Some(node) => format!("{}@{node}", short_id(&id.0)),
                    None => short_id(&id.0),
                }))),
                Cell::new(or_none(self.image.as_ref())),
            ]);
        }
        cells.push(Cell::new(with_next_try(&self.message, self.next_try, now)));
        cells
    }

    fn full_name(&self) -> String {
        format!("pod/{}", self.name)
    }
}

impl Row for Secret {
    fn columns(_: bool) -> Vec<&'static str> {
        vec!["NAME", "SHA256", "UPDATED", "USED BY"]
    }

    fn cells(&self, wide: bool, now: Timestamp) -> Vec<Cell> {
        let hash = self.sha256.to_string();
        let shown = if wide { hash.len() } else { 8 };
        let users: Vec<_> = self.used_by.iter().map(ToString::to_string).collect();
        let users = (!users.is_empty()).then(|| users.join(","));
        vec![
            Cell::new(self.name.as_str()),
            Cell::new(hash.get(..shown).unwrap_or(&hash)),
            Cell::new(age(self.updated_at, now)),
            Cell::new(or_none(users)),
        ]
    }

    fn full_name(&self) -> String {
        format!("secret/{}", self.name)
    }
}

impl Row for Revision {
    fn columns(wide: bool) -> Vec<&'static str> {
        let mut columns = vec!["APP", "REVISION", "CURRENT", "IMAGE", "CAUSE", "OUTCOME", "AGE"];
        if wide {
            columns.push("DIGEST");
        }
        columns
    }

    fn cells(&self, wide: bool, now: Timestamp) -> Vec<Cell> {
        let mut cells = vec![
            Cell::new(self.app.as_str()),
            Cell::new(self.revision.to_string()),
            Cell::new(if self.current { "yes" } else { "no" }),
            Cell::new(&self.image),
            Cell::new(&self.cause),
            Cell::new(self.outcome.as_str()),
            Cell::new(age(self.created_at, now)),
        ];
        if wide {
            cells.push(Cell::new(or_none(self.digest.as_ref())));
        }
        cells
    }

    fn full_name(&self) -> String {
        format!("revision/{}/{}", self.app, self.revision)
    }
}

impl Row for Event {
    fn columns(wide: bool) -> Vec<&'static str> {
        let mut columns = vec!["AGE", "TYPE", "OBJECT", "REASON", "COUNT", "MESSAGE"];
        if wide {
            columns.insert(1, "FIRST");
            columns.insert(4, "REVISION");
        }
        columns
    }

    fn cells(&self, wide: bool, now: Timestamp) -> Vec<Cell> {
        let object = self.object();
        let mut cells = vec![
            Cell::new(age(self.time, now)),
            Cell::new(self.kind.as_str()),
            Cell::new(object.unwrap_or_default()),
            Cell::new(&self.reason),
            Cell::new(self.count.to_string()),
            Cell::new(&self.message),
        ];
        if wide {
            cells.insert(1, Cell::new(age(self.first_at, now)));
            cells.insert(4, Cell::new(or_none(self.revision)));
        }
        cells
    }

    fn full_name(&self) -> String {
        format!("event/{}", self.id)
    }
}

impl Row for Route {
    fn columns(wide: bool) -> Vec<&'static str> {
        let mut columns = vec!["HOST", "PATH", "APP", "PORT", "ACTIVE"];
        if wide {
            columns.push("ENDPOINTS");
        }
        columns
    }

    fn cells(&self, wide: bool, _: Timestamp) -> Vec<Cell> {
        let active = |state| state == EndpointState::Active;
        let count = self.endpoints.iter().filter(|endpoint| active(endpoint.state)).count();
        let mut cells = vec![
            Cell::new(self.host.to_string()),
            Cell::new(self.path.as_str()),
            Cell::new(self.app.as_str()),
            Cell::new(self.port.to_string()),
            Cell::new(format!("{count}/{}", self.endpoints.len())),
        ];
        if wide {
            let endpoints: Vec<_> = self
                .endpoints
                .iter()
                .map(|endpoint| format!("{}={}", endpoint.pod, endpoint.address))
                .collect();
            cells.push(Cell::new(endpoints.join(",")));
        }
        cells
    }

    fn full_name(&self) -> String {
        let path = if self.path.is_root() { "" } else { self.path.as_str() };
        format!("route/{}{path}", self.host)
    }
}

impl Row for Certificate {
    const ENDS_WITH_CAUSE: bool = true;

    fn columns(wide: bool) -> Vec<&'static str> {
        let mut columns = vec!["HOST", "APP", "SOURCE", "STATE", "EXPIRES", "RENEWED"];
        if wide {
            columns.push("ISSUER");
        }
        columns.push("REASON");
        columns
    }

    fn cells(&self, wide: bool, now: Timestamp) -> Vec<Cell> {
        let date = |at: Option<Timestamp>| or_none(at.map(|at| at.strftime("%Y-%m-%d")));
        let is_good = self.state == CertificateState::Served && self.message.is_empty();
        let style = if is_good { style::ADDED } else { style::WARNING };
        let mut cells = vec![
            Cell::new(self.host.to_string()),
            Cell::new(self.app.as_str()),
            Cell::new(self.source.as_str()),
            Cell::styled(self.state.as_str(), style),
            Cell::new(date(self.not_after)),
            Cell::new(date(self.renew_at)),
        ];
        if wide {
            cells.push(Cell::new(or_none(self.issuer.as_ref())));
        }
        cells.push(Cell::new(with_next_try(&self.message, self.next_try, now)));
        cells
    }

    fn full_name(&self) -> String {
        format!("certificate/{}", self.host)
    }
}

impl Row for Node {
    const ENDS_WITH_CAUSE: bool = true;

    fn columns(_: bool) -> Vec<&'static str> {
        vec!["NAME", "STATE", "AVAILABILITY", "ENTRY", "ADDRESS", "PODS", "REASON"]
    }

    fn cells(&self, _: bool, _: Timestamp) -> Vec<Cell> {
        let style = if self.state == NodeState::Ready { style::ADDED } else { style::WARNING };
        vec![
            Cell::new(&self.name),
            Cell::styled(self.state.as_str(), style),
            Cell::new(self.availability.as_str()),
            Cell::new(if self.entry { "yes" } else { "no" }),
            Cell::new(&self.address),
            Cell::new(self.pods.to_string()),
            Cell::new(&self.message),
        ]
    }

    fn full_name(&self) -> String {
        format!("node/{}", self.name)
    }
}

/// Returns the value's text, or an empty text, which a table shows as `<none>`.
pub(crate) fn or_none<T: ToString>(value: Option<T>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// Returns the first 12 characters of an id, as the engine's own tools do.
pub(crate) fn short_id(id: &str) -> String {
    id.trim_start_matches("sha256:").chars().take(12).collect()
}
