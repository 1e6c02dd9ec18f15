//! Probes: which replica is asked when, and what its answers mean.
//!
//! An app that is routed is ready when its port takes a connection; one that is not, when its
//! process has run for [`SETTLED`].

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use tokio::time::{Duration, Instant};

use crate::app::Duration as Span;
use crate::runtime::{ContainerId, ContainerState, Probe, ProbeAnswer, ProbeTarget};
use crate::state::{ObservedReplica, Readiness};

/// A process that has run this long counts as ready where nothing else can be asked.
const SETTLED: SignedDuration = SignedDuration::from_secs(2);
/// How long one probe may take.
const TIMEOUT: Span = Span::from_secs(2);
/// The time between probes of a replica that is ready.
const READY_INTERVAL: Duration = Duration::from_secs(5);
/// The longest time between probes of one that is not; the first ones follow faster.
const STARTING_INTERVAL: Duration = Duration::from_secs(1);
/// The time from a failed probe of a ready replica to the one that decides.
const DOUBT_INTERVAL: Duration = Duration::from_millis(500);
/// So many failures in a row make a ready replica not ready.
const FAILURES: u32 = 2;

/// The probes of all replicas.
#[derive(Debug, Default)]
pub(super) struct Probes {
    records: BTreeMap<ContainerId, Record>,
}

#[derive(Debug)]
struct Record {
    started_at: Timestamp,
    target: Option<ProbeTarget>,
    readiness: Readiness,
    failures: u32,
    sent: u32,
    under_way: bool,
    due: Instant,
}

impl Probes {
    /// Follows the replicas: new ones get a record, those that are gone or restarted lose it.
    pub(super) fn follow(
        &mut self,
        replicas: &[ObservedReplica],
        is_routed: impl Fn(&ObservedReplica) -> bool,
        now: Instant,
    ) {
        let mut records = std::mem::take(&mut self.records);
        for replica in replicas {
            let ContainerState::Running { started_at } = replica.state else { continue };
            let wanted = is_routed(replica).then(|| target(replica));
            let kept = records
                .remove(&replica.id)
                .filter(|record| record.started_at == started_at && record.target == wanted);
            let record = kept.unwrap_or_else(|| Record::new(started_at, wanted, now));
            self.records.insert(replica.id.clone(), record);
        }
    }

    /// What the probes say of a replica.
    pub(super) fn readiness(&self, id: &ContainerId) -> Readiness {
        self.records.get(id).map(|record| record.readiness.clone()).unwrap_or_default()
    }

    /// The probes that are due; each is under way from now on.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<ProbeTarget> {
        let due = self.records.values_mut().filter(|r| !r.under_way && r.due <= now);
        due.filter_map(|record| {
            let target = record.target.clone()?;
            record.under_way = true;
            Some(target)
        })
        .collect()
    }

    /// When the next probe is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let waiting = self.records.values().filter(|r| !r.under_way && r.target.is_some());
        waiting.map(|record| record.due).min()
    }

    /// Takes an answer in; true if the readiness changed.
    pub(super) fn answered(
        &mut self,
        id: &ContainerId,
        answer: &ProbeAnswer,
        now: Timestamp,
        instant: Instant,
    ) -> bool {
        let Some(record) = self.records.get_mut(id) else { return false };
        record.under_way = false;
        record.sent = record.sent.saturating_add(1);
        let before = record.readiness.clone();
        match failure(answer) {
            None => {
                record.failures = 0;
                if !matches!(before, Readiness::Ready { .. }) {
                    record.readiness = Readiness::Ready { since: now };
                }
            }
            Some(reason) => {
                record.failures = record.failures.saturating_add(1);
                let was_ready = matches!(before, Readiness::Ready { .. });
                if !was_ready || record.failures >= FAILURES {
                    record.readiness = Readiness::NotReady { reason };
                }
            }
        }
        record.due = instant + record.interval();
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
    fn new(started_at: Timestamp, target: Option<ProbeTarget>, due: Instant) -> Self {
        let readiness = match target {
            Some(_) => Readiness::Unknown,
            None => {
                Readiness::Ready { since: started_at.saturating_add(SETTLED).unwrap_or(started_at) }
            }
        };
        Self { started_at, target, readiness, failures: 0, sent: 0, under_way: false, due }
    }

    fn interval(&self) -> Duration {
        match self.readiness {
            Readiness::Ready { .. } if self.failures > 0 => DOUBT_INTERVAL,
            Readiness::Ready { .. } => READY_INTERVAL,
            // 50 ms doubling: most programs listen within their first tenths of a second.
            Readiness::NotReady { .. } | Readiness::Unknown => {
                let doubled = Duration::from_millis(50 << self.sent.min(5));
                doubled.min(STARTING_INTERVAL)
            }
        }
    }
}

fn target(replica: &ObservedReplica) -> ProbeTarget {
    ProbeTarget {
        id: replica.id.clone(),
        address: replica.labels.address,
        probe: Probe::Tcp { port: replica.labels.port },
        timeout: TIMEOUT,
    }
}

fn failure(answer: &ProbeAnswer) -> Option<String> {
    match answer {
        ProbeAnswer::Connected | ProbeAnswer::Http { status: 200..=399, .. } => None,
        ProbeAnswer::Http { status, .. } => Some(format!("it answered with status {status}")),
        ProbeAnswer::Refused { port, open } => Some(open.instead_of(*port)),
        ProbeAnswer::Failed { reason } => Some(reason.clone()),
    }
}
