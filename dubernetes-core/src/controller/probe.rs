//! Probes: which replica is asked when, and what its answers mean.
//!
//! What is asked stands in [`super::question`]; here is only how often, and how many answers count.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::time::{Duration, Instant};

use crate::runtime::{ContainerId, ContainerState, ProbeAnswer};
use crate::state::{ObservedReplica, Readiness};

use super::question::{self, Question};

/// A process that has run this long counts as ready where nothing else can be asked.
const SETTLED: SignedDuration = SignedDuration::from_secs(2);
/// The longest time between probes of a replica that is not ready; the first ones follow faster.
const STARTING_INTERVAL: Duration = Duration::from_secs(1);
/// The time from a failed probe of a ready replica to the one that decides.
const DOUBT_INTERVAL: Duration = Duration::from_millis(500);
/// So many of the last answers of each replica are kept.
const KEPT: usize = 10;

/// One answer of a replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeRecord {
    /// When it came.
    pub at: Timestamp,
    /// Whether it was a good one.
    pub good: bool,
    /// What was asked, and what the answer was, as a sentence fragment.
    pub text: String,
}

/// The last answers of all replicas, shared with those who want to see them.
#[derive(Debug, Clone, Default)]
pub(super) struct ProbeHistory(Arc<Mutex<BTreeMap<ContainerId, VecDeque<ProbeRecord>>>>);

impl ProbeHistory {
    /// The last answers of one replica, oldest first.
    pub(super) fn of(&self, id: &ContainerId) -> Vec<ProbeRecord> {
        self.lock().get(id).map(|kept| kept.iter().cloned().collect()).unwrap_or_default()
    }

    fn push(&self, id: &ContainerId, record: ProbeRecord) {
        let mut all = self.lock();
        let kept = all.entry(id.clone()).or_default();
        kept.push_back(record);
        while kept.len() > KEPT {
            kept.pop_front();
        }
    }

