//! Lines of streaming responses. One line is one JSON object.

use dubernetes_core::app::PodName;
use dubernetes_core::runtime;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Problem;

/// Change of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WatchEvent<T> {
    /// What happened.
    #[serde(rename = "type")]
    pub kind: WatchKind,
    /// The object as of now; for [`WatchKind::Deleted`], its last state.
    pub object: T,
}

/// What happened to a watched object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum WatchKind {
    /// The object exists, and is reported for the first time.
    Added,
    /// The object has changed.
    Modified,
    /// The object is gone.
    Deleted,
}

/// One line of a pod's output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogLine {
    /// Name of the pod.
    #[schema(value_type = String)]
    pub pod: PodName,
    /// Time of writing.
    #[schema(value_type = String, format = DateTime)]
    pub time: Timestamp,
    /// Whether the line was written to standard error.
    pub stderr: bool,
    /// Text without its line end.
    pub text: String,
}

impl LogLine {
    /// Creates a line of `pod`.
    pub fn new(pod: PodName, line: runtime::LogLine) -> Self {
        let runtime::LogLine { time, stderr, text } = line;
        Self { pod, time, stderr, text }
    }
}

/// Note about the stream itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Note {
    /// Text.
    pub note: String,
}

/// Last line of a stream that failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProblemLine {
    /// Reason.
    pub problem: Problem,
}

/// Item of a stream of logs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "LogJson", into = "LogJson")]
pub enum LogItem {
    /// A line of a pod.
    Line(LogLine),
    /// A note about the stream, such as that another pod has joined.
    Note(String),
}

/// JSON form of [`LogItem`].
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
