//! The environment of a replica: values that are written out, and those that stand in files.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::content::{FileRef, Secret};
use super::{AppSpec, EnvName};

/// The value of one environment variable.
///
/// Serialized, it is a text or a [`FileRef`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum EnvValue {
    /// As it is written. It is no secret.
    Text(String),
    /// What stands in a file, without one line end at its end.
    File(FileRef),
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

/// An environment, put together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// The values that may be shown.
    pub plain: BTreeMap<String, String>,
    /// The values out of files; no name is in both.
    pub secret: BTreeMap<String, Secret>,
}

/// What `env_file` and `env` give, the first overridden by the second and each file by the next.
/// Contents that are not known, or that break a rule, give nothing.
pub fn environment(spec: &AppSpec) -> Environment {
    let mut found = Environment::default();
    for content in spec.env_file.iter().filter_map(FileRef::known) {
        for (name, value) in parse_env_file(content.reveal()).unwrap_or_default() {
            found.secret.insert(name.to_string(), Secret::new(value));
        }
    }
    for (name, value) in &spec.env {
        let name = name.to_string();
        match value {
            EnvValue::Text(text) => {
                found.secret.remove(&name);
                found.plain.insert(name, text.clone());
            }
            EnvValue::File(reference) => {
                let text = reference.known().and_then(|secret| value_text(secret).ok());
                if let Some(text) = text {
                    found.secret.insert(name, Secret::new(text.to_owned()));
                }
            }
        }
    }
    found
}

/// The value in a file, or what is wrong with it; that says nothing of the content.
pub fn value_text(secret: &Secret) -> Result<&str, &'static str> {
    let text = std::str::from_utf8(secret.reveal()).map_err(|_| "is not UTF-8")?;
    if text.contains('\0') {
        return Err("has a NUL character");
    }
    Ok(text.strip_suffix("\r\n").or_else(|| text.strip_suffix('\n')).unwrap_or(text))
}

/// A line of an env file that cannot be read. It says nothing of what stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// From 1.
    pub line: usize,
    /// What is wrong with the line, as a sentence fragment.
    pub what: &'static str,
}

/// The variables of an env file: lines `KEY=VALUE`, with `export ` before them if wished, empty
/// ones, and comments that begin with `#`.
///
/// A value in single quotes is taken as it stands, one in double quotes with `\n`, `\t`, `\r`, `\"`, `\\` and
/// `\$` replaced, one without quotes up to ` #`. Nothing is substituted. Of two equal keys the later one counts.
pub fn parse_env_file(content: &[u8]) -> Result<BTreeMap<EnvName, String>, BadLine> {
    let mut found = BTreeMap::new();
    let content = content.strip_prefix("\u{feff}".as_bytes()).unwrap_or(content);
    for (index, line) in content.split(|byte| *byte == b'\n').enumerate() {
        let bad = |what| BadLine { line: index + 1, what };
        let line = std::str::from_utf8(line).map_err(|_| bad("is not UTF-8"))?.trim();
        if line.contains('\0') {
            return Err(bad("has a NUL character"));
        }
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (name, value) = line.split_once('=').ok_or_else(|| bad("has no `=`"))?;
        let name = EnvName::parse(name.trim())
            .map_err(|_| bad("has no name of a variable before its `=`"))?;
        found.insert(name, unquoted(value.trim_start()).map_err(bad)?);
    }
    Ok(found)
}

fn unquoted(value: &str) -> Result<String, &'static str> {
    let (text, rest) = match value.chars().next() {
        Some('\'') => {
            let (text, rest) = value[1..].split_once('\'').ok_or(UNCLOSED)?;
            (text.to_owned(), rest)
        }
        Some('"') => double_quoted(&value[1..])?,
        Some('#') => (String::new(), ""),
        Some(_) | None => {
            let end = value.match_indices('#').find(|(at, _)| value[..*at].ends_with([' ', '\t']));
            (value[..end.map_or(value.len(), |(at, _)| at)].trim_end().to_owned(), "")
        }
    };
    let rest = rest.trim_start();
    if rest.is_empty() || rest.starts_with('#') { Ok(text) } else { Err(BEHIND_QUOTE) }
}

const UNCLOSED: &str = "has a quote that is not closed on the same line";
const BEHIND_QUOTE: &str = "has text behind its closing quote";

fn double_quoted(inner: &str) -> Result<(String, &str), &'static str> {
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
