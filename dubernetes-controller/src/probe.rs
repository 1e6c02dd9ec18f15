//! Probe scheduling: when each replica is probed, and what its results mean for readiness.
//!
//! What is sent is in [`super::probe_spec`].

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dubernetes_core::dial::ProbeAnswer;
use dubernetes_core::ingress::RouteTable;
use dubernetes_core::runtime::{ContainerId, ContainerState};
use dubernetes_core::state::{ObservedReplica, Readiness};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::time::{Duration, Instant};

use super::probe_spec::ProbeSpec;

/// Running time after which a replica that is not probed counts as ready.
pub(super) const SETTLE_TIME: SignedDuration = SignedDuration::from_secs(2);
/// First interval between probes of a replica that is not ready; each next one is twice as long.
/// Most programs listen within their first tenths of a second.
const FIRST_INTERVAL: Duration = Duration::from_millis(50);
/// Longest interval between probes of a replica that is not ready.
const STARTING_INTERVAL: Duration = Duration::from_secs(1);
/// Time from a failed probe of a ready replica to the probe that decides.
const RECHECK_INTERVAL: Duration = Duration::from_millis(500);
/// Results kept of each replica.
const KEPT_RESULTS: usize = 10;

/// The result of one probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeResult {
    /// When the answer came.
    pub at: Timestamp,
    /// Whether the probe succeeded.
    pub good: bool,
    /// The probe and its answer, as a sentence fragment.
    pub text: String,
}

/// The last probe results of all replicas. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct ProbeHistory(Arc<Mutex<BTreeMap<ContainerId, VecDeque<ProbeResult>>>>);

impl ProbeHistory {
    /// Returns the last results of one replica, oldest first.
    pub(super) fn results(&self, id: &ContainerId) -> Vec<ProbeResult> {
        self.lock().get(id).map(|kept| kept.iter().cloned().collect()).unwrap_or_default()
    }

    fn push(&self, id: &ContainerId, result: ProbeResult) {
        let mut all = self.lock();
        let kept = all.entry(id.clone()).or_default();
        kept.push_back(result);
        while kept.len() > KEPT_RESULTS {
            kept.pop_front();
        }
    }

