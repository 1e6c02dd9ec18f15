//! The trait [`Ingress`]: what Dubernetes needs of a reverse proxy, and its values.
//!
//! A route table is replaced as a whole. There is no operation that adds one route, so the proxy
//! cannot drift from the table route by route.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::app::{
    Access, AppName, AppSpec, HostPattern, PodName, PortMapping, RoutePath, RouteProtocol,
    is_default,
};
use crate::call::FailureKind;
use crate::certificate::KeyPair;
use crate::error::SharedError;
use crate::runtime::RuntimeError;

mod access_log;
mod answer_problem;
mod listener;
mod pace;
mod port_support;
mod request_counts;
mod trusted_proxies;
mod url;

pub use access_log::{AccessLog, AccessLogEntry, AccessLogQuery};
pub use answer_problem::AnswerProblem;
pub use listener::{HostPort, Listener, Protocol};
pub use pace::Pace;
pub use port_support::PortSupport;
pub use request_counts::{REQUEST_SECONDS, RequestCounts};
pub use trusted_proxies::TrustedProxies;
pub use url::{UrlPorts, url};

/// A reverse proxy that routes requests to replicas.
///
/// # Guarantees that implementations give
///
/// - The data plane outlives the caller: dropping the value stops nothing.
/// - The proxy serves only configuration that was checked. A table that cannot be served leaves
///   the last good one in place.
/// - Method, target, `Host` and body arrive as they were sent, but for [`Route::strip_prefix`].
/// - A request that an endpoint refuses to take goes to another one. A request that may have taken
///   effect, such as a `POST` without an answer, is not sent again.
/// - A change of the table fails no request that has begun, and none on a new connection.
///
/// # Deadlines and cancel safety
///
/// Callers bound every call and may drop it at any await point; the effect may still happen. The
/// next [`Ingress::apply`] brings the proxy to the requested table from any state.
#[async_trait]
pub trait Ingress: fmt::Debug + Send + Sync {
    /// Serves `table`, and starts the proxy if it does not run. Idempotent: a table that is
    /// already served changes nothing. Of tables that are applied at once, one is served.
    ///
    /// Returns once new connections are served by this table ("acknowledged"). Requests in
    /// flight, and one more request on each kept connection, may still follow the former table;
    /// see [`Ingress::drained`].
    ///
    /// # Errors
    ///
    /// Those of [`IngressError`]. A running proxy still serves the last good table.
    async fn apply(&self, table: &RouteTable) -> Result<ApplyOutcome, IngressError>;

    /// Returns what the proxy serves now. Read from the proxy itself, so that a restarted caller
    /// finds the truth. A look that fails half-way is an error, never a proxy without routes.
    async fn observe(&self) -> Result<ObservedIngress, IngressError>;

    /// Returns whether no request to `endpoint` is in flight and none can still arrive through a
    /// former table. An endpoint of the acknowledged table is not drained, and one may not be while
    /// requests to another port of the same replica are in flight.
    async fn drained(&self, endpoint: SocketAddr) -> Result<Drained, IngressError>;

    /// Brings a running proxy to its settings: restores configuration that was changed outside
    /// Dubernetes, and replaces a proxy that was started with other settings, which interrupts it.
    /// Returns what was done, as a sentence. Cheap if there is nothing to do; call periodically,
    /// and do not drop the call.
    async fn repair(&self) -> Result<Option<String>, IngressError>;

    /// Returns the host's addresses at which the running proxy takes requests, as of the last
    /// observation; none if that is not known.
    fn listening(&self) -> Vec<SocketAddr> {
        Vec::new()
    }

    /// Returns whether the running proxy publishes ports of the host, as of the last observation.
    /// Cheap after the first call. By default it does.
    async fn port_support(&self) -> Result<PortSupport, IngressError> {
        Ok(PortSupport::Supported)
    }

    /// Returns who has a port of the host, as a sentence fragment such as `TCP port 53 on 0.0.0.0
    /// is taken by ...`. Called only for ports that no replica of their app publishes. By default
    /// no process can be seen: then the start of a container fails that publishes a taken one.
    async fn taken_port(&self, port: &PortMapping) -> Option<String> {
        let _ = port;
        None
    }

    /// Returns the host's port on which the proxy takes requests over HTTPS; `None` if it takes
    /// none. By default it takes none.
    fn https_port(&self) -> Option<u16> {
        None
    }

