//! LiveLines at the end of a terminal that are drawn anew: one for each app that is waited for.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::seconds;

/// How often they are drawn at most, in a second.
const RATE: u8 = 10;

/// The lines. They go when this is dropped.
#[derive(Debug)]
pub(super) struct LiveLines {
    all: MultiProgress,
    lines: BTreeMap<String, (ProgressBar, String)>,
}

impl LiveLines {
    /// No lines yet; `None` where standard error is no terminal that can draw over a line.
    pub(super) fn on_terminal() -> Option<Self> {
        let plain = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        if plain || !io::stderr().is_terminal() {
            return None;
        }
        let target = ProgressDrawTarget::stderr_with_hz(RATE);
        Some(Self { all: MultiProgress::with_draw_target(target), lines: BTreeMap::new() })
    }

    /// Sets the text of a line, and makes it if it is new.
    pub(super) fn set(&mut self, name: &str, text: String) {
        if let Some((_, old)) = self.lines.get_mut(name) {
            *old = text;
            return;
        }
        // The template is cut to the width of the terminal.
        let style = ProgressStyle::with_template("{wide_msg}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
        let line = self.all.add(ProgressBar::new_spinner().with_style(style));
        self.lines.insert(name.to_owned(), (line, text));
    }

    /// Draws all of them, with the time since the start.
    pub(super) fn draw(&self, since: Duration) {
        for (line, text) in self.lines.values() {
            line.set_message(format!("{}  {text}", seconds(since)));
        }
    }

    /// Takes a line away.
    pub(super) fn remove(&mut self, name: &str) {
        if let Some((line, _)) = self.lines.remove(name) {
            line.finish_and_clear();
            self.all.remove(&line);
        }
    }

    /// Takes all lines away.
    pub(super) fn clear(&mut self) {
        while let Some((name, _)) = self.lines.first_key_value() {
            let name = name.clone();
            self.remove(&name);
        }
    }

    /// Writes something else that stays, above the lines.
    pub(super) fn suspend(&self, write: impl FnOnce()) {
        self.all.suspend(write);
    }
}

impl Drop for LiveLines {
    fn drop(&mut self) {
        self.clear();
    }
}
