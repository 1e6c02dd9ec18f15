//! Reading of `env`, `env_file` and `files`: texts, and references to files and secrets.
//!
//! The contents of files come from the reader of the YAML file, or are part of a JSON body; those
//! of secrets come from the store. No message repeats a content.

use std::collections::BTreeMap;

use crate::fields::{Checker, Field, Fields};
use crate::node::Value;
use dubernetes_core::app::content::{ContentHash, decode};
use dubernetes_core::app::rules;
use dubernetes_core::app::{
    ConfigFile, ContentRef, ContentSource, EnvName, EnvValue, FileMode, FileOwner, FilePath,
    FileTarget, IssuedTls, ProvidedTls, Secret, SecretName, Tls, Volume,
};

pub(super) fn read_env<'n>(
    checker: &mut Checker<'n>,
    fields: &Fields<'n>,
) -> BTreeMap<EnvName, EnvValue> {
    let mut env = BTreeMap::new();
    let Some(field) = checker.optional(fields, "env") else { return env };
    for entry in checker.entries(&field) {
        let value = if matches!(entry.node.value, Value::Map(_)) {
            read_content_ref(checker, &entry).map(|(reference, _)| EnvValue::From(reference))
        } else {
            checker.text(&entry).map(EnvValue::from)
        };
        let name = checker.parse_key(&entry, EnvName::parse);
        if let (Some(name), Some(value)) = (name, value) {
            env.insert(name, value);
        }
    }
    checker.report_violations(rules::check_env(&env));
    env
}

pub(super) fn read_env_files<'n>(
    checker: &mut Checker<'n>,
    fields: &Fields<'n>,
) -> Vec<ContentRef> {
    let Some(field) = checker.optional(fields, "env_file") else { return Vec::new() };
    let items = field.items_or_self();
    let files: Vec<ContentRef> =
        items.iter().filter_map(|item| Some(read_content_ref(checker, item)?.0)).collect();
    checker.report_violations(rules::check_env_files(&files));
    files
}

pub(super) fn read_files<'n>(
    checker: &mut Checker<'n>,
    fields: &Fields<'n>,
    volumes: &[Volume],
) -> BTreeMap<FileTarget, ConfigFile> {
    let mut files = BTreeMap::new();
    let Some(field) = checker.optional(fields, "files") else { return files };
    for entry in checker.entries(&field) {
        let file = read_config_file(checker, &entry);
        let target = checker.parse_key(&entry, FileTarget::parse);
        if let (Some(target), Some(file)) = (target, file) {
            files.insert(target, file);
        }
    }
    checker.report_violations(rules::check_files(&files, volumes));
    files
}

/// Reads who issues a certificate, or the certificate and its key.
pub(super) fn read_tls<'n>(checker: &mut Checker<'n>, field: &Field<'n>) -> Option<Tls> {
    if !matches!(field.node.value, Value::Map(_)) {
        return checker.parse(field, IssuedTls::parse).map(Tls::Issued);
    }
    let fields = checker.object(field)?;
    let [cert, key] = ["cert", "key"].map(|key| {
        let field = checker.required(&fields, key)?;
        read_content_ref(checker, &field).map(|(reference, _)| reference)
    });
    Some(Tls::Provided(Box::new(ProvidedTls { cert: cert?, key: key? })))
}

fn read_config_file<'n>(checker: &mut Checker<'n>, entry: &Field<'n>) -> Option<ConfigFile> {
    let (source, fields) = read_content_ref(checker, entry)?;
    let Some(fields) = fields else {
        return Some(ConfigFile { source, mode: FileMode::default(), owner: None });
    };
    let mode = checker.parse_optional(&fields, "mode", FileMode::parse).unwrap_or_default();
    let owner = checker.parse_optional(&fields, "owner", FileOwner::parse);
    Some(ConfigFile { source, mode, owner })
}

/// Reads a path, or a mapping with `file` or `secret`. Returns the mapping's fields as well.
fn read_content_ref<'n>(
    checker: &mut Checker<'n>,
    field: &Field<'n>,
) -> Option<(ContentRef, Option<Fields<'n>>)> {
    if !matches!(field.node.value, Value::Map(_)) {
        let file = checker.parse(field, FilePath::parse)?;
        let content = checker.read_file(field, file.as_str()).ok()?.map(Secret::new);
        let source = ContentSource::File(file);
        return Some((ContentRef::from_parts(source, None, content).ok()?, None));
    }
    let fields = checker.object(field)?;
    let hash_field = checker.optional(&fields, "sha256");
    let hash = hash_field.as_ref().map(|field| checker.parse(field, ContentHash::parse));
    let read = match checker.optional(&fields, "secret") {
        Some(secret) => read_secret(checker, &fields, &secret).map(|source| (source, None)),
        None => read_file(checker, &fields, matches!(hash, Some(Some(_)))),
    };
    // An invalid hash was reported, and is not the same as none.
    let hash = match hash {
        Some(hash) => Some(hash?),
        None => None,
    };
    let (source, content) = read?;
    match ContentRef::from_parts(source, hash, content) {
        Ok(reference) => Some((reference, Some(fields))),
        Err(error) => {
            let at = hash_field.as_ref().unwrap_or(field);
            let hint = "delete `sha256` to accept the file as it is now";
            checker.report_value(at, error.to_string(), hint);
            None
        }
    }
}

/// Reads the name of a secret. Its value never comes with the app.
fn read_secret<'n>(
    checker: &mut Checker<'n>,
    fields: &Fields<'n>,
    secret: &Field<'n>,
) -> Option<ContentSource> {
    let name = checker.parse(secret, SecretName::parse);
    for other in ["file", "content"] {
        let Some(other) = checker.optional(fields, other) else { continue };
        let message = format!("`{}` cannot be combined with `{}`", other.path, secret.path);
        checker.report_value(&other, message, "`dubernetes secret set` sets the value of a secret");
        return None;
    }
    name.map(ContentSource::Secret)
}

/// Reads a path and, from the body or by the reader, the content of the file.
fn read_file<'n>(
    checker: &mut Checker<'n>,
    fields: &Fields<'n>,
    has_hash: bool,
) -> Option<(ContentSource, Option<Secret>)> {
    if fields.is_misspelt("secret") {
        return None;
    }
    let path = checker.required(fields, "file");
    let body = checker.optional(fields, "content").map(|field| read_content(checker, &field));
    let file = path.as_ref().and_then(|path| checker.parse(path, FilePath::parse));
    let content = match (body, &path, &file) {
        (Some(content), _, _) => Some(content?),
        // An exported app may be far from its files: the orchestrator knows a content by its hash.
        (None, Some(_), Some(file)) if has_hash && !checker.can_read(file.as_str()) => None,
        (None, Some(path), Some(file)) => {
            checker.read_file(path, file.as_str()).ok()?.map(Secret::new)
        }
        (None, _, _) => None,
    };
    Some((ContentSource::File(file?), content))
}

/// Reads the content in a JSON body.
fn read_content(checker: &mut Checker<'_>, field: &Field<'_>) -> Option<Secret> {
    let decoded = match field.node.text() {
        Some(text) => decode(text),
        None => Err("the `content` of a file must be text".into()),
    };
    let hint = "for example `\"aGVsbG8=\"` for `hello`";
    decoded.map_err(|error| checker.report_value(field, error.to_string(), hint)).ok()
}
