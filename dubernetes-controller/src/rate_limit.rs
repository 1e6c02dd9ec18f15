//! How soon the ingress is given another table.
//!
//! A proxy that takes over a table keeps its former workers for a while, so a row of changes must
//! not become a row of reloads. Whoever has to wait is given the newest table then.

use std::time::Duration;

use tokio::time::Instant;

/// Under constant change a table is handed out this often.
const PERIOD: Duration = Duration::from_secs(1);
/// After quiet, two come at once: a replica that is replaced is a change for the new one and,
/// a moment later, one for the old.
const AT_ONCE: u32 = 2;

/// The times of the tables that were handed out, as far as they matter for the next.
#[derive(Debug, Default)]
pub(super) struct ReloadLimiter {
    /// When all that was handed out would be, had each taken a whole period.
    spent_until: Option<Instant>,
}

impl ReloadLimiter {
    /// Takes the right to hand out a table now, or says when there is one.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Instant> {
        let spent_until = self.spent_until.map_or(now, |until| until.max(now));
        let first = now + PERIOD * (AT_ONCE - 1);
        if spent_until > first {
            return Err(now + (spent_until - first));
        }
        self.spent_until = Some(spent_until + PERIOD);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_at_once_after_quiet_and_then_one_a_second() {
        let mut pace = ReloadLimiter::default();
        let start = Instant::now();
        let mut handed_out = Vec::new();
        for tick in 0..100_u32 {
            let now = start + Duration::from_millis(100) * tick;
            if pace.take(now).is_ok() {
                handed_out.push(tick);
            }
        }
        assert_eq!(handed_out, [0, 1, 10, 20, 30, 40, 50, 60, 70, 80, 90]);
        let now = start + Duration::from_millis(9900);
        let due = pace.take(now).unwrap_err();
        assert!(due - now <= PERIOD, "nobody waits longer than a period");
        assert_eq!(pace.take(due), Ok(()));
        let later = due + Duration::from_secs(60);
        assert_eq!((pace.take(later), pace.take(later)), (Ok(()), Ok(())), "quiet is forgotten");
        assert!(pace.take(later).is_err());
    }
}
