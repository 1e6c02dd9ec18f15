//! `environment` and `env_file`.

use super::draft::Out;
use super::notes::At;
use super::service::Service;
use crate::node::{Entry, Node, Value};

/// Reads `environment`: a mapping, or a list of `NAME=VALUE`.
pub(super) fn read(service: &mut Service<'_>, at: &At, node: &Node) {
    match &node.value {
        Value::Map(entries) => {
            for entry in entries {
                let at = at.below(entry);
                let value = entry.value.text().filter(|_| !entry.value.is_null());
                set(service, &at, &entry.key, value);
            }
        }
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                let at = at.item(index, item.place.line);
                let Some(text) = item.text() else { continue };
                match text.split_once('=') {
                    Some((name, value)) => set(service, &at, name, Some(value)),
                    None => set(service, &at, text, None),
                }
            }
        }
        Value::Plain(_)
        | Value::Text(_)
        | Value::Number(_)
        | Value::Bool(_)
        | Value::Null
        | Value::Refused => service.not_taken(at, "a mapping or a list was expected"),
    }
}

/// Sets a variable. Without a value Compose takes that of its caller.
fn set(service: &mut Service<'_>, at: &At, name: &str, value: Option<&str>) {
    let value = match value {
        Some(value) => service.convert(at, value),
        None => format!("${{{name}}}"),
    };
    service.insert("env", name, Out::Text(value), at);
}

/// Reads `env_file`: a path, a list of paths, or of mappings with `path`.
pub(super) fn read_files(service: &mut Service<'_>, at: &At, node: &Node) {
    let items = node.list().unwrap_or(std::slice::from_ref(node));
    for (index, item) in items.iter().enumerate() {
        let at = &at.item(index, item.place.line);
        let path = match item.map() {
            Some(options) => read_object(service, at, options),
            None => item.text(),
        };
        let Some(path) = path else { continue };
        let path = service.convert(at, path);
        let path = service.project.path(&path);
        service.push("env_file", Out::Text(path), at);
    }
}

fn read_object<'n>(service: &mut Service<'_>, at: &At, options: &'n [Entry]) -> Option<&'n str> {
    for option in options {
        match (option.key.as_str(), option.value.text()) {
            ("path", _) | ("required", Some("true")) => {}
            ("required", _) => service.note(
                &at.below(option),
                "not taken: `apply` needs every file that it names",
                "delete the entry from `env_file` where the file does not exist",
            ),
            _ => service.note(
                &at.below(option),
                "not taken: the lines of the file must be `KEY=VALUE`",
                "`dubernetes explain env_file`",
            ),
        }
    }
    options.iter().find(|option| option.key == "path")?.value.text()
}
