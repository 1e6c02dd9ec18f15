//! The limits of a rollout, worked out from the file once more.

use dubernetes_core::app::{AppSpec, CountOrPercent};

/// So many replicas too many there may be: what the file says, rounded up.
pub(crate) fn surge(spec: &AppSpec) -> usize {
    let lone_writer = spec.replicas == 1 && !spec.volumes.is_empty();
    match spec.rollout.max_surge {
        _ if lone_writer => 0,
        None => 1,
        Some(CountOrPercent::Count(count)) => usize::from(count),
        Some(CountOrPercent::Percent(percent)) => {
            (usize::from(spec.replicas) * usize::from(percent)).div_ceil(100)
        }
    }
}

/// So many replicas may be missing: what the file says, rounded down, and one where nothing could
/// happen else.
pub(crate) fn missing(spec: &AppSpec) -> usize {
    let most = usize::from(spec.replicas);
    let missing = match spec.rollout.max_unavailable {
        CountOrPercent::Count(count) => usize::from(count),
        CountOrPercent::Percent(percent) => most * usize::from(percent) / 100,
    };
    if surge(spec) == 0 { missing.max(1).min(most) } else { missing.min(most) }
}
