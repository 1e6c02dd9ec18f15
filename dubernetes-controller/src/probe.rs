//! Probes: which replica is asked when, and what its answers mean.
//!
//! What is asked stands in [`super::probe_spec`]; here is only how often, and how many answers count.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::time::{Duration, Instant};

use dubernetes_core::runtime::{ContainerId, ContainerState, ProbeAnswer};
use dubernetes_core::state::{ObservedReplica, Readiness};

use super::probe_spec::{self, ProbeSpec};

/// A process that has run this long counts as ready where nothing else can be asked.
const SETTLE_TIME: SignedDuration = SignedDuration::from_secs(2);
/// The longest time between probes of a replica that is not ready; the first ones follow faster.
const STARTING_INTERVAL: Duration = Duration::from_secs(1);
/// The time from a failed probe of a ready replica to the one that decides.
const DOUBT_INTERVAL: Duration = Duration::from_millis(500);
/// So many of the last answers of each replica are kept.
const KEPT_RESULTS: usize = 10;

/// One answer of a replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeResult {
    /// When it came.
    pub at: Timestamp,
    /// Whether it was a good one.
    pub good: bool,
    /// What was asked, and what the answer was, as a sentence fragment.
    pub text: String,
}

/// The last answers of all replicas, shared with those who want to see them.
#[derive(Debug, Clone, Default)]
pub(super) struct ProbeHistory(Arc<Mutex<BTreeMap<ContainerId, VecDeque<ProbeResult>>>>);

impl ProbeHistory {
    /// The last answers of one replica, oldest first.
    pub(super) fn of(&self, id: &ContainerId) -> Vec<ProbeResult> {
        self.lock().get(id).map(|kept| kept.iter().cloned().collect()).unwrap_or_default()
    }

    fn push(&self, id: &ContainerId, state: ProbeResult) {
        let mut all = self.lock();
        let kept = all.entry(id.clone()).or_default();
        kept.push_back(state);
        while kept.len() > KEPT_RESULTS {
            kept.pop_front();
        }
    }

