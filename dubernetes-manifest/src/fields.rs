//! Reading single fields out of a tree: is the key there, is it known, has its value the type
//! that was expected. What the keys mean is decided in [`super::check`].

use std::collections::{BTreeMap, BTreeSet};

use super::node::{Entry, Node, Place, RawDiagnostic, Value};
use super::syntax::not_allowed;
use super::{keys, suggest};
use dubernetes_core::app::escape::{is_hidden, quoted, shown};

/// A field that was written.
#[derive(Debug, Clone)]
pub(super) struct Field<'n> {
    /// Keys and list positions joined by dots.
    pub(super) path: String,
    /// How a message names it.
    subject: String,
    key: &'n str,
    key_place: Place,
    pub(super) node: &'n Node,
}

/// The fields of one level by their paths, and where one that is missing would stand.
#[derive(Debug)]
pub(super) struct Fields<'n> {
    by_path: BTreeMap<String, Field<'n>>,
    /// Known keys that an unknown one was probably meant to be.
    misspelt: BTreeSet<String>,
    begin: Place,
}

/// Reads a file by its path as it is written; else says why not, in a few words.
pub(super) type Read<'r> = dyn Fn(&str) -> Result<Vec<u8>, String> + 'r;

/// Collects what is wrong.
pub(super) struct Checker<'n> {
    pub(super) root: &'n Node,
    pub(super) reader: Option<&'n Read<'n>>,
    faults: Vec<RawDiagnostic>,
    notes: Vec<(Place, String)>,
}

impl<'n> Checker<'n> {
    pub(super) fn new(root: &'n Node, reader: Option<&'n Read<'n>>) -> Self {
        Self { root, reader, faults: Vec::new(), notes: Vec::new() }
    }

    /// Whether the document is a JSON body, of which nothing has a line.
    pub(super) fn is_json(&self) -> bool {
        self.root.place.line == 0
    }

    pub(super) fn done(self) -> (Vec<RawDiagnostic>, Vec<(Place, String)>) {
        (self.faults, self.notes)
    }

    pub(super) fn fault(&mut self, fault: RawDiagnostic) {
        self.faults.push(fault);
    }

    pub(super) fn note(&mut self, field: &Field<'_>, text: String) {
        self.notes.push((field.node.place, text));
    }

