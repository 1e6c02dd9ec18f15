//! How a command fails: one [`Failure`] carries the exit code and everything that a person is
//! told, and is told once, on standard error.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use dubernetes_api::wire::{Problem, ProblemKind};
use dubernetes_core::error::{chain, one_line};

use crate::output::style;

/// Why a command did not do what was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: u8,
    /// Empty if everything was told already.
    message: String,
    /// Lines below the message, indented by two.
    lines: Vec<String>,
    help: Vec<String>,
    problem: Option<Box<Problem>>,
}

/// The result of a command.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

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
pub(crate) const RETRY: &str = "`dubernetes apply FILE --retry` tries it once more";

impl Failure {
    /// A failure with exit code 1.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self::with_exit(FAILED, message)
    }

    /// A failure with this exit code.
    pub(crate) fn with_exit(exit: u8, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), lines: Vec::new(), help: Vec::new(), problem: None }
    }

    /// A failure of which everything is told already.
    pub(crate) fn told(exit: u8) -> Self {
        Self::with_exit(exit, "")
    }

    /// A failure with exit code 1: what could not be done, and the error behind it.
    pub(crate) fn because(what: &str, cause: &dyn std::error::Error) -> Self {
        Self::new(format!("{what}: {}", chain(cause)))
    }

    /// The same for an error of the system, in the words of people.
    pub(crate) fn because_io(what: &str, error: &io::Error) -> Self {
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
    pub(crate) fn of(mut self, object: &str) -> Self {
        self.message = format!("{object}: {}", self.message);
        self
    }

    /// The same with another exit code.
    pub(crate) fn exiting_with(mut self, exit: u8) -> Self {
        self.exit = exit;
        self
    }

    /// The exit code.
    pub(crate) fn exit(&self) -> u8 {
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
    pub(crate) fn report(&self, json: bool) -> ExitCode {
        if !self.message.is_empty() {
            let text = if json { self.json() } else { self.text() };
            // Nobody is left to tell that standard error is gone.
            let _ = anstream::stderr().write_all(text.as_bytes());
        }
        ExitCode::from(self.exit)
    }

    /// What a person reads.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("{}error:{} ", style::ERROR.render(), style::ERROR.render_reset());
        // Writing to a text cannot fail.
        let _ = writeln!(text, "{}", one_line(&self.message));
        for line in &self.lines {
            let _ = writeln!(text, "  {}", one_line(line));
        }
        for help in &self.help {
            let label = (style::HELP.render(), style::HELP.render_reset());
            let _ = writeln!(text, "{}help:{} {}", label.0, label.1, one_line(help));
        }
        text
    }

    fn json(&self) -> String {
        let problem = match &self.problem {
            Some(problem) => (**problem).clone(),
            None => {
                let mut problem = ProblemKind::Internal.problem(self.message.clone());
                problem.kind = format!("urn:dubernetes:error:{}", word(self.exit));
                problem.title = word(self.exit).replace('-', " ");
                problem.status = 0;
                problem
            }
        };
        let mut text = serde_json::to_string_pretty(&problem).unwrap_or_default();
        text.push('\n');
        text
    }
}

impl From<io::Error> for Failure {
    /// An error in writing the result: a reader that has gone is no failure.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::told(0);
        }
        Self::because("the result cannot be written", &error)
    }
}

impl From<clap::Error> for Failure {
    fn from(error: clap::Error) -> Self {
        let _ = error.print();
        Self::told(u8::try_from(error.exit_code()).unwrap_or(USAGE))
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::because("the result cannot be written as JSON", &error)
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

fn word(exit: u8) -> &'static str {
    match exit {
        USAGE => "usage",
        UNREACHABLE => "orchestrator-unreachable",
        TIMED_OUT => "timed-out",
        INTERRUPTED => "interrupted",
        _ => "failed",
    }
}

/// Tells something that is not an error, on standard error.
pub(crate) fn note(text: &str) {
    tell(style::NOTE, "note", text);
}

/// Tells something that a person should act on, on standard error.
pub(crate) fn warn(text: &str) {
    tell(style::WARNING, "warning", text);
}

/// Tells what to do, on standard error.
pub(crate) fn help(text: &str) {
    tell(style::HELP, "help", text);
}

/// Writes a line to standard error. That it is gone is nobody's business.
pub(crate) fn say(line: &str) {
    let _ = writeln!(anstream::stderr(), "{line}");
}

fn tell(style: anstyle::Style, label: &str, text: &str) {
    say(&format!("{}{label}:{} {}", style.render(), style.render_reset(), one_line(text)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(failure: &Failure) -> String {
        anstream::adapter::strip_str(&failure.text()).to_string()
    }

    #[test]
    fn a_failure_says_what_and_what_to_do() {
        let failure = Failure::new("it broke").line("why: no space").help("make room");
        assert_eq!(plain(&failure), "error: it broke\n  why: no space\nhelp: make room\n");
    }

    #[test]
    fn text_from_outside_cannot_act_on_the_terminal() {
        let failure = Failure::new("a\u{1b}[2J\nerror: b");
        assert_eq!(plain(&failure), "error: a\\u{1b}[2J error: b\n");
    }

    #[test]
    fn a_reader_that_has_gone_is_no_failure() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((failure.exit, failure.message.as_str()), (0, ""));
    }
}