    fn retain(&self, keep: impl Fn(&ContainerId) -> bool) {
        self.lock().retain(|id, _| keep(id));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<ContainerId, VecDeque<ProbeRecord>>> {
        // Each change is whole in itself.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The probes of all replicas.
#[derive(Debug, Default)]
pub(super) struct Probes {
    records: BTreeMap<ContainerId, Record>,
    pub(super) history: ProbeHistory,
}

#[derive(Debug)]
struct Record {
    started_at: Timestamp,
    question: Option<Question>,
    readiness: Readiness,
    /// Good answers in a row.
    successes: u32,
    /// Bad answers in a row.
    failures: u32,
    /// Those of them that count for its replacement: at most one an interval, however often a
    /// replica that is not ready is asked.
    strikes: u32,
    strike_due: Instant,
    was_ready: bool,
    /// When it was ready last, if it is so no more.
    ready_until: Option<Timestamp>,
    sent: u32,
    under_way: bool,
    due: Instant,
}

impl Probes {
    /// Follows the replicas: new ones get a record, those that are gone or restarted lose it.
    pub(super) fn follow(
        &mut self,
        replicas: &[ObservedReplica],
        question: impl Fn(&ObservedReplica) -> Option<Question>,
        now: Instant,
    ) {
        let mut records = std::mem::take(&mut self.records);
        for replica in replicas {
            let ContainerState::Running { started_at } = replica.state else { continue };
            let wanted = question(replica);
            let kept = records
                .remove(&replica.id)
                .filter(|record| record.started_at == started_at && record.question == wanted);
            let record = kept.unwrap_or_else(|| Record::new(started_at, wanted, now));
            self.records.insert(replica.id.clone(), record);
        }
        self.history.retain(|id| self.records.contains_key(id));
    }

    /// What the probes say of a replica.
    pub(super) fn readiness(&self, id: &ContainerId) -> Readiness {
        self.records.get(id).map(|record| record.readiness.clone()).unwrap_or_default()
    }

    /// When those that are not ready any more were ready last.
    pub(super) fn ready_until(&self) -> BTreeMap<ContainerId, Timestamp> {
        let lapsed = self.records.iter().filter_map(|(id, r)| Some((id.clone(), r.ready_until?)));
        lapsed.collect()
    }

    /// The probes that are due; each is under way from now on.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<Question> {
        let due = self.records.values_mut().filter(|r| !r.under_way && r.due <= now);
        due.filter_map(|record| {
            let question = record.question.clone()?;
            record.under_way = true;
            Some(question)
        })
        .collect()
    }

    /// When the next probe is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let waiting = self.records.values().filter(|r| !r.under_way && r.question.is_some());
        waiting.map(|record| record.due).min()
    }

    /// Takes the answer to a question in; true if the readiness changed. The answer to a question
    /// that is not asked any more says nothing.
    pub(super) fn answered(
        &mut self,
        question: &Question,
        answer: &ProbeAnswer,
        now: Timestamp,
        instant: Instant,
    ) -> bool {
        let id = &question.id;
        let Some(record) = self.records.get_mut(id) else { return false };
        if record.question.as_ref() != Some(question) {
            return false;
        }
        record.under_way = false;
        record.sent = record.sent.saturating_add(1);
        let before = record.readiness.clone();
        let failure = question::failure(question, answer);
        let text = failure.clone().unwrap_or_else(|| question::success(question, answer));
        self.history.push(id, ProbeRecord { at: now, good: failure.is_none(), text });
        match failure {
            None => record.succeeded(question, now),
            Some(reason) => record.failed(question, reason, now, instant),
        }
        record.due = instant + record.interval(question);
        match (&before, record.is_ready()) {
            (_, true) => record.ready_until = None,
            (Readiness::Ready { .. }, false) => record.ready_until = Some(now),
            _ => {}
        }
        before != record.readiness
    }

    /// The probe could not be sent: it is tried again, and says nothing about the replica.
    pub(super) fn unanswered(&mut self, id: &ContainerId, instant: Instant) {
        if let Some(record) = self.records.get_mut(id) {
            record.under_way = false;
            record.due = instant + STARTING_INTERVAL;
        }
    }
}

impl Record {
    fn new(started_at: Timestamp, question: Option<Question>, due: Instant) -> Self {
        let readiness = match question {
            Some(_) => Readiness::Unknown,
            None => {
                Readiness::Ready { since: started_at.saturating_add(SETTLED).unwrap_or(started_at) }
            }
        };
        Self {
            started_at,
            question,
            readiness,
            successes: 0,
            failures: 0,
            strikes: 0,
            strike_due: due,
            was_ready: false,
            ready_until: None,
            sent: 0,
            under_way: false,
            due,
        }
    }

    fn succeeded(&mut self, question: &Question, now: Timestamp) {
        self.failures = 0;
        self.strikes = 0;
        self.successes = self.successes.saturating_add(1);
        if !self.is_ready() && self.successes >= question.success {
            self.readiness = Readiness::Ready { since: now };
            self.was_ready = true;
        }
    }

    fn failed(&mut self, question: &Question, reason: String, now: Timestamp, instant: Instant) {
        self.successes = 0;
        self.failures = self.failures.saturating_add(1);
        let ran = now.duration_since(self.started_at);
        let counts = self.was_ready || ran > question.start_period;
        if counts && instant >= self.strike_due {
            self.strikes = self.strikes.saturating_add(1);
            self.strike_due = instant + question.interval;
        }
        if question.replace_after.is_some_and(|limit| self.strikes >= limit) {
            self.readiness = Readiness::Unhealthy { reason };
        } else if !self.is_ready() || self.failures >= question.failures {
            self.readiness = Readiness::NotReady { reason };
        }
    }

    fn is_ready(&self) -> bool {
        matches!(self.readiness, Readiness::Ready { .. })
    }

    fn interval(&self, question: &Question) -> Duration {
        match self.readiness {
            Readiness::Ready { .. } if self.failures > 0 => DOUBT_INTERVAL.min(question.interval),
            Readiness::Ready { .. } => question.interval,
            // 50 ms doubling: most programs listen within their first tenths of a second.
            Readiness::NotReady { .. } | Readiness::Unhealthy { .. } | Readiness::Unknown => {
                let doubled = Duration::from_millis(50 << self.sent.min(5));
                doubled.min(STARTING_INTERVAL).min(question.interval)
            }
        }
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests;
