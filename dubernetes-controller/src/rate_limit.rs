//! Limits how often the ingress gets a new route table, as its [`Pace`] says.
//!
//! A table that has to wait is replaced by the newest one.

use std::time::Duration;

use dubernetes_core::ingress::Pace;
use tokio::time::Instant;

/// A rate limiter of the generic cell rate algorithm (GCRA).
#[derive(Debug)]
pub(super) struct ReloadLimiter {
    pace: Pace,
    /// Theoretical arrival time.
    arrival: Option<Instant>,
}

impl ReloadLimiter {
    pub(super) fn new(pace: Pace) -> Self {
        Self { pace, arrival: None }
    }

    /// Returns how long the next table has to wait, if at all.
    pub(super) fn wait(&self, now: Instant) -> Option<Duration> {
        let latest = now + self.pace.period * self.pace.burst.saturating_sub(1);
        let wait = self.arrival?.checked_duration_since(latest)?;
        (!wait.is_zero()).then_some(wait)
    }

    /// Counts a table.
    pub(super) fn take(&mut self, now: Instant) {
        let arrival = self.arrival.map_or(now, |arrival| arrival.max(now));
        self.arrival = Some(arrival + self.pace.period);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_secs(1);

    #[test]
    fn constant_change_gets_a_burst_and_then_one_table_a_period() {
        let mut limiter = ReloadLimiter::new(Pace { burst: 2, period: PERIOD });
        let mut take = |now| {
            let wait = limiter.wait(now);
            if wait.is_none() {
                limiter.take(now);
            }
            wait
        };
        let start = Instant::now();
        let mut taken = Vec::new();
        for tick in 0..100_u32 {
            if take(start + Duration::from_millis(100) * tick).is_none() {
                taken.push(tick);
            }
        }
        assert_eq!(taken, [0, 1, 10, 20, 30, 40, 50, 60, 70, 80, 90]);
        let now = start + Duration::from_millis(9900);
        let wait = take(now).unwrap();
        assert!(wait <= PERIOD, "no table waits longer than a period");
        assert_eq!(take(now + wait), None);
        let later = now + Duration::from_secs(60);
        assert_eq!((take(later), take(later)), (None, None), "a new burst");
        assert!(take(later).is_some());
    }

    #[test]
    fn immediate_pace_never_waits() {
        let mut limiter = ReloadLimiter::new(Pace::IMMEDIATE);
        let now = Instant::now();
        for _ in 0..10 {
            assert_eq!(limiter.wait(now), None);
            limiter.take(now);
        }
    }
}
