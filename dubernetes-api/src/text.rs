//! Texts of values for people, the same in every client: ages, causes, what a plan changes.

use dubernetes_core::error::one_line;
use dubernetes_core::plan::{Phase, PodState};
use jiff::Timestamp;

use crate::wire::{AppPlan, AppStatus, Change, Refused};

/// What a state means for a person. No colour is the only sign of it: a word stands beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// As desired.
    Good,
    /// On the way to what is desired.
    Changing,
    /// Something is missing.
    Bad,
}

/// Returns the tone of an app's phase.
pub fn phase_tone(phase: Phase) -> Tone {
    match phase {
        Phase::Ready => Tone::Good,
        Phase::Pending | Phase::Progressing | Phase::Deleting => Tone::Changing,
        Phase::Degraded | Phase::Failed => Tone::Bad,
    }
}

/// Returns the tone of a pod's state.
pub fn pod_tone(state: PodState, ready: bool) -> Tone {
    match state {
        PodState::Running if ready => Tone::Good,
        PodState::Running
        | PodState::Pending
        | PodState::Starting
        | PodState::Draining
        | PodState::Stopping => Tone::Changing,
        PodState::BackOff | PodState::Exited | PodState::Unknown => Tone::Bad,
    }
}

/// Returns the age of `then` in one unit, such as `12s`, `14m`, `5h`, `2d`. A time in the future is
/// `0s`: clocks differ.
pub fn age(then: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second().saturating_sub(then.as_second()).max(0);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Returns the reason of an app's state, the time until the next try, and for how long the app has
/// been broken.
pub fn reason(status: &AppStatus, now: Timestamp) -> String {
    let reason = with_next_try(&status.message, status.next_try, now);
    let is_broken = matches!(status.phase, Phase::Failed | Phase::Degraded);
    match status.since.filter(|_| is_broken && !reason.is_empty()) {
        Some(since) => format!("{reason} (for {})", age(since, now)),
        None => reason,
    }
}

/// Returns a message, and the time until the next try.
pub fn with_next_try(message: &str, next_try: Option<Timestamp>, now: Timestamp) -> String {
    let left = next_try.map(|at| at.as_second().saturating_sub(now.as_second()).max(0));
    match left.and_then(|left| u64::try_from(left).ok()) {
        Some(left) if !message.is_empty() => {
            let left = dubernetes_core::app::Duration::from_secs(left);
            format!("{message}, next try in {left}")
        }
        Some(_) | None => message.to_owned(),
    }
}

/// Returns what a plan changes, in one line: the revisions, and each field with its old and new
/// value.
pub fn plan_heading(plan: &AppPlan) -> String {
    let revision = match plan.revision_from {
        Some(from) if from != plan.revision_to => {
            format!("revision {from} -> {}", plan.revision_to)
        }
        Some(_) | None => format!("revision {}", plan.revision_to),
    };
    match plan.change {
        Change::Created => format!("new, {revision}"),
        Change::Unchanged => format!("unchanged, {revision}"),
        Change::Configured => {
            let fields = changed_fields(plan);
            if fields.is_empty() { revision } else { format!("{revision}, {}", fields.join(", ")) }
        }
    }
}

/// Returns why an apply would be refused.
pub fn refusal(refused: &Refused) -> String {
    let Refused { revision, reason } = refused;
    one_line(&format!("revision {revision} already failed with this spec: {reason}"))
}

/// Returns the fields that an apply changes, each as `field old -> new`. For files the values are
/// hashes.
pub fn changed_fields(plan: &AppPlan) -> Vec<String> {
    let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "<none>".to_owned());
    let is_hash =
        |value: &Option<String>| value.as_ref().is_some_and(|text| text.starts_with("sha256:"));
    let fields = plan.changes.iter().map(|change| {
        let note = if is_hash(&change.old) && is_hash(&change.new) { " (changed)" } else { "" };
        one_line(&format!("{} {} -> {}{note}", change.path, shown(&change.old), shown(&change.new)))
    });
    fields.collect()
}

/// Returns the result of a plan, in one line. `replicas` is the desired number, and `memory` what
/// is said about the memory of all replicas, such as ` (at most 512Mi of memory)`.
pub fn plan_summary(plan: &AppPlan, replicas: u16, memory: &str) -> String {
    let forecast = &plan.forecast;
    format!(
        "fewest ready replicas: {} of {replicas}; most replicas at one time: {}{memory}; \
         downtime: {}",
        forecast.fewest_ready, forecast.most_live, plan.downtime
    )
}

/// Returns `3.4Mi`, `64Mi`, `12.5Gi`: with one decimal below 10Mi and from 1Gi on.
pub fn size_text(bytes: u64) -> String {
    let tenths = |shift: u32| {
        let tenths = (u128::from(bytes) * 10) >> shift;
        format!("{}.{}", tenths / 10, tenths % 10)
    };
    match bytes {
        0..0x00a0_0000 => format!("{}Mi", tenths(20)),
        0x00a0_0000..0x4000_0000 => format!("{}Mi", bytes >> 20),
        _ => format!("{}Gi", tenths(30)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_has_one_unit() {
        let at = |second| Timestamp::from_second(second).unwrap();
        for (seconds, text) in [
            (-5, "0s"),
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (3599, "59m"),
            (3600, "1h"),
            (172_799, "47h"),
            (172_800, "2d"),
            (864_000, "10d"),
        ] {
            assert_eq!(age(at(1_000_000), at(1_000_000 + seconds)), text);
        }
    }

    #[test]
    fn size_text_has_decimals_for_small_numbers() {
        for (bytes, text) in [
            (0, "0.0Mi"),
            (1 << 20, "1.0Mi"),
            (3_600_000, "3.4Mi"),
            (64 << 20, "64Mi"),
            (1000 << 20, "1000Mi"),
            (1 << 30, "1.0Gi"),
            (u64::MAX, "17179869183.9Gi"),
        ] {
            assert_eq!(size_text(bytes), text);
        }
    }
}
