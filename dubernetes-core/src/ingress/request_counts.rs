//! Counted requests: how many answers each app gave, of which status, and how long they took.

/// Upper bounds of the buckets of [`RequestCounts::durations`], in seconds. The last bucket has no
/// bound.
pub const REQUEST_SECONDS: [f64; 11] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Number of buckets.
const BUCKETS: usize = REQUEST_SECONDS.len() + 1;

/// The answered requests to one app, since the proxy counts them: a proxy that has started again
/// begins with 0.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RequestCounts {
    /// Number of answers with a status from 100 on, from 200 on, and so on to 500. 499: the client
    /// closed the connection before.
    pub by_class: [u64; 5],
    /// Number of answers in each bucket of [`REQUEST_SECONDS`], by the time from the first byte of
    /// the request to the end of the answer. Switched protocols, such as websockets, are left out.
    pub durations: [u64; BUCKETS],
    /// The sum of these times, in seconds.
    pub seconds: f64,
}

impl RequestCounts {
    /// Counts an answer with this status, which took a time.
    pub fn add(&mut self, status: u16, seconds: f64) {
        let class = usize::from(status / 100).wrapping_sub(1);
        let Some(count) = self.by_class.get_mut(class) else { return };
        *count += 1;
        if class == 0 {
            return;
        }
        let bucket = REQUEST_SECONDS.partition_point(|bound| *bound < seconds);
        if let Some(count) = self.durations.get_mut(bucket) {
            *count += 1;
        }
        self.seconds += seconds;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_by_class_and_bucket() {
        let mut counts = RequestCounts::default();
        for (status, seconds) in
            [(200, 0.0), (204, 0.005), (499, 0.006), (503, 10.0), (500, 11.0), (101, 3600.0)]
        {
            counts.add(status, seconds);
        }
        assert_eq!(counts.by_class, [1, 2, 0, 1, 2]);
        assert_eq!(counts.durations, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert!((counts.seconds - 21.011).abs() < 1e-9, "{counts:?}");
        let before = counts.clone();
        [0, 99, 600].into_iter().for_each(|status| counts.add(status, 1.0));
        assert_eq!(counts, before, "these are no status");
    }
}
