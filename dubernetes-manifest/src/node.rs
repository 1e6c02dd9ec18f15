//! One tree for YAML and JSON: what was written and where, before anything is known of keys.

use dubernetes_core::app::escape::{quoted, shown};

/// Where something stands in its text. All zero for JSON, which has paths only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// From 1.
    pub(super) line: usize,
    /// In characters, from 1.
    pub(super) column: usize,
    /// The first byte.
    pub(super) start: usize,
    /// The byte after the last one.
    pub(super) end: usize,
}

impl Place {
    /// A file as a whole: its first line, of which nothing is shown.
    pub(super) const FILE: Self = Self { line: 1, column: 1, start: usize::MAX, end: usize::MAX };
}

/// A value and its place.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) place: Place,
}

/// What was written.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// A YAML scalar without quotes: its source text, whatever type it looks like.
    Plain(String),
    /// A text in quotes or as a block.
    Text(String),
    /// A JSON number, as its digits.
    Number(String),
    /// A JSON boolean.
    Bool(bool),
    /// A JSON null.
    Null,
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, with equal keys as often as they were written.
    Map(Vec<Entry>),
    /// Something already reported, of which nothing more is said.
    Refused,
}

/// A key, its place and its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_place: Place,
    pub(super) value: Node,
}

/// Something that is wrong, and where.
#[derive(Debug, Clone)]
pub(super) struct RawDiagnostic {
    pub(super) place: Place,
    pub(super) path: String,
    pub(super) message: String,
    pub(super) hint: Option<String>,
    pub(super) other: Option<Other>,
}

/// A second place that belongs to a fault.
#[derive(Debug, Clone)]
pub(super) struct Other {
    /// Which source, where it is not the fault's own.
    pub(super) source: Option<usize>,
    pub(super) place: Place,
    pub(super) label: String,
}

impl RawDiagnostic {
    pub(super) fn new(
        place: Place,
        path: impl Into<String>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        let hint = Some(hint.into());
        Self { place, path: path.into(), message: message.into(), hint, other: None }
    }

    pub(super) fn with_other(mut self, place: Place, label: impl Into<String>) -> Self {
        self.other = Some(Other { source: None, place, label: label.into() });
        self
    }
}

impl Node {
    /// Whether this is a key without a value, or an explicit null.
    pub(super) fn is_null(&self) -> bool {
        match &self.value {
            Value::Plain(text) => matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"),
            Value::Null => true,
            Value::Text(_)
            | Value::Number(_)
            | Value::Bool(_)
            | Value::List(_)
            | Value::Map(_)
            | Value::Refused => false,
        }
    }

    /// The text of a scalar that may stand where text is expected.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Plain(text) | Value::Text(text) => Some(text),
            Value::Number(_)
            | Value::Bool(_)
            | Value::Null
            | Value::List(_)
            | Value::Map(_)
            | Value::Refused => None,
        }
    }

    /// What was found, for a message that says what was expected.
    pub(super) fn found(&self) -> String {
        match &self.value {
            _ if self.is_null() => "null".into(),
            Value::Plain(text) => quoted(text),
            Value::Text(text) => format!("the text {}", quoted(text)),
            Value::Number(digits) => format!("the number {digits}"),
            Value::Bool(value) => format!("`{value}`"),
            Value::List(_) => "a list".into(),
            Value::Map(_) => "a mapping".into(),
            Value::Null | Value::Refused => "null".into(),
        }
    }

    /// The value at `path`, keys and list positions joined by dots, and the place of its key.
    /// Keys may contain dots themselves.
    pub(super) fn find(&self, path: &str) -> Option<(Place, &Self)> {
        match &self.value {
            Value::Map(entries) => entries.iter().find_map(|entry| {
                let rest = path.strip_prefix(entry.key.as_str())?;
                match rest.strip_prefix('.') {
                    Some(rest) => entry.value.find(rest),
                    None if rest.is_empty() => Some((entry.key_place, &entry.value)),
                    None => None,
                }
            }),
            Value::List(items) => {
                let (index, rest) = path.split_once('.').unwrap_or((path, ""));
                let item = items.get(index.parse::<usize>().ok()?)?;
                if rest.is_empty() { Some((item.place, item)) } else { item.find(rest) }
            }
            // One host is a list of one.
            _ if path == "0" => Some((self.place, self)),
            Value::Plain(_)
            | Value::Text(_)
            | Value::Number(_)
            | Value::Bool(_)
            | Value::Null
            | Value::Refused => None,
        }
    }

    /// The JSON pointer (RFC 6901) of the field at `path`; of one that is missing, where it would
    /// be.
    pub(super) fn pointer(&self, path: &str) -> String {
        self.steps(path).unwrap_or_else(|| path.split('.').map(step).collect())
    }

    fn steps(&self, path: &str) -> Option<String> {
        if path.is_empty() {
            return Some(String::new());
        }
        match &self.value {
            Value::Map(entries) => {
                let found = entries.iter().find_map(|entry| {
                    // Paths name a key as it is shown.
                    let rest = path.strip_prefix(shown(&entry.key).as_str())?;
                    let rest = if rest.is_empty() { rest } else { rest.strip_prefix('.')? };
                    Some(step(&entry.key) + &entry.value.steps(rest)?)
                });
                found.or_else(|| (!path.contains('.')).then(|| step(path)))
            }
            Value::List(items) => {
                let (index, rest) = path.split_once('.').unwrap_or((path, ""));
                let item = items.get(index.parse::<usize>().ok()?)?;
                Some(step(index) + &item.steps(rest)?)
            }
            // One host is a list of one.
            _ if path == "0" => Some(String::new()),
            Value::Plain(_)
            | Value::Text(_)
            | Value::Number(_)
            | Value::Bool(_)
            | Value::Null
            | Value::Refused => None,
        }
    }

    /// The place of the value at `path`.
    pub(super) fn place_of(&self, path: &str) -> Place {
        self.find(path).map_or(self.place, |(_, node)| node.place)
    }
}

/// One step of a JSON pointer.
fn step(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}
