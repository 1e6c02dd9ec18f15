//! How many replicas may be live, and how many must stay ready.

use crate::app::AppSpec;

/// The limits of one app's changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// So many replicas are wanted.
    pub(super) desired: u32,
    /// So many may be live at one time.
    pub(super) max_live: u32,
    /// So many must stay ready while we act.
    pub(super) min_available: u32,
}

impl Limits {
    /// What `rollout` says. Where the old replica stops first there is never one too many, and
    /// at least one may be missing. Percentages that come to nothing on both sides would let nothing happen,
    /// so that one may be missing then.
    pub(super) fn new(spec: &AppSpec) -> Self {
        let (desired, rollout) = (u32::from(spec.replicas), &spec.rollout);
        let missing = rollout.max_unavailable.resolve_floor(desired);
        let surge = match rollout.max_surge {
            _ if spec.stops_first() => 0,
            Some(surge) => surge.resolve_ceil(desired),
            None => 1,
        };
        let missing = if surge == 0 { missing.max(1) } else { missing };
        Self { desired, max_live: desired + surge, min_available: desired.saturating_sub(missing) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{AppName, CountOrPercent, ImageRef, Order};

    #[test]
    fn limits_follow_the_file_and_never_let_nothing_happen() {
        let mut spec = AppSpec::new(AppName::parse("a").unwrap(), ImageRef::parse("a:1").unwrap());
        spec.replicas = 5;
        let cases = [
            (None, CountOrPercent::Count(0), None, (6, 5)),
            (Some(CountOrPercent::Count(0)), CountOrPercent::Count(2), None, (5, 3)),
            (Some(CountOrPercent::Percent(25)), CountOrPercent::Percent(25), None, (7, 4)),
            (Some(CountOrPercent::Percent(0)), CountOrPercent::Percent(10), None, (5, 4)),
            (None, CountOrPercent::Count(0), Some(Order::StopFirst), (5, 4)),
            (None, CountOrPercent::Percent(100), Some(Order::StopFirst), (5, 0)),
            (None, CountOrPercent::Count(200), None, (6, 0)),
        ];
        for (surge, unavailable, order, (max_live, min_available)) in cases {
            (spec.rollout.max_surge, spec.rollout.max_unavailable) = (surge, unavailable);
            spec.rollout.order = order;
            assert_eq!(
                Limits::new(&spec),
                Limits { desired: 5, max_live, min_available },
                "{:?}",
                spec.rollout
            );
        }
    }
}
