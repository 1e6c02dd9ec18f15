//! Lines at the end of a terminal that are redrawn in place: one per app.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::seconds;

/// Redraws per second at most.
const REFRESH_RATE: u8 = 10;

/// The lines. Dropping them removes them from the terminal.
#[derive(Debug)]
pub(super) struct LiveLines {
    all: MultiProgress,
    lines: BTreeMap<String, (ProgressBar, String)>,
}

impl LiveLines {
    /// Creates no lines yet. Returns `None` if standard error is not a terminal that can redraw.
    pub(super) fn on_terminal() -> Option<Self> {
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        if is_dumb || !io::stderr().is_terminal() {
            return None;
        }
        let target = ProgressDrawTarget::stderr_with_hz(REFRESH_RATE);
        Some(Self { all: MultiProgress::with_draw_target(target), lines: BTreeMap::new() })
    }

    /// Sets the text of a line, and creates the line if it is new.
    pub(super) fn set(&mut self, name: &str, text: String) {
        if let Some((_, old)) = self.lines.get_mut(name) {
            *old = text;
            return;
        }
        // The template truncates to the width of the terminal.
        let style = ProgressStyle::with_template("{wide_msg}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
        let line = self.all.add(ProgressBar::new_spinner().with_style(style));
        self.lines.insert(name.to_owned(), (line, text));
    }

    /// Draws all lines with the elapsed time.
    pub(super) fn draw(&self, elapsed: Duration) {
        for (line, text) in self.lines.values() {
            line.set_message(format!("{}  {text}", seconds(elapsed)));
        }
    }

    /// Removes a line.
    pub(super) fn remove(&mut self, name: &str) {
        if let Some((line, _)) = self.lines.remove(name) {
            line.finish_and_clear();
            self.all.remove(&line);
        }
    }

    /// Removes all lines.
    pub(super) fn clear(&mut self) {
        while let Some((name, _)) = self.lines.first_key_value() {
            let name = name.clone();
            self.remove(&name);
        }
    }

    /// Hides the lines while `write` prints text that stays above them.
    pub(super) fn suspend(&self, write: impl FnOnce()) {
        self.all.suspend(write);
    }
}

impl Drop for LiveLines {
    fn drop(&mut self) {
        self.clear();
    }
}
