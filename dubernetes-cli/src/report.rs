//! How a command fails: one [`CliError`] carries the exit code and everything that a person or a
//! program is told, and is told once, on standard error. This is the only place that forms errors.

mod json;

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use dubernetes_api::wire::Problem;
use dubernetes_core::error::{chain, one_line};
use dubernetes_manifest::Diagnostics;

use crate::output::style;

/// Why a command did not do what was asked.
#[derive(Debug)]
pub(crate) struct CliError {
    exit: u8,
    /// Empty if everything was told already.
    message: String,
    /// Lines below the message, indented by two.
    lines: Vec<String>,
    help: Vec<String>,
    /// What a person reads instead of all this, where it has a form of its own.
    drawn: Option<String>,
    /// What a program reads instead.
    problem: Option<Box<Problem>>,
}

/// Whether failures are told as JSON.
static AS_JSON: AtomicBool = AtomicBool::new(false);

/// Failures of this process are told as JSON from now on, or as text.
pub(crate) fn report_errors_as_json(json: bool) {
    AS_JSON.store(json, Ordering::Relaxed);
}

/// The result of a command.
pub(crate) type Result<T = (), E = CliError> = std::result::Result<T, E>;

/// Rejected, not found, or a rollout failed.
pub(crate) const FAILED: u8 = 1;
/// Wrong usage.
pub(crate) const USAGE: u8 = 2;
/// No orchestrator answers.
pub(crate) const UNREACHABLE: u8 = 3;
/// Timed out waiting.
pub(crate) const TIMED_OUT: u8 = 4;
/// Interrupted by SIGINT.
pub(crate) const INTERRUPTED: u8 = 130;

/// What to do about a revision that has failed and may get well.
pub(crate) const RETRY_HELP: &str = "`dubernetes apply FILE --retry` tries it once more";

impl CliError {
    /// A failure with exit code 1.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self::with_exit(FAILED, message)
    }

    /// A failure with this exit code.
    pub(crate) fn with_exit(exit: u8, message: impl Into<String>) -> Self {
        let (message, lines, help) = (message.into(), Vec::new(), Vec::new());
        Self { exit, message, lines, help, drawn: None, problem: None }
    }

    /// A failure of which everything is told already.
    pub(crate) fn already_reported(exit: u8) -> Self {
        Self::with_exit(exit, "")
    }

    /// A failure with exit code 1: what could not be done, and the error behind it.
    pub(crate) fn with_source(what: &str, cause: &dyn std::error::Error) -> Self {
        Self::new(format!("{what}: {}", chain(cause)))
    }

    /// The same for an error of the system, in the words of people.
    pub(crate) fn with_io_source(what: &str, error: &io::Error) -> Self {
        Self::new(format!("{what}: {}", io_reason(error)))
    }

    /// Adds a line below the message.
    pub(crate) fn line(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }

    /// Adds what to do.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// Keeps the problem that the orchestrator answered, for `-o json`.
    pub(crate) fn problem(mut self, problem: Problem) -> Self {
        self.problem = Some(Box::new(problem));
        self
    }

    /// The same, said of `object`.
    pub(crate) fn context(mut self, object: &str) -> Self {
        self.message = format!("{object}: {}", self.message);
        self
    }

    /// The same with another exit code.
    pub(crate) fn exiting_with(mut self, exit: u8) -> Self {
        self.exit = exit;
        self
    }

    /// The exit code.
    pub(crate) fn exit_code(&self) -> u8 {
        self.exit
    }

    /// What went wrong.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// What to do first.
    pub(crate) fn first_help(&self) -> Option<&str> {
        self.help.first().map(String::as_str)
    }

    /// Tells it, unless that was done, and gives the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        if !self.message.is_empty() {
            let text = if AS_JSON.load(Ordering::Relaxed) { self.json() } else { self.text() };
            // Nobody is left to tell that standard error is gone.
            let _ = anstream::stderr().write_all(text.as_bytes());
        }
        ExitCode::from(self.exit)
    }

    /// What a person reads.
    pub(crate) fn text(&self) -> String {
        let label = (style::ERROR.render(), style::ERROR.render_reset());
        let mut text = match &self.drawn {
            Some(drawn) => format!("{}\n", drawn.trim_end_matches('\n')),
            None => format!("{}error:{} {}\n", label.0, label.1, one_line(&self.message)),
        };
        // Writing to a text cannot fail.
        for line in &self.lines {
            let _ = writeln!(text, "  {}", one_line(line));
        }
        for help in &self.help {
            let label = (style::HELP.render(), style::HELP.render_reset());
            let _ = writeln!(text, "{}help:{} {}", label.0, label.1, one_line(help));
        }
        text
    }

    /// What a program reads: the problem that the orchestrator answered, or one of the same shape.
    fn json(&self) -> String {
        let problem = match &self.problem {
            // What the orchestrator answered has its hints already.
            Some(problem) if self.drawn.is_none() => (**problem).clone(),
            Some(problem) => json::with_help((**problem).clone(), &self.help),
            None => json::problem(self.exit, &self.message, &self.lines, &self.help),
        };
        let mut text = serde_json::to_string_pretty(&problem).unwrap_or_default();
        text.push('\n');
        text
    }
}

