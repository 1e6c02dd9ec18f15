//! Limits how often the ingress gets a new route table.
//!
//! A proxy that takes over a table keeps its former workers for a while, so a series of changes
//! must not become a series of reloads. A table that has to wait is replaced by the newest one.

use std::time::Duration;

use tokio::time::Instant;

/// Time between two tables under constant change.
const PERIOD: Duration = Duration::from_secs(1);
/// Tables in quick succession after a quiet period: a replaced replica is a change for the new
/// one and, a moment later, one for the old one.
const BURST: u32 = 2;

/// A rate limiter of the generic cell rate algorithm (GCRA).
#[derive(Debug, Default)]
pub(super) struct ReloadLimiter {
    /// Theoretical arrival time.
    arrival: Option<Instant>,
}

impl ReloadLimiter {
    /// Takes a permit for now.
    ///
    /// # Errors
    ///
    /// When the next permit is available.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Instant> {
        let arrival = self.arrival.map_or(now, |arrival| arrival.max(now));
        let latest = now + PERIOD * (BURST - 1);
        if arrival > latest {
            return Err(now + (arrival - latest));
        }
        self.arrival = Some(arrival + PERIOD);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constant_change_gets_a_burst_and_then_one_permit_a_second() {
        let mut limiter = ReloadLimiter::default();
        let start = Instant::now();
        let mut permits = Vec::new();
        for tick in 0..100_u32 {
            let now = start + Duration::from_millis(100) * tick;
            if limiter.take(now).is_ok() {
                permits.push(tick);
            }
        }
        assert_eq!(permits, [0, 1, 10, 20, 30, 40, 50, 60, 70, 80, 90]);
        let now = start + Duration::from_millis(9900);
        let due = limiter.take(now).unwrap_err();
        assert!(due - now <= PERIOD, "no table waits longer than a period");
        assert_eq!(limiter.take(due), Ok(()));
        let later = due + Duration::from_secs(60);
        assert_eq!((limiter.take(later), limiter.take(later)), (Ok(()), Ok(())), "a new burst");
        assert!(limiter.take(later).is_err());
    }
}