    /// The keys of the document itself.
    pub(super) fn app_level(&mut self, root: &'n Node) -> Option<Fields<'n>> {
        match &root.value {
            Value::Map(entries) => Some(self.known(entries, "", &keys::APP, root.place)),
            Value::Refused => {
                // A tag or alias, reported for YAML already.
                None
            }
            Value::Plain(_)
            | Value::Text(_)
            | Value::Number(_)
            | Value::Bool(_)
            | Value::Null
            | Value::List(_) => {
                let glued = match &root.value {
                    Value::Plain(text) => text.starts_with("name:") || text.starts_with("image:"),
                    _ => false,
                };
                self.fault(RawDiagnostic::new(
                    root.place,
                    "",
                    format!("an app is a mapping with `name` and `image`, not {}", root.found()),
                    if glued {
                        "put a blank behind each `:`, as in `name: myapp`"
                    } else {
                        "begin with `name: myapp` and `image: myapp-image:1.5`, each on its own line"
                    },
                ));
                None
            }
        }
    }

    /// The keys under `field`, which must be a mapping with no other ones.
    pub(super) fn level(&mut self, field: &Field<'n>, known: &[&str]) -> Option<Fields<'n>> {
        let entries = self.map(field)?;
        Some(self.known(entries, &field.path, known, field.key_place))
    }

    /// The entries of `field`, which must be a mapping with keys of the user's own.
    pub(super) fn entries(&mut self, field: &Field<'n>) -> Vec<Field<'n>> {
        let Some(entries) = self.map(field) else { return Vec::new() };
        self.unique(entries, &field.path)
    }

    /// The key of an entry, if it is one that `parse` accepts.
    pub(super) fn key<T>(
        &mut self,
        field: &Field<'n>,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        if let Some(bad) = field.key.chars().find(|c| is_hidden(*c)) {
            let message = format!("{} in a key", not_allowed(bad));
            self.fault(RawDiagnostic::new(
                field.key_place,
                field.path.clone(),
                message,
                "delete it",
            ));
            return None;
        }
        let rule = match parse(field.key) {
            Ok(key) => return Some(key),
            Err(rule) => rule,
        };
        let hint = format!("for example `{}`", keys::example(&field.path));
        self.fault(RawDiagnostic::new(field.key_place, field.path.clone(), rule, hint));
        None
    }

    /// The field at `path` if it was written, with a value.
    pub(super) fn given(&mut self, fields: &Fields<'n>, path: &str) -> Option<Field<'n>> {
        let field = fields.by_path.get(path)?;
        self.has_value(field).then(|| field.clone())
    }

    /// The field at `path`, which must have been written, with a value.
    pub(super) fn required(&mut self, fields: &Fields<'n>, path: &str) -> Option<Field<'n>> {
        if !fields.by_path.contains_key(path) && !fields.misspelt.contains(path) {
            self.fault(RawDiagnostic::new(
                fields.begin,
                path,
                format!("`{path}` is missing"),
                format!("for example `{}`", keys::example(path)),
            ));
        }
        self.given(fields, path)
    }

    /// A text that `parse` accepts and that a reader can see.
    pub(super) fn parsed<T>(
        &mut self,
        field: &Field<'n>,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.text(field)?;
        let (rule, hint) = match text.chars().find(|c| is_hidden(*c)) {
            Some(bad) => (not_allowed(bad), "delete it".to_owned()),
            None => match parse(text) {
                Ok(value) => return Some(value),
                Err(rule) => (rule, suggest::instead(&field.path, text)),
            },
        };
        self.fault(RawDiagnostic::new(field.node.place, field.path.clone(), rule, hint));
        None
    }

    /// Any text.
    pub(super) fn text(&mut self, field: &Field<'n>) -> Option<&'n str> {
        if !self.has_value(field) {
            return None;
        }
        let text = field.node.text();
        if text.is_none() {
            self.wrong_type(field, "text");
        }
        text
    }

    /// The digits of a whole number: no quotes, sign, fraction, exponent, separator or leading
    /// zero.
    pub(super) fn whole(&mut self, field: &Field<'n>) -> Option<&'n str> {
        if let Value::Plain(text) | Value::Number(text) = &field.node.value
            && is_whole(text)
        {
            return Some(text);
        }
        let message =
            format!("{} must be a whole number, not {}", field.subject, field.node.found());
        let hint = whole_hint(field);
        self.fault(RawDiagnostic::new(field.node.place, field.path.clone(), message, hint));
        None
    }

    /// The items of a list.
    pub(super) fn list(&mut self, field: &Field<'n>) -> Vec<Field<'n>> {
        if let Value::List(items) = &field.node.value {
            return numbered(field, items);
        }
        self.wrong_type(field, "a list");
        Vec::new()
    }

    /// The items of a list, or the field itself where it is none.
    pub(super) fn list_or_one(&self, field: &Field<'n>) -> Result<Vec<Field<'n>>, Field<'n>> {
        match &field.node.value {
            Value::List(items) => Ok(numbered(field, items)),
            Value::Plain(_)
            | Value::Text(_)
            | Value::Number(_)
            | Value::Bool(_)
            | Value::Null
            | Value::Map(_)
            | Value::Refused => Err(field.clone()),
        }
    }

    fn map(&mut self, field: &Field<'n>) -> Option<&'n [Entry]> {
        if let Value::Map(entries) = &field.node.value {
            return Some(entries);
        }
        self.wrong_type(field, "a mapping");
        None
    }

    fn wrong_type(&mut self, field: &Field<'n>, expected: &str) {
        let place = match &field.node.value {
            // What begins on a later line is named by its key.
            Value::List(_) | Value::Map(_)
                if field.node.place.line != field.key_place.line && !field.key.is_empty() =>
            {
                field.key_place
            }
            _ => field.node.place,
        };
        let message = format!("{} must be {expected}, not {}", field.subject, field.node.found());
        let hint = match &field.node.value {
            Value::Map(_) if field.key.is_empty() => {
                "put quotes around a text that contains `: `".to_owned()
            }
            _ => format!("for example `{}`", keys::example(&field.path)),
        };
        self.fault(RawDiagnostic::new(place, field.path.clone(), message, hint));
    }

    /// Whether there is anything to check; a key without a value is reported.
    fn has_value(&mut self, field: &Field<'n>) -> bool {
        if !field.node.is_null() {
            return !matches!(field.node.value, Value::Refused);
        }
        let message = format!("{} has no value", field.subject);
        let hint = match field.path.split('.').next() {
            _ if matches!(field.path.as_str(), "name" | "image" | "access.host") => {
                format!("for example `{}`", keys::example(&field.path))
            }
            Some("env" | "env_file" | "files")
                if matches!(field.key, "file" | "sha256" | "mode") =>
            {
                format!("for example `{}`", keys::example(&field.path))
            }
            Some("files") if field.path.contains('.') => {
                format!("for example `{}`", keys::example(&field.path))
            }
            Some("env" | "labels" | "command" | "args") if field.path.contains('.') => {
                "write `\"\"` for an empty text, or put quotes around the word".into()
            }
            _ if field.key.is_empty() => "delete the entry".into(),
            _ => "delete the key to get the default".into(),
        };
        let empty = field.node.place.start == field.node.place.end && !field.key.is_empty();
        let place = if empty { field.key_place } else { field.node.place };
        self.fault(RawDiagnostic::new(place, field.path.clone(), message, hint));
        false
    }

    /// The entries with known keys; the others are reported.
    fn known(
        &mut self,
        entries: &'n [Entry],
        path: &str,
        known: &[&str],
        outside: Place,
    ) -> Fields<'n> {
        let begin = match entries.first() {
            Some(entry) if path.is_empty() => entry.key_place,
            _ => outside,
        };
        let mut by_path = BTreeMap::new();
        let mut misspelt = BTreeSet::new();
        for field in self.unique(entries, path) {
            if known.contains(&field.key) {
                by_path.insert(field.path.clone(), field);
            } else {
                self.unknown(&field, path);
                let meant = keys::nearest(field.key, known);
                misspelt.extend(meant.map(|(_, meant)| join(path, meant)));
            }
        }
        Fields { by_path, misspelt, begin }
    }

    fn unknown(&mut self, field: &Field<'n>, path: &str) {
        let (message, hint) = match field.key.chars().find(|c| is_hidden(*c)) {
            Some(bad) => (format!("{} in a key", not_allowed(bad)), "delete it".to_owned()),
            None => {
                let inside = if path.is_empty() { String::new() } else { format!(" in `{path}`") };
                let message = format!("unknown key {}{inside}", quoted(field.key));
                (message, keys::advice(path, field.key))
            }
        };
        self.fault(RawDiagnostic::new(field.key_place, field.path.clone(), message, hint));
    }

    /// The first entry of each key; the others are reported.
    fn unique(&mut self, entries: &'n [Entry], path: &str) -> Vec<Field<'n>> {
        let mut first: BTreeMap<&str, Place> = BTreeMap::new();
        let mut fields = Vec::new();
        for entry in entries {
            let field = field(path, entry);
            if let Some(place) = first.get(entry.key.as_str()) {
                let message = format!("the key {} is given twice", quoted(&entry.key));
                let fault = RawDiagnostic::new(
                    entry.key_place,
                    field.path,
                    message,
                    "delete one of the two",
                );
                self.fault(fault.with_other(*place, "first given here"));
            } else {
                first.insert(&entry.key, entry.key_place);
                fields.push(field);
            }
        }
        fields
    }
}

fn field<'n>(path: &str, entry: &'n Entry) -> Field<'n> {
    let path = join(path, &shown(&entry.key));
    let subject = format!("`{path}`");
    Field { path, subject, key: &entry.key, key_place: entry.key_place, node: &entry.value }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn numbered<'n>(list: &Field<'n>, items: &'n [Node]) -> Vec<Field<'n>> {
    let numbered = items.iter().enumerate().map(|(index, node)| Field {
        path: format!("{}.{index}", list.path),
        subject: format!("entry {} of `{}`", index + 1, list.path),
        key: "",
        key_place: list.key_place,
        node,
    });
    numbered.collect()
}

fn is_whole(text: &str) -> bool {
    let digits = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    digits && (text == "0" || !text.starts_with('0'))
}

fn whole_hint(field: &Field<'_>) -> String {
    let key = &field.path;
    let example = format!("for example `{}`", keys::example(key));
    let Some(text) = field.node.text() else { return example };
    let last = text.rsplit(':').next().unwrap_or(text);
    let bare = last.split('/').next().unwrap_or(last);
    match &field.node.value {
        Value::Text(text) if is_whole(text) => format!("without quotes: `{key}: {text}`"),
        _ if key != "port" || !is_whole(bare) || bare.len() > 5 => example,
        _ if text.contains(':') => format!(
            "replicas publish no port of the host: give the one in the container, `port: {bare}`"
        ),
        _ => format!("without the protocol: `port: {bare}`"),
    }
}
