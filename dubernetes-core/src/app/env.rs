//! The environment of a replica: values from the manifest, and values from files.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::content::{FileRef, Secret};
use super::{AppSpec, EnvName};

/// The value of one environment variable.
///
/// Serializes as text or as a [`FileRef`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum EnvValue {
    /// A text in the manifest. It is not a secret.
    Text(String),
    /// The content of a file, without one trailing line break.
    File(FileRef),
}

impl EnvValue {
    /// Returns the reference of a value from a file.
    pub fn file_ref(&self) -> Option<&FileRef> {
        match self {
            Self::File(reference) => Some(reference),
            Self::Text(_) => None,
        }
    }
}

impl From<String> for EnvValue {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for EnvValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// The variables that a replica gets. No name is in both maps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// Values that may be shown.
    pub plain: BTreeMap<String, String>,
    /// Values from files.
    pub secret: BTreeMap<String, Secret>,
}

/// Merges `env_file` and `env`: later files override earlier ones, and `env` overrides all files.
/// Contents that are unknown or invalid are skipped.
pub(super) fn merge(spec: &AppSpec) -> Environment {
    let mut merged = Environment::default();
    for content in spec.env_file.iter().filter_map(FileRef::known_content) {
        for (name, value) in parse_env_file(content.reveal()).unwrap_or_default() {
            merged.secret.insert(name.to_string(), Secret::new(value));
        }
    }
    for (name, value) in &spec.env {
        let name = name.to_string();
        match value {
            EnvValue::Text(text) => {
                merged.secret.remove(&name);
                merged.plain.insert(name, text.clone());
            }
            EnvValue::File(reference) => {
                let content = reference.known_content();
                if let Some(text) = content.and_then(|secret| value_text(secret).ok()) {
                    merged.secret.insert(name, Secret::new(text.to_owned()));
                }
            }
        }
    }
    merged
}

/// Returns the value in a file, without one trailing line break.
///
/// # Errors
///
/// Returns what is wrong with the content, as a predicate that does not repeat it.
pub fn value_text(secret: &Secret) -> Result<&str, &'static str> {
    let text = std::str::from_utf8(secret.reveal()).map_err(|_| "is not UTF-8")?;
    if text.contains('\0') {
        return Err("contains a NUL character");
    }
    Ok(text.strip_suffix("\r\n").or_else(|| text.strip_suffix('\n')).unwrap_or(text))
}

/// A line of an env file that cannot be parsed. It does not repeat the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvFileError {
    /// The line number, from 1.
    pub line: usize,
    /// What is wrong with the line, as a predicate such as `has no "="`.
    pub reason: &'static str,
}

/// Parses an env file: lines `KEY=VALUE` with an optional `export ` in front, empty lines, and
/// comments that start with `#`.
///
/// A value in single quotes is literal. In double quotes, `\n`, `\t`, `\r`, `\"`, `\\` and `\$`
/// are replaced. A value without quotes ends at ` #`. Nothing is substituted. The last of equal
/// keys wins.
///
/// # Errors
///
/// Returns the first line that cannot be parsed.
pub fn parse_env_file(content: &[u8]) -> Result<BTreeMap<EnvName, String>, EnvFileError> {
    let mut variables = BTreeMap::new();
    let content = content.strip_prefix("\u{feff}".as_bytes()).unwrap_or(content);
    for (index, line) in content.split(|byte| *byte == b'\n').enumerate() {
        let error = |reason| EnvFileError { line: index + 1, reason };
        let line = std::str::from_utf8(line).map_err(|_| error("is not UTF-8"))?.trim();
        if line.contains('\0') {
            return Err(error("contains a NUL character"));
        }
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (name, value) = line.split_once('=').ok_or_else(|| error("has no `=`"))?;
        let name = EnvName::parse(name.trim()).map_err(|_| error(NO_NAME))?;
        variables.insert(name, unquote(value.trim_start()).map_err(error)?);
    }
    Ok(variables)
}

const NO_NAME: &str = "has no valid variable name before `=`";

fn unquote(value: &str) -> Result<String, &'static str> {
    let (text, rest) = match value.chars().next() {
        Some('\'') => {
            let (text, rest) = value[1..].split_once('\'').ok_or(UNCLOSED)?;
            (text.to_owned(), rest)
        }
        Some('"') => unquote_double(&value[1..])?,
        Some('#') => (String::new(), ""),
        Some(_) | None => {
            let end = value.match_indices('#').find(|(at, _)| value[..*at].ends_with([' ', '\t']));
            (value[..end.map_or(value.len(), |(at, _)| at)].trim_end().to_owned(), "")
        }
    };
    let rest = rest.trim_start();
    if rest.is_empty() || rest.starts_with('#') { Ok(text) } else { Err(AFTER_QUOTE) }
}

const UNCLOSED: &str = "has a quote that is not closed on the same line";
const AFTER_QUOTE: &str = "has text after its closing quote";

fn unquote_double(inner: &str) -> Result<(String, &str), &'static str> {
    let (mut text, mut chars) = (String::new(), inner.chars());
    while let Some(c) = chars.next() {
        match c {
            '"' => return Ok((text, chars.as_str())),
            '\\' => match chars.next().ok_or(UNCLOSED)? {
                'n' => text.push('\n'),
                't' => text.push('\t'),
                'r' => text.push('\r'),
                c @ ('"' | '\\' | '$') => text.push(c),
                c => text.extend(['\\', c]),
            },
            c => text.push(c),
        }
    }
    Err(UNCLOSED)
}

#[cfg(test)]
mod tests;