    fn retain(&self, keep: impl Fn(&ContainerId) -> bool) {
        self.lock().retain(|id, _| keep(id));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ContainerId, VecDeque<ProbeResult>>> {
        // A panic cannot leave the map half changed: each change is one call on it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The probes of all replicas.
#[derive(Debug, Default)]
pub(super) struct Probes {
    states: BTreeMap<ContainerId, ProbeState>,
    pub(super) history: ProbeHistory,
}

/// What the probes of one replica have shown since its start.
#[derive(Debug)]
struct ProbeState {
    started_at: Timestamp,
    followed_at: Instant,
    spec: Option<ProbeSpec>,
    readiness: Readiness,
    /// Successes in a row.
    successes: u32,
    /// Failures in a row.
    failures: u32,
    /// Failures in a row that count towards replacement: at most one in each interval, however
    /// often a replica that is not ready is probed.
    replace_failures: u32,
    replace_failure_due: Instant,
    was_ready: bool,
    /// A former orchestrator found it ready: the first success shows that it still is, and it
    /// counts as ready since its start.
    adopted: bool,
    /// When the replica was last ready, if it is not ready now.
    last_ready_at: Option<Timestamp>,
    attempts: u32,
    in_flight: bool,
    due: Instant,
}

impl Probes {
    /// Adds replicas that are new or whose probe has changed, and drops those that are gone or
    /// were restarted.
    pub(super) fn follow(
        &mut self,
        replicas: &[ObservedReplica],
        spec_of: impl Fn(&ObservedReplica) -> Option<ProbeSpec>,
        now: Instant,
    ) {
        let mut states = std::mem::take(&mut self.states);
        for replica in replicas {
            let ContainerState::Running { started_at } = replica.state else { continue };
            let spec = spec_of(replica);
            let kept = states
                .remove(&replica.id)
                .filter(|state| state.started_at == started_at && state.spec == spec);
            let state = kept.unwrap_or_else(|| ProbeState::new(started_at, spec, now));
            self.states.insert(replica.id.clone(), state);
        }
        self.history.retain(|id| self.states.contains_key(id));
    }

    /// Takes over replicas that the ingress serves and that were not probed yet. Otherwise an
    /// orchestrator that is restarted again and again would never see `min_ready` pass.
    pub(super) fn adopt(&mut self, replicas: &[ObservedReplica], table: &RouteTable) {
        for replica in replicas.iter().filter(|replica| replica.is_in(table)) {
            if let Some(state) = self.states.get_mut(&replica.id)
                && state.readiness == Readiness::Unknown
            {
                state.adopted = true;
                state.was_ready = true;
            }
        }
    }

    /// Returns what the probes say about a replica.
    pub(super) fn readiness(&self, id: &ContainerId, now: Timestamp) -> Readiness {
        match self.states.get(id).map(|state| &state.readiness) {
            Some(Readiness::Settling { until }) if *until <= now => {
                Readiness::Ready { since: *until }
            }
            Some(readiness) => readiness.clone(),
            None => Readiness::Unknown,
        }
    }

    /// Returns when each replica that is no longer ready was last ready.
    pub(super) fn last_ready_at(&self) -> BTreeMap<ContainerId, Timestamp> {
        let lapsed = self.states.iter().filter_map(|(id, s)| Some((id.clone(), s.last_ready_at?)));
        lapsed.collect()
    }

    /// Returns the probes that are due, and marks them as in flight.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<ProbeSpec> {
        let due = self.states.values_mut().filter(|state| !state.in_flight && state.due <= now);
        due.filter_map(|state| {
            let spec = state.spec.clone()?;
            state.in_flight = true;
            Some(spec)
        })
        .collect()
    }

    /// Returns when the next probe is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let waiting = self.states.values().filter(|s| !s.in_flight && s.spec.is_some());
        waiting.map(|state| state.due).min()
    }

    /// Records an answer, and returns whether the readiness changed. The answer to a probe that
    /// has been replaced by another one is ignored.
    pub(super) fn on_answer(
        &mut self,
        spec: &ProbeSpec,
        answer: &ProbeAnswer,
        now: Timestamp,
        instant: Instant,
    ) -> bool {
        let Some(state) = self.states.get_mut(&spec.id) else { return false };
        if state.spec.as_ref() != Some(spec) {
            return false;
        }
        state.in_flight = false;
        state.attempts = state.attempts.saturating_add(1);
        let before = state.readiness.clone();
        let failure = spec.failure(answer);
        let text = failure.clone().unwrap_or_else(|| spec.describe_success(answer));
        self.history.push(&spec.id, ProbeResult { at: now, good: failure.is_none(), text });
        match failure {
            None => state.on_success(spec, now),
            Some(reason) => state.on_failure(spec, reason, now, instant),
        }
        state.due = instant + state.interval(spec);
        match (&before, state.is_ready()) {
            (_, true) => state.last_ready_at = None,
            (Readiness::Ready { .. }, false) => state.last_ready_at = Some(now),
            (
                Readiness::Unknown
                | Readiness::Settling { .. }
                | Readiness::NotReady { .. }
                | Readiness::Unhealthy { .. },
                _,
            ) => {}
        }
        before != state.readiness
    }

    /// Schedules another try of a probe that could not be sent, which says nothing about the
    /// replica.
    pub(super) fn on_not_sent(&mut self, id: &ContainerId, instant: Instant) {
        if let Some(state) = self.states.get_mut(id) {
            state.in_flight = false;
            state.due = instant + STARTING_INTERVAL;
        }
    }
}

impl ProbeState {
    fn new(started_at: Timestamp, spec: Option<ProbeSpec>, due: Instant) -> Self {
        let readiness = match spec {
            Some(_) => Readiness::Unknown,
            None => {
                let until = started_at.saturating_add(SETTLE_TIME).unwrap_or(started_at);
                Readiness::Settling { until }
            }
        };
        Self {
            started_at,
            followed_at: due,
            spec,
            readiness,
            successes: 0,
            failures: 0,
            replace_failures: 0,
            replace_failure_due: due,
            was_ready: false,
            adopted: false,
            last_ready_at: None,
            attempts: 0,
            in_flight: false,
            due,
        }
    }

    fn on_success(&mut self, spec: &ProbeSpec, now: Timestamp) {
        self.failures = 0;
        self.replace_failures = 0;
        self.successes = self.successes.saturating_add(1);
        let adopted = std::mem::take(&mut self.adopted);
        if !self.is_ready() && (adopted || self.successes >= spec.success) {
            let since = if adopted { self.started_at.min(now) } else { now };
            self.readiness = Readiness::Ready { since };
            self.was_ready = true;
        }
    }

    fn on_failure(&mut self, spec: &ProbeSpec, reason: String, now: Timestamp, instant: Instant) {
        self.adopted = false;
        self.successes = 0;
        self.failures = self.failures.saturating_add(1);
        // The start may be ahead of our clock.
        let followed = SignedDuration::try_from(instant.duration_since(self.followed_at));
        let ran = now.duration_since(self.started_at).max(followed.unwrap_or_default());
        let counts = self.was_ready || ran > spec.start_period;
        if counts && instant >= self.replace_failure_due {
            self.replace_failures = self.replace_failures.saturating_add(1);
            self.replace_failure_due = instant + spec.interval;
        }
        if spec.replace_after.is_some_and(|limit| self.replace_failures >= limit) {
            self.readiness = Readiness::Unhealthy { reason };
        } else if !self.is_ready() || self.failures >= spec.failures {
            self.readiness = Readiness::NotReady { reason };
        }
    }

    fn is_ready(&self) -> bool {
        matches!(self.readiness, Readiness::Ready { .. })
    }

    fn interval(&self, spec: &ProbeSpec) -> Duration {
        match self.readiness {
            Readiness::Ready { .. } if self.failures > 0 => RECHECK_INTERVAL.min(spec.interval),
            Readiness::Ready { .. } => spec.interval,
            Readiness::NotReady { .. }
            | Readiness::Unhealthy { .. }
            | Readiness::Settling { .. }
            | Readiness::Unknown => {
                let doubled = FIRST_INTERVAL * (1 << self.attempts.min(5));
                doubled.min(STARTING_INTERVAL).min(spec.interval)
            }
        }
    }
}

#[cfg(test)]
mod tests;
