//! Resource usage of containers.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Resource usage of a running container.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// CPU time since the start, in nanoseconds.
    pub cpu_nanos: u64,
    /// Memory in use, in bytes, without the page cache.
    pub memory_bytes: u64,
    /// When the engine took the reading; CPU usage is the difference of two readings.
    pub read_at: Timestamp,
}

impl Stats {
    /// Returns the CPU usage since an earlier reading, in thousandths of a CPU; `None` if no time
    /// has passed. A container that was started again in between counts as idle.
    pub fn millicores_since(&self, earlier: &Self) -> Option<u64> {
        let span = self.read_at.duration_since(earlier.read_at).as_nanos();
        let span = u128::try_from(span).ok().filter(|span| *span > 0)?;
        let used = u128::from(self.cpu_nanos.saturating_sub(earlier.cpu_nanos));
        u64::try_from((used * 1000 + span / 2) / span).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_usage_is_difference_of_two_readings() {
        let at = |millis, cpu_nanos| Stats {
            cpu_nanos,
            memory_bytes: 0,
            read_at: Timestamp::from_millisecond(millis).unwrap(),
        };
        let used = |first: Stats, second: Stats| second.millicores_since(&first);
        assert_eq!(used(at(0, 0), at(500, 500_000_000)), Some(1000), "a whole core");
        assert_eq!(used(at(0, 0), at(400, 50_000_000)), Some(125));
        assert_eq!(used(at(0, 7), at(500, 7)), Some(0));
        assert_eq!(used(at(5, 0), at(5, 1)), None, "no time has passed");
        assert_eq!(used(at(0, 9), at(500, 0)), Some(0), "it was started again");
    }
}
