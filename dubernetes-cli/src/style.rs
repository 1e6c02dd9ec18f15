//! Colours. No colour is the only sign of anything: a word always stands beside it.

use anstyle::{AnsiColor, Style};
use dubernetes_api::text::{Tone, phase_tone, pod_tone};
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

/// Returns the colour of an app's phase.
pub(crate) fn phase(phase: Phase) -> Style {
    tone(phase_tone(phase))
}

/// Returns the colour of a pod's state.
pub(crate) fn pod_state(state: PodState, ready: bool) -> Style {
    tone(pod_tone(state, ready))
}

fn tone(tone: Tone) -> Style {
    match tone {
        Tone::Good => AnsiColor::Green.on_default(),
        Tone::Changing => AnsiColor::Yellow.on_default(),
        Tone::Bad => AnsiColor::Red.on_default(),
    }
}