impl From<io::Error> for CliError {
    /// An error in writing the result: a reader that has gone is no failure.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::already_reported(0);
        }
        Self::with_source("the result cannot be written", &error)
    }
}

impl From<clap::Error> for CliError {
    fn from(error: clap::Error) -> Self {
        if !error.use_stderr() {
            // Help or the version was asked for, and is the result.
            let _ = error.print();
            return Self::already_reported(0);
        }
        let problem = json::usage(&error.render().to_string());
        let failure = Self::with_exit(USAGE, problem.detail.clone()).problem(problem);
        Self { drawn: Some(error.render().ansi().to_string()), ..failure }
    }
}

impl From<Diagnostics> for CliError {
    fn from(found: Diagnostics) -> Self {
        let failure = Self::new(found.summary());
        let problem = json::diagnostics(&found);
        Self { drawn: Some(found.render(true)), ..failure.problem(problem) }
    }
}

impl From<serde_json::Error> for CliError {
    fn from(error: serde_json::Error) -> Self {
        Self::with_source("the result cannot be written as JSON", &error)
    }
}

/// Why a call of the system failed, without its number where it has a plain name.
pub(crate) fn io_reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::ConnectionRefused => "nobody listens there".to_owned(),
        _ => error.to_string(),
    }
}

/// Tells something that is not an error, on standard error.
pub(crate) fn note(text: &str) {
    print_labeled(style::NOTE, "note", text);
}

/// Tells something that a person should act on, on standard error.
pub(crate) fn warn(text: &str) {
    print_labeled(style::WARNING, "warning", text);
}

/// Tells what to do, on standard error.
pub(crate) fn help(text: &str) {
    print_labeled(style::HELP, "help", text);
}

/// Writes a line to standard error. That it is gone is nobody's business.
pub(crate) fn print_line(line: &str) {
    let _ = writeln!(anstream::stderr(), "{line}");
}

fn print_labeled(style: anstyle::Style, label: &str, text: &str) {
    print_line(&format!("{}{label}:{} {}", style.render(), style.render_reset(), one_line(text)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(failure: &CliError) -> String {
        anstream::adapter::strip_str(&failure.text()).to_string()
    }

    #[test]
    fn a_failure_says_what_and_what_to_do() {
        let failure = CliError::new("it broke").line("why: no space").help("make room");
        assert_eq!(plain(&failure), "error: it broke\n  why: no space\nhelp: make room\n");
    }

    #[test]
    fn text_from_outside_cannot_act_on_the_terminal() {
        let failure = CliError::new("a\u{1b}[2J\nerror: b");
        assert_eq!(plain(&failure), "error: a\\u{1b}[2J error: b\n");
    }

    #[test]
    fn a_reader_that_has_gone_is_no_failure() {
        let failure = CliError::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((failure.exit, failure.message.as_str()), (0, ""));
    }
}
