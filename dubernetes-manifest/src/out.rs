//! Values that are written as YAML, with keys in the order in which people write them.

use serde::ser::{Serialize, SerializeMap as _, Serializer};

use crate::yaml;

/// A value of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Out {
    Text(String),
    Whole(u64),
    Bool(bool),
    List(Vec<Self>),
    Map(Vec<(String, Self)>),
}

impl Out {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub(crate) fn texts(texts: impl IntoIterator<Item = String>) -> Self {
        Self::List(texts.into_iter().map(Self::Text).collect())
    }

    /// Returns whether a text in it has a variable that is not replaced yet.
    pub(crate) fn has_open_variable(&self) -> bool {
        match self {
            Self::Text(text) => text.contains("${"),
            Self::Whole(_) | Self::Bool(_) => false,
            Self::List(items) => items.iter().any(Self::has_open_variable),
            Self::Map(entries) => entries.iter().any(|(_, value)| value.has_open_variable()),
        }
    }
}

impl Serialize for Out {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) if wants_quotes(text) => yaml::Quoted(text).serialize(serializer),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Whole(number) => serializer.serialize_u64(*number),
            Self::Bool(flag) => serializer.serialize_bool(*flag),
            Self::List(items) => items.serialize(serializer),
            Self::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}

/// Returns whether a text is quoted even if its YAML would be plain: a variable may become
/// anything, and a long line would be folded into several.
fn wants_quotes(text: &str) -> bool {
    const LONGEST_PLAIN: usize = 80;
    !text.contains('\n') && (text.contains("${") || text.len() > LONGEST_PLAIN)
}
