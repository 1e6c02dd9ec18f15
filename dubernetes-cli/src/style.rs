//! Colours. No colour is the only sign of anything: a word always stands beside it.

use anstyle::{AnsiColor, Style};
use dubernetes_core::plan::{Phase, PodState};

/// Label `error:`.
pub(crate) const ERROR: Style = AnsiColor::Red.on_default().bold();
/// Label `warning:`.
pub(crate) const WARNING: Style = AnsiColor::Yellow.on_default().bold();
/// Label `note:`.
pub(crate) const NOTE: Style = AnsiColor::Blue.on_default().bold();
/// Label `help:`.
pub(crate) const HELP: Style = AnsiColor::Cyan.on_default().bold();

/// Line that a change adds.
pub(crate) const ADDED: Style = AnsiColor::Green.on_default();
/// Line that a change removes.
pub(crate) const REMOVED: Style = AnsiColor::Red.on_default();

/// Colours that tell pods in a log apart.
const POD_NAMES: [Style; 6] = [
    AnsiColor::Cyan.on_default(),
    AnsiColor::Yellow.on_default(),
    AnsiColor::Green.on_default(),
    AnsiColor::Magenta.on_default(),
    AnsiColor::Blue.on_default(),
    AnsiColor::BrightRed.on_default(),
];

/// Returns the colour of the pod number `index` of a log.
pub(crate) fn pod_name(index: usize) -> Style {
    POD_NAMES[index % POD_NAMES.len()]
}

const GOOD: Style = AnsiColor::Green.on_default();
const CHANGING: Style = AnsiColor::Yellow.on_default();
const BAD: Style = AnsiColor::Red.on_default();

/// Returns the colour of an app's phase.
pub(crate) fn phase(phase: Phase) -> Style {
    match phase {
        Phase::Ready => GOOD,
        Phase::Pending | Phase::Progressing | Phase::Deleting => CHANGING,
        Phase::Degraded | Phase::Failed => BAD,
    }
}

/// Returns the colour of a pod's state.
pub(crate) fn pod_state(state: PodState, ready: bool) -> Style {
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
