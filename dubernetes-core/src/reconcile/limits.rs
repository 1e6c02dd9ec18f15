//! How many replicas may be live, and how many must stay ready.

use crate::app::{AppSpec, RevisionId};
use crate::plan::Reason;

use super::app::App;
use super::classify::Replicas;

/// The limits on the replicas of one app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// Wanted replicas.
    pub(super) desired: u32,
    /// Replicas that may be live at one time.
    pub(super) max_live: u32,
    /// Replicas that a rollout keeps ready.
    pub(super) min_available: u32,
}

impl Limits {
    /// Returns what `rollout` sets. Where the old replica stops first there is no surge, and at
    /// least one replica may be missing. Percentages that round to zero on both sides would forbid
    /// every change, so one replica may be missing then.
    pub(super) fn new(spec: &AppSpec) -> Self {
        let desired = u32::from(spec.replicas);
        let rollout = &spec.rollout;
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

/// How many replicas of one app exist, and how many may be added now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Capacity {
    /// Replicas that count towards the wanted number, failed and pending ones included: those of
    /// the wanted revision; of any revision while the rollout is paused.
    pub(super) existing: u32,
    /// Containers that may still become live. A failed replica keeps its slot, and needs one of
    /// these to be restarted.
    pub(super) live: u32,
    /// Slots for new replicas. Kept, pending, and terminating-but-live replicas occupy one each.
    pub(super) slots: u32,
    /// New replicas replace those of an older revision.
    pub(super) is_rollout: bool,
    /// The outdated revision that new replicas run while the rollout is paused, if any of its
    /// replicas is left.
    pub(super) paused_at: Option<RevisionId>,
}

impl Capacity {
    pub(super) fn new(app: &App<'_>, replicas: &Replicas<'_>) -> Self {
        let retained = replicas.outdated().filter(|r| app.paused && !r.evicted);
        let paused_at = retained.clone().filter(|r| r.kept.is_some());
        let pending = replicas.pending();
        let pending = pending.filter(|slot| app.paused || slot.revision == app.stored.revision);
        let live = replicas.iter().filter(|r| r.live).count() + replicas.creating.len();
        let terminating = replicas.terminating().filter(|(r, _)| r.live).count();
        let occupied = replicas.kept().count() + replicas.pending().count() + terminating;
        let is_replaced = |reason: &Reason| matches!(reason, Reason::Replaced { .. });
        Self {
            existing: count(replicas.updated().count() + retained.count() + pending.count()),
            live: app.limits.max_live.saturating_sub(count(live)),
            // A create in flight may belong to a kept replica that is live again.
            slots: app.limits.max_live.saturating_sub(count(occupied.max(live))),
            is_rollout: !app.paused && replicas.has_outdated()
                || replicas.terminating().any(|(_, reason)| is_replaced(reason)),
            paused_at: paused_at.map(|replica| replica.labels().revision).max(),
        }
    }

    /// Wanted replicas that do not exist.
    pub(super) fn missing(self, limits: Limits) -> u32 {
        limits.desired.saturating_sub(self.existing)
    }
}

/// Converts a number of replicas.
pub(super) fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{AppName, CountOrPercent, ImageRef, Order};

    #[test]
    fn limits_follow_the_file_and_never_forbid_every_change() {
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