    /// Returns recent answers of endpoints that the proxy could not pass on, as far as it remembers
    /// them. Not cheap: call it when a person asks. By default there are none.
    async fn answer_problems(&self) -> Result<Vec<AnswerProblem>, IngressError> {
        Ok(Vec::new())
    }

    /// Returns requests to an app, as far as the proxy remembers them; `None` if it logs none. A
    /// request may appear some seconds after its answer. By default it logs none.
    async fn access_log(&self, query: &AccessLogQuery) -> Result<Option<AccessLog>, IngressError> {
        let _ = query;
        Ok(None)
    }

    /// Returns the answered requests to each app, as far as the proxy counts them; `None` if it
    /// counts none. A request may be counted a moment after its answer. By default none are.
    async fn request_counts(
        &self,
    ) -> Result<Option<BTreeMap<AppName, RequestCounts>>, IngressError> {
        Ok(None)
    }

    /// Removes the proxy. A missing one is success.
    async fn remove(&self) -> Result<(), IngressError>;

    /// Returns how often the caller may apply a changed table.
    ///
    /// A proxy that keeps its former workers after a reload limits the pace, so that a series of
    /// changes does not become a series of reloads. By default there is no limit.
    fn pace(&self) -> Pace {
        Pace::IMMEDIATE
    }
}

/// Maps hosts and path prefixes, and the names of apps, to replicas. A host without a route answers
/// 404.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteTable {
    /// The routes, in a stable order. At most one app answers for each host and path prefix.
    pub routes: Vec<Route>,
    /// The listeners for the names of apps, in a stable order. At most one has each address, port
    /// and transport.
    #[serde(default)]
    pub listeners: Vec<Listener>,
    /// The ports of the host that lead to listeners, in a stable order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<HostPort>,
    /// The hosts that are served over HTTPS, in a stable order. Requests to them over HTTP are
    /// redirected.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tls: Vec<HostTls>,
}

/// A host that is served over HTTPS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostTls {
    /// The host, or several.
    pub host: HostPattern,
    /// The app that brings the certificate. Others may have routes of the host as well.
    pub app: AppName,
    /// The certificate. `None`: it was not issued yet, and requests are answered with 503.
    pub certificate: Option<KeyPair>,
    /// Whether an authority may ask for `/.well-known/acme-challenge/` at the host.
    #[serde(default, skip_serializing_if = "is_default")]
    pub answers_challenges: bool,
}

impl RouteTable {
    /// Returns the route for a request with this `Host` header and request target.
    ///
    /// The host must match, ignoring case and an optional port. If several hosts of routes match,
    /// the most specific wins, whatever its paths: a name, then a wildcard, then
    /// [`HostPattern::Any`]. Of the routes of that host, the one with the longest path prefix wins;
    /// a prefix ends at a `/` or at the end of the path. The query string is ignored. The caller
    /// normalizes the path (`..`, `%2e`) if its proxy does. If two routes have the same host and
    /// path, the first wins.
    ///
    /// ```
    /// use dubernetes_core::ingress::RouteTable;
    ///
    /// let table: RouteTable = serde_json::from_str(
    ///     r#"{"routes": [
    ///         {"host": "shop.test", "path": "/", "app": "web", "endpoints": []},
    ///         {"host": "shop.test", "path": "/api", "app": "api", "endpoints": []}
    ///     ]}"#,
    /// )?;
    /// let app = |host, target| table.find(host, target).map(|route| route.app.as_str());
    /// assert_eq!(app("shop.test", "/api/items?page=2"), Some("api"));
    /// assert_eq!(app("Shop.Test:8080", "/apix"), Some("web"));
    /// assert_eq!(app("other.test", "/api"), None);
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn find(&self, host: &str, target: &str) -> Option<&Route> {
        let host = host.split_once(':').map_or(host, |(name, _port)| name);
        let path = target.split_once('?').map_or(target, |(path, _query)| path);
        let hosts = self.routes.iter().map(|route| &route.host);
        let pattern = hosts.filter(|pattern| pattern.matches(host)).min_by_key(|p| p.rank())?;
        let of_host = self.routes.iter().filter(|route| route.host == *pattern);
        let matching = of_host.filter(|route| route.matches(path));
        matching.min_by_key(|route| Reverse(route.path.as_str().len()))
    }

    /// Returns true if any route or listener leads to `endpoint`.
    pub fn holds(&self, endpoint: SocketAddr) -> bool {
        self.endpoints().any(|held| held == endpoint)
    }

