//! Reading single fields of a tree: whether the key exists and is known, and whether its value has
//! the expected type. [`super::check`] gives the keys their meaning.

mod hints;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use super::ReadFile;
use super::nearest::nearest;
use super::node::{Entry, Node, Place, Value};
use super::raw_diagnostic::RawDiagnostic;
use super::reference::{self, Key, Kind, ObjectKind};
use super::suggest::{example_hint, suggestion};
use super::syntax::not_allowed;
use dubernetes_core::app::ParseError;
use dubernetes_core::app::escape::{escape, is_hidden, quote};
use dubernetes_core::app::rules::Violation;

/// A field that exists, or an entry of a list or map.
#[derive(Debug, Clone)]
pub(super) struct Field<'n> {
    /// Keys and list positions, joined by dots.
    pub(super) path: String,
    pub(super) node: &'n Node,
    /// The legal values.
    pub(super) kind: &'static Kind,
    /// The key of the reference; `None` for an entry.
    known: Option<&'static Key>,
    /// The key as written; empty for an item of a list.
    key: &'n str,
    key_place: Place,
}

/// The fields of one mapping with fixed keys.
#[derive(Debug)]
pub(super) struct Fields<'n> {
    path: String,
    by_name: BTreeMap<&'static str, Field<'n>>,
    /// Known keys that an unknown key probably stands for.
    misspelt: BTreeSet<&'static str>,
    /// Where a missing key is reported.
    start: Place,
}

impl Fields<'_> {
    /// Returns whether an unknown key, which was reported, probably stands for `name`.
    pub(super) fn is_misspelt(&self, name: &str) -> bool {
        self.misspelt.contains(name)
    }
}

/// The reader of the files that a document refers to, and the document's source.
pub(super) type Reader<'n> = (&'n ReadFile<'n>, &'n super::Source);

/// Reads the fields of one document, and collects the diagnostics.
pub(super) struct Checker<'n> {
    root: &'n Node,
    reader: Option<Reader<'n>>,
    diagnostics: Vec<RawDiagnostic>,
    notes: Vec<(Place, String)>,
}

impl<'n> Checker<'n> {
    pub(super) fn new(root: &'n Node, reader: Option<Reader<'n>>) -> Self {
        Self { root, reader, diagnostics: Vec::new(), notes: Vec::new() }
    }

    /// Returns the diagnostics, and the notes with their places.
    pub(super) fn finish(self) -> (Vec<RawDiagnostic>, Vec<(Place, String)>) {
        (self.diagnostics, self.notes)
    }

    pub(super) fn report(&mut self, diagnostic: RawDiagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// Reports a problem with the value of `field`.
    pub(super) fn report_value(
        &mut self,
        field: &Field<'_>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.report(RawDiagnostic::new(field.node.place, field.path.clone(), message, hint));
    }

    /// Reports broken rules at the places of the values that break them.
    pub(super) fn report_violations(&mut self, violations: impl IntoIterator<Item = Violation>) {
        for Violation { problem, first } in violations {
            let hint = problem.hint.unwrap_or_else(|| example_hint(&problem.path));
            let place = self.place_of_rule(&problem.path);
            let mut diagnostic = RawDiagnostic::new(place, problem.path, problem.message, hint);
            if let Some(first) = first {
                diagnostic = diagnostic.with_other(self.root.place_of(&first), FIRST);
            }
            self.report(diagnostic);
        }
    }

    /// A rule over a whole list or mapping is reported at the key, any other at the value.
    fn place_of_rule(&self, path: &str) -> Place {
        let Some((key_place, node)) = self.root.find(path) else { return self.root.place };
        let at_key = path.starts_with("labels.") || node.is_collection();
        if at_key { key_place } else { node.place }
    }

    /// Records that a value was accepted in another form than it was written.
    pub(super) fn note(&mut self, field: &Field<'_>, text: String) {
        self.notes.push((field.node.place, text));
    }

    /// Returns whether the file at `path` can be read; without a reader no file has to be.
    pub(super) fn can_read(&self, path: &str) -> bool {
        self.reader.is_none_or(|(read, source)| read(source, path).is_ok())
    }

    /// Returns the content of a file that `field` refers to by `path`: `Ok(None)` without a
    /// reader, and an error if the file cannot be read, which is reported.
    pub(super) fn read_file(
        &mut self,
        field: &Field<'_>,
        path: &str,
    ) -> Result<Option<Vec<u8>>, Reported> {
        let Some((read, source)) = self.reader else { return Ok(None) };
        read(source, path).map(Some).map_err(|reason| {
            let message = format!("cannot read the file {}: {reason}", quote(path));
            self.report_value(field, message, "relative paths start at the folder of the manifest");
            Reported
        })
    }

    /// Returns the fields of the document itself.
    pub(super) fn root_object(&mut self) -> Option<Fields<'n>> {
        let root = self.root;
        let starts_with_key = match &root.value {
            Value::Map(entries) => {
                return Some(self.known_fields(entries, "", &reference::ROOT, root.place));
            }
            Value::Refused => return None,
            Value::Plain(text) => text.starts_with("name:") || text.starts_with("image:"),
            Value::Text(_) | Value::Number(_) | Value::Bool(_) | Value::Null | Value::List(_) => {
                false
            }
        };
        let found = root.describe();
        let message = format!("an app must be a mapping with `name` and `image`, not {found}");
        let hint = if starts_with_key {
            "put a space after each `:`, as in `name: myapp`"
        } else {
            "start with `name: myapp` and `image: myapp-image:1.5`, each on its own line"
        };
        self.report(RawDiagnostic::new(root.place, "", message, hint));
        None
    }

