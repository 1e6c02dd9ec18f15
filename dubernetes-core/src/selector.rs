//! Label selectors: which apps are meant, by the labels in their files.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::app::escape::quoted;

/// What the labels of an app must say: every requirement, joined by commas.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Selector(Vec<Requirement>);

/// What one label must say.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Requirement {
    /// `key=value`: it is there with just this value.
    Is { key: String, value: String },
    /// `key!=value`: it has another value, or is not there.
    IsNot { key: String, value: String },
    /// `key`: it is there.
    Has { key: String },
    /// `!key`: it is not there.
    HasNot { key: String },
}

impl Selector {
    /// Reads `key=value`, `key!=value`, `key` and `!key`, joined by commas; `==` means `=`.
    ///
    /// # Errors
    ///
    /// What was expected, as a sentence fragment.
    pub fn parse(text: &str) -> Result<Self, String> {
        text.split(',')
            .map(|part| {
                Requirement::parse(part.trim()).ok_or_else(|| {
                    format!(
                        "a selector is `key=value`, `key!=value`, `key` or `!key`, joined by commas, unlike {}",
                        quoted(text)
                    )
                })
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether these labels are meant.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|requirement| match requirement {
            Requirement::Is { key, value } => labels.get(key) == Some(value),
            Requirement::IsNot { key, value } => labels.get(key) != Some(value),
            Requirement::Has { key } => labels.contains_key(key),
            Requirement::HasNot { key } => !labels.contains_key(key),
        })
    }
}

impl Requirement {
    fn parse(text: &str) -> Option<Self> {
        if let Some((key, value)) = text.split_once("!=") {
            return Some(Self::IsNot { key: key_of(key)?, value: value_of(value)? });
        }
        if let Some((key, value)) = text.split_once('=') {
            let value = value.strip_prefix('=').unwrap_or(value);
            return Some(Self::Is { key: key_of(key)?, value: value_of(value)? });
        }
        match text.strip_prefix('!') {
            Some(key) => Some(Self::HasNot { key: key_of(key)? }),
            None => Some(Self::Has { key: key_of(text)? }),
        }
    }
}

fn key_of(text: &str) -> Option<String> {
    let text = text.trim();
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/');
    (!text.is_empty() && text.len() <= 128 && text.chars().all(legal)).then(|| text.to_owned())
}

/// Any text but what looks like a mistake in the operator.
fn value_of(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.contains(['=', '!'])).then(|| text.to_owned())
}

impl TryFrom<String> for Selector {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<Selector> for String {
    fn from(selector: Selector) -> Self {
        selector.to_string()
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, requirement) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            match requirement {
                Requirement::Is { key, value } => write!(f, "{key}={value}")?,
                Requirement::IsNot { key, value } => write!(f, "{key}!={value}")?,
                Requirement::Has { key } => f.write_str(key)?,
                Requirement::HasNot { key } => write!(f, "!{key}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(selector: &str, labels: &[(&str, &str)], expected: bool) {
        let labels =
            labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let parsed = Selector::parse(selector).unwrap();
        assert_eq!(parsed.matches(&labels), expected, "{selector} on {labels:?}");
        assert_eq!(Selector::parse(&parsed.to_string()), Ok(parsed), "it is written as it is read");
    }

    #[test]
    fn every_requirement_must_hold() {
        let labels = [("tier", "web"), ("example.org/team", "a"), ("empty", "")];
        for (selector, expected) in [
            ("tier=web", true),
            ("tier==web", true),
            ("tier=api", false),
            ("tier!=api", true),
            ("tier!=web", false),
            ("nosuch!=x", true),
            ("nosuch=", false),
            ("empty=", true),
            ("tier", true),
            ("nosuch", false),
            ("!nosuch", true),
            ("!tier", false),
            ("example.org/team=a", true),
            ("tier=web,example.org/team=a", true),
            ("tier=web, nosuch", false),
            ("tier=web,!nosuch,empty", true),
        ] {
            check(selector, &labels, expected);
        }
        check("tier", &[], false);
    }

    #[test]
    fn what_is_no_selector_is_refused_with_the_grammar() {
        for text in
            ["", ",", "a=b,", "=b", "!", "!=b", "a b", "a in (b)", "a=b=c", "a===b", "a=!b", "ü"]
        {
            let error = Selector::parse(text).unwrap_err();
            assert!(error.contains("`key=value`"), "{text}: {error}");
        }
    }
}
