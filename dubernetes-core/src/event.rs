//! What is recorded: one event says what happened to which app, and why.

mod reason;

pub use reason::EventReason;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::app::AppName;

/// An event to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// When.
    pub time: Timestamp,
    /// Whether a person should look.
    pub kind: EventKind,
    /// The app; `None` for the instance itself.
    pub app: Option<AppName>,
    /// The pod, such as `web-1`, if it is about one: the app and the replica's ordinal.
    pub pod: Option<String>,
    /// The revision, if it is about one.
    pub revision: Option<u64>,
    /// Why it is recorded.
    pub reason: EventReason,
    /// What happened, as a sentence fragment on one line.
    pub message: String,
}

/// Whether a person should look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventKind {
    /// The ordinary course of things.
    Normal,
    /// Something went wrong.
    Warning,
}

impl EventKind {
    /// `Normal` or `Warning`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// A recorded event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Rises with every record.
    pub id: u64,
    /// When it last happened.
    pub time: Timestamp,
    /// When it first happened, in a row of equal ones.
    pub first_at: Timestamp,
    /// Whether a person should look.
    #[serde(rename = "type")]
    pub kind: EventKind,
    /// The app; `None` for the instance itself.
    pub app: Option<AppName>,
    /// The pod, if it is about one.
    pub pod: Option<String>,
    /// The revision, if it is about one.
    #[serde(default)]
    pub revision: Option<u64>,
    /// One word in upper camel case.
    pub reason: String,
    /// What happened.
    pub message: String,
    /// How often, in a row of equal ones.
    pub count: u64,
}
