//! Events: records of what happened to an app, and why.

mod reason;

pub use reason::EventReason;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::app::{AppName, PodName, RevisionId};

/// An event to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// Time of the event.
    pub time: Timestamp,
    /// Severity.
    pub kind: EventKind,
    /// The app, or `None` for the instance itself.
    pub app: Option<AppName>,
    /// The pod, such as `web-1`, for an event of one replica.
    pub pod: Option<PodName>,
    /// The revision, for an event of one revision.
    pub revision: Option<RevisionId>,
    /// Why it is recorded.
    pub reason: EventReason,
    /// What happened, as a sentence fragment on one line.
    pub message: String,
}

/// Severity of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventKind {
    /// Normal operation.
    Normal,
    /// Something went wrong and may need attention.
    Warning,
}

impl EventKind {
    /// Returns `Normal` or `Warning`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// A recorded event. Equal events in a row are merged into one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Sequence number, which rises with every record.
    pub id: u64,
    /// Time of the last occurrence.
    pub time: Timestamp,
    /// Time of the first occurrence.
    pub first_at: Timestamp,
    /// Severity.
    #[serde(rename = "type")]
    pub kind: EventKind,
    /// The app, or `None` for the instance itself.
    pub app: Option<AppName>,
    /// The pod, for an event of one replica.
    pub pod: Option<PodName>,
    /// The revision, for an event of one revision.
    #[serde(default)]
    pub revision: Option<RevisionId>,
    /// The reason: one word in upper camel case.
    pub reason: String,
    /// What happened.
    pub message: String,
    /// Number of occurrences.
    pub count: u64,
}

impl Event {
    /// Returns what the event is about: the pod, or else the app; `None` for the instance itself.
    pub fn object(&self) -> Option<&str> {
        self.pod.as_ref().map(PodName::as_str).or(self.app.as_ref().map(AppName::as_str))
    }
}
