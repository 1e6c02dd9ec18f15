//! The table that is served, and the requests in flight.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dubernetes_core::app::AppName;
use dubernetes_core::ingress::{IngressError, RequestCounts, RouteTable};
use tokio::time::Instant;

use crate::Server;

/// Answer to a request for a host that no app has.
const NO_HOST: &str = "no app answers under this host";
/// Answer to a request for a path that no app has.
const NO_PATH: &str = "no app answers under this path";
/// Answer to a request that no replica can answer.
pub(crate) const NO_REPLICA: &str = "this app has no ready replica";

/// The state of the proxy.
#[derive(Debug, Default)]
pub(crate) struct State(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// `None` unless the proxy runs.
    running: Option<(RouteTable, Server)>,
    /// Number of requests in flight to each endpoint; never 0.
    in_flight: BTreeMap<SocketAddr, usize>,
    /// Number of requests to each app: its endpoints take turns.
    turns: BTreeMap<AppName, usize>,
    /// The answered requests to each app that has a route.
    requests: BTreeMap<AppName, RequestCounts>,
}

/// Where a request goes.
#[derive(Debug)]
pub(crate) struct Destination {
    pub(crate) endpoint: SocketAddr,
    /// The prefix that is removed from the path.
    pub(crate) strip: Option<String>,
    pub(crate) buffer_request: bool,
    pub(crate) in_flight: InFlight,
}

/// A request in flight, until dropped.
#[derive(Debug)]
pub(crate) struct InFlight {
    endpoint: SocketAddr,
    state: Arc<State>,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut inner = self.state.lock();
        if let Some(count) = inner.in_flight.get_mut(&self.endpoint) {
            *count -= 1;
            if *count == 0 {
                inner.in_flight.remove(&self.endpoint);
            }
        }
    }
}

/// A request to an app, which is counted once its answer has ended.
#[derive(Debug)]
pub(crate) struct Answered {
    app: AppName,
    began: Instant,
    status: u16,
    state: Arc<State>,
}

impl Drop for Answered {
    fn drop(&mut self) {
        let seconds = self.began.elapsed().as_secs_f64();
        if let Some(counts) = self.state.lock().requests.get_mut(&self.app) {
            counts.add(self.status, seconds);
        }
    }
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves a table, and starts the proxy if it does not run. Refused apps keep the routes that
    /// they had. Returns whether anything changed.
    pub(crate) fn replace(
        &self,
        table: &RouteTable,
        refused: &BTreeMap<AppName, String>,
        listen: impl FnOnce() -> Result<Server, IngressError>,
    ) -> Result<bool, IngressError> {
        let mut inner = self.lock();
        let mut table = table.clone();
        table.routes.retain(|route| !refused.contains_key(&route.app));
        let former = inner.running.as_ref().map(|(former, _)| former.routes.iter());
        let kept = former.into_iter().flatten().filter(|route| refused.contains_key(&route.app));
        let kept: Vec<_> = kept.cloned().collect();
        table.routes.extend(kept);
        let is_routed = |app: &AppName| table.routes.iter().any(|route| route.app == *app);
        inner.requests.retain(|app, _| is_routed(app));
        match &mut inner.running {
            Some((served, _)) if *served == table => Ok(false),
            Some((served, _)) => {
                *served = table;
                Ok(true)
            }
            running @ None => {
                *running = Some((table, listen()?));
                Ok(true)
            }
        }
    }

    /// Forgets the table, and returns what served it.
    pub(crate) fn clear(&self) -> Option<Server> {
        self.lock().running.take().map(|(_, server)| server)
    }

    pub(crate) fn table(&self) -> Option<RouteTable> {
        self.lock().running.as_ref().map(|(table, _)| table.clone())
    }

    pub(crate) fn listening(&self) -> Vec<SocketAddr> {
        self.lock().running.as_ref().map(|(_, server)| server.addresses.clone()).unwrap_or_default()
    }

    /// Returns the answered requests to each app.
    pub(crate) fn requests(&self) -> BTreeMap<AppName, RequestCounts> {
        self.lock().requests.clone()
    }

    /// Returns what counts the answer with this status to a request that began then; `None` if it
    /// is for no app.
    pub(crate) fn count(
        self: &Arc<Self>,
        host: &str,
        target: &str,
        status: u16,
        began: Instant,
    ) -> Option<Answered> {
        let mut inner = self.lock();
        let (table, _) = inner.running.as_ref()?;
        let app = table.find(host, target)?.app.clone();
        inner.requests.entry(app.clone()).or_default();
        Some(Answered { app, began, status, state: Arc::clone(self) })
    }

    /// Whether a request to `endpoint` is in flight or can be.
    pub(crate) fn reaches(&self, endpoint: SocketAddr) -> bool {
        let inner = self.lock();
        let is_routed = inner.running.as_ref().is_some_and(|(table, _)| table.holds(endpoint));
        is_routed || inner.in_flight.contains_key(&endpoint)
    }

    /// Chooses an endpoint that was not tried yet, or returns status and text of the answer. From
    /// here on the request is in flight: no table can come in between.
    pub(crate) fn choose(
        self: &Arc<Self>,
        host: &str,
        target: &str,
        tried: &[SocketAddr],
    ) -> Result<Destination, (u16, &'static str)> {
        let mut guard = self.lock();
        let inner = &mut *guard;
        let Some((table, _)) = &inner.running else { return Err((404, NO_HOST)) };
        let Some(route) = table.find(host, target) else {
            let name = host.split_once(':').map_or(host, |(name, _)| name);
            let is_known = table.routes.iter().any(|route| route.host.matches(name));
            return Err((404, if is_known { NO_PATH } else { NO_HOST }));
        };
        let endpoints = route.endpoints.iter().map(|endpoint| endpoint.socket());
        let endpoints: Vec<_> = endpoints.filter(|endpoint| !tried.contains(endpoint)).collect();
        let turn = inner.turns.entry(route.app.clone()).or_default();
        *turn = turn.wrapping_add(1);
        let chosen = turn.checked_rem(endpoints.len()).and_then(|at| endpoints.get(at));
        let endpoint = *chosen.ok_or((503, NO_REPLICA))?;
        let strips = route.strip_prefix && !route.path.is_root();
        *inner.in_flight.entry(endpoint).or_default() += 1;
        Ok(Destination {
            endpoint,
            strip: strips.then(|| route.path.to_string()),
            buffer_request: route.buffer_requests,
            in_flight: InFlight { endpoint, state: Arc::clone(self) },
        })
    }
}
