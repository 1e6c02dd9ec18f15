//! Errors of the command line: exit code, message and help, reported once on standard error.
//!
//! No other module formats errors.

mod json;

use std::fmt::{Display, Write as _};
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use dubernetes_api::wire::{Problem, ProblemKind};
use dubernetes_core::error::{chain, one_line};
use dubernetes_manifest::{Diagnostics, Note};

use crate::style;

/// Result of a command.
pub(crate) type Result<T = (), E = CliError> = std::result::Result<T, E>;

/// Exit code: rejected, not found, or a rollout failed.
pub(crate) const FAILED: u8 = 1;
/// Exit code: wrong usage.
pub(crate) const USAGE: u8 = 2;
/// Exit code: no orchestrator answers.
pub(crate) const UNREACHABLE: u8 = 3;
/// Exit code: timed out waiting.
pub(crate) const TIMED_OUT: u8 = 4;
/// Exit code: interrupted by SIGINT.
pub(crate) const INTERRUPTED: u8 = 130;

/// Help for a revision that failed but may succeed if retried.
pub(crate) const RETRY_HELP: &str = "`dubernetes apply FILE --retry` tries again";

/// Whether errors are reported as JSON.
static AS_JSON: AtomicBool = AtomicBool::new(false);

/// Makes this process report errors as JSON from now on, or as text.
pub(crate) fn report_errors_as_json(json: bool) {
    AS_JSON.store(json, Ordering::Relaxed);
}

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct CliError {
    exit: u8,
    /// Empty if everything was reported already.
    message: String,
    /// Lines below the message, indented by two.
    lines: Vec<String>,
    help: Vec<String>,
    /// Rendering that replaces the text above, such as a snippet of a file.
    drawn: Option<String>,
    /// JSON that replaces the text above under `-o json`.
    problem: Option<Box<Problem>>,
    /// Whether an orchestrator of the same version may understand the request.
    misunderstood: bool,
}

impl CliError {
    /// Creates an error with exit code 1.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self::with_exit(FAILED, message)
    }

    /// Creates an error with this exit code.
    pub(crate) fn with_exit(exit: u8, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            lines: Vec::new(),
            help: Vec::new(),
            drawn: None,
            problem: None,
            misunderstood: false,
        }
    }

    /// Creates an error that prints nothing: everything was reported already.
    pub(crate) fn already_reported(exit: u8) -> Self {
        Self::with_exit(exit, "")
    }

    /// Creates an error with exit code 1: what failed, and the errors that caused it.
    pub(crate) fn with_source(what: &str, source: &dyn std::error::Error) -> Self {
        Self::new(format!("{what}: {}", chain(source)))
    }

    /// Like [`CliError::with_source`], with the reason of a system call in plain words.
    pub(crate) fn with_io_source(what: &str, source: &io::Error) -> Self {
        Self::new(format!("{what}: {}", io_reason(source)))
    }

    /// Returns a function that makes an error of a failed system call on a path: `cannot`, what was
    /// to be done, the path, and the reason.
    pub(crate) fn cannot(what: &str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let what = format!("cannot {what} `{}`", path.display());
        move |error| Self::with_io_source(&what, &error)
    }

    /// Adds a line below the message.
    pub(crate) fn line(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }

    /// Adds a line that says what to do.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// Keeps the problem that the orchestrator answered, for `-o json`.
    pub(crate) fn problem(mut self, problem: Problem) -> Self {
        self.problem = Some(Box::new(problem));
        self
    }

    /// Marks an error of an orchestrator that may not know the request, or whose answer this
    /// program may not know: if it has another version, that is worth a word.
    pub(crate) fn misunderstood(mut self, misunderstood: bool) -> Self {
        self.misunderstood = misunderstood;
        self
    }

    /// Returns whether an orchestrator of the same version may understand the request.
    pub(crate) fn is_misunderstood(&self) -> bool {
        self.misunderstood
    }

    /// Returns whether an orchestrator answered that it stands by while another one acts.
    pub(crate) fn stands_by(&self) -> bool {
        self.problem.as_ref().is_some_and(|problem| problem.is(ProblemKind::StandsBy))
    }

    /// Puts `context` in front of the message.
    pub(crate) fn context(mut self, context: &str) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }

    /// Replaces the exit code.
    pub(crate) fn exiting_with(mut self, exit: u8) -> Self {
        self.exit = exit;
        self
    }

    /// Returns the exit code.
    pub(crate) fn exit_code(&self) -> u8 {
        self.exit
    }

    /// Returns the message.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Returns the first line of help.
    pub(crate) fn first_help(&self) -> Option<&str> {
        self.help.first().map(String::as_str)
    }

    /// Prints the error, unless that was done already, and returns the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        if !self.message.is_empty() {
            let text = if AS_JSON.load(Ordering::Relaxed) { self.json() } else { self.text() };
            // A closed standard error leaves nowhere to report this.
            let _ = anstream::stderr().write_all(text.as_bytes());
        }
        ExitCode::from(self.exit)
    }

    /// Returns the text for people.
    pub(crate) fn text(&self) -> String {
        let mut text = match &self.drawn {
            Some(drawn) => format!("{}\n", drawn.trim_end_matches('\n')),
            None => labeled(style::ERROR, "error", &self.message),
        };
        for line in &self.lines {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {}", one_line(line));
        }
        for help in &self.help {
            text += &labeled(style::HELP, "help", help);
        }
        text
    }

    /// Returns the JSON for programs: the problem that the orchestrator answered, or one of the
    /// same shape.
    fn json(&self) -> String {
        let problem = match &self.problem {
            // The orchestrator's own answer already holds its hints.
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
    /// Converts an error in writing the result. A reader that closed the pipe is not an error.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::already_reported(0);
        }
        Self::with_source("cannot write the result", &error)
    }
}

