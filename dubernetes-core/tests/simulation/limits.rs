//! The limits of a rollout, computed a second time for the checks.

use dubernetes_core::app::{AppSpec, CountOrPercent};

/// Replicas above the wanted number that may be live while none terminates: `max_surge`, rounded
/// up.
pub(crate) fn surge(spec: &AppSpec) -> usize {
    match spec.rollout.max_surge {
        _ if is_lone_writer(spec) => 0,
        None => share(spec, CountOrPercent::Percent(25)).max(1),
        Some(surge) => share(spec, surge),
    }
}

/// Terminating replicas that may be live in addition: `max_terminating`, rounded up.
pub(crate) fn terminating(spec: &AppSpec) -> usize {
    match spec.rollout.max_terminating {
        _ if is_lone_writer(spec) => 0,
        None => surge(spec),
        Some(terminating) => share(spec, terminating),
    }
}

fn is_lone_writer(spec: &AppSpec) -> bool {
    spec.replicas == 1 && !spec.volumes.is_empty()
}

fn share(spec: &AppSpec, share: CountOrPercent) -> usize {
    match share {
        CountOrPercent::Count(count) => usize::from(count),
        CountOrPercent::Percent(percent) => {
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
