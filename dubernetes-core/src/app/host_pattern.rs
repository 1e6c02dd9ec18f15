//! The hosts that a route is for.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::HostName;
use super::text::ParseError;

/// The hosts that a route is for: one, those with one more label in front, or all that no other
/// route claims. The more specific pattern wins, whatever the paths of its routes.
///
/// Displays as `shop.test`, `*.shop.test` or `*`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostPattern {
    /// This host.
    Exact(HostName),
    /// Every host that has exactly one label in front of this one.
    AnyLabel(HostName),
    /// Every host that no other route claims.
    Any,
}

impl HostPattern {
    /// Parses a host as `access.host` has it: a name, or `*.` and a name.
    ///
    /// # Errors
    ///
    /// Returns the rule that `text` breaks.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        match text.strip_prefix("*.") {
            Some(parent) if !parent.contains('*') => HostName::parse(parent).map(Self::AnyLabel),
            Some(_) => Err(ONE_WILDCARD.into()),
            None if text == "*" => Err("a host cannot be `*`: without `host`, `access` is for \
                every host that no other app has"
                .into()),
            None if text.contains('*') => Err(ONE_WILDCARD.into()),
            None => HostName::parse(text).map(Self::Exact),
        }
    }

    /// Returns whether `host` is one of these, ignoring case. `host` has no port.
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => name.as_str().eq_ignore_ascii_case(host),
            Self::AnyLabel(parent) => host.split_once('.').is_some_and(|(label, rest)| {
                !label.is_empty() && parent.as_str().eq_ignore_ascii_case(rest)
            }),
            Self::Any => true,
        }
    }

    /// Returns the host, unless there are several.
    pub fn name(&self) -> Option<&HostName> {
        match self {
            Self::Exact(name) => Some(name),
            Self::AnyLabel(_) | Self::Any => None,
        }
    }

    /// Returns one of the hosts, for a request to the route.
    pub fn example(&self) -> String {
        match self {
            Self::Exact(name) => name.to_string(),
            Self::AnyLabel(parent) => format!("www.{parent}"),
            Self::Any => "localhost".to_owned(),
        }
    }

    /// Returns the order in which patterns win: the smallest number first.
    pub(crate) fn rank(&self) -> u8 {
        match self {
            Self::Exact(_) => 0,
            Self::AnyLabel(_) => 1,
            Self::Any => 2,
        }
    }
}

const ONE_WILDCARD: &str = "a wildcard must be the whole first label of a host, as in `*.a.test`";

impl From<HostName> for HostPattern {
    fn from(name: HostName) -> Self {
        Self::Exact(name)
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.pad(name.as_str()),
            Self::AnyLabel(parent) => f.pad(&format!("*.{parent}")),
            Self::Any => f.pad("*"),
        }
    }
}

impl std::str::FromStr for HostPattern {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        if text == "*" { Ok(Self::Any) } else { Self::parse(text) }
    }
}

impl Serialize for HostPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HostPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pattern_is_a_name_or_has_one_wildcard_in_front() {
        for good in ["a.test", "*.a.test", "*.test", "localhost"] {
            assert_eq!(HostPattern::parse(good).unwrap().to_string(), good);
        }
        assert_eq!(HostPattern::parse("*.A.Test").unwrap().to_string(), "*.a.test");
        for bad in
            ["", "*", "*.", "**.a", "*.*.a", "a.*", "a*.test", "*a.test", "*.1.2.3.4", "*.a b"]
        {
            assert!(HostPattern::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn wildcard_is_exactly_one_label() {
        let pattern = HostPattern::parse("*.a.test").unwrap();
        for good in ["b.a.test", "B.A.TEST", "x-1.a.test"] {
            assert!(pattern.matches(good), "{good}");
        }
        for bad in ["a.test", "c.b.a.test", ".a.test", "ba.test", "b.a.test.x", ""] {
            assert!(!pattern.matches(bad), "{bad}");
        }
    }

    #[test]
    fn text_of_every_pattern_is_read_again() {
        for text in ["a.test", "*.a.test", "*"] {
            let pattern: HostPattern = serde_json::from_value(text.into()).unwrap();
            assert_eq!(serde_json::to_value(&pattern).unwrap(), text);
        }
        assert!(serde_json::from_str::<HostPattern>("\"*.a;b\"").is_err());
    }
}
