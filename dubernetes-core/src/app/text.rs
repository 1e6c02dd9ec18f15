//! Values that are written as text: the error of parsing one, and the traits all of them share.

use std::borrow::Cow;

use thiserror::Error;

/// The reason why a text is not a legal value of its type.
///
/// Displays as a sentence fragment that names the broken rule, such as `a name cannot be empty`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
#[non_exhaustive]
pub struct ParseError {
    message: Cow<'static, str>,
}

impl ParseError {
    /// Returns an error with this message: a sentence fragment in lower case, without a full stop.
    pub fn new(message: impl Into<Cow<'static, str>>) -> Self {
        Self { message: message.into() }
    }
}

impl From<&'static str> for ParseError {
    fn from(message: &'static str) -> Self {
        Self::new(message)
    }
}

impl From<String> for ParseError {
    fn from(message: String) -> Self {
        Self::new(message)
    }
}

impl From<ParseError> for String {
    fn from(error: ParseError) -> Self {
        error.message.into_owned()
    }
}

/// Implements [`FromStr`](std::str::FromStr) and `TryFrom<String>` through the type's `parse`.
macro_rules! parse_traits {
    ($name:ident) => {
        impl std::str::FromStr for $name {
            type Err = $crate::app::ParseError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::app::ParseError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                Self::parse(&text)
            }
        }
    };
}

/// Implements `parse_traits!` and `From<T> for String`, which serde needs, through `Display`.
macro_rules! text_traits {
    ($name:ident) => {
        $crate::app::text::parse_traits!($name);

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }
    };
}

/// Defines a text newtype. Every way to make one, serde included, goes through `$check`, which
/// returns the text to keep.
macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $check:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(smol_str::SmolStr);

        impl $name {
            /// Parses `text`.
            ///
            /// # Errors
            ///
            /// Returns the rule that `text` breaks.
            pub fn parse(text: &str) -> Result<Self, $crate::app::ParseError> {
                $check(text).map(|text| Self(text.into()))
            }

            /// Returns the text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        $crate::app::text::parse_traits!($name);

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0.into()
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        // Sound: the derived `Eq`, `Ord` and `Hash` are those of the text.
        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, text: &str) -> bool {
                self.0 == text
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, text: &&str) -> bool {
                self.0 == *text
            }
        }
    };
}

/// Defines an enum whose values are written as fixed words. `$key` names the key of the manifest
/// in the error.
macro_rules! word_enum {
    (
        $(#[$doc:meta])*
        $name:ident of $key:literal {
            $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// All values.
            pub const ALL: [Self; Self::WORDS.len()] = [$(Self::$variant),+];
            /// The words of [`Self::ALL`], in the same order.
            pub const WORDS: &[&str] = &[$($word),+];

            /// Parses one of [`Self::WORDS`].
            ///
            /// # Errors
            ///
            /// Returns the list of legal words.
            pub fn parse(text: &str) -> Result<Self, $crate::app::ParseError> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err($crate::app::text::unknown_word($key, Self::WORDS, text)),
                }
            }

            /// Returns the word, as the manifest writes it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        $crate::app::text::parse_traits!($name);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

pub(super) fn unknown_word(key: &str, words: &[&str], found: &str) -> ParseError {
    let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    let found = super::escape::quote(found);
    format!("`{key}` must be one of {}, not {found}", words.join(", ")).into()
}

pub(crate) use {checked_text, parse_traits, text_traits, word_enum};

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::{AppName, PullPolicy};
    use super::*;

    #[test]
    fn names_are_compared_and_looked_up_as_text() {
        let name: AppName = "web".parse().unwrap();
        assert_eq!(name, "web");
        assert_eq!(name, *"web");
        assert_eq!(BTreeMap::from([(name, 1)]).get("web"), Some(&1));
    }

    #[test]
    fn parse_error_is_an_error_and_displays_its_rule() {
        let parse = || -> Result<AppName, Box<dyn std::error::Error>> { Ok("".parse()?) };
        assert_eq!(parse().unwrap_err().to_string(), "a name cannot be empty");
        assert_eq!(String::from(ParseError::new("x")), "x");
    }

    #[test]
    fn word_enum_parses_and_serializes_its_words() {
        for (policy, word) in PullPolicy::ALL.iter().zip(PullPolicy::WORDS) {
            assert_eq!(PullPolicy::parse(word), Ok(*policy));
            assert_eq!(serde_json::to_value(policy).unwrap(), *word);
        }
        let error = PullPolicy::parse("Always").unwrap_err().to_string();
        assert_eq!(error, "`pull` must be one of `missing`, `always`, `never`, not `Always`");
    }
}
