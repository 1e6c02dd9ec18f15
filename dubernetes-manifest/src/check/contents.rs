//! `env`, `env_file` and `files`: what is written out, and what stands in files.
//!
//! Contents come from the one who reads a YAML file, or stand in a JSON body. A message never
//! repeats one.

use std::collections::BTreeMap;

use crate::fields::{Checker, Field, Fields};
use crate::keys;
use crate::node::{RawDiagnostic, Value};
use dubernetes_core::app::content::{ContentHash, decode};
use dubernetes_core::app::escape::quoted;
use dubernetes_core::app::rules::{self};
use dubernetes_core::app::{
    ConfigFile, EnvName, EnvValue, FileMode, FilePath, FileRef, FileTarget, Secret, Volume,
};

pub(super) fn env<'n>(
    checker: &mut Checker<'n>,
    fields: &Fields<'n>,
) -> BTreeMap<EnvName, EnvValue> {
    let mut env = BTreeMap::new();
    let Some(field) = checker.given(fields, "env") else { return env };
    for entry in checker.entries(&field) {
        let value = match &entry.node.value {
            Value::Map(_) => reference(checker, &entry, &[]).map(|(file, _)| EnvValue::File(file)),
            Value::Plain(_)
            | Value::Text(_)
            | Value::Number(_)
            | Value::Bool(_)
            | Value::Null
            | Value::List(_)
            | Value::Refused => checker.text(&entry).map(EnvValue::from),
        };
        let name = checker.key(&entry, EnvName::parse);
        if let (Some(name), Some(value)) = (name, value) {
            env.insert(name, value);
        }
    }
    let mut broken = Vec::new();
    rules::env(&env, &mut broken);
    checker.broken(broken);
    env
}

/// One env file, or a list of them.
pub(super) fn env_file<'n>(checker: &mut Checker<'n>, fields: &Fields<'n>) -> Vec<FileRef> {
    let Some(field) = checker.given(fields, "env_file") else { return Vec::new() };
    let items = match checker.list_or_one(&field) {
        Ok(items) => items,
        Err(one) => vec![one],
    };
    let read: Vec<Option<FileRef>> =
        items.iter().map(|item| Some(reference(checker, item, &[])?.0)).collect();
    let files: Vec<FileRef> = read.into_iter().flatten().collect();
    let mut broken = Vec::new();
    rules::env_files(&files, &mut broken);
    checker.broken(broken);
    files
}

pub(super) fn files<'n>(
    checker: &mut Checker<'n>,
    fields: &Fields<'n>,
    volumes: &[Volume],
) -> BTreeMap<FileTarget, ConfigFile> {
    let mut files = BTreeMap::new();
    let Some(field) = checker.given(fields, "files") else { return files };
    for entry in checker.entries(&field) {
        let file = config_file(checker, &entry);
        let target = checker.key(&entry, FileTarget::parse);
        if let (Some(target), Some(file)) = (target, file) {
            files.insert(target, file);
        }
    }
    let mut broken = Vec::new();
    rules::files(&files, volumes, &mut broken);
    checker.broken(broken);
    files
}

fn config_file<'n>(checker: &mut Checker<'n>, entry: &Field<'n>) -> Option<ConfigFile> {
    let (source, level) = reference(checker, entry, &["mode"])?;
    let mode = level.and_then(|level| checker.given(&level, &inside(entry, "mode")));
    let mode = match mode {
        Some(field) => checker.parsed(&field, FileMode::parse)?,
        None => FileMode::default(),
    };
    Some(ConfigFile { source, mode })
}

/// A path, or a mapping with `file` and what else is said of it; that is given back as well.
fn reference<'n>(
    checker: &mut Checker<'n>,
    field: &Field<'n>,
    others: &[&'static str],
) -> Option<(FileRef, Option<Fields<'n>>)> {
    if !matches!(field.node.value, Value::Map(_)) {
        let file = checker.parsed(field, FilePath::parse)?;
        let content = checker.read(field, &file);
        return Some((FileRef::joined(file, None, content?).ok()?, None));
    }
    let known = keys::of_file(checker.is_json(), others);
    let level = checker.level(field, &known)?;
    let path = checker.required(&level, &inside(field, "file"));
    let hash = checker.given(&level, &inside(field, "sha256"));
    let said = hash.as_ref().map(|field| checker.parsed(field, ContentHash::parse));
    let given = checker.given(&level, &inside(field, "content"));
    let given = given.map(|field| content(checker, &field));
    let file = path.as_ref().and_then(|path| checker.parsed(path, FilePath::parse));
    let read = match (&path, &file, given) {
        (_, _, Some(given)) => Some(given?),
        (Some(path), Some(file), None) => checker.read(path, file)?,
        (_, _, None) => None,
    };
    let said = match said {
        Some(said) => Some(said?),
        None => None,
    };
    match FileRef::joined(file?, said, read) {
        Ok(reference) => Some((reference, Some(level))),
        Err(rule) => {
            let at = hash.as_ref().unwrap_or(field);
            let hint = "delete `sha256` to take the file as it is now";
            checker.fault(RawDiagnostic::new(at.node.place, at.path.clone(), rule, hint));
            None
        }
    }
}

fn inside(field: &Field<'_>, key: &str) -> String {
    format!("{}.{key}", field.path)
}

/// The content in a JSON body. Whatever is wrong with it, it is not repeated.
fn content(checker: &mut Checker<'_>, field: &Field<'_>) -> Option<Secret> {
    let decoded = match field.node.text() {
        Some(text) => decode(text),
        None => Err("the `content` of a file is text".to_owned()),
    };
    decoded
        .map_err(|rule| {
            let hint = "for example `\"aGVsbG8=\"` for `hello`";
            checker.fault(RawDiagnostic::new(field.node.place, field.path.clone(), rule, hint));
        })
        .ok()
}

impl Checker<'_> {
    /// The content of a file that YAML refers to. `None`: it cannot be read, which is reported;
    /// `Some(None)`: nobody reads here.
    fn read(&mut self, field: &Field<'_>, file: &FilePath) -> Option<Option<Secret>> {
        let Some(read) = self.reader else { return Some(None) };
        match read(file.as_str()) {
            Ok(bytes) => Some(Some(Secret::new(bytes))),
            Err(why) => {
                let shown = quoted(file.as_str());
                let message = format!("the file {shown} cannot be read: {why}");
                let hint = "a path begins at the folder of the file that it stands in, or with `/`";
                self.fault(RawDiagnostic::new(field.node.place, field.path.clone(), message, hint));
                None
            }
        }
    }
}
