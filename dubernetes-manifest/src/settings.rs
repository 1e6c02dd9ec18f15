//! A file with settings of the program: one mapping of known keys to single values, read and told
//! like a file with apps. What the values mean, the caller knows.

use std::collections::BTreeMap;

use super::node::{Node, Place, RawDiagnostic, Value};
use super::{Diagnostics, Found, Source, keys, text, yaml};
use dubernetes_core::app::Problem;
use dubernetes_core::app::escape::{is_hidden, quoted, shown};

/// The settings in a file: each key with its value as text. An empty file has none.
///
/// `check` says what is wrong with the value of a key, if anything is; the path in its answer
/// does not count.
///
/// # Errors
///
/// Every problem of the file with its place: what is no YAML, unknown and doubled keys, values
/// that are missing or no single value, and what `check` refuses.
pub fn settings(
    source: &Source,
    known: &[&str],
    check: impl Fn(&str, &str) -> Result<(), Problem>,
) -> Result<BTreeMap<String, String>, Diagnostics> {
    let mut found = Found::default();
    let mut values = BTreeMap::new();
    match text::decode(&source.text) {
        Err(fault) => found.faults.push((0, *fault)),
        Ok(text) => {
            let yaml::Documents { roots, faults } = yaml::read(text);
            let read = Reader { known, check, values: &mut values, faults }.read(&roots);
            found.faults.extend(read.into_iter().map(|fault| (0, fault)));
        }
    }
    if found.faults.is_empty() {
        Ok(values)
    } else {
        Err(found.refused(std::slice::from_ref(source)))
    }
}

struct Reader<'a, C> {
    known: &'a [&'a str],
    check: C,
    values: &'a mut BTreeMap<String, String>,
    faults: Vec<RawDiagnostic>,
}

impl<C: Fn(&str, &str) -> Result<(), Problem>> Reader<'_, C> {
    fn read(mut self, roots: &[Node]) -> Vec<RawDiagnostic> {
        if let Some(second) = roots.get(1) {
            let message = "a file with settings is one document, and here a second one begins";
            self.faults.push(RawDiagnostic::new(second.place, "", message, "delete the `---`"));
        }
        let Some(root) = roots.first() else { return self.faults };
        let entries = match &root.value {
            Value::Map(entries) => entries.as_slice(),
            Value::Refused => &[],
            Value::Plain(_)
            | Value::Text(_)
            | Value::Number(_)
            | Value::Bool(_)
            | Value::Null
            | Value::List(_) => {
                let message =
                    format!("a file with settings is a mapping of keys, not {}", root.found());
                self.faults.push(RawDiagnostic::new(root.place, "", message, self.example()));
                return self.faults;
            }
        };
        let mut first: BTreeMap<&str, Place> = BTreeMap::new();
        for entry in entries {
            let key = entry.key.as_str();
            let fault = if let Some(place) = first.get(key) {
                let message = format!("the key {} is given twice", quoted(key));
                let fault =
                    RawDiagnostic::new(entry.key_place, shown(key), message, "delete one of them");
                Some(fault.with_other(*place, "first given here"))
            } else if self.known.contains(&key) {
                self.value(key, entry.key_place, &entry.value)
            } else {
                let message = format!("unknown key {}", quoted(key));
                let hint = match keys::nearest(key, self.known) {
                    Some((_, near)) => format!("did you mean `{near}`?"),
                    None => format!("there are: {}", self.known.join(", ")),
                };
                Some(RawDiagnostic::new(entry.key_place, shown(key), message, hint))
            };
            first.entry(key).or_insert(entry.key_place);
            self.faults.extend(fault);
        }
        self.faults
    }

    /// Takes a value, or says what is wrong with it.
    fn value(&mut self, key: &str, key_place: Place, node: &Node) -> Option<RawDiagnostic> {
        if node.is_null() {
            let hint = "delete the key to get the default";
            return Some(RawDiagnostic::new(key_place, key, format!("`{key}` has no value"), hint));
        }
        if matches!(node.value, Value::Refused) {
            return None;
        }
        let Some(text) = node.text() else {
            let message = format!("`{key}` must be a single value, not {}", node.found());
            let hint = format!("write it behind the key, as `{key}: …`");
            return Some(RawDiagnostic::new(node.place, key, message, hint));
        };
        if text.chars().any(is_hidden) {
            let message = format!("`{key}` has a character that cannot be seen: {}", quoted(text));
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
            Some(key) => format!("write each on its own line, as `{key}: …`"),
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
        settings(&source, &["port", "name"], check).map_err(|diagnostics| diagnostics.to_string())
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
    fn everything_wrong_is_told_at_once_with_its_place() {
        let text = read("prot: 80\nport: http\nname:\nname: x\n").unwrap_err();
        for part in [
            "error: unknown key `prot`\n --> config.yaml:1:1",
            "did you mean `port`?",
            "error: `port` cannot be `http`\n --> config.yaml:2:7",
            "error: `name` has no value\n --> config.yaml:3:1",
            "the key `name` is given twice",
            "4 problems in config.yaml",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }

    #[test]
    fn another_form_than_a_flat_mapping_is_refused() {
        for (text, part) in [
            ("port: [80]", "`port` must be a single value, not a list"),
            ("name: {a: b}", "`name` must be a single value, not a mapping"),
            ("- port", "is a mapping of keys, not a list"),
            ("80", "is a mapping of keys, not `80`"),
            ("port: 80\n---\nport: 81", "here a second one begins"),
            ("name: \"a\\u200bb\"", "cannot be seen"),
            ("name: &a b", "anchors"),
            ("nothing: 1", "there are: port, name"),
            ("name: \"", "quote"),
        ] {
            let told = read(text).unwrap_err();
            assert!(told.contains(part), "{part} is not in\n{told}");
        }
    }
}
