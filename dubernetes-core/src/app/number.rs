//! Numbers that count the changes of an app: revisions and generations.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::escape::quote;
use super::text::ParseError;

/// Defines a number newtype that rises from 1.
macro_rules! counter {
    ($(#[$doc:meta])* $name:ident, $noun:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// The number before the first: none.
            pub const NONE: Self = Self(0);
            /// The first number.
            pub const FIRST: Self = Self(1);

            /// Returns the number that follows.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = ParseError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self).map_err(|_| {
                    let found = quote(text);
                    format!("expected the number of a {}, such as `3`, not {found}", $noun).into()
                })
            }
        }
    };
}

counter!(
    /// The number of a revision of an app: what a rollout moves between.
    RevisionId,
    "revision"
);
counter!(
    /// The generation of an app: counts the changes of its specification.
    Generation,
    "generation"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_has_one_text_in_all_notations() {
        let revision: RevisionId = "3".parse().unwrap();
        assert_eq!(revision, RevisionId::FIRST.next().next());
        assert_eq!(format!("{revision} {revision:>2}"), "3  3");
        assert_eq!(serde_json::to_value(revision).unwrap(), 3);
        assert_eq!(serde_json::from_str::<Generation>("3").unwrap(), Generation(3));
    }

    #[test]
    fn malformed_number_is_refused_with_example() {
        let error = "-1".parse::<RevisionId>().unwrap_err().to_string();
        assert_eq!(error, "expected the number of a revision, such as `3`, not `-1`");
        assert!("".parse::<Generation>().is_err());
    }
}
