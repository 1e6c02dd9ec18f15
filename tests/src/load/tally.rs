//! What came of a load.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// So many failures are kept with their text, by each client.
const KEPT: usize = 20;

/// What came of a load.
#[derive(Debug, Default)]
pub struct Tally {
    /// So many requests were sent.
    pub sent: u32,
    /// So many of them failed.
    pub failed: u32,
    /// So many of those were answered by another app than the one that was asked for.
    pub wrong_app: u32,
    /// So many kept connections had been closed when a client that idles long used them again; it
    /// asked anew, as browsers do.
    pub asked_anew: u32,
    /// The first failures.
    pub failures: Vec<Failure>,
    /// How often each replica answered, with its revision.
    pub by: BTreeMap<(String, String), u32>,
    /// How long answers took beyond what was asked for, sorted once the load has ended.
    took: Vec<Duration>,
}

/// A request that was not answered as it should be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Failure {
    /// When it was seen, since the load began.
    pub at: Duration,
    /// `GET` or `POST`.
    pub method: &'static str,
    /// Whether a whole request was under way when its upstream or connection broke.
    pub is_cut: bool,
    /// What the client saw.
    pub text: String,
}

impl Tally {
    /// Notes a failure.
    pub(super) fn fail(&mut self, failure: Failure) {
        self.failed += 1;
        if self.failures.len() < KEPT {
            self.failures.push(failure);
        }
    }

    /// Notes an answer.
    pub(super) fn answered(&mut self, replica: String, revision: String, took: Duration) {
        *self.by.entry((replica, revision)).or_default() += 1;
        self.took.push(took);
    }

    /// Adds what another client saw.
    pub(super) fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.failed += other.failed;
        self.wrong_app += other.wrong_app;
        self.asked_anew += other.asked_anew;
        self.failures.extend(other.failures);
        self.took.extend(other.took);
        for (who, count) in other.by {
            *self.by.entry(who).or_default() += count;
        }
    }

    pub(super) fn finish(&mut self) {
        self.failures.sort();
        self.took.sort_unstable();
    }

    /// The time within which so many in a thousand were answered.
    pub fn within(&self, per_mille: usize) -> Duration {
        let last = self.took.len().saturating_sub(1);
        self.took.get(last * per_mille / 1000).copied().unwrap_or_default()
    }

    /// At least so many requests were sent, and none failed.
    ///
    /// # Panics
    ///
    /// If one did.
    #[track_caller]
    pub fn is_flawless(&self, at_least: u32) {
        self.is_flawless_but(at_least, &[]);
    }

    /// The same, but for POSTs that were cut off at one of these times: a replica that is killed takes
    /// along what it was answering, and nobody may repeat that.
    ///
    /// # Panics
    ///
    /// If any other request failed.
    #[track_caller]
    pub fn is_flawless_but(&self, at_least: u32, kills: &[(Duration, Duration)]) {
        let Self { sent, failed, failures, by, .. } = self;
        let others = usize::try_from(*failed).unwrap() - self.cut_posts(kills);
        assert!(others == 0, "{others} of {sent} requests failed: {failures:#?}\n{by:#?}");
        assert!(*sent >= at_least, "only {sent} requests were sent, not {at_least}");
    }

    /// How many POSTs were cut off at one of these times.
    pub fn cut_posts(&self, kills: &[(Duration, Duration)]) -> usize {
        let in_time = |at: Duration| kills.iter().any(|(from, to)| (*from..=*to).contains(&at));
        let is_one = |f: &&Failure| f.method == "POST" && f.is_cut && in_time(f.at);
        self.failures.iter().filter(is_one).count()
    }

    /// The revisions that answered.
    pub fn revisions(&self) -> Vec<&str> {
        let mut revisions: Vec<_> = self.by.keys().map(|(_, revision)| revision.as_str()).collect();
        revisions.sort_unstable();
        revisions.dedup();
        revisions
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, failed, wrong_app, asked_anew, .. } = self;
        let (p99, slowest) = (self.within(990), self.within(1000));
        write!(
            f,
            "sent {sent}, failed {failed}, wrong app {wrong_app}, asked anew {asked_anew}, \
             99 of 100 within {p99:.0?}, slowest {slowest:.0?}"
        )
    }
}
