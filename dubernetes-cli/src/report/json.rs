//! Failures of the program itself in the shape of the API's problems, for `-o json`.

use dubernetes_api::wire::{Problem, ProblemKind};
use dubernetes_manifest::{Diagnostic, Diagnostics};
use serde_json::{Map, Value};

use super::{INTERRUPTED, TIMED_OUT, UNREACHABLE, USAGE};

/// A failure with this exit code: `details` are the lines below the message, `help` what to do.
pub(super) fn problem(exit: u8, message: &str, lines: &[String], help: &[String]) -> Problem {
    let word = word(exit);
    let mut problem = ProblemKind::Internal.problem(message);
    problem.kind = format!("urn:dubernetes:error:{word}");
    problem.title = word.replace('-', " ");
    // No request was made, or none is to blame.
    problem.status = 0;
    if !lines.is_empty() {
        problem.extra.insert("details".to_owned(), lines.into());
    }
    with_help(problem, help)
}

/// A problem with more that can be done about it.
pub(super) fn with_help(mut problem: Problem, help: &[String]) -> Problem {
    if !help.is_empty() {
        let known =
            problem.extra.entry("help".to_owned()).or_insert_with(|| Vec::<Value>::new().into());
        if let Value::Array(known) = known {
            known.extend(help.iter().map(|help| Value::from(help.as_str())));
        }
    }
    problem
}

/// Wrong usage, as clap tells it: what, and in paragraphs of their own what to do.
pub(super) fn usage(told: &str) -> Problem {
    let paragraphs = told.split("\n\n").map(|text| text.split_whitespace().collect::<Vec<_>>());
    let mut texts = paragraphs.map(|words| words.join(" ")).filter(|text| !text.is_empty());
    let what = texts.next().unwrap_or_default();
    let help: Vec<_> = texts.map(|text| text.trim_start_matches("tip: ").to_owned()).collect();
    problem(USAGE, what.trim_start_matches("error: "), &[], &help)
}

/// What is wrong with files: as the API says it of a body, and which file it is.
pub(super) fn diagnostics(found: &Diagnostics) -> Problem {
    let mut problem = ProblemKind::InvalidSpec.problem(found.summary());
    let errors: Vec<Value> = found.printed().map(error).collect();
    problem.extra.insert("errors".to_owned(), errors.into());
    problem
}

fn error(found: &Diagnostic) -> Value {
    let Diagnostic { source, line, column, path, message, hint, .. } = found;
    let mut error = Map::new();
    error.insert("file".to_owned(), source.as_str().into());
    error.insert("path".to_owned(), path.as_str().into());
    error.insert("line".to_owned(), (*line).into());
    error.insert("column".to_owned(), (*column).into());
    error.insert("message".to_owned(), message.as_str().into());
    if let Some(hint) = hint {
        error.insert("hint".to_owned(), hint.as_str().into());
    }
    error.into()
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
