//! The environment of a replica: values from the manifest, and from files and secrets.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::content::{ContentRef, Secret};
use super::{AppSpec, EnvName};

/// The value of one environment variable.
///
/// Serializes as text or as a [`ContentRef`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum EnvValue {
    /// A text in the manifest. It is not a secret.
    Text(String),
    /// The content of a file or a secret, without one trailing line break.
    From(ContentRef),
}

impl EnvValue {
    /// Returns the reference of a value from a file or a secret.
    pub fn content_ref(&self) -> Option<&ContentRef> {
        match self {
            Self::From(reference) => Some(reference),
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
    /// Values from files and secrets.
    pub secret: BTreeMap<String, Secret>,
}

/// Merges `env_file` and `env`: later files override earlier ones, and `env` overrides all files.
/// Contents that are unknown or invalid are skipped.
pub(super) fn merge(spec: &AppSpec) -> Environment {
    let mut merged = Environment::default();
    for content in spec.env_file.iter().filter_map(ContentRef::known_content) {
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
            EnvValue::From(reference) => {
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
/// A value in quotes may span several lines. In single quotes it is literal. In double quotes,
/// `\n`, `\t`, `\r`, `\"`, `\\` and `\$` are replaced. A value without quotes ends at ` #`. Nothing
/// is substituted. The last of equal keys wins.
///
/// # Errors
///
/// Returns the first line that cannot be parsed.
pub fn parse_env_file(content: &[u8]) -> Result<BTreeMap<EnvName, String>, EnvFileError> {
    let content = content.strip_prefix("\u{feff}".as_bytes()).unwrap_or(content);
    let line_of = |before: &[u8]| 1 + before.iter().filter(|byte| **byte == b'\n').count();
    let text = std::str::from_utf8(content).map_err(|error| EnvFileError {
        line: line_of(content.get(..error.valid_up_to()).unwrap_or_default()),
        reason: "is not UTF-8",
    })?;
    let text = text.replace("\r\n", "\n");
    let mut variables = BTreeMap::new();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let line = line_of(text.get(..text.len() - rest.len()).unwrap_or_default().as_bytes());
        let entry = parse_entry(rest).map_err(|reason| EnvFileError { line, reason })?;
        variables.extend(entry.variable);
        rest = entry.rest;
    }
    Ok(variables)
}

/// The variable at the start of a text, if its first line has one, and the text after it.
struct EnvEntry<'a> {
    variable: Option<(EnvName, String)>,
    rest: &'a str,
}

fn parse_entry(text: &str) -> Result<EnvEntry<'_>, &'static str> {
    let (line, below) = text.split_once('\n').unwrap_or((text, ""));
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(EnvEntry { variable: None, rest: below });
    }
    let line = line.strip_prefix("export ").unwrap_or(line);
    let (name, _) = line.split_once('=').ok_or("has no `=`")?;
    let name = EnvName::parse(name.trim()).map_err(|_| NO_NAME)?;
    let (_, value) = text.split_once('=').ok_or("has no `=`")?;
    let (value, rest) = unquote(value.trim_start_matches([' ', '\t']))?;
    if value.contains('\0') {
        return Err("contains a NUL character");
    }
    Ok(EnvEntry { variable: Some((name, value)), rest })
}

const NO_NAME: &str = "has no valid variable name before `=`";

/// Returns the value at the start of `text`, and the lines below it.
fn unquote(text: &str) -> Result<(String, &str), &'static str> {
    let (value, rest) = match text.chars().next() {
        Some('\'') => {
            let (value, rest) = text[1..].split_once('\'').ok_or(UNCLOSED)?;
            (value.to_owned(), rest)
        }
        Some('"') => unquote_double(&text[1..])?,
        Some(_) | None => {
            let (line, below) = text.split_once('\n').unwrap_or((text, ""));
            let is_comment = |at: usize| at == 0 || line[..at].ends_with([' ', '\t']);
            let end = line.match_indices('#').find(|(at, _)| is_comment(*at));
            let value = &line[..end.map_or(line.len(), |(at, _)| at)];
            return Ok((value.trim_end().to_owned(), below));
        }
    };
    let (line, below) = rest.split_once('\n').unwrap_or((rest, ""));
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') { Ok((value, below)) } else { Err(AFTER_QUOTE) }
}

const UNCLOSED: &str = "has a quote that is never closed";
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
