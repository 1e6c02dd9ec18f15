//! Label selectors: which apps a command applies to, by the labels in their manifests.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::app::ParseError;
use crate::app::escape::quote;
use crate::app::text::text_traits;

/// Requirements on the labels of an app. All of them must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Selector(Vec<Requirement>);

/// A requirement on one label.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Requirement {
    /// `key=value`: the label has this value.
    Equals { key: String, value: String },
    /// `key!=value`: the label has another value, or is not set.
    NotEquals { key: String, value: String },
    /// `key`: the label is set.
    Exists { key: String },
    /// `!key`: the label is not set.
    NotExists { key: String },
}

impl Selector {
    /// Parses `key=value`, `key!=value`, `key` and `!key`, joined by commas; `==` means `=`.
    ///
    /// # Errors
    ///
    /// Returns the expected form.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let requirements = text.split(',').map(|part| Requirement::parse(part.trim()));
        requirements.collect::<Option<_>>().map(Self).ok_or_else(|| {
            format!(
                "a selector must be `key=value`, `key!=value`, `key` or `!key`, joined by commas, \
                 not {}",
                quote(text)
            )
            .into()
        })
    }

    /// Returns whether `labels` meet every requirement.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|requirement| match requirement {
            Requirement::Equals { key, value } => labels.get(key) == Some(value),
            Requirement::NotEquals { key, value } => labels.get(key) != Some(value),
            Requirement::Exists { key } => labels.contains_key(key),
            Requirement::NotExists { key } => !labels.contains_key(key),
        })
    }
}

impl Requirement {
    fn parse(text: &str) -> Option<Self> {
        if let Some((key, value)) = text.split_once("!=") {
            return Some(Self::NotEquals { key: parse_key(key)?, value: parse_value(value)? });
        }
        if let Some((key, value)) = text.split_once('=') {
            let value = value.strip_prefix('=').unwrap_or(value);
            return Some(Self::Equals { key: parse_key(key)?, value: parse_value(value)? });
        }
        match text.strip_prefix('!') {
            Some(key) => Some(Self::NotExists { key: parse_key(key)? }),
            None => Some(Self::Exists { key: parse_key(text)? }),
        }
    }
}

fn parse_key(text: &str) -> Option<String> {
    let text = text.trim();
    let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/');
    (!text.is_empty() && text.len() <= 128 && text.chars().all(is_legal)).then(|| text.to_owned())
}

/// Accepts any text, except for what looks like a mistyped operator.
fn parse_value(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.contains(['=', '!'])).then(|| text.to_owned())
}

text_traits!(Selector);

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            match requirement {
                Requirement::Equals { key, value } => write!(f, "{key}={value}")?,
                Requirement::NotEquals { key, value } => write!(f, "{key}!={value}")?,
                Requirement::Exists { key } => f.write_str(key)?,
                Requirement::NotExists { key } => write!(f, "!{key}")?,
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
        assert_eq!(Selector::parse(&parsed.to_string()), Ok(parsed), "display round-trips");
    }

    #[test]
    fn selector_matches_if_every_requirement_holds() {
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
    fn invalid_selector_is_refused_with_the_grammar() {
        for text in
            ["", ",", "a=b,", "=b", "!", "!=b", "a b", "a in (b)", "a=b=c", "a===b", "a=!b", "ü"]
        {
            let error = Selector::parse(text).unwrap_err().to_string();
            assert!(error.contains("`key=value`"), "{text}: {error}");
        }
    }
}