    fn retain(&self, keep: impl Fn(&ContainerId) -> bool) {
        self.lock().retain(|id, _| keep(id));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<ContainerId, VecDeque<ProbeResult>>> {
        // Each change is whole in itself.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The probes of all replicas.
#[derive(Debug, Default)]
pub(super) struct Probes {
    states: BTreeMap<ContainerId, ProbeState>,
    pub(super) history: ProbeHistory,
}

#[derive(Debug)]
struct ProbeState {
    started_at: Timestamp,
    probe_spec: Option<ProbeSpec>,
    readiness: Readiness,
    /// Good answers in a row.
    successes: u32,
    /// Bad answers in a row.
    failures: u32,
    /// Those of them that count for its replacement: at most one an interval, however often a
    /// replica that is not ready is asked.
    replace_failures: u32,
    replace_failure_due: Instant,
    was_ready: bool,
    /// When it was ready last, if it is so no more.
    last_ready_at: Option<Timestamp>,
    attempts: u32,
    in_flight: bool,
    due: Instant,
}

impl Probes {
    /// Follows the replicas: new ones get a state, those that are gone or restarted lose it.
    pub(super) fn follow(
        &mut self,
        replicas: &[ObservedReplica],
        probe_spec: impl Fn(&ObservedReplica) -> Option<ProbeSpec>,
        now: Instant,
    ) {
        let mut states = std::mem::take(&mut self.states);
        for replica in replicas {
            let ContainerState::Running { started_at } = replica.state else { continue };
            let wanted = probe_spec(replica);
            let kept = states
                .remove(&replica.id)
                .filter(|state| state.started_at == started_at && state.probe_spec == wanted);
            let state = kept.unwrap_or_else(|| ProbeState::new(started_at, wanted, now));
            self.states.insert(replica.id.clone(), state);
        }
        self.history.retain(|id| self.states.contains_key(id));
    }

    /// What the probes say of a replica.
    pub(super) fn readiness(&self, id: &ContainerId, now: Timestamp) -> Readiness {
        match self.states.get(id).map(|state| &state.readiness) {
            Some(Readiness::Settling { until }) if *until <= now => {
                Readiness::Ready { since: *until }
            }
            Some(readiness) => readiness.clone(),
            None => Readiness::Unknown,
        }
    }

    /// When those that are not ready any more were ready last.
    pub(super) fn last_ready_at(&self) -> BTreeMap<ContainerId, Timestamp> {
        let lapsed = self.states.iter().filter_map(|(id, r)| Some((id.clone(), r.last_ready_at?)));
        lapsed.collect()
    }

    /// The probes that are due; each is under way from now on.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<ProbeSpec> {
        let due = self.states.values_mut().filter(|r| !r.in_flight && r.due <= now);
        due.filter_map(|state| {
            let probe_spec = state.probe_spec.clone()?;
            state.in_flight = true;
            Some(probe_spec)
        })
        .collect()
    }

    /// When the next probe is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let waiting = self.states.values().filter(|r| !r.in_flight && r.probe_spec.is_some());
        waiting.map(|state| state.due).min()
    }

    /// Takes the answer to a probe_spec in; true if the readiness changed. The answer to a probe_spec
    /// that is not asked any more says nothing.
    pub(super) fn answered(
        &mut self,
        probe_spec: &ProbeSpec,
        answer: &ProbeAnswer,
        now: Timestamp,
        instant: Instant,
    ) -> bool {
        let id = &probe_spec.id;
        let Some(state) = self.states.get_mut(id) else { return false };
        if state.probe_spec.as_ref() != Some(probe_spec) {
            return false;
        }
        state.in_flight = false;
        state.attempts = state.attempts.saturating_add(1);
        let before = state.readiness.clone();
        let failure = probe_spec::failure(probe_spec, answer);
        let text = failure.clone().unwrap_or_else(|| probe_spec::success(probe_spec, answer));
        self.history.push(id, ProbeResult { at: now, good: failure.is_none(), text });
        match failure {
            None => state.succeeded(probe_spec, now),
            Some(reason) => state.failed(probe_spec, reason, now, instant),
        }
        state.due = instant + state.interval(probe_spec);
        match (&before, state.is_ready()) {
            (_, true) => state.last_ready_at = None,
            (Readiness::Ready { .. }, false) => state.last_ready_at = Some(now),
            _ => {}
        }
        before != state.readiness
    }

    /// The probe could not be attempts: it is tried again, and says nothing about the replica.
    pub(super) fn unanswered(&mut self, id: &ContainerId, instant: Instant) {
        if let Some(state) = self.states.get_mut(id) {
            state.in_flight = false;
            state.due = instant + STARTING_INTERVAL;
        }
    }
}

impl ProbeState {
    fn new(started_at: Timestamp, probe_spec: Option<ProbeSpec>, due: Instant) -> Self {
        let readiness = match probe_spec {
            Some(_) => Readiness::Unknown,
            None => Readiness::Settling {
                until: started_at.saturating_add(SETTLE_TIME).unwrap_or(started_at),
            },
        };
        Self {
            started_at,
            probe_spec,
            readiness,
            successes: 0,
            failures: 0,
            replace_failures: 0,
            replace_failure_due: due,
            was_ready: false,
            last_ready_at: None,
            attempts: 0,
            in_flight: false,
            due,
        }
    }

    fn succeeded(&mut self, probe_spec: &ProbeSpec, now: Timestamp) {
        self.failures = 0;
        self.replace_failures = 0;
        self.successes = self.successes.saturating_add(1);
        if !self.is_ready() && self.successes >= probe_spec.success {
            self.readiness = Readiness::Ready { since: now };
            self.was_ready = true;
        }
    }

    fn failed(&mut self, probe_spec: &ProbeSpec, reason: String, now: Timestamp, instant: Instant) {
        self.successes = 0;
        self.failures = self.failures.saturating_add(1);
        let ran = now.duration_since(self.started_at);
        let counts = self.was_ready || ran > probe_spec.start_period;
        if counts && instant >= self.replace_failure_due {
            self.replace_failures = self.replace_failures.saturating_add(1);
            self.replace_failure_due = instant + probe_spec.interval;
        }
        if probe_spec.replace_after.is_some_and(|limit| self.replace_failures >= limit) {
            self.readiness = Readiness::Unhealthy { reason };
        } else if !self.is_ready() || self.failures >= probe_spec.failures {
            self.readiness = Readiness::NotReady { reason };
        }
    }

    fn is_ready(&self) -> bool {
        matches!(self.readiness, Readiness::Ready { .. })
    }

    fn interval(&self, probe_spec: &ProbeSpec) -> Duration {
        match self.readiness {
            Readiness::Ready { .. } if self.failures > 0 => DOUBT_INTERVAL.min(probe_spec.interval),
            Readiness::Ready { .. } => probe_spec.interval,
            // 50 ms doubling: most programs listen within their first tenths of a second.
            Readiness::NotReady { .. }
            | Readiness::Unhealthy { .. }
            | Readiness::Settling { .. }
            | Readiness::Unknown => {
                let doubled = Duration::from_millis(50 << self.attempts.min(5));
                doubled.min(STARTING_INTERVAL).min(probe_spec.interval)
            }
        }
    }
}

#[cfg(test)]
mod tests;
