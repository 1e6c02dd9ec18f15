//! What is told while a command waits: one line for each thing that happened, with the seconds
//! since the start, on standard error.

use std::time::Instant;

use dubernetes_api::wire::Event;
use dubernetes_core::error::one_line;
use dubernetes_core::event::EventKind;

use crate::args::ProgressStyle;
use crate::output::seconds;
use crate::report;

/// Tells progress.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Progress {
    style: ProgressStyle,
    start: Instant,
}

impl Progress {
    /// Begins now.
    pub(crate) fn new(style: ProgressStyle) -> Self {
        Self { style, start: Instant::now() }
    }

    /// Since when it tells.
    pub(crate) fn start(&self) -> Instant {
        self.start
    }

    /// Something happened.
    pub(crate) fn event(&self, event: &Event) {
        match self.style {
            ProgressStyle::Quiet => {}
            ProgressStyle::Json => {
                if let Ok(line) = serde_json::to_string(event) {
                    report::say(&line);
                }
            }
            ProgressStyle::Auto | ProgressStyle::Plain => {
                report::say(&line(&seconds(self.start.elapsed()), event));
            }
        }
    }

    /// What was wanted is reached.
    pub(crate) fn done(&self, text: &str) {
        match self.style {
            ProgressStyle::Quiet | ProgressStyle::Json => {}
            ProgressStyle::Auto | ProgressStyle::Plain => report::say(&one_line(text)),
        }
    }
}

fn line(seconds: &str, event: &Event) -> String {
    let app = event.app.as_ref().map(|app| app.as_str());
    let object = event.pod.as_deref().or(app).unwrap_or("-");
    // How often something ordinary happened in the last hour, nobody wants to know here.
    let often = event.kind == EventKind::Warning && event.count > 1;
    let times = if often { format!(" ({} times)", event.count) } else { String::new() };
    format!(
        "{seconds}  {:<14} {:<16} {}{times}",
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
    fn a_line_says_when_what_and_to_whom() {
        let event = Event {
            id: 7,
            time: Timestamp::UNIX_EPOCH,
            first_at: Timestamp::UNIX_EPOCH,
            kind: EventKind::Warning,
            app: None,
            pod: Some("web-1".into()),
            reason: "Exited".into(),
            message: "exit code 1".into(),
            count: 3,
        };
        let expected = "  0.9s  exited         web-1            exit code 1 (3 times)";
        assert_eq!(line("  0.9s", &event), expected);
    }
}
