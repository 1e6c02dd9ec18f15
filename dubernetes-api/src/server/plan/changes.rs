//! The fields in which two specifications differ.

use std::collections::BTreeMap;

use dubernetes_core::app::AppSpec;
use serde_json::Value;

use crate::wire::FieldChange;

/// Every field that differs, in the order of the paths. A list of texts is one field.
pub(super) fn of(old: &AppSpec, new: &AppSpec) -> Vec<FieldChange> {
    let (mut old, mut new) = (flat(old), flat(new));
    old.retain(|path, value| {
        let same = new.get(path) == Some(value);
        if same {
            new.remove(path);
        }
        !same
    });
    let mut changes: BTreeMap<String, FieldChange> = BTreeMap::new();
    for (path, value) in old {
        let change = FieldChange { path: path.clone(), old: Some(value), new: new.remove(&path) };
        changes.insert(path, change);
    }
    for (path, value) in new {
        let change = FieldChange { path: path.clone(), old: None, new: Some(value) };
        changes.insert(path, change);
    }
    changes.into_values().collect()
}

fn flat(spec: &AppSpec) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    // A specification has no map with keys that are not text, so it always serializes.
    walk(String::new(), serde_json::to_value(spec).unwrap_or_default(), &mut fields);
    fields
}

fn walk(path: String, value: Value, fields: &mut BTreeMap<String, String>) {
    match value {
        // A file that is referred to: its hash stands for it.
        Value::Object(mut object) if object.get("sha256").is_some_and(Value::is_string) => {
            if let Some(Value::String(hash)) = object.remove("sha256") {
                fields.insert(path.clone(), format!("sha256:{hash}"));
            }
            walk(path, Value::Object(object), fields);
        }
        Value::Object(object) => {
            for (key, value) in object {
                let dot = if path.is_empty() { "" } else { "." };
                walk(format!("{path}{dot}{key}"), value, fields);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for (at, item) in items.into_iter().enumerate() {
                walk(format!("{path}.{at}"), item, fields);
            }
        }
        Value::String(text) => drop(fields.insert(path, text)),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_)) => {
            fields.insert(path, other.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(json: &str) -> AppSpec {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn each_field_that_differs_is_told_with_both_values() {
        let old = spec(
            r#"{"name":"web","image":"web:1","replicas":2,"env":{"A":"1","B":"x"},"args":["a"]}"#,
        );
        let new = spec(
            r#"{"name":"web","image":"web:2","replicas":2,"env":{"A":"1","C":"y"},"args":["a","b"]}"#,
        );
        let told: Vec<_> = of(&old, &new)
            .into_iter()
            .map(|c| format!("{}: {:?} {:?}", c.path, c.old, c.new))
            .collect();
        assert_eq!(
            told,
            [
                r#"args: Some("[\"a\"]") Some("[\"a\",\"b\"]")"#,
                r#"env.B: Some("x") None"#,
                r#"env.C: None Some("y")"#,
                r#"image: Some("web:1") Some("web:2")"#,
            ]
        );
        assert_eq!(of(&old, &old), []);
    }

    #[test]
    fn a_file_is_told_by_its_hash() {
        let with = |content: &str, file: &str| {
            let text = format!(
                r#"{{"name":"web","image":"web:1","env":{{"A":{{"file":"{file}","content":"{content}"}}}},
                "env_file":[{{"file":".env","content":"{content}"}}]}}"#
            );
            of(
                &spec(&text),
                &spec(r#"{"name":"web","image":"web:1","env":{"A":{"file":"b","content":""}}}"#),
            )
        };
        let told: Vec<_> = with("YQ==", "a")
            .into_iter()
            .map(|c| format!("{}: {:?} {:?}", c.path, c.old, c.new))
            .collect();
        assert_eq!(
            told,
            [
                r#"env.A: Some("sha256:ca978112ca1bbdca") Some("sha256:e3b0c44298fc1c14")"#,
                r#"env.A.file: Some("a") Some("b")"#,
                r#"env_file.0: Some("sha256:ca978112ca1bbdca") None"#,
                r#"env_file.0.file: Some(".env") None"#,
            ]
        );
    }
}
