//! The app that a service becomes: keys in the order of the manifest, each accepted by its reader.

use super::notes::{At, Notes};
use super::text;
pub(super) use crate::out::Out;
use crate::{Source, yaml};
use dubernetes_core::app::AppName;

/// The order of the keys.
const ORDER: [&str; 31] = [
    "name",
    "image",
    "pull",
    "replicas",
    "port",
    "ports",
    "command",
    "args",
    "env",
    "env_file",
    "files",
    "volumes",
    "health",
    "resources",
    "stop",
    "labels",
    "user",
    "working_dir",
    "init",
    "read_only",
    "no_new_privileges",
    "cap_add",
    "cap_drop",
    "devices",
    "tmpfs",
    "shm_size",
    "ulimits",
    "extra_hosts",
    "after",
    "access",
    "rollout",
];

/// An app that grows key by key.
#[derive(Debug)]
pub(super) struct Draft {
    name: AppName,
    keys: Vec<(String, Out)>,
}

impl Draft {
    pub(super) fn new(name: &AppName) -> Self {
        let keys = vec![("name".to_owned(), Out::text(name.to_string()))];
        Self { name: name.clone(), keys }
    }

    pub(super) fn name(&self) -> &AppName {
        &self.name
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.keys.iter().any(|(known, _)| known == key)
    }

    /// Sets a key, if the reader of manifests accepts the value; otherwise a note says why not.
    pub(super) fn set(&mut self, key: &str, value: Out, at: &At, notes: &mut Notes) {
        match refusal(key, &value) {
            None => self.put(key, value),
            Some(why) => notes.add(at, format!("not taken: {why}"), &hint(key)),
        }
    }

    /// Adds to a key that holds a list. An item that is not accepted is left out, with a note.
    pub(super) fn push(&mut self, key: &str, value: Out, at: &At, notes: &mut Notes) {
        let mut items = match self.take(key) {
            Some(Out::List(items)) => items,
            Some(_) | None => Vec::new(),
        };
        items.push(value);
        if let Some(why) = refusal(key, &Out::List(items.clone())) {
            items.pop();
            notes.add(at, format!("not taken: {why}"), &hint(key));
        }
        if !items.is_empty() {
            self.put(key, Out::List(items));
        }
    }

    /// Adds to a key that holds a mapping. An entry that is not accepted is left out, with a note.
    pub(super) fn insert(&mut self, key: &str, name: &str, value: Out, at: &At, notes: &mut Notes) {
        let mut entries = match self.take(key) {
            Some(Out::Map(entries)) => entries,
            Some(_) | None => Vec::new(),
        };
        let before = entries.clone();
        entries.retain(|(known, _)| known != name);
        entries.push((name.to_owned(), value));
        if let Some(why) = refusal(key, &Out::Map(entries.clone())) {
            entries = before;
            notes.add(at, format!("not taken: {why}"), &hint(key));
        }
        if !entries.is_empty() {
            self.put(key, Out::Map(entries));
        }
    }

    fn put(&mut self, key: &str, value: Out) {
        self.take(key);
        self.keys.push((key.to_owned(), value));
    }

    fn take(&mut self, key: &str) -> Option<Out> {
        let index = self.keys.iter().position(|(known, _)| known == key)?;
        Some(self.keys.remove(index).1)
    }

    pub(super) fn to_yaml(&self) -> String {
        let mut keys = self.keys.clone();
        let place = |key: &str| ORDER.iter().position(|known| *known == key);
        keys.sort_by_key(|(key, _)| place(key).unwrap_or(usize::MAX));
        // All keys are text.
        yaml::write_value(&Out::Map(keys)).unwrap_or_default()
    }
}

fn hint(key: &str) -> String {
    format!("`dubernetes explain {key}`")
}

/// Returns why the reader of manifests does not accept a value, if so. A value with a variable is
/// checked by `apply`.
fn refusal(key: &str, value: &Out) -> Option<String> {
    if value.has_open_variable() {
        return None;
    }
    let mut app = vec![("name".to_owned(), Out::text("a")), ("image".to_owned(), Out::text("a"))];
    app.retain(|(known, _)| known != key);
    app.push((key.to_owned(), value.clone()));
    if key == "health" {
        app.push(("port".to_owned(), Out::Whole(80)));
    }
    let text = yaml::write_value(&Out::Map(app)).ok()?;
    let text = text::unescape(&text);
    let source = Source { name: String::new(), text: text.into_bytes() };
    let found = crate::parse(&[source]).err()?;
    found.list.into_iter().next().map(|diagnostic| diagnostic.message)
}
