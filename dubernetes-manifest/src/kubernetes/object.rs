//! Objects of Kubernetes as values, with keys in the order in which people write them.

use crate::out::Out;
use crate::yaml;

/// A mapping that grows key by key. What is empty is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Object(Vec<(String, Out)>);

impl Object {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Returns an object of an API, with its name and labels.
    pub(super) fn of_kind(api: &str, kind: &str, metadata: Self) -> Self {
        Self::new().with("apiVersion", api).with("kind", kind).with("metadata", metadata)
    }

    /// Adds a key. An empty mapping or list is left out.
    pub(super) fn with(mut self, key: &str, value: impl Into<Out>) -> Self {
        let value = value.into();
        let is_empty = match &value {
            Out::List(items) => items.is_empty(),
            Out::Map(entries) => entries.is_empty(),
            Out::Text(_) | Out::Whole(_) | Out::Bool(_) => false,
        };
        if !is_empty {
            self.0.push((key.to_owned(), value));
        }
        self
    }

    /// Adds a key, if it has a value.
    pub(super) fn with_some(self, key: &str, value: Option<impl Into<Out>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// Adds the keys of another mapping.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    pub(super) fn into_yaml(self) -> String {
        // All keys are text, and there are neither floats nor bytes.
        yaml::write_value(&Out::from(self)).unwrap_or_default()
    }
}

impl From<Object> for Out {
    fn from(object: Object) -> Self {
        Self::Map(object.0)
    }
}

impl From<&str> for Out {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for Out {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u16> for Out {
    fn from(number: u16) -> Self {
        Self::Whole(number.into())
    }
}

impl From<u32> for Out {
    fn from(number: u32) -> Self {
        Self::Whole(number.into())
    }
}

impl From<u64> for Out {
    fn from(number: u64) -> Self {
        Self::Whole(number)
    }
}

impl From<bool> for Out {
    fn from(flag: bool) -> Self {
        Self::Bool(flag)
    }
}

impl<T: Into<Self>> From<Vec<T>> for Out {
    fn from(items: Vec<T>) -> Self {
        Self::List(items.into_iter().map(Into::into).collect())
    }
}
