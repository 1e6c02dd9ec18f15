//! Colours. None of them is the only sign of anything: the word always stands beside it.

use anstyle::{AnsiColor, Style};
use dubernetes_core::plan::{Phase, PodState};

/// The word `error:`.
pub(crate) const ERROR: Style = AnsiColor::Red.on_default().bold();
/// The word `warning:`.
pub(crate) const WARNING: Style = AnsiColor::Yellow.on_default().bold();
/// The word `note:`.
pub(crate) const NOTE: Style = AnsiColor::Blue.on_default().bold();
/// The word `help:`.
pub(crate) const HELP: Style = AnsiColor::Cyan.on_default().bold();

/// A line that a change adds.
pub(crate) const ADDED: Style = AnsiColor::Green.on_default();
/// A line that a change removes.
pub(crate) const REMOVED: Style = AnsiColor::Red.on_default();

/// Colours of names that stand beside each other.
const NAMES: [Style; 6] = [
    AnsiColor::Cyan.on_default(),
    AnsiColor::Yellow.on_default(),
    AnsiColor::Green.on_default(),
    AnsiColor::Magenta.on_default(),
    AnsiColor::Blue.on_default(),
    AnsiColor::BrightRed.on_default(),
];

/// The colour of the pod that was met as number `at`.
pub(crate) fn pod_name(at: usize) -> Style {
    NAMES[at % NAMES.len()]
}

const GOOD: Style = AnsiColor::Green.on_default();
const CHANGING: Style = AnsiColor::Yellow.on_default();
const BAD: Style = AnsiColor::Red.on_default();

/// The colour of an app's phase.
pub(crate) fn phase(phase: Phase) -> Style {
    match phase {
        Phase::Ready => GOOD,
        Phase::Pending | Phase::Progressing | Phase::Deleting => CHANGING,
        Phase::Degraded | Phase::Failed => BAD,
    }
}

/// The colour of a pod's state.
pub(crate) fn pod(state: PodState, ready: bool) -> Style {
    match state {
        PodState::Running if ready => GOOD,
        PodState::Running
        | PodState::Pending
        | PodState::Starting
        | PodState::Draining
        | PodState::Stopping => CHANGING,
        PodState::BackOff | PodState::Exited | PodState::Unknown => BAD,
    }
}
