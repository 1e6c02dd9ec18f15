//! How many replicas may be live, and how many must stay ready.

use crate::app::{AppSpec, CountOrPercent, RevisionId};
use crate::plan::Reason;

use super::app::App;
use super::classify::Replicas;
use super::ports::Publisher;

/// `max_surge` if it is not set: as in a Deployment of Kubernetes.
const DEFAULT_SURGE: CountOrPercent = CountOrPercent::Percent(25);

/// The limits on the replicas of one app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// Wanted replicas.
    pub(super) desired: u32,
    /// Replicas that may be live at one time, without terminating ones.
    pub(super) max_live: u32,
    /// Terminating replicas that may be live in addition.
    pub(super) max_terminating: u32,
    /// Replicas that a rollout keeps ready.
    pub(super) min_available: u32,
    /// The old replica must be gone before the new one may start.
    pub(super) stops_first: bool,
}

impl Limits {
    /// Returns what `rollout` sets. Where the old replica stops first there is no surge, and at
    /// least one replica may be missing. Percentages that round to zero on both sides would forbid
    /// every change, so one replica may be missing then.
    ///
    /// Without `max_terminating`, every drain would delay the next replica by seconds. Without a
    /// limit, drains that take long would double the app's memory.
    ///
    /// A replica that publishes ports of the host has to stop first: its successor needs them.
    pub(super) fn new(spec: &AppSpec, publisher: Publisher<'_>) -> Self {
        let stops_first = spec.stops_first() || publisher.why_direct().is_some();
        let desired = u32::from(spec.replicas);
        let rollout = &spec.rollout;
        let missing = rollout.max_unavailable.resolve_floor(desired);
        let surge = match rollout.max_surge {
            _ if stops_first => 0,
            Some(surge) => surge.resolve_ceil(desired),
            None => DEFAULT_SURGE.resolve_ceil(desired).max(1),
        };
        let terminating = rollout.max_terminating.map(|share| share.resolve_ceil(desired));
        let max_terminating = terminating.unwrap_or(surge);
        let missing = if surge == 0 { missing.max(1) } else { missing };
        Self {
            desired,
            max_live: desired + surge,
            max_terminating: if stops_first { 0 } else { max_terminating },
            min_available: desired.saturating_sub(missing),
            stops_first,
        }
    }
}

/// How many replicas of one app exist, and how many may be added now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Capacity {
    /// Replicas that count towards the wanted number, failed and pending ones included: those of
    /// the wanted revision; of any revision while the rollout is paused.
    pub(super) existing: u32,
    /// Containers that may be live now, terminating ones included.
    pub(super) limit: u32,
    /// Containers that may still become live. A failed replica keeps its slot, and needs one of
    /// these to be restarted.
    pub(super) live: u32,
    /// Slots for new replicas. Kept and pending replicas occupy one each, as do terminating live
    /// ones above `max_terminating`.
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
        let leaving = count(replicas.terminating().filter(|(r, _)| r.live).count());
        let terminating = leaving.saturating_sub(app.limits.max_terminating);
        let live = count(replicas.kept().filter(|r| r.live).count() + replicas.creating.len());
        let kept = count(replicas.kept().count() + replicas.pending().count());
        let is_replaced = |reason: &Reason| matches!(reason, Reason::Replaced { .. });
        Self {
            existing: count(replicas.updated().count() + retained.count() + pending.count()),
            limit: app.limits.max_live + leaving - terminating,
            live: app.limits.max_live.saturating_sub(live + terminating),
            // A create in flight may belong to a kept replica that is live again.
            slots: app.limits.max_live.saturating_sub(kept.max(live) + terminating),
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
    use crate::app::{AppName, ImageRef, Order};

    #[test]
    fn limits_follow_the_file_and_never_forbid_every_change() {
        let mut spec = AppSpec::new(AppName::parse("a").unwrap(), ImageRef::parse("a:1").unwrap());
        spec.replicas = 5;
        let (count, percent) = (CountOrPercent::Count, CountOrPercent::Percent);
        let cases = [
            (None, None, count(0), None, (7, 2, 5)),
            (None, Some(count(0)), count(0), None, (7, 0, 5)),
            (Some(count(0)), None, count(2), None, (5, 0, 3)),
            (Some(count(0)), Some(count(1)), count(2), None, (5, 1, 3)),
            (Some(count(1)), Some(percent(50)), count(0), None, (6, 3, 5)),
            (Some(percent(30)), None, percent(25), None, (7, 2, 4)),
            (Some(percent(0)), None, percent(10), None, (5, 0, 4)),
            (None, None, count(0), Some(Order::StopFirst), (5, 0, 4)),
            (None, None, percent(100), Some(Order::StopFirst), (5, 0, 0)),
            (None, None, count(200), None, (7, 2, 0)),
        ];
        for (surge, terminating, unavailable, order, expected) in cases {
            (spec.rollout.max_surge, spec.rollout.max_unavailable) = (surge, unavailable);
            (spec.rollout.max_terminating, spec.rollout.order) = (terminating, order);
            let Limits { desired, max_live, max_terminating, min_available, .. } =
                Limits::new(&spec, Publisher::Ingress);
            let limits = (max_live, max_terminating, min_available);
            assert_eq!((desired, limits), (5, expected), "{:?}", spec.rollout);
        }
    }
}