    /// Returns the fields of `field`, which must be a mapping with fixed keys.
    pub(super) fn object(&mut self, field: &Field<'n>) -> Option<Fields<'n>> {
        let object = field.kind.object()?;
        let entries = self.map(field)?;
        Some(self.known_fields(entries, &field.path, object, field.key_place))
    }

    /// Returns the entries of `field`, which must be a mapping with keys of the user.
    pub(super) fn entries(&mut self, field: &Field<'n>) -> Vec<Field<'n>> {
        let (Some(kind), Some(entries)) = (field.kind.entry(), self.map(field)) else {
            return Vec::new();
        };
        let unique = self.unique_entries(entries, &field.path);
        unique.into_iter().map(|(path, entry)| Field::new(path, entry, kind, None)).collect()
    }

    /// Parses the key of an entry.
    pub(super) fn parse_key<T>(
        &mut self,
        field: &Field<'n>,
        parse: impl FnOnce(&str) -> Result<T, ParseError>,
    ) -> Option<T> {
        let (message, hint) = match field.key.chars().find(|c| is_hidden(*c)) {
            Some(bad) => (format!("{} in a key", not_allowed(bad)), "delete it".to_owned()),
            None => match parse(field.key) {
                Ok(key) => return Some(key),
                Err(error) => (error.to_string(), example_hint(&field.path)),
            },
        };
        self.report(RawDiagnostic::new(field.key_place, field.path.clone(), message, hint));
        None
    }

    /// Returns the field `name` if it exists and has a value.
    pub(super) fn optional(&mut self, fields: &Fields<'n>, name: &str) -> Option<Field<'n>> {
        let field = fields.by_name.get(name)?;
        self.has_value(field).then(|| field.clone())
    }

    /// Returns the field `name`, which must exist and have a value.
    pub(super) fn required(&mut self, fields: &Fields<'n>, name: &str) -> Option<Field<'n>> {
        if !fields.by_name.contains_key(name) && !fields.misspelt.contains(name) {
            let path = join(&fields.path, name);
            let (message, hint) = (format!("`{path}` is missing"), example_hint(&path));
            self.report(RawDiagnostic::new(fields.start, path, message, hint));
        }
        self.optional(fields, name)
    }

    /// Parses the text of the field `name` if it exists.
    pub(super) fn parse_optional<T>(
        &mut self,
        fields: &Fields<'n>,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, ParseError>,
    ) -> Option<T> {
        let field = self.optional(fields, name)?;
        self.parse(&field, parse)
    }

    /// Parses the text of `field`, which must not contain hidden characters.
    pub(super) fn parse<T>(
        &mut self,
        field: &Field<'n>,
        parse: impl FnOnce(&str) -> Result<T, ParseError>,
    ) -> Option<T> {
        let text = self.text(field)?;
        let (message, hint) = match text.chars().find(|c| is_hidden(*c)) {
            Some(bad) => (not_allowed(bad), "delete it".to_owned()),
            None => match parse(text) {
                Ok(value) => return Some(value),
                Err(error) => (error.to_string(), suggestion(&field.path, text)),
            },
        };
        self.report_value(field, message, hint);
        None
    }

    /// Returns the text of `field`.
    pub(super) fn text(&mut self, field: &Field<'n>) -> Option<&'n str> {
        if !self.has_value(field) {
            return None;
        }
        let text = field.node.text();
        if text.is_none() {
            self.report_wrong_type(field, "text");
        }
        text
    }

    /// Returns the number `name` in `range` if it exists; `violation` reports any other.
    pub(super) fn optional_number(
        &mut self,
        fields: &Fields<'n>,
        name: &str,
        range: RangeInclusive<u16>,
        violation: impl FnOnce(&str) -> Violation,
    ) -> Option<u16> {
        let field = self.optional(fields, name)?;
        let digits = self.digits(&field)?;
        let number = digits.parse().ok().filter(|number| range.contains(number));
        if number.is_none() {
            self.report_violations([violation(&quote(digits))]);
        }
        number
    }

    /// Returns the digits of a whole number: no quotes, sign, fraction, exponent, separator or
    /// leading zero.
    pub(super) fn digits(&mut self, field: &Field<'n>) -> Option<&'n str> {
        if let Value::Plain(text) | Value::Number(text) = &field.node.value
            && is_whole(text)
        {
            return Some(text);
        }
        let (subject, found) = (field.subject(), field.node.describe());
        let message = format!("{subject} must be a whole number, not {found}");
        self.report_value(field, message, hints::number_hint(field));
        None
    }

    /// Returns the items of `field`, which must be a list.
    pub(super) fn items(&mut self, field: &Field<'n>) -> Option<Vec<Field<'n>>> {
        let items = field.items();
        if items.is_none() {
            self.report_wrong_type(field, "a list");
        }
        items
    }

    /// Returns the texts of `field`, which must be a list of texts. One wrong item yields `None`:
    /// the positions of the others would be wrong.
    pub(super) fn texts(&mut self, field: &Field<'n>) -> Option<Vec<String>> {
        let texts = self.items(field)?.into_iter().map(|item| self.text(&item).map(str::to_owned));
        // All items are checked before the first failure counts.
        texts.collect::<Vec<_>>().into_iter().collect()
    }

    fn map(&mut self, field: &Field<'n>) -> Option<&'n [Entry]> {
        if let Value::Map(entries) = &field.node.value {
            return Some(entries);
        }
        self.report_wrong_type(field, "a mapping");
        None
    }

    fn report_wrong_type(&mut self, field: &Field<'n>, expected: &str) {
        // A collection that starts on a later line is reported at its key.
        let below = field.node.is_collection() && field.node.place.line != field.key_place.line;
        let place = if below && !field.is_item() { field.key_place } else { field.node.place };
        let (subject, found) = (field.subject(), field.node.describe());
        let message = format!("{subject} must be {expected}, not {found}");
        let hint = if field.is_item() && matches!(field.node.value, Value::Map(_)) {
            "put quotes around a text that contains `: `".to_owned()
        } else {
            example_hint(&field.path)
        };
        self.report(RawDiagnostic::new(place, field.path.clone(), message, hint));
    }

    /// Returns whether `field` has a value to check. A key without a value is reported.
    fn has_value(&mut self, field: &Field<'n>) -> bool {
        if !field.node.is_null() {
            return !matches!(field.node.value, Value::Refused);
        }
        let left_out = field.node.place.start == field.node.place.end;
        let place = if left_out && !field.is_item() { field.key_place } else { field.node.place };
        let message = format!("{} has no value", field.subject());
        self.report(RawDiagnostic::new(
            place,
            field.path.clone(),
            message,
            hints::no_value_hint(field),
        ));
        false
    }

    /// Returns the entries whose keys `object` has. The others are reported.
    fn known_fields(
        &mut self,
        entries: &'n [Entry],
        path: &str,
        object: &'static ObjectKind,
        outside: Place,
    ) -> Fields<'n> {
        let start = match entries.first() {
            Some(entry) if path.is_empty() => entry.key_place,
            _ => outside,
        };
        // Only documents of JSON bodies have no lines.
        let is_body = self.root.place.line == 0;
        let body_only = if is_body { object.body_only } else { &[] };
        let mut by_name = BTreeMap::new();
        let mut misspelt = BTreeSet::new();
        for (field_path, entry) in self.unique_entries(entries, path) {
            let mut keys = object.keys.iter().chain(body_only);
            match keys.find(|key| key.name == entry.key) {
                Some(key) => {
                    by_name.insert(key.name, Field::new(field_path, entry, &key.kind, Some(key)));
                }
                // As in Compose: a place for anchors, and for the notes of other tools.
                None if path.is_empty() && entry.key.starts_with("x-") && !is_body => {}
                None => {
                    self.report_unknown_key(entry, field_path, object, path);
                    misspelt.extend(nearest(&entry.key, &object.names()).map(|(_, name)| name));
                }
            }
        }
        Fields { path: path.to_owned(), by_name, misspelt, start }
    }

    fn report_unknown_key(
        &mut self,
        entry: &Entry,
        field_path: String,
        object: &ObjectKind,
        path: &str,
    ) {
        let (message, hint) = match entry.key.chars().find(|c| is_hidden(*c)) {
            Some(bad) => (format!("{} in a key", not_allowed(bad)), "delete it".to_owned()),
            None => {
                let inside = if path.is_empty() { String::new() } else { format!(" in `{path}`") };
                let message = format!("unknown key {}{inside}", quote(&entry.key));
                (message, reference::unknown_key_hint(object, path, &entry.key))
            }
        };
        self.report(RawDiagnostic::new(entry.key_place, field_path, message, hint));
    }

    /// Returns the first entry of each key with its path. Duplicates are reported.
    fn unique_entries(&mut self, entries: &'n [Entry], path: &str) -> Vec<(String, &'n Entry)> {
        let mut first: BTreeMap<&str, Place> = BTreeMap::new();
        let mut unique = Vec::new();
        for entry in entries {
            let path = join(path, &escape(&entry.key));
            if let Some(first) = first.get(entry.key.as_str()) {
                let message = format!("duplicate key {}", quote(&entry.key));
                let duplicate = RawDiagnostic::new(entry.key_place, path, message, DELETE_ONE);
                self.report(duplicate.with_other(*first, FIRST));
            } else {
                first.insert(&entry.key, entry.key_place);
                unique.push((path, entry));
            }
        }
        unique
    }
}

/// The label of the first of two values that collide.
pub(super) const FIRST: &str = "first defined here";
pub(super) const DELETE_ONE: &str = "delete one of the two";

/// The mark of a problem that was reported already.
#[derive(Debug)]
pub(super) struct Reported;

impl Fields<'_> {
    /// Returns whether the key `name` exists, even if it has no value.
    pub(super) fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }
}

impl<'n> Field<'n> {
    fn new(
        path: String,
        entry: &'n Entry,
        kind: &'static Kind,
        known: Option<&'static Key>,
    ) -> Self {
        let (key, key_place) = (entry.key.as_str(), entry.key_place);
        Self { path, node: &entry.value, kind, known, key, key_place }
    }

    /// Returns the items of a list, or the field itself as the only item.
    pub(super) fn items_or_self(&self) -> Vec<Self> {
        self.items().unwrap_or_else(|| {
            let kind = self.kind.entry().unwrap_or(self.kind);
            vec![Self { kind, ..self.clone() }]
        })
    }

    fn items(&self) -> Option<Vec<Self>> {
        let Value::List(items) = &self.node.value else { return None };
        let kind = self.kind.entry()?;
        let items = items.iter().enumerate().map(|(index, node)| Self {
            path: format!("{}.{index}", self.path),
            node,
            kind,
            known: None,
            key: "",
            key_place: self.key_place,
        });
        Some(items.collect())
    }

    /// Returns whether the value is a list.
    pub(super) fn is_list(&self) -> bool {
        matches!(self.node.value, Value::List(_))
    }

    fn is_item(&self) -> bool {
        self.known.is_none() && self.key.is_empty()
    }

    /// Returns the field's name in messages.
    fn subject(&self) -> String {
        match self.path.rsplit_once('.') {
            Some((list, index)) if self.is_item() => {
                let number = index.parse::<usize>().map_or(0, |index| index + 1);
                format!("entry {number} of `{list}`")
            }
            _ => format!("`{}`", self.path),
        }
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn is_whole(text: &str) -> bool {
    let is_digits = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    is_digits && (text == "0" || !text.starts_with('0'))
}
