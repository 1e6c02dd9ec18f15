//! A reverse proxy in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;

use super::faults::Faults;
use dubernetes_core::error::SharedError;
use dubernetes_core::ingress::{
    ApplyOutcome, Drained, Endpoint, Ingress, IngressError, ObservedIngress, Pace, RouteTable,
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
    damaged: bool,
    turns: BTreeMap<String, usize>,
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

    /// Stops the proxy, as a kill of its container does.
    pub fn kill(&self) {
        self.state().observed = ObservedIngress::Down { reason: "exit code 137".to_owned() };
    }

    /// Damages the configuration, as an edit outside the orchestrator does.
    pub fn damage(&self) {
        self.state().damaged = true;
    }

    /// Sends a request: the longest path prefix wins, and endpoints take turns.
    pub fn request(&self, host: &str, path: &str) -> Answer {
        let mut state = self.state();
        let ObservedIngress::Serving { table } = &state.observed else { return Answer::Refused };
        let Some(route) = table.find(host, path).cloned() else { return Answer::NotFound };
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
            return Err(IngressError::Failed(SharedError::text("injected fault")));
        }
        Ok(())
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
        let mut state = self.state();
        if let Some(text) = &state.failing {
            return Err(IngressError::Failed(SharedError::text(text.clone())));
        }
        let served = ObservedIngress::Serving { table: table.clone() };
        if state.observed == served {
            return Ok(ApplyOutcome::default());
        }
        state.observed = served;
        state.applied.push(table.clone());
        Ok(ApplyOutcome { changed: true, ..ApplyOutcome::default() })
    }

    async fn observe(&self) -> Result<ObservedIngress, IngressError> {
        self.enter(IngressOperation::Observe).await?;
        Ok(self.state().observed.clone())
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
        let damaged = std::mem::take(&mut self.state().damaged);
        Ok(damaged.then(|| "its configuration was changed and is restored".to_owned()))
    }

    async fn remove(&self) -> Result<(), IngressError> {
        self.enter(IngressOperation::Remove).await?;
        self.state().observed = ObservedIngress::Absent;
        Ok(())
    }
}
