//! A reverse proxy in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;

use super::faults::Faults;
use dubernetes_core::app::{AppName, PortMapping};
use dubernetes_core::error::SharedError;
use dubernetes_core::ingress::{
    AccessLog, AccessLogEntry, AccessLogQuery, AnswerProblem, ApplyOutcome, Drained, Endpoint,
    Ingress, IngressError, ObservedIngress, Pace, PortSupport, RequestCounts, Route, RouteTable,
};

/// A reverse proxy in memory, which serves the table that was applied last. Clones share the state.
#[derive(Debug, Clone, Default)]
pub struct FakeIngress {
    state: Arc<Mutex<State>>,
    faults: Faults<IngressOperation>,
}

#[derive(Debug, Default)]
struct State {
    observed: ObservedIngress,
    applied: Vec<RouteTable>,
    busy: BTreeSet<SocketAddr>,
    failing: Option<String>,
    answer_problems: Vec<AnswerProblem>,
    access_log: Option<Vec<AccessLogEntry>>,
    damaged: bool,
    port_support: PortSupport,
    taken_ports: BTreeMap<PortMapping, String>,
    turns: BTreeMap<String, usize>,
    https_port: Option<u16>,
    is_port_taken: bool,
    requests: BTreeMap<AppName, RequestCounts>,
}

/// An operation of [`FakeIngress`], for faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum IngressOperation {
    /// `Ingress::apply`.
    Apply,
    /// `Ingress::observe`.
    Observe,
    /// `Ingress::drained`.
    Drained,
    /// `Ingress::repair`.
    Repair,
    /// `Ingress::remove`.
    Remove,
}

impl IngressOperation {
    /// Every operation.
    pub const ALL: [Self; 5] =
        [Self::Apply, Self::Observe, Self::Drained, Self::Repair, Self::Remove];
}

/// The answer to a request to [`FakeIngress`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// This endpoint answers.
    Endpoint(Endpoint),
    /// The route has no ready replica: 503.
    Unavailable,
    /// No route matches: 404.
    NotFound,
    /// No proxy runs: connection refused.
    Refused,
}

impl FakeIngress {
    /// Returns what the proxy serves now.
    pub fn observed(&self) -> ObservedIngress {
        self.state().observed.clone()
    }

    /// Returns every table that changed the proxy, oldest first.
    pub fn applied(&self) -> Vec<RouteTable> {
        self.state().applied.clone()
    }

    /// Sets whether requests to an endpoint are in flight.
    pub fn set_busy(&self, endpoint: SocketAddr, busy: bool) {
        let mut state = self.state();
        if busy {
            state.busy.insert(endpoint)
        } else {
            state.busy.remove(&endpoint)
        };
    }

    /// Makes every apply fail with this text, or succeed again with `None`.
    pub fn set_failing(&self, text: Option<&str>) {
        self.state().failing = text.map(str::to_owned);
    }

    /// Sets which answers the proxy could not pass on.
    pub fn set_answer_problems(&self, problems: Vec<AnswerProblem>) {
        self.state().answer_problems = problems;
    }

    /// Sets the requests that the proxy has logged; by default it logs none.
    pub fn set_access_log(&self, entries: Vec<AccessLogEntry>) {
        self.state().access_log = Some(entries);
    }

    /// Sets whether the proxy publishes ports of the host, while it runs.
    pub fn set_port_support(&self, support: PortSupport) {
        self.state().port_support = support;
    }

    /// Sets who has a port of the host, or with `None` that it is free.
    pub fn set_taken_port(&self, port: PortMapping, by: Option<&str>) {
        let taken = &mut self.state().taken_ports;
        match by {
            Some(by) => taken.insert(port, by.to_owned()),
            None => taken.remove(&port),
        };
    }

    /// Sets whether another process has the proxy's own port, so that it cannot start.
    pub fn set_port_taken(&self, is_taken: bool) {
        self.state().is_port_taken = is_taken;
    }

    /// Sets the port on which the proxy takes requests over HTTPS. Set it before an orchestrator
    /// starts.
    pub fn set_https_port(&self, port: Option<u16>) {
        self.state().https_port = port;
    }

    /// Stops the proxy, as a kill of its container does.
    pub fn kill(&self) {
        self.state().observed = ObservedIngress::Down { reason: "exit code 137".to_owned() };
    }

    /// Damages the configuration, as an edit outside the orchestrator does.
    pub fn damage(&self) {
        self.state().damaged = true;
    }

    /// Returns whether the configuration is damaged, and not repaired yet.
    pub fn is_damaged(&self) -> bool {
        self.state().damaged
    }

    /// Sends a request: the longest path prefix wins, and endpoints take turns.
    pub fn request(&self, host: &str, path: &str) -> Answer {
        let mut state = self.state();
        let ObservedIngress::Serving { table } = &state.observed else { return Answer::Refused };
        let Some(route) = table.find(host, path).cloned() else { return Answer::NotFound };
        let status = if route.endpoints.is_empty() { 503 } else { 200 };
        state.requests.entry(route.app.clone()).or_default().add(status, 0.0);
        if route.endpoints.is_empty() {
            return Answer::Unavailable;
        }
        let turn = state.turns.entry(format!("{}{}", route.host, route.path)).or_default();
        let endpoint = route.endpoints[*turn % route.endpoints.len()].clone();
        *turn += 1;
        Answer::Endpoint(endpoint)
    }

