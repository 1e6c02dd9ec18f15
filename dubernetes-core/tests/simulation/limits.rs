//! The limits of a rollout, computed a second time for the checks.

use dubernetes_core::app::{AppSpec, CountOrPercent};

/// Replicas above the wanted number that may be live: `max_surge`, rounded up.
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

/// Replicas that may be missing: `max_unavailable`, rounded down; one if there is no surge.
pub(crate) fn missing(spec: &AppSpec) -> usize {
    let most = usize::from(spec.replicas);
    let missing = match spec.rollout.max_unavailable {
        CountOrPercent::Count(count) => usize::from(count),
        CountOrPercent::Percent(percent) => most * usize::from(percent) / 100,
    };
    if surge(spec) == 0 { missing.max(1).min(most) } else { missing.min(most) }
}
