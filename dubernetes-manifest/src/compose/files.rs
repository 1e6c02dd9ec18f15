//! `secrets` and `configs` of a service: files that are copied into its containers.

use super::draft::Out;
use super::notes::At;
use super::service::Service;
use crate::node::{Entry, Node, Value};

/// Reads the list of one kind.
pub(super) fn read(service: &mut Service<'_>, kind: &'static str, at: &At, node: &Node) {
    let Value::List(items) = &node.value else {
        return service.not_taken(at, "a list was expected");
    };
    for (index, item) in items.iter().enumerate() {
        let at = at.item(index, item.place.line);
        match item.map() {
            Some(options) => read_object(service, kind, &at, options),
            None => {
                let Some(name) = item.text() else { continue };
                add(service, kind, &at, name, None, &[]);
            }
        }
    }
}

fn read_object(service: &mut Service<'_>, kind: &'static str, at: &At, options: &[Entry]) {
    let find = |name: &str| {
        options.iter().find(|option| option.key == name).and_then(|option| option.value.text())
    };
    let Some(name) = find("source") else {
        return service.not_taken(at, "`source` is missing");
    };
    add(service, kind, at, name, find("target"), options);
}

fn add(
    service: &mut Service<'_>,
    kind: &'static str,
    at: &At,
    name: &str,
    target: Option<&str>,
    options: &[Entry],
) {
    let Some(file) = service.project.file(kind, name).map(str::to_owned) else {
        return service.note(
            at,
            &format!("not taken: `{name}` has no `file:`"),
            "put the content into a file, and write `files: { /path: ./file }`",
        );
    };
    let folder = if kind == "secrets" { "/run/secrets/" } else { "/" };
    let target = match target {
        Some(target) if target.starts_with('/') => target.to_owned(),
        Some(target) => format!("{folder}{target}"),
        None => format!("{folder}{name}"),
    };
    let find = |name: &str| {
        options.iter().find(|option| option.key == name).and_then(|option| option.value.text())
    };
    let mut value = vec![("file".to_owned(), Out::Text(file.clone()))];
    if let Some(mode) = find("mode") {
        value.push(("mode".to_owned(), Out::text(mode.trim_start_matches("0o"))));
    }
    if let Some(user) = find("uid") {
        let group = find("gid").unwrap_or(user);
        value.push(("owner".to_owned(), Out::Text(format!("{user}:{group}"))));
    }
    let value = if value.len() == 1 { Out::Text(file) } else { Out::Map(value) };
    service.insert("files", &target, value, at);
}
