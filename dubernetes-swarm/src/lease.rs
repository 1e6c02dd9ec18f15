//! Who may act: the rules of the lease, without I/O. No clock of another machine is compared.
//!
//! The one that acts, the holder, renews its lease every [`RENEW`] by a change that only succeeds
//! if no other process has changed it. Its lease ends [`VALID`] after the *start* of the last
//! renewal that succeeded. Another one takes it once it has seen no renewal for [`TAKEOVER`],
//! counted from when it first saw the last one, which is later. So there are [`TAKEOVER`] -
//! [`VALID`] between the end of one and the begin of the next.

use std::time::Duration;

use tokio::time::Instant;

/// Time between two renewals.
pub(crate) const RENEW: Duration = Duration::from_secs(3);
/// How long a lease is valid.
pub(crate) const VALID: Duration = Duration::from_secs(10);
/// How long a lease must not have been renewed before another manager takes it.
pub(crate) const TAKEOVER: Duration = Duration::from_secs(15);
/// How long the managers must have a leader before another one takes the lease: without one, no
/// process can renew. Then the holder goes on, and the ingress stays where it is.
const LEADER: Duration = Duration::from_secs(5);

/// What one that stands by has seen of a lease.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Watch {
    /// A version of the lease, and when it was first seen.
    seen: Option<(u64, Instant)>,
    failed_at: Option<Instant>,
}

impl Watch {
    /// Takes in a lease that was read between two moments. Returns whether `me` may take it.
    pub(crate) fn may_take(
        &mut self,
        version: u64,
        holder: &str,
        me: &str,
        (asked_at, answered_at): (Instant, Instant),
    ) -> bool {
        if holder.is_empty() || holder == me {
            return true;
        }
        let elapsed = |since: Instant| asked_at.saturating_duration_since(since);
        match self.seen {
            Some((seen, since)) if seen == version => {
                let has_leader = self.failed_at.is_none_or(|at| elapsed(at) >= LEADER);
                has_leader && elapsed(since) >= TAKEOVER
            }
            Some(_) | None => {
                self.seen = Some((version, answered_at));
                false
            }
        }
    }

    /// Takes in that the lease could not be read.
    pub(crate) fn failed(&mut self, now: Instant) {
        self.failed_at = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn lease_is_taken_once_it_was_not_renewed_for_its_time() {
        let start = Instant::now();
        let at = |second| (start + seconds(second), start + seconds(second + 1));
        let mut watch = Watch::default();
        assert!(!watch.may_take(7, "a", "b", at(0)), "it was just seen");
        assert!(!watch.may_take(7, "a", "b", at(15)), "it was seen at the end of the first read");
        assert!(watch.may_take(7, "a", "b", at(16)));
        assert!(!watch.may_take(8, "a", "b", at(17)), "it was renewed");
        assert!(!watch.may_take(8, "a", "b", at(32)));
        assert!(watch.may_take(8, "a", "b", at(33)));
    }

    #[test]
    fn free_lease_and_own_one_are_taken_at_once() {
        let now = Instant::now();
        let mut watch = Watch::default();
        assert!(watch.may_take(7, "", "b", (now, now)));
        assert!(watch.may_take(7, "b", "b", (now, now)));
    }

    #[test]
    fn holder_is_waited_for_after_a_time_without_a_leader() {
        let start = Instant::now();
        let at = |second| (start + seconds(second), start + seconds(second));
        let mut watch = Watch::default();
        assert!(!watch.may_take(7, "a", "b", at(0)));
        watch.failed(start + seconds(14));
        assert!(!watch.may_take(7, "a", "b", at(16)), "the holder could not renew it");
        assert!(watch.may_take(7, "a", "b", at(19)));
    }

    #[test]
    fn holder_has_stopped_before_another_one_begins() {
        let pause = TAKEOVER - VALID;
        assert!(pause >= seconds(5) && VALID >= RENEW * 3, "{pause:?}");
    }
}
