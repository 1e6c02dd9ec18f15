//! Pages as values: pure functions from values of the API to what a template shows. Text from
//! outside loses its control characters here; templates escape HTML.

mod app;
mod change;
mod charts;
mod control_loop;
mod decision;
mod lists;
mod logs;
mod overview;
mod simulate;

pub(crate) use app::{AppData, app_page};
pub(crate) use change::{PlanView, Preview, change_page};
pub(crate) use control_loop::{LoopData, loop_page, no_apps_page};
pub(crate) use decision::decision_page;
pub(crate) use lists::{events_page, routes_page};
pub(crate) use logs::{LINES, LogsQuery, logs_page};
pub(crate) use overview::overview_page;
pub(crate) use simulate::{OPTIONS, simulate_page};

use askama::Template;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use dubernetes_api::text::{Tone, age};
use dubernetes_api::wire::{AppStatus, Event};
use dubernetes_core::error::one_line;
use dubernetes_core::event::EventKind;
use jiff::Timestamp;

/// What the frame of every page shows.
#[derive(Debug)]
pub(crate) struct Frame {
    /// Title of the window.
    pub(crate) title: String,
    /// Path of the entry of the navigation that is marked; may be empty.
    pub(crate) section: &'static str,
    /// Command that shows or does the same; may be empty.
    pub(crate) command: String,
    /// Stream of what changes the page; empty for a page that stays as it is.
    pub(crate) live: String,
}

/// A state in one word, with what it means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// The word.
    pub(crate) word: String,
    /// Class of the style sheet.
    pub(crate) class: &'static str,
}

impl State {
    pub(crate) fn new(word: impl Into<String>, tone: Tone) -> Self {
        Self { word: word.into(), class: class(tone) }
    }
}

/// Returns the class of the style sheet for a tone.
pub(crate) fn class(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "good",
        Tone::Changing => "changing",
        Tone::Bad => "bad",
    }
}

/// Returns text from outside on one line, without control characters.
pub(crate) fn text(outside: &str) -> String {
    one_line(outside)
}

/// Returns the number of ready replicas, such as `2 of 3 ready`.
pub(crate) fn ready(status: &AppStatus) -> String {
    format!("{} of {} ready", status.ready, status.desired)
}

/// Quotes a word for a shell, if it needs that.
pub(crate) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Returns a word in a query of a URL.
pub(crate) fn encoded(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    word.bytes()
        .map(|byte| match plain(byte) {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect()
}

/// An event, as a row.
#[derive(Debug)]
pub(crate) struct EventRow {
    pub(crate) age: String,
    pub(crate) at: String,
    pub(crate) class: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) object: String,
    /// App to link to; may be empty.
    pub(crate) app: String,
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) count: u64,
}

/// Returns events as rows, newest first; `events` is oldest first.
pub(crate) fn event_rows(events: &[Event], most: usize, now: Timestamp) -> Vec<EventRow> {
    let row = |event: &Event| EventRow {
        age: age(event.time, now),
        at: event.time.to_string(),
        class: match event.kind {
            EventKind::Normal => "",
            EventKind::Warning => "bad",
        },
        kind: event.kind.as_str(),
        object: text(event.object().unwrap_or("instance")),
        app: event.app.as_ref().map(ToString::to_string).unwrap_or_default(),
        reason: text(&event.reason),
        message: text(&event.message),
        count: event.count,
    };
    events.iter().rev().take(most).map(row).collect()
}

/// Returns a page as an answer.
pub(crate) fn page(template: &impl Template) -> Response {
    match template.render() {
        Ok(text) => Html(text).into_response(),
        // Writing to a string does not fail, and these templates call nothing that does.
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// A page that says why there is no other.
#[derive(Debug, Template)]
#[template(path = "error.html")]
pub(crate) struct ErrorPage {
    frame: Frame,
    status: StatusCode,
    message: String,
    help: Vec<String>,
}

impl ErrorPage {
    pub(crate) fn new(status: StatusCode, title: &str, message: &str) -> Self {
        let frame = Frame {
            title: title.to_owned(),
            section: "",
            command: String::new(),
            live: String::new(),
        };
        Self { frame, status, message: text(message), help: Vec::new() }
    }

    /// Adds what a person can do.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(text(&help.into()));
        self
    }

    /// Lets the page replace itself once the orchestrator answers.
    pub(crate) fn live(mut self) -> Self {
        self.frame.live = "/live".to_owned();
        self
    }
}

impl IntoResponse for ErrorPage {
    fn into_response(self) -> Response {
        (self.status, page(&self)).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_shells_and_urls() {
        assert_eq!(quoted("web-1"), "web-1");
        assert_eq!(quoted("it's $(x)"), r"'it'\''s $(x)'");
        assert_eq!(quoted(""), "''");
        assert_eq!(encoded("a b&c"), "a%20b%26c");
    }
}