    /// Returns the faults of this proxy.
    pub fn faults(&self) -> &Faults<IngressOperation> {
        &self.faults
    }

    async fn enter(&self, operation: IngressOperation) -> Result<(), IngressError> {
        if self.faults.apply(&operation).await {
            return Err(injected());
        }
        Ok(())
    }

    /// Makes a changing call after [`Self::enter`].
    async fn change<R>(
        &self,
        operation: IngressOperation,
        effect: impl FnOnce(&mut State) -> Result<R, IngressError>,
    ) -> Result<R, IngressError> {
        let answer = self.faults.effect(&operation, "routes", || effect(&mut self.state())).await;
        answer.unwrap_or_else(|| Err(injected()))
    }

    fn serve(state: &mut State, table: &RouteTable) -> Result<ApplyOutcome, IngressError> {
        if let Some(text) = &state.failing {
            return Err(IngressError::Failed(SharedError::text(text.clone())));
        }
        let former = state.observed.table();
        if former.is_none() && state.is_port_taken {
            let (address, owner) = (Ipv4Addr::LOCALHOST.to_string(), None);
            return Err(IngressError::PortTaken { port: 80, address, owner });
        }
        let (table, quarantined) = without_bad_routes(table, former);
        let served = ObservedIngress::Serving { table: table.clone() };
        let changed = state.observed != served;
        if changed {
            state.observed = served;
            state.applied.push(table);
        }
        Ok(ApplyOutcome { changed, quarantined, ..ApplyOutcome::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A test that panicked with the lock has failed already.
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[async_trait]
impl Ingress for FakeIngress {
    /// The pace of nginx.
    fn pace(&self) -> Pace {
        Pace { burst: 2, period: Duration::from_secs(1) }
    }

    async fn apply(&self, table: &RouteTable) -> Result<ApplyOutcome, IngressError> {
        self.enter(IngressOperation::Apply).await?;
        self.change(IngressOperation::Apply, |state| Self::serve(state, table)).await
    }

    async fn observe(&self) -> Result<ObservedIngress, IngressError> {
        self.enter(IngressOperation::Observe).await?;
        Ok(self.observed())
    }

    async fn drained(&self, endpoint: SocketAddr) -> Result<Drained, IngressError> {
        self.enter(IngressOperation::Drained).await?;
        let state = self.state();
        let held = state.observed.table().is_some_and(|table| table.holds(endpoint));
        let is_busy = held || state.busy.contains(&endpoint);
        Ok(if is_busy { Drained::IN_PROGRESS } else { Drained::Yes })
    }

    async fn repair(&self) -> Result<Option<String>, IngressError> {
        self.enter(IngressOperation::Repair).await?;
        if !self.state().damaged {
            return Ok(None);
        }
        self.change(IngressOperation::Repair, |state| {
            state.damaged = false;
            Ok(Some("its configuration was changed and is restored".to_owned()))
        })
        .await
    }

    async fn port_support(&self) -> Result<PortSupport, IngressError> {
        Ok(self.state().port_support.clone())
    }

    async fn taken_port(&self, port: &PortMapping) -> Option<String> {
        self.state().taken_ports.get(port).cloned()
    }

    fn https_port(&self) -> Option<u16> {
        self.state().https_port
    }

    async fn answer_problems(&self) -> Result<Vec<AnswerProblem>, IngressError> {
        Ok(self.state().answer_problems.clone())
    }

    async fn access_log(&self, query: &AccessLogQuery) -> Result<Option<AccessLog>, IngressError> {
        let Some(mut entries) = self.state().access_log.clone() else { return Ok(None) };
        entries.retain(|entry| query.selects(entry));
        let tail = query.tail.and_then(|tail| usize::try_from(tail).ok()).unwrap_or(usize::MAX);
        let entries = entries.split_off(entries.len().saturating_sub(tail));
        Ok(Some(futures_util::stream::iter(entries.into_iter().map(Ok)).boxed()))
    }

    async fn request_counts(
        &self,
    ) -> Result<Option<BTreeMap<AppName, RequestCounts>>, IngressError> {
        Ok(Some(self.state().requests.clone()))
    }

    async fn remove(&self) -> Result<(), IngressError> {
        self.enter(IngressOperation::Remove).await?;
        self.change(IngressOperation::Remove, |state| {
            state.observed = ObservedIngress::Absent;
            Ok(())
        })
        .await
    }
}

/// Replaces the routes of apps with an endpoint at port 0 by their former ones.
fn without_bad_routes(
    table: &RouteTable,
    former: Option<&RouteTable>,
) -> (RouteTable, BTreeMap<AppName, String>) {
    let is_bad = |route: &&Route| route.endpoints.iter().any(|endpoint| endpoint.port == 0);
    let bad = table.routes.iter().filter(is_bad);
    let bad: BTreeMap<_, _> = bad.map(|route| (route.app.clone(), "port 0".to_owned())).collect();
    let mut table = table.clone();
    table.routes.retain(|route| !bad.contains_key(&route.app));
    let former = former.into_iter().flat_map(|former| &former.routes);
    table.routes.extend(former.filter(|route| bad.contains_key(&route.app)).cloned());
    (table, bad)
}

fn injected() -> IngressError {
    IngressError::Failed(SharedError::text("injected fault"))
}
