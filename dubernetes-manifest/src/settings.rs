//! The settings file of the program: one mapping of known keys to single values, with the same
//! diagnostics as a manifest. The caller knows what the values mean.

use std::collections::BTreeMap;

use super::fields::{DELETE_ONE, FIRST};
use super::nearest::nearest;
use super::node::{Entry, Node, Place, Value};
use super::raw_diagnostic::RawDiagnostic;
use super::{Diagnostics, Source, batch, decode, yaml};
use dubernetes_core::app::Problem;
use dubernetes_core::app::escape::{escape, is_hidden, quote};

/// Parses a settings file into the text of each key. An empty file has no settings.
///
/// `check` returns the problem of a key's value. The path in its answer is ignored.
///
/// # Errors
///
/// Returns every problem with its place: invalid YAML, unknown and duplicate keys, values that are
/// missing or not single, and those that `check` refuses.
pub fn parse_settings(
    source: &Source,
    known: &[&str],
    check: impl Fn(&str, &str) -> Result<(), Problem>,
) -> Result<BTreeMap<String, String>, Diagnostics> {
    let mut reader = Reader { known, check, values: BTreeMap::new(), diagnostics: Vec::new() };
    match decode::decode(&source.text) {
        Err(diagnostic) => reader.diagnostics.push(*diagnostic),
        Ok(text) => {
            let yaml::Documents { roots, diagnostics } = yaml::read(text);
            reader.diagnostics = diagnostics;
            reader.read(&roots);
        }
    }
    if reader.diagnostics.is_empty() {
        return Ok(reader.values);
    }
    let diagnostics = reader.diagnostics.into_iter().map(|diagnostic| (0, diagnostic)).collect();
    Err(batch::locate_all(std::slice::from_ref(source), diagnostics))
}

struct Reader<'a, C> {
    known: &'a [&'a str],
    check: C,
    values: BTreeMap<String, String>,
    diagnostics: Vec<RawDiagnostic>,
}

impl<C: Fn(&str, &str) -> Result<(), Problem>> Reader<'_, C> {
    fn read(&mut self, roots: &[Node]) {
        if let Some(second) = roots.get(1) {
            let message = "a settings file must have a single document";
            self.diagnostics.push(RawDiagnostic::new(
                second.place,
                "",
                message,
                "delete the `---`",
            ));
        }
        let Some(root) = roots.first() else { return };
        match &root.value {
            Value::Map(entries) => self.read_entries(entries),
            Value::Refused => {}
            Value::Plain(_)
            | Value::Text(_)
            | Value::Number(_)
            | Value::Bool(_)
            | Value::Null
            | Value::List(_) => {
                let found = root.describe();
                let message = format!("a settings file must be a mapping, not {found}");
                let hint = self.example();
                self.diagnostics.push(RawDiagnostic::new(root.place, "", message, hint));
            }
        }
    }

    fn read_entries(&mut self, entries: &[Entry]) {
        let mut first: BTreeMap<&str, Place> = BTreeMap::new();
        for entry in entries {
            let key = entry.key.as_str();
            let report = |message: String, hint: &str| {
                RawDiagnostic::new(entry.key_place, escape(key), message, hint)
            };
            let diagnostic = if let Some(first) = first.get(key) {
                let duplicate = report(format!("duplicate key {}", quote(key)), DELETE_ONE);
                Some(duplicate.with_other(*first, FIRST))
            } else if self.known.contains(&key) {
                self.read_value(key, entry.key_place, &entry.value)
            } else {
                let hint = match nearest(key, self.known) {
                    Some((_, near)) => format!("did you mean `{near}`?"),
                    None => format!("the keys are {}", self.known.join(", ")),
                };
                Some(report(format!("unknown key {}", quote(key)), &hint))
            };
            first.entry(key).or_insert(entry.key_place);
            self.diagnostics.extend(diagnostic);
        }
    }

    /// Keeps a value, or returns its problem.
    fn read_value(&mut self, key: &str, key_place: Place, node: &Node) -> Option<RawDiagnostic> {
        if node.is_null() {
            let hint = "delete the key to use the default";
            return Some(RawDiagnostic::new(key_place, key, format!("`{key}` has no value"), hint));
        }
        if matches!(node.value, Value::Refused) {
            return None;
        }
        let Some(text) = node.text() else {
            let message = format!("`{key}` must be a single value, not {}", node.describe());
            let hint = format!("write it after the key, as in `{key}: …`");
            return Some(RawDiagnostic::new(node.place, key, message, hint));
        };
        if text.chars().any(is_hidden) {
            let message = format!("`{key}` contains a hidden character: {}", quote(text));
            return Some(RawDiagnostic::new(node.place, key, message, "delete it"));
        }
        match (self.check)(key, text) {
            Ok(()) => {
                self.values.insert(key.to_owned(), text.to_owned());
                None
            }
            Err(Problem { path: _, message, hint }) => {
                let place = node.place;
                Some(RawDiagnostic { place, path: key.to_owned(), message, hint, other: None })
            }
        }
    }

    fn example(&self) -> String {
        match self.known.first() {
            Some(key) => format!("write each key on its own line, as in `{key}: …`"),
            None => "delete the file".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<BTreeMap<String, String>, String> {
        let source = Source { name: "config.yaml".into(), text: text.into() };
        let check = |key: &str, value: &str| match key {
            "port" if value.parse::<u16>().is_err() => Err(Problem {
                path: String::new(),
                message: format!("`port` cannot be `{value}`"),
                hint: None,
            }),
            _ => Ok(()),
        };
        parse_settings(&source, &["port", "name"], check)
            .map_err(|diagnostics| diagnostics.to_string())
    }

    #[test]
    fn keys_and_values_are_read() {
        let expected = BTreeMap::from([("port", "80"), ("name", "a: b")]);
        let expected = expected.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        assert_eq!(read("port: 80 # the usual one\nname: 'a: b'\n"), Ok(expected));
        for empty in ["", "# port: 80\n", "---\n", "{}"] {
            assert_eq!(read(empty), Ok(BTreeMap::new()), "{empty:?}");
        }
    }

    #[test]
    fn all_problems_are_reported_with_their_places() {
        let text = read("prot: 80\nport: http\nname:\nname: x\n").unwrap_err();
        for part in [
            "error: unknown key `prot`\n --> config.yaml:1:1",
            "did you mean `port`?",
            "error: `port` cannot be `http`\n --> config.yaml:2:7",
            "error: `name` has no value\n --> config.yaml:3:1",
            "duplicate key `name`",
            "4 problems in config.yaml",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }

    #[test]
    fn other_forms_than_a_flat_mapping_are_refused() {
        for (text, part) in [
            ("port: [80]", "`port` must be a single value, not a list"),
            ("name: {a: b}", "`name` must be a single value, not a mapping"),
            ("- port", "must be a mapping, not a list"),
            ("80", "must be a mapping, not `80`"),
            ("port: 80\n---\nport: 81", "must have a single document"),
            ("name: \"a\\u200bb\"", "contains a hidden character"),
            ("name: *a", "refers to no value"),
            ("nothing: 1", "the keys are port, name"),
            ("name: \"", "quote"),
        ] {
            let problems = read(text).unwrap_err();
            assert!(problems.contains(part), "{part} is not in\n{problems}");
        }
    }
}
