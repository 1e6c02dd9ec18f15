//! Arguments of `wait`.

use std::collections::BTreeSet;

use clap::Args;
use dubernetes_core::app::Duration;
use dubernetes_core::plan::{Phase, PodState};

use super::resource::ObjectName;
use super::shared::{FormatArgs, SelectorArgs};

/// Arguments of `wait`.
#[derive(Debug, Args)]
pub(crate) struct WaitForArgs {
    /// Apps and pods.
    #[arg(value_name = "NAME", value_parser = ObjectName::parse,
          required_unless_present = "selector", conflicts_with = "selector")]
    pub(crate) names: Vec<ObjectName>,
    /// Condition: `ready`, `deleted`, or `phase=WORD` with a word from the column STATUS of apps
    /// or STATE of pods.
    #[arg(long = "for", value_name = "CONDITION", value_parser = Condition::parse)]
    pub(crate) condition: Condition,
    #[command(flatten)]
    pub(crate) selector: SelectorArgs,
    /// Longest time to wait.
    #[arg(long, value_name = "TIME", default_value = "5m")]
    pub(crate) timeout: Duration,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

/// Condition to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    /// The app runs its current spec; the pod is ready.
    Ready,
    /// The object and its pods no longer exist.
    Deleted,
    /// The object is in a phase, which is a word of apps, of pods, or of both.
    Phase {
        /// Phase of an app.
        app: Option<Phase>,
        /// State of a pod.
        pod: Option<PodState>,
    },
}

const PHASES: [Phase; 6] = [
    Phase::Pending,
    Phase::Progressing,
    Phase::Ready,
    Phase::Degraded,
    Phase::Failed,
    Phase::Deleting,
];

const STATES: [PodState; 8] = [
    PodState::Pending,
    PodState::Starting,
    PodState::Running,
    PodState::BackOff,
    PodState::Draining,
    PodState::Stopping,
    PodState::Exited,
    PodState::Unknown,
];

impl Condition {
    /// Returns every condition as typed, for completion.
    pub(crate) fn all_words() -> Vec<String> {
        let words = PHASES.iter().map(|phase| phase.as_str());
        let words = words.chain(STATES.iter().map(|state| state.as_str()));
        let words = words.map(|word| format!("phase={word}")).collect::<BTreeSet<_>>();
        ["ready", "deleted"].map(str::to_owned).into_iter().chain(words).collect()
    }

    /// Parses a condition; accepts kubectl's `condition=Ready` and `delete`, too.
    fn parse(text: &str) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        match lower.as_str() {
            "ready" | "condition=ready" => return Ok(Self::Ready),
            "delete" | "deleted" => return Ok(Self::Deleted),
            _ => {}
        }
        let Some(word) = lower.strip_prefix("phase=") else {
            return Err("expected `ready`, `deleted` or `phase=WORD`".to_owned());
        };
        let app = PHASES.into_iter().find(|phase| phase.as_str().eq_ignore_ascii_case(word));
        let pod = STATES.into_iter().find(|state| state.as_str().eq_ignore_ascii_case(word));
        if app.is_none() && pod.is_none() {
            let phases = PHASES.map(|phase| phase.as_str()).join(", ");
            let states = STATES.map(|state| state.as_str()).join(", ");
            return Err(format!("phases of apps are {phases}; states of pods are {states}"));
        }
        Ok(Self::Phase { app, pod })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_parsed_like_in_kubectl() {
        for (text, condition) in [
            ("ready", Condition::Ready),
            ("condition=Ready", Condition::Ready),
            ("delete", Condition::Deleted),
            ("deleted", Condition::Deleted),
            ("phase=failed", Condition::Phase { app: Some(Phase::Failed), pod: None }),
            ("phase=BackOff", Condition::Phase { app: None, pod: Some(PodState::BackOff) }),
            (
                "phase=Pending",
                Condition::Phase { app: Some(Phase::Pending), pod: Some(PodState::Pending) },
            ),
        ] {
            assert_eq!(Condition::parse(text), Ok(condition), "{text}");
        }
        assert!(Condition::parse("phase=Redy").unwrap_err().contains("Ready"));
        assert!(Condition::parse("well").is_err());
    }
}