    /// Returns the endpoints of all routes and listeners; those of several are repeated.
    pub fn endpoints(&self) -> impl Iterator<Item = SocketAddr> {
        let routed = self.routes.iter().flat_map(|route| &route.endpoints);
        let named = self.listeners.iter().flat_map(|listener| &listener.endpoints);
        routed.chain(named).map(Endpoint::socket)
    }

    /// Returns the address of each app's name.
    pub fn names(&self) -> BTreeMap<AppName, Ipv4Addr> {
        let name = |listener: &Listener| (listener.app.clone(), listener.address);
        self.listeners.iter().map(name).collect()
    }

    /// Returns true if both tables have the same routes, listeners and ports, and `accepts` each
    /// pair of their endpoints, those of this table first.
    pub fn is_same_but_for_endpoints(
        &self,
        other: &Self,
        accepts: impl Fn(&[Endpoint], &[Endpoint]) -> bool,
    ) -> bool {
        // Most of them are the same: only what differs is cloned for the comparison.
        let routes = self.routes.iter().zip(&other.routes).all(|(own, other)| {
            let with_own = || Route { endpoints: own.endpoints.clone(), ..other.clone() };
            accepts(&own.endpoints, &other.endpoints) && (own == other || *own == with_own())
        });
        let listeners = self.listeners.iter().zip(&other.listeners).all(|(own, other)| {
            let with_own = || Listener { endpoints: own.endpoints.clone(), ..other.clone() };
            accepts(&own.endpoints, &other.endpoints) && (own == other || *own == with_own())
        });
        let counts = |table: &Self| (table.routes.len(), table.listeners.len());
        routes
            && listeners
            && counts(self) == counts(other)
            && self.ports == other.ports
            && self.tls == other.tls
    }

    /// Returns what is served over HTTPS at a host.
    pub fn tls_of(&self, host: &HostPattern) -> Option<&HostTls> {
        self.tls.iter().find(|tls| tls.host == *host)
    }

    /// Returns true if there is no route, no listener and no published port.
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty() && self.listeners.is_empty() && self.ports.is_empty()
    }
}

/// The destination of requests with one host and path prefix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The host, or several.
    pub host: HostPattern,
    /// The path prefix. The longest match on segment boundaries wins.
    pub path: RoutePath,
    /// The app that owns the route.
    pub app: AppName,
    /// The app's ready replicas, sorted by name. Empty: 503. If all of them refuse connections, the
    /// answer is an error of the proxy, 502 to 504.
    pub endpoints: Vec<Endpoint>,
    /// Whether the path prefix is removed before the request is passed on.
    #[serde(default, skip_serializing_if = "is_default")]
    pub strip_prefix: bool,
    /// What the endpoints speak.
    #[serde(default, skip_serializing_if = "is_default")]
    pub protocol: RouteProtocol,
    /// Whether connections to the endpoints are kept, and used for several requests.
    #[serde(default, skip_serializing_if = "is_default")]
    pub keepalive: bool,
    /// Whether the whole body of a request is read before the request is passed on.
    #[serde(default, skip_serializing_if = "is_default")]
    pub buffer_requests: bool,
}

impl Route {
    /// Returns a route that passes requests on unchanged, over HTTP/1.1.
    pub fn new(host: HostPattern, path: RoutePath, app: AppName, endpoints: Vec<Endpoint>) -> Self {
        Self {
            host,
            path,
            app,
            endpoints,
            strip_prefix: false,
            protocol: RouteProtocol::default(),
            keepalive: false,
            buffer_requests: false,
        }
    }

    /// Returns the routes of an app whose ready replicas are reached at `endpoints` of its own
    /// port.
    pub fn of_app(spec: &AppSpec, endpoints: &[Endpoint]) -> Vec<Self> {
        let routes = |access: &Access| {
            let endpoints = on_port(endpoints, spec.other_port(access));
            let route = |host: HostPattern| Self {
                strip_prefix: access.strip_prefix,
                protocol: access.protocol,
                keepalive: access.keepalive,
                buffer_requests: access.buffer_requests,
                ..Self::new(host, access.path.clone(), spec.name.clone(), endpoints.clone())
            };
            access.patterns().into_iter().map(route).collect::<Vec<_>>()
        };
        spec.access.iter().flat_map(routes).collect()
    }

    /// Returns whether another route has the same host and path.
    pub fn is_at_place_of(&self, other: &Self) -> bool {
        (&self.host, &self.path) == (&other.host, &other.path)
    }

