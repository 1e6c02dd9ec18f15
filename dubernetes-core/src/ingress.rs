//! What Dubernetes needs of a reverse proxy: the trait [`Ingress`] and its values.
//!
//! A route table is a whole value: there is no "add one route" that could get out of step.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::app::{AppName, HostName, RoutePath};
use crate::error::Cause;
use crate::runtime::RuntimeError;

/// A reverse proxy that routes requests to replicas.
///
/// # Guarantees that implementations give
///
/// - The data plane outlives the caller: dropping the value stops nothing.
/// - What serves is always a configuration that was checked; a table that cannot be served leaves
///   the last good one in place.
#[async_trait]
pub trait Ingress: fmt::Debug + Send + Sync {
    /// Makes the proxy serve `table`, starting the proxy where it does not run.
    ///
    /// Returns once new connections are served by this table ("acknowledged"). Requests under way, and one
    /// more request on a kept connection, may still follow the former table: see
    /// [`Ingress::drained`]. Idempotent: a table that is served already changes nothing.
    ///
    /// # Errors
    ///
    /// Those of [`IngressError`]; the last good table is still served wherever the proxy runs.
    async fn apply(&self, table: &RouteTable) -> Result<ApplyOutcome, IngressError>;

    /// What the proxy serves now, read from the proxy itself, so that a restarted caller knows.
    async fn observe(&self) -> Result<ObservedIngress, IngressError>;

    /// Whether no request to `address`, which the acknowledged table does not hold, is under way
    /// or can still come by a former table.
    async fn drained(&self, address: Ipv4Addr) -> Result<bool, IngressError>;

    /// Puts back what somebody else changed in the configuration of a running proxy, and has the proxy
    /// read it again; whether there was anything. Cheap where there is not: for now and then.
    async fn repair(&self) -> Result<bool, IngressError>;

    /// Takes the proxy away. A missing one is success.
    async fn remove(&self) -> Result<(), IngressError>;
}

/// Which requests go where. A host that is not in it answers 404.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteTable {
    /// One entry for each host and path prefix, in order; at most one app answers under each.
    pub routes: Vec<Route>,
}

/// Where requests with one host and path prefix go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The host.
    pub host: HostName,
    /// The path prefix; the longest that matches on segment boundaries wins.
    pub path: RoutePath,
    /// Whose route it is.
    pub app: AppName,
    /// Ready replicas, in the order of their names. Empty: 503.
    pub endpoints: Vec<Endpoint>,
}

impl Route {
    /// The same as [`url`] of its host and path.
    pub fn url(&self, http_port: u16) -> String {
        url(&self.host, &self.path, http_port)
    }
}

/// The address that a user can open, where the ingress listens on this port of the host.
pub fn url(host: &HostName, path: &RoutePath, http_port: u16) -> String {
    let port = if http_port == 80 { String::new() } else { format!(":{http_port}") };
    let path = if path.is_root() { "" } else { path.as_str() };
    format!("http://{host}{port}{path}")
}

/// A replica that gets requests.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Endpoint {
    /// Its pod name.
    pub pod: String,
    /// Its address on the instance's network.
    pub address: Ipv4Addr,
    /// The port on which it listens; replicas of two revisions may differ.
    pub port: u16,
}

impl RouteTable {
    /// Whether any route leads to `address`.
    pub fn holds(&self, address: Ipv4Addr) -> bool {
        self.routes.iter().any(|r| r.endpoints.iter().any(|e| e.address == address))
    }

    /// Whether it has no route at all.
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }
}

/// What [`Ingress::apply`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApplyOutcome {
    /// Whether anything had to be changed in the proxy.
    pub changed: bool,
    /// Apps whose routes the proxy refused, with its text; their last good routes are served on.
    pub quarantined: BTreeMap<AppName, String>,
    /// What a person should know, such as an old proxy version.
    pub warnings: Vec<String>,
}

/// What the proxy serves now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ObservedIngress {
    /// There is no proxy; no request is routed.
    #[default]
    Absent,
    /// The proxy is there and does not run; no request is routed.
    Down {
        /// Why.
        reason: String,
    },
    /// The proxy runs and has acknowledged this table.
    Serving {
        /// The table.
        table: RouteTable,
    },
}

impl ObservedIngress {
    /// The acknowledged table, if the proxy runs.
    pub fn table(&self) -> Option<&RouteTable> {
        match self {
            Self::Serving { table } => Some(table),
            Self::Absent | Self::Down { .. } => None,
        }
    }
}

/// Why an operation on the proxy failed, by what the caller must do.
#[derive(Debug, Error)]
pub enum IngressError {
    /// The proxy's port on the host cannot be bound. Retry slowly; a person has to act.
    #[error("port {port} on {address}, which the ingress needs, is taken{}", by(holder.as_deref()))]
    PortTaken {
        /// The port.
        port: u16,
        /// The host's address.
        address: String,
        /// Who has it, as far as that can be seen.
        holder: Option<String>,
    },
    /// The proxy refuses the whole table. Retry when it changes; a person has to look.
    #[error("the ingress refused its configuration: {message}")]
    Refused {
        /// The proxy's text, one line.
        message: String,
    },
    /// The proxy did not take over the table in time. Retry.
    #[error("the ingress did not acknowledge the new routes in time")]
    NotAcknowledged,
    /// The engine under the proxy failed. Do as [`RuntimeError`] says.
    #[error("the ingress container failed")]
    Runtime(#[from] RuntimeError),
    /// Anything else. Retry.
    #[error("the ingress failed")]
    Failed(#[source] Cause),
}

fn by(holder: Option<&str>) -> String {
    holder.map_or_else(String::new, |holder| format!(" by {holder}"))
}
