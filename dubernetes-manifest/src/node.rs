//! The tree of a document, the same for YAML and JSON: values with their places, before the keys
//! get a meaning.

use dubernetes_core::app::escape::{escape, quote};

/// A place in a source. All zero for JSON, which has paths only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// The line, from 1.
    pub(super) line: usize,
    /// The column in characters, from 1.
    pub(super) column: usize,
    /// The byte offset of the start.
    pub(super) start: usize,
    /// The byte offset after the end.
    pub(super) end: usize,
}

impl Place {
    /// A file as a whole: its first line, without an excerpt.
    pub(super) const FILE: Self = Self { line: 1, column: 1, start: usize::MAX, end: usize::MAX };
}

/// A value and its place.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) place: Place,
}

/// A value, as the source writes it.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// An unquoted YAML scalar: its source text, whatever type it looks like.
    Plain(String),
    /// A quoted text or a block scalar.
    Text(String),
    /// The digits of a JSON number.
    Number(String),
    /// A JSON boolean.
    Bool(bool),
    /// A JSON null.
    Null,
    /// A list.
    List(Vec<Node>),
    /// A mapping, with duplicate keys.
    Map(Vec<Entry>),
    /// A value that was reported already, and gets no further diagnostics.
    Refused,
}

/// A key with its place, and its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_place: Place,
    pub(super) value: Node,
}

impl Node {
    /// Returns whether this is a key without a value, or an explicit null.
    pub(super) fn is_null(&self) -> bool {
        if let Value::Plain(text) = &self.value {
            return matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL");
        }
        matches!(self.value, Value::Null)
    }

    /// Returns the items of a list.
    pub(super) fn list(&self) -> Option<&[Self]> {
        if let Value::List(items) = &self.value { Some(items) } else { None }
    }

    /// Returns the entries of a mapping.
    pub(super) fn map(&self) -> Option<&[Entry]> {
        if let Value::Map(entries) = &self.value { Some(entries) } else { None }
    }

    /// Returns whether this is a list or a mapping.
    pub(super) fn is_collection(&self) -> bool {
        matches!(self.value, Value::List(_) | Value::Map(_))
    }

    /// Returns the text of a scalar that is accepted where text is expected.
    pub(super) fn text(&self) -> Option<&str> {
        if let Value::Plain(text) | Value::Text(text) = &self.value { Some(text) } else { None }
    }

    /// Returns the value of a flag.
    pub(super) fn flag(&self) -> Option<bool> {
        if let Value::Bool(flag) = self.value {
            return Some(flag);
        }
        if let Value::Plain(text) = &self.value { text.parse().ok() } else { None }
    }

    /// Describes the value, for messages of the form `X must be Y, not {description}`.
    pub(super) fn describe(&self) -> String {
        if self.is_null() {
            return "null".into();
        }
        match &self.value {
            Value::Plain(text) => quote(text),
            Value::Text(text) => format!("the text {}", quote(text)),
            Value::Number(digits) => format!("the number {digits}"),
            Value::Bool(value) => format!("`{value}`"),
            Value::List(_) => "a list".into(),
            Value::Map(_) => "a mapping".into(),
            Value::Null | Value::Refused => "null".into(),
        }
    }

    /// Finds the field at `path`, with the place of its key. `path` is keys and list positions,
    /// joined by dots; keys may contain dots themselves. A single value is also its own item 0.
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
            Value::Plain(_)
            | Value::Text(_)
            | Value::Number(_)
            | Value::Bool(_)
            | Value::Null
            | Value::Refused => (path == "0").then_some((self.place, self)),
        }
    }

    /// Returns the place of the value at `path`, or of this node if there is none.
    pub(super) fn place_of(&self, path: &str) -> Place {
        self.find(path).map_or(self.place, |(_, node)| node.place)
    }

    /// Returns the JSON pointer (RFC 6901) of the field at `path`. A missing field gets the
    /// pointer where it would be.
    pub(super) fn pointer(&self, path: &str) -> String {
        self.existing_pointer(path)
            .unwrap_or_else(|| path.split('.').map(pointer_segment).collect())
    }

    fn existing_pointer(&self, path: &str) -> Option<String> {
        if path.is_empty() {
            return Some(String::new());
        }
        match &self.value {
            Value::Map(entries) => {
                let existing = entries.iter().find_map(|entry| {
                    // Paths contain keys in their escaped form.
                    let rest = path.strip_prefix(escape(&entry.key).as_str())?;
                    let rest = if rest.is_empty() { rest } else { rest.strip_prefix('.')? };
                    Some(pointer_segment(&entry.key) + &entry.value.existing_pointer(rest)?)
                });
                existing.or_else(|| (!path.contains('.')).then(|| pointer_segment(path)))
            }
            Value::List(items) => {
                let (index, rest) = path.split_once('.').unwrap_or((path, ""));
                let item = items.get(index.parse::<usize>().ok()?)?;
                Some(pointer_segment(index) + &item.existing_pointer(rest)?)
            }
            Value::Plain(_)
            | Value::Text(_)
            | Value::Number(_)
            | Value::Bool(_)
            | Value::Null
            | Value::Refused => (path == "0").then(String::new),
        }
    }
}

fn pointer_segment(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}