    /// Returns the [`url()`] of the route in `table`.
    pub fn url(&self, table: &RouteTable, ports: UrlPorts) -> String {
        url(&self.host, &self.path, ports, table.tls_of(&self.host).is_some())
    }

    fn matches(&self, path: &str) -> bool {
        let is_below = || {
            let rest = path.strip_prefix(self.path.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.path.is_root() || is_below()
    }
}

/// Returns the same replicas at another port, if one is given.
pub(crate) fn on_port(endpoints: &[Endpoint], port: Option<u16>) -> Vec<Endpoint> {
    let at =
        |endpoint: &Endpoint| Endpoint { port: port.unwrap_or(endpoint.port), ..endpoint.clone() };
    endpoints.iter().map(at).collect()
}

/// A replica that receives requests.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Endpoint {
    /// The pod name.
    pub pod: PodName,
    /// The address at which the proxy reaches the replica.
    pub address: IpAddr,
    /// The port at which the proxy reaches the replica. Replicas of two revisions may differ.
    pub port: u16,
}

impl Endpoint {
    /// Returns address and port.
    pub fn socket(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }
}

/// The result of [`Ingress::drained`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Drained {
    /// No request can reach the endpoint any more.
    Yes,
    /// A request may be in progress, or may still arrive.
    No {
        /// What is waited for, for people, if it is not only requests in progress.
        held_by: Option<String>,
    },
}

impl Drained {
    /// Requests may be in progress.
    pub const IN_PROGRESS: Self = Self::No { held_by: None };

    /// Returns whether the endpoint is drained.
    pub fn is_yes(&self) -> bool {
        matches!(self, Self::Yes)
    }
}

/// The result of [`Ingress::apply`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApplyOutcome {
    /// Whether the proxy had to be changed.
    pub changed: bool,
    /// Apps whose routes the proxy refused, with its message. Their last good routes are still
    /// served.
    pub quarantined: BTreeMap<AppName, String>,
    /// Apps whose ports of the host are not published, and why. Ports that were published before
    /// still are, unless the app has given them up.
    pub unpublished: BTreeMap<AppName, String>,
    /// Advice for the operator, such as an old proxy version.
    pub warnings: Vec<String>,
}

/// What the proxy serves now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ObservedIngress {
    /// There is no proxy. No request is routed.
    #[default]
    Absent,
    /// The proxy exists but does not run. No request is routed.
    Down {
        /// Why.
        reason: String,
    },
    /// The proxy may run, and what it serves could not be read. Requests may be routed to any
    /// replica.
    Unknown {
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
    /// Returns the acknowledged table, if the proxy runs.
    pub fn table(&self) -> Option<&RouteTable> {
        match self {
            Self::Serving { table } => Some(table),
            Self::Absent | Self::Down { .. } | Self::Unknown { .. } => None,
        }
    }
}

/// Why an operation on the proxy failed, classified by what the caller must do.
#[derive(Debug, Error)]
pub enum IngressError {
    /// The proxy's port on the host is in use. Retry slowly; the operator has to act.
    #[error("port {port} on {address}, which the ingress needs, is taken{}", by(owner.as_deref()))]
    PortTaken {
        /// The port.
        port: u16,
        /// The host's address.
        address: String,
        /// The process that listens on the port, if this user may see it.
        owner: Option<String>,
    },
    /// The proxy refuses the whole table. Retry when the table changes; the operator has to act.
    #[error("the ingress refused its configuration: {message}")]
    Refused {
        /// The proxy's message, one line.
        message: String,
    },
    /// The proxy did not serve the new table in time. Retry.
    #[error("the ingress did not acknowledge the new routes in time")]
    NotAcknowledged,
    /// The engine under the proxy failed. Act as [`RuntimeError`] says.
    #[error("the ingress container failed")]
    Runtime(#[from] RuntimeError),
    /// Any other failure. Retry.
    #[error("the ingress failed")]
    Failed(#[source] SharedError),
}

impl IngressError {
    /// Classifies the error, for the back-off and the status.
    pub fn failure_kind(&self) -> FailureKind {
        match self {
            Self::PortTaken { .. } => FailureKind::PortTaken,
            Self::Refused { .. } => FailureKind::Permanent,
            Self::Runtime(inner) => inner.failure_kind(),
            Self::NotAcknowledged | Self::Failed(_) => FailureKind::Transient,
        }
    }
}

fn by(owner: Option<&str>) -> String {
    owner.map_or_else(String::new, |owner| format!(" by {owner}"))
}

#[cfg(test)]
mod tests;
