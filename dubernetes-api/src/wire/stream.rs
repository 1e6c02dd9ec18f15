//! The lines of the endless answers. One line is one JSON object.

use dubernetes_core::runtime;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Problem;

/// A change of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WatchEvent<T> {
    /// What happened to it.
    #[serde(rename = "type")]
    pub kind: WatchKind,
    /// The object as it is now; for [`WatchKind::Deleted`], as it was last.
    pub object: T,
}

/// What happened to a watched object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum WatchKind {
    /// It is there, seen for the first time.
    Added,
    /// It is different.
    Modified,
    /// It is gone.
    Deleted,
}

/// One line of a pod's output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogLine {
    /// The pod.
    pub pod: String,
    /// When it was written.
    #[schema(value_type = String, format = DateTime)]
    pub time: Timestamp,
    /// Whether it came on standard error.
    pub stderr: bool,
    /// The text, without its line end.
    pub text: String,
}

impl LogLine {
    /// A line of `pod`.
    pub fn new(pod: impl Into<String>, line: runtime::LogLine) -> Self {
        let runtime::LogLine { time, stderr, text } = line;
        Self { pod: pod.into(), time, stderr, text }
    }
}

/// What a stream tells about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Note {
    /// The text.
    pub note: String,
}

/// The last line of a stream that failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProblemLine {
    /// Why.
    pub problem: Problem,
}

/// What a stream of output brings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "LogJson", into = "LogJson")]
pub enum LogItem {
    /// A line of a pod.
    Line(LogLine),
    /// A note about the stream, such as that another pod has joined.
    Note(String),
}

/// [`LogItem`] as it is written.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
#[schema(as = LogItem)]
pub(crate) enum LogJson {
    Line(LogLine),
    Note(Note),
}

impl From<LogJson> for LogItem {
    fn from(json: LogJson) -> Self {
        match json {
            LogJson::Line(line) => Self::Line(line),
            LogJson::Note(Note { note }) => Self::Note(note),
        }
    }
}

impl From<LogItem> for LogJson {
    fn from(item: LogItem) -> Self {
        match item {
            LogItem::Line(line) => Self::Line(line),
            LogItem::Note(note) => Self::Note(Note { note }),
        }
    }
}
