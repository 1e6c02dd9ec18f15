//! What has no equivalent in Kubernetes, is changed, or has to be known.

use std::fmt;

use dubernetes_core::app::AppName;

use crate::note::Note;

/// A key of some apps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyOfApps {
    /// The apps that have the key, at least one.
    pub apps: Vec<AppName>,
    /// The key with those above it, such as `stop.drain`.
    pub path: String,
}

impl fmt::Display for KeyOfApps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let apps: Vec<&str> = self.apps.iter().map(AppName::as_str).collect();
        write!(f, "{}: {}", apps.join(", "), self.path)
    }
}

/// Collects the notes of one app.
pub(super) struct Notes {
    app: AppName,
    list: Vec<Note<KeyOfApps>>,
}

impl Notes {
    pub(super) fn new(app: &AppName) -> Self {
        Self { app: app.clone(), list: Vec::new() }
    }

    /// Adds a remark with what to do.
    pub(super) fn add(
        &mut self,
        path: impl Into<String>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.push(path.into(), message.into(), Some(help.into()));
    }

    /// Adds a remark that needs nothing to be done.
    pub(super) fn say(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.push(path.into(), message.into(), None);
    }

    fn push(&mut self, path: String, message: String, help: Option<String>) {
        let place = KeyOfApps { apps: vec![self.app.clone()], path };
        self.list.push(Note { place, message, help });
    }

    pub(super) fn into_list(self) -> Vec<Note<KeyOfApps>> {
        self.list
    }
}

/// Joins notes of several apps that say the same.
pub(super) fn merge(notes: Vec<Note<KeyOfApps>>) -> Vec<Note<KeyOfApps>> {
    let mut merged: Vec<Note<KeyOfApps>> = Vec::new();
    for note in notes {
        let same = |other: &&mut Note<KeyOfApps>| {
            (&other.place.path, &other.message, &other.help)
                == (&note.place.path, &note.message, &note.help)
        };
        match merged.iter_mut().find(same) {
            Some(first) => first.place.apps.extend(note.place.apps),
            None => merged.push(note),
        }
    }
    for note in &mut merged {
        note.place.apps.dedup();
    }
    merged
}
