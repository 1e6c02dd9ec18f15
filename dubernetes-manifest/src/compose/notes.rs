//! What has no equivalent, is changed, or has to be known.

use std::fmt;

use crate::node::Entry;
use crate::note::Note;
use crate::reference::foreign_key_hint;

/// A key of a Compose file, or the whole file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPlace {
    /// The file, as the user named it.
    pub source: String,
    /// The line of the key, from 1.
    pub line: usize,
    /// The key with those above it, such as `services.web.ports`; empty for the whole file.
    pub path: String,
}

impl fmt::Display for KeyPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, line, path } = self;
        match path.is_empty() {
            true => f.write_str(source),
            false => write!(f, "{source}:{line}: {path}"),
        }
    }
}

/// Adds the lines that the note is about too.
fn with_lines(mut note: Note<KeyPlace>, mut lines: Vec<usize>) -> Note<KeyPlace> {
    lines.dedup();
    let noun = if lines.len() == 1 { "line" } else { "lines" };
    let lines: Vec<_> = lines.iter().map(usize::to_string).collect();
    if !lines.is_empty() {
        note.message.push_str(&format!(" (also {noun} {})", lines.join(", ")));
    }
    note
}

/// Collects notes.
pub(super) struct Notes {
    source: String,
    list: Vec<Note<KeyPlace>>,
}

/// A key, for notes about it.
#[derive(Debug, Clone)]
pub(super) struct At {
    pub(super) path: String,
    pub(super) line: usize,
}

impl At {
    pub(super) fn new(parent: &str, entry: &Entry) -> Self {
        Self { path: format!("{parent}.{}", entry.key), line: entry.key_place.line }
    }

    /// Returns a key below this one.
    pub(super) fn below(&self, entry: &Entry) -> Self {
        Self::new(&self.path, entry)
    }

    /// Returns an item of this list.
    pub(super) fn item(&self, index: usize, line: usize) -> Self {
        Self { path: format!("{}.{index}", self.path), line }
    }
}

impl Notes {
    pub(super) fn new(source: String) -> Self {
        Self { source, list: Vec::new() }
    }

    /// Adds a remark with what to do.
    pub(super) fn add(&mut self, at: &At, message: impl Into<String>, help: &str) {
        self.push(at, message.into(), Some(help.to_owned()));
    }

    /// Adds a remark that needs nothing to be done.
    pub(super) fn say(&mut self, at: &At, message: impl Into<String>) {
        self.push(at, message.into(), None);
    }

    /// Adds a remark about a key that a manifest does not have, with the sentence that its reader
    /// says.
    pub(super) fn no_equivalent(&mut self, at: &At, key: &str) {
        match foreign_key_hint(key) {
            Some(hint) if hint.starts_with("not supported") => self.say(at, hint),
            Some(hint) => self.add(at, "not taken: it has no equivalent", hint),
            None => self.say(at, "not taken: it is no key of Compose that is known here"),
        }
    }

    /// Adds a remark about the file as a whole.
    pub(super) fn add_for_file(&mut self, message: String, help: &str) {
        let at = At { path: String::new(), line: 1 };
        self.push(&at, message, Some(help.to_owned()));
    }

    fn push(&mut self, at: &At, message: String, help: Option<String>) {
        let At { path, line } = at.clone();
        let place = KeyPlace { source: self.source.clone(), line, path };
        self.list.push(Note { place, message, help });
    }

    /// Returns the notes in the order of the file, those about the whole file last. One with the
    /// text of an earlier one only adds its line: services repeat keys, and merge other services.
    pub(super) fn into_list(mut self) -> Vec<Note<KeyPlace>> {
        self.list.sort_by_key(|Note { place, .. }| (place.path.is_empty(), place.line));
        let mut list: Vec<(Note<KeyPlace>, Vec<usize>)> = Vec::new();
        for note in self.list {
            let same = |(other, _): &&mut (Note<_>, _)| {
                (&other.message, &other.help) == (&note.message, &note.help)
            };
            match list.iter_mut().find(same) {
                Some((first, lines)) if note.place.line != first.place.line => {
                    lines.push(note.place.line);
                }
                Some(_) => {}
                None => list.push((note, Vec::new())),
            }
        }
        list.into_iter().map(|(note, lines)| with_lines(note, lines)).collect()
    }
}
