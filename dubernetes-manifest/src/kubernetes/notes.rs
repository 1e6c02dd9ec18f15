//! What has no equivalent in Kubernetes, is changed, or has to be known.

use std::fmt;

use dubernetes_core::app::AppName;

/// One remark about a key of some apps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The apps that have the key, at least one.
    pub apps: Vec<AppName>,
    /// The key with those above it, such as `stop.drain`.
    pub path: String,
    /// What is not exported or is changed, and why, as a sentence fragment.
    pub message: String,
    /// What to do instead, if anything.
    pub help: Option<String>,
}

impl Note {
    /// Returns the note without its help: the apps, the key, and what is not exported or changed.
    pub fn headline(&self) -> String {
        let apps: Vec<&str> = self.apps.iter().map(AppName::as_str).collect();
        format!("{}: {}: {}", apps.join(", "), self.path, self.message)
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.headline())?;
        match &self.help {
            Some(help) => write!(f, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}

/// Collects the notes of one app.
pub(super) struct Notes {
    app: AppName,
    list: Vec<Note>,
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
        self.list.push(Note { apps: vec![self.app.clone()], path, message, help });
    }

    pub(super) fn into_list(self) -> Vec<Note> {
        self.list
    }
}

/// Joins notes of several apps that say the same.
pub(super) fn merge(notes: Vec<Note>) -> Vec<Note> {
    let mut merged: Vec<Note> = Vec::new();
    for note in notes {
        let same = |other: &&mut Note| {
            (&other.path, &other.message, &other.help) == (&note.path, &note.message, &note.help)
        };
        match merged.iter_mut().find(same) {
            Some(first) => first.apps.extend(note.apps),
            None => merged.push(note),
        }
    }
    for note in &mut merged {
        note.apps.dedup();
    }
    merged
}
