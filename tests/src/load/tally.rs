//! Results of a load.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Number of failures that each client keeps with their text.
const MAX_FAILURES: usize = 1000;

/// Results of a load.
#[derive(Debug, Default)]
pub struct Tally {
    /// Number of requests sent.
    pub sent: u32,
    /// Number of failed requests.
    pub failed: u32,
    /// Number of failed requests that another app answered.
    pub wrong_app: u32,
    /// Number of requests sent twice, because the idle connection had been closed.
    pub resent: u32,
    /// First failures of each client.
    pub failures: Vec<Failure>,
    /// Number of answers by replica and revision.
    pub answers_by: BTreeMap<(String, String), u32>,
    /// Time of each answer without the requested wait. Sorted at the end of the load.
    latencies: Vec<Duration>,
}

/// A failed request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Failure {
    /// When the request began, since the start of the load.
    pub began: Duration,
    /// When it failed, since the start of the load.
    pub ended: Duration,
    /// `GET` or `POST`.
    pub method: &'static str,
    /// Whether the upstream or the connection broke after the whole request was sent.
    pub is_cut: bool,
    /// Error that the client saw.
    pub text: String,
}

impl Failure {
    /// Whether the request was in progress within one of the periods, each from start to end.
    pub fn is_within(&self, periods: &[(Duration, Duration)]) -> bool {
        periods.iter().any(|(from, to)| self.began <= *to && *from <= self.ended)
    }
}

impl Tally {
    /// Records a failure.
    pub(super) fn record_failure(&mut self, failure: Failure) {
        self.failed += 1;
        if self.failures.len() < MAX_FAILURES {
            self.failures.push(failure);
        }
    }

    /// Records an answer.
    pub(super) fn record_answer(&mut self, replica: String, revision: String, latency: Duration) {
        *self.answers_by.entry((replica, revision)).or_default() += 1;
        self.latencies.push(latency);
    }

    /// Adds the results of another client.
    pub(super) fn merge(&mut self, other: Self) {
        self.sent += other.sent;
        self.failed += other.failed;
        self.wrong_app += other.wrong_app;
        self.resent += other.resent;
        self.failures.extend(other.failures);
        self.latencies.extend(other.latencies);
        for (replica, count) in other.answers_by {
            *self.answers_by.entry(replica).or_default() += count;
        }
    }

    pub(super) fn sort(&mut self) {
        self.failures.sort();
        self.latencies.sort_unstable();
    }

    /// Returns a quantile of the latencies, 990 for the 99th percentile.
    pub fn latency_quantile(&self, per_mille: usize) -> Duration {
        let last = self.latencies.len().saturating_sub(1);
        self.latencies.get(last * per_mille / 1000).copied().unwrap_or_default()
    }

    /// Asserts that at least `at_least` requests were sent and none failed.
    ///
    /// # Panics
    ///
    /// If a request failed, or too few were sent.
    #[track_caller]
    pub fn assert_no_failures(&self, at_least: u32) {
        self.assert_no_failures_except(at_least, &[]);
    }

    /// Like [`Self::assert_no_failures`], except for POST requests that were in progress within one
    /// of the periods `kills` and cut off. A killed replica loses the requests that it was
    /// answering, and a POST must not be repeated.
    ///
    /// # Panics
    ///
    /// If any other request failed, or too few were sent.
    #[track_caller]
    pub fn assert_no_failures_except(&self, at_least: u32, kills: &[(Duration, Duration)]) {
        let Self { sent, failed, failures, answers_by, .. } = self;
        let others = usize::try_from(*failed).unwrap() - self.cut_posts(kills);
        assert!(others == 0, "{others} of {sent} requests failed: {failures:#?}\n{answers_by:#?}");
        assert!(*sent >= at_least, "only {sent} requests were sent, not {at_least}");
    }

    /// Returns the number of POST requests that were in progress within one of the periods `kills`
    /// and cut off. A lost machine closes no connection, so such a request may fail long after.
    pub fn cut_posts(&self, kills: &[(Duration, Duration)]) -> usize {
        let is_cut_post = |f: &&Failure| f.method == "POST" && f.is_cut && f.is_within(kills);
        self.failures.iter().filter(is_cut_post).count()
    }

    /// Returns the revisions that answered.
    pub fn revisions(&self) -> Vec<&str> {
        let mut revisions: Vec<_> =
            self.answers_by.keys().map(|(_, revision)| revision.as_str()).collect();
        revisions.sort_unstable();
        revisions.dedup();
        revisions
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, failed, wrong_app, resent, .. } = self;
        let p99 = self.latency_quantile(990);
        let max = self.latency_quantile(1000);
        write!(
            f,
            "sent {sent}, failed {failed}, wrong app {wrong_app}, resent {resent}, \
             p99 {p99:.0?}, max {max:.0?}"
        )
    }
}