impl From<clap::Error> for CliError {
    fn from(error: clap::Error) -> Self {
        if !error.use_stderr() {
            // The help or the version is the result.
            let _ = error.print();
            return Self::already_reported(0);
        }
        let problem = json::usage(&error.render().to_string());
        let base = Self::with_exit(USAGE, problem.detail.clone()).problem(problem);
        Self { drawn: Some(error.render().ansi().to_string()), ..base }
    }
}

impl From<Diagnostics> for CliError {
    fn from(diagnostics: Diagnostics) -> Self {
        let base = Self::new(diagnostics.summary()).problem(json::diagnostics(&diagnostics));
        Self { drawn: Some(diagnostics.render(true)), ..base }
    }
}

impl From<serde_json::Error> for CliError {
    fn from(error: serde_json::Error) -> Self {
        Self::with_source("cannot write the result as JSON", &error)
    }
}

/// Returns why a system call failed, in plain words for the common reasons.
pub(crate) fn io_reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        _ => error.to_string(),
    }
}

/// Prints a note to standard error.
pub(crate) fn note(text: &str) {
    print_text(&labeled(style::NOTE, "note", text));
}

/// Prints a warning to standard error.
pub(crate) fn warn(text: &str) {
    print_text(&labeled(style::WARNING, "warning", text));
}

/// Prints to standard error what to do.
pub(crate) fn help(text: &str) {
    print_text(&labeled(style::HELP, "help", text));
}

/// Prints to standard error what a conversion leaves out or changes.
pub(crate) fn notes<Place: Display>(notes: &[Note<Place>]) {
    for each in notes {
        note(&each.headline());
        if let Some(text) = &each.help {
            help(text);
        }
    }
}

/// Prints a line to standard error.
pub(crate) fn print_line(line: &str) {
    print_text(&format!("{line}\n"));
}

fn print_text(text: &str) {
    // A closed standard error must not end the command.
    let _ = anstream::stderr().write_all(text.as_bytes());
}

/// Returns `label: text` as one line, with the label in colour.
pub(crate) fn labeled(style: anstyle::Style, label: &str, text: &str) -> String {
    format!("{style}{label}:{style:#} {}\n", one_line(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(error: &CliError) -> String {
        anstream::adapter::strip_str(&error.text()).to_string()
    }

    #[test]
    fn error_text_shows_message_lines_and_help() {
        let error = CliError::new("it broke").line("why: no space").help("make room");
        assert_eq!(plain(&error), "error: it broke\n  why: no space\nhelp: make room\n");
    }

    #[test]
    fn error_text_escapes_control_characters() {
        let error = CliError::new("a\u{1b}[2J\nerror: b");
        assert_eq!(plain(&error), "error: a\\u{1b}[2J error: b\n");
    }

    #[test]
    fn broken_pipe_is_not_an_error() {
        let error = CliError::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((error.exit, error.message.as_str()), (0, ""));
    }
}
