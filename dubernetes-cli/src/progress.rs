//! What is told while a command waits, on standard error: one line for each thing that happened,
//! with the seconds since the start; or on a terminal one line for each app, drawn anew.

mod live_lines;

use std::time::Instant;

use dubernetes_api::wire::Event;
use dubernetes_core::app::AppName;
use dubernetes_core::error::one_line;
use dubernetes_core::event::EventKind;

use crate::args::ProgressStyle;
use crate::output::seconds;
use crate::report;
use live_lines::LiveLines;

/// Tells progress.
#[derive(Debug)]
pub(crate) struct Progress {
    renderer: ProgressRenderer,
    start: Instant,
}

/// How it is told.
#[derive(Debug)]
enum ProgressRenderer {
    /// Not at all.
    Quiet,
    /// One event for each line, as JSON.
    Json,
    /// One line for each event.
    Plain,
    /// One line for each app.
    Live(LiveLines),
}

impl Progress {
    /// Begins now.
    pub(crate) fn new(style: ProgressStyle) -> Self {
        let lines =
            || LiveLines::on_terminal().map_or(ProgressRenderer::Plain, ProgressRenderer::Live);
        let renderer = match style {
            ProgressStyle::Quiet => ProgressRenderer::Quiet,
            ProgressStyle::Json => ProgressRenderer::Json,
            ProgressStyle::Plain => ProgressRenderer::Plain,
            // Whoever reads the log wants to read it, and nothing else on its lines.
            ProgressStyle::Auto if logs() => ProgressRenderer::Plain,
            ProgressStyle::Tty | ProgressStyle::Auto => lines(),
        };
        Self { renderer, start: Instant::now() }
    }

    /// Since when it tells.
    pub(crate) fn start(&self) -> Instant {
        self.start
    }

    /// An app is waited for from now on.
    pub(crate) fn expect(&mut self, app: &AppName) {
        if let ProgressRenderer::Live(lines) = &mut self.renderer {
            lines.set(app.as_str(), format!("app/{app}  waiting"));
            lines.draw(self.start.elapsed());
        }
    }

    /// Time has passed.
    pub(crate) fn tick(&self) {
        if let ProgressRenderer::Live(lines) = &self.renderer {
            lines.draw(self.start.elapsed());
        }
    }

    /// Something happened.
    pub(crate) fn event(&mut self, event: &Event) {
        match &mut self.renderer {
            ProgressRenderer::Quiet => {}
            ProgressRenderer::Json => {
                if let Ok(line) = serde_json::to_string(event) {
                    report::print_line(&line);
                }
            }
            ProgressRenderer::Plain => {
                report::print_line(&format!("{}  {}", seconds(self.start.elapsed()), line(event)));
            }
            ProgressRenderer::Live(lines) => {
                // What concerns the instance has a line of its own, without a name.
                let app = event.app.as_ref().map_or("", |app| app.as_str());
                lines.set(app, short(event));
                lines.draw(self.start.elapsed());
            }
        }
    }

    /// LiveLines that a command has printed.
    pub(crate) fn output(&self, lines: &[String]) {
        let say =
            || lines.iter().for_each(|line| report::print_line(&format!("  | {}", one_line(line))));
        match &self.renderer {
            ProgressRenderer::Quiet | ProgressRenderer::Json => {}
            ProgressRenderer::Plain => say(),
            ProgressRenderer::Live(lines) => lines.suspend(say),
        }
    }

    /// What was wanted of an app is reached, or of all that is waited for.
    pub(crate) fn done(&mut self, app: Option<&AppName>, text: &str) {
        self.leave(app);
        match &self.renderer {
            ProgressRenderer::Quiet | ProgressRenderer::Json => {}
            ProgressRenderer::Plain => report::print_line(&one_line(text)),
            ProgressRenderer::Live(lines) => lines.suspend(|| report::print_line(&one_line(text))),
        }
    }

    /// An app is waited for no longer, and why is told by `tell`.
    pub(crate) fn failed(&mut self, app: Option<&AppName>, tell: impl FnOnce()) {
        self.leave(app);
        match &self.renderer {
            ProgressRenderer::Quiet | ProgressRenderer::Json | ProgressRenderer::Plain => tell(),
            ProgressRenderer::Live(lines) => lines.suspend(tell),
        }
    }

    fn leave(&mut self, app: Option<&AppName>) {
        if let ProgressRenderer::Live(lines) = &mut self.renderer {
            match app {
                Some(app) => lines.remove(app.as_str()),
                None => lines.clear(),
            }
        }
    }
}

/// Whether more than errors is logged, to the same place.
fn logs() -> bool {
    tracing::enabled!(tracing::Level::WARN)
}

/// The same without columns, for a line that may have to be cut.
fn short(event: &Event) -> String {
    let app = event.app.as_ref().map(|app| format!("app/{app}"));
    let reason = one_line(&event.reason).to_lowercase();
    let pod = event.pod.as_deref().map(one_line);
    let parts = [app, Some(reason), pod, Some(one_line(&event.message))];
    parts.into_iter().flatten().collect::<Vec<_>>().join("  ")
}

fn line(event: &Event) -> String {
    let app = event.app.as_ref().map(|app| app.as_str());
    let object = event.pod.as_deref().or(app).unwrap_or("-");
    // How often something ordinary happened in the last hour, nobody wants to know here.
    let often = event.kind == EventKind::Warning && event.count > 1;
    let times = if often { format!(" ({} times)", event.count) } else { String::new() };
    format!(
        "{:<14} {:<16} {}{times}",
        one_line(&event.reason).to_lowercase(),
        one_line(object),
        one_line(&event.message),
    )
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn a_line_says_what_and_to_whom() {
        let event = Event {
            id: 7,
            time: Timestamp::UNIX_EPOCH,
            first_at: Timestamp::UNIX_EPOCH,
            kind: EventKind::Warning,
            app: None,
            pod: Some("web-1".into()),
            revision: None,
            reason: "Exited".into(),
            message: "exit code 1".into(),
            count: 3,
        };
        let expected = "exited         web-1            exit code 1 (3 times)";
        assert_eq!(line(&event), expected);
        assert_eq!(short(&event), "exited  web-1  exit code 1");
        let app = AppName::parse("web").ok();
        assert_eq!(short(&Event { app, ..event }), "app/web  exited  web-1  exit code 1");
    }
}
