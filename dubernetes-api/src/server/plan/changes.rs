//! Fields in which two specs differ.

use std::collections::BTreeMap;

use dubernetes_core::app::AppSpec;
use serde_json::Value;

use crate::wire::FieldChange;

/// Returns every field that differs, ordered by path. A list of strings is one field.
pub(super) fn field_changes(old: &AppSpec, new: &AppSpec) -> Vec<FieldChange> {
    let mut old = flatten(old);
    let mut new = flatten(new);
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

fn flatten(spec: &AppSpec) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    // All map keys of a spec are strings, so it always serializes.
    flatten_into(String::new(), serde_json::to_value(spec).unwrap_or_default(), &mut fields);
    fields
}

fn flatten_into(path: String, value: Value, fields: &mut BTreeMap<String, String>) {
    match value {
        // The hash of a referenced file represents its content.
        Value::Object(mut object) if object.get("sha256").is_some_and(Value::is_string) => {
            if let Some(Value::String(hash)) = object.remove("sha256") {
                fields.insert(path.clone(), format!("sha256:{hash}"));
            }
            flatten_into(path, Value::Object(object), fields);
        }
        Value::Object(object) => {
            for (key, value) in object {
                let dot = if path.is_empty() { "" } else { "." };
                flatten_into(format!("{path}{dot}{key}"), value, fields);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for (at, item) in items.into_iter().enumerate() {
                flatten_into(format!("{path}.{at}"), item, fields);
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
    fn changed_fields_are_listed_with_both_values() {
        let old = spec(
            r#"{"name":"web","image":"web:1","replicas":2,"env":{"A":"1","B":"x"},"args":["a"]}"#,
        );
        let new = spec(
            r#"{"name":"web","image":"web:2","replicas":2,
                "env":{"A":"1","C":"y"},"args":["a","b"]}"#,
        );
        let changes: Vec<_> = field_changes(&old, &new)
            .into_iter()
            .map(|c| format!("{}: {:?} {:?}", c.path, c.old, c.new))
            .collect();
        assert_eq!(
            changes,
            [
                r#"args: Some("[\"a\"]") Some("[\"a\",\"b\"]")"#,
                r#"env.B: Some("x") None"#,
                r#"env.C: None Some("y")"#,
                r#"image: Some("web:1") Some("web:2")"#,
            ]
        );
        assert_eq!(field_changes(&old, &old), []);
    }

    #[test]
    fn file_content_is_shown_by_hash() {
        let with = |content: &str, file: &str| {
            let text = format!(
                r#"{{"name":"web","image":"web:1",
                "env":{{"A":{{"file":"{file}","content":"{content}"}}}},
                "env_file":[{{"file":".env","content":"{content}"}}]}}"#
            );
            field_changes(
                &spec(&text),
                &spec(r#"{"name":"web","image":"web:1","env":{"A":{"file":"b","content":""}}}"#),
            )
        };
        let changes: Vec<_> = with("YQ==", "a")
            .into_iter()
            .map(|c| format!("{}: {:?} {:?}", c.path, c.old, c.new))
            .collect();
        assert_eq!(
            changes,
            [
                r#"env.A: Some("sha256:ca978112ca1bbdca") Some("sha256:e3b0c44298fc1c14")"#,
                r#"env.A.file: Some("a") Some("b")"#,
                r#"env_file.0: Some("sha256:ca978112ca1bbdca") None"#,
                r#"env_file.0.file: Some(".env") None"#,
            ]
        );
    }
}
