//! Progress on standard error while a command waits: one line per event with the seconds since the
//! start, or on a terminal one line per app that is redrawn.

mod live_lines;

use std::time::Instant;

use dubernetes_api::wire::Event;
use dubernetes_core::app::{AppName, PodName};
use dubernetes_core::error::one_line;
use dubernetes_core::event::EventKind;

use crate::args::ProgressStyle;
use crate::output::seconds;
use crate::report;
use live_lines::LiveLines;

/// Shows the progress of one command.
#[derive(Debug)]
pub(crate) struct Progress {
    renderer: ProgressRenderer,
    start: Instant,
}

/// How progress is shown.
#[derive(Debug)]
enum ProgressRenderer {
    /// Not at all.
    Quiet,
    /// One event per line, as JSON.
    Json,
    /// One line per event.
    Plain,
    /// One line per app, redrawn.
    Live(LiveLines),
}

impl Progress {
    /// Starts now.
    pub(crate) fn new(style: ProgressStyle) -> Self {
        let live =
            || LiveLines::on_terminal().map_or(ProgressRenderer::Plain, ProgressRenderer::Live);
        let renderer = match style {
            ProgressStyle::Quiet => ProgressRenderer::Quiet,
            ProgressStyle::Json => ProgressRenderer::Json,
            ProgressStyle::Plain => ProgressRenderer::Plain,
            // Redrawn lines and log lines on one terminal would overwrite each other.
            ProgressStyle::Auto if is_logging() => ProgressRenderer::Plain,
            ProgressStyle::Tty | ProgressStyle::Auto => live(),
        };
        Self { renderer, start: Instant::now() }
    }

    /// Returns when the command started.
    pub(crate) fn start(&self) -> Instant {
        self.start
    }

    /// Announces an app that the command waits for.
    pub(crate) fn expect(&mut self, app: &AppName) {
        if let ProgressRenderer::Live(lines) = &mut self.renderer {
            lines.set(app.as_str(), format!("app/{app}  waiting"));
            lines.draw(self.start.elapsed());
        }
    }

    /// Redraws the elapsed time.
    pub(crate) fn tick(&self) {
        if let ProgressRenderer::Live(lines) = &self.renderer {
            lines.draw(self.start.elapsed());
        }
    }

    /// Shows an event.
    pub(crate) fn event(&mut self, event: &Event) {
        match &mut self.renderer {
            ProgressRenderer::Quiet => {}
            ProgressRenderer::Json => {
                if let Ok(line) = serde_json::to_string(event) {
                    report::print_line(&line);
                }
            }
            ProgressRenderer::Plain => {
                let elapsed = seconds(self.start.elapsed());
                report::print_line(&format!("{elapsed}  {}", plain_line(event)));
            }
            ProgressRenderer::Live(lines) => {
                // Events of the instance share one line without a name.
                let app = event.app.as_ref().map_or("", |app| app.as_str());
                lines.set(app, live_line(event));
                lines.draw(self.start.elapsed());
            }
        }
    }

    /// Shows lines that a command in a container printed.
    pub(crate) fn output(&self, lines: &[String]) {
        let print = || {
            lines.iter().for_each(|line| report::print_line(&format!("  | {}", one_line(line))));
        };
        match &self.renderer {
            ProgressRenderer::Quiet | ProgressRenderer::Json => {}
            ProgressRenderer::Plain => print(),
            ProgressRenderer::Live(lines) => lines.suspend(print),
        }
    }

    /// Ends the wait for one app, or for all, with a line of success.
    pub(crate) fn done(&mut self, app: Option<&AppName>, text: &str) {
        self.remove(app);
        match &self.renderer {
            ProgressRenderer::Quiet | ProgressRenderer::Json => {}
            ProgressRenderer::Plain => report::print_line(&one_line(text)),
            ProgressRenderer::Live(lines) => lines.suspend(|| report::print_line(&one_line(text))),
        }
    }

    /// Ends the wait for one app, or for all, with an error that `report` prints.
    pub(crate) fn failed(&mut self, app: Option<&AppName>, report: impl FnOnce()) {
        self.remove(app);
        match &self.renderer {
            ProgressRenderer::Quiet | ProgressRenderer::Json | ProgressRenderer::Plain => report(),
            ProgressRenderer::Live(lines) => lines.suspend(report),
        }
    }

    fn remove(&mut self, app: Option<&AppName>) {
        if let ProgressRenderer::Live(lines) = &mut self.renderer {
            match app {
                Some(app) => lines.remove(app.as_str()),
                None => lines.clear(),
            }
        }
    }
}

/// Returns whether more than errors is logged to standard error.
fn is_logging() -> bool {
    tracing::enabled!(tracing::Level::WARN)
}

/// Returns an event for a line that may be truncated, without columns.
fn live_line(event: &Event) -> String {
    let app = event.app.as_ref().map(|app| format!("app/{app}"));
    let pod = event.pod.as_ref().map(PodName::to_string);
    let parts = [app, Some(reason_words(event)), pod, Some(one_line(&event.message))];
    parts.into_iter().flatten().collect::<Vec<_>>().join("  ")
}

fn plain_line(event: &Event) -> String {
    let object = event.object().unwrap_or("-");
    // The count covers the last hour, which matters for warnings only.
    let repeated = event.kind == EventKind::Warning && event.count > 1;
    let times = if repeated { format!(" ({} times)", event.count) } else { String::new() };
    let (reason, message) = (reason_words(event), one_line(&event.message));
    format!("{reason:<14} {object:<16} {message}{times}")
}

/// Returns the reason of an event in words: `RevisionFailed` becomes `revision failed`.
fn reason_words(event: &Event) -> String {
    let mut words = String::new();
    for c in one_line(&event.reason).chars() {
        if c.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(c.to_ascii_lowercase());
    }
    words
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn lines_show_reason_object_and_message() {
        let event = Event {
            id: 7,
            time: Timestamp::UNIX_EPOCH,
            first_at: Timestamp::UNIX_EPOCH,
            kind: EventKind::Warning,
            app: None,
            pod: PodName::parse("web-1").ok(),
            revision: None,
            reason: "StartFailed".into(),
            message: "no such file".into(),
            count: 3,
        };
        let expected = "start failed   web-1            no such file (3 times)";
        assert_eq!(plain_line(&event), expected);
        assert_eq!(live_line(&event), "start failed  web-1  no such file");
        let app = AppName::parse("web").ok();
        let with_app = Event { app, ..event };
        assert_eq!(live_line(&with_app), "app/web  start failed  web-1  no such file");
    }
}
