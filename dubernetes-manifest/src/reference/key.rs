//! What a key of the manifest is, as data.

use std::fmt;

use super::Grammar;

/// One key of the manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// The name, as the manifest writes it.
    pub name: &'static str,
    /// What the key does, in sentences. The first one is the summary.
    pub description: &'static str,
    /// The legal values.
    pub kind: Kind,
    /// The effect of leaving the key out.
    pub default: DefaultValue,
    /// The key with a value, such as `replicas: 3`.
    pub example: &'static str,
}

/// The effect of leaving a key out.
///
/// Displays as a few words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultValue {
    /// The key is required.
    Required,
    /// The key has this value, as the manifest would write it.
    Value(&'static str),
    /// The effect is described in words.
    Described(&'static str),
}

/// The legal values of a key or of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A text with a grammar.
    Text(&'static Grammar),
    /// A text with a grammar, or a mapping with fixed keys.
    TextOrObject(&'static Grammar, ObjectKind),
    /// A whole number within these limits.
    WholeNumber {
        /// The smallest number.
        min: u16,
        /// The largest number.
        max: u16,
    },
    /// A number of replicas, or a percentage of them.
    CountOrPercent {
        /// The largest number.
        max: u16,
    },
    /// Only `true`.
    True,
    /// `true` or `false`.
    Bool,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list.
    List(ListKind),
    /// One item, or a list of items.
    OneOrList(ListKind),
    /// A mapping whose keys are chosen by the user.
    Map {
        /// The grammar of the keys.
        key: &'static Grammar,
        /// The kind of each value.
        value: &'static Self,
        /// The largest number of entries.
        max: usize,
    },
    /// A mapping with fixed keys.
    Object(ObjectKind),
}

/// The items of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListKind {
    /// The kind of each item.
    pub item: &'static Kind,
    /// The smallest number of items.
    pub min: usize,
    /// The largest number of items.
    pub max: usize,
}

/// The keys of a mapping with fixed keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectKind {
    /// All keys, in the order in which people write them.
    pub keys: &'static [Key],
    /// The names of keys of which exactly one is required; empty without such a rule.
    pub one_of: &'static [&'static str],
    /// Further keys that only a JSON body may have.
    pub body_only: &'static [Key],
}

impl Key {
    /// Returns the fixed keys below this one, or below its entries.
    pub fn children(&'static self) -> &'static [Self] {
        self.kind.object().map_or(&[], |object| object.keys)
    }

    /// Returns the first sentence of the description, without its full stop.
    pub fn summary(&self) -> &'static str {
        let first = self.description.split_once(". ");
        first.map_or(self.description, |(first, _)| first).trim_end_matches('.')
    }
}

impl fmt::Display for DefaultValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Required => "required",
            Self::Value(text) | Self::Described(text) => text,
        })
    }
}

impl Kind {
    /// Returns the mapping with fixed keys at this value, or at its entries.
    pub fn object(&'static self) -> Option<&'static ObjectKind> {
        if let Self::Object(object) | Self::TextOrObject(_, object) = self {
            return Some(object);
        }
        self.entry()?.object()
    }

    /// Returns the mapping with fixed keys that this value is, or of which it may be a list.
    pub fn fixed_keys(&'static self) -> Option<&'static ObjectKind> {
        if let Self::Object(object) | Self::OneOrList(ListKind { item: Self::Object(object), .. }) =
            self
        {
            Some(object)
        } else {
            None
        }
    }

    /// Returns the kind of the items of a list, or of the values of a map.
    pub fn entry(&self) -> Option<&'static Self> {
        if let Self::List(ListKind { item: entry, .. })
        | Self::OneOrList(ListKind { item: entry, .. })
        | Self::Map { value: entry, .. } = self
        {
            Some(entry)
        } else {
            None
        }
    }

    /// Returns the name of the type in a few words, such as `list of volumes`.
    pub fn type_name(&self) -> String {
        match self {
            Self::Text(grammar) => grammar.noun.to_owned(),
            Self::TextOrObject(grammar, _) => format!("{} or mapping", grammar.noun),
            Self::WholeNumber { .. } => "whole number".to_owned(),
            Self::CountOrPercent { .. } => "whole number or percentage".to_owned(),
            Self::True => "`true`".to_owned(),
            Self::Bool => "`true` or `false`".to_owned(),
            Self::Choice(_) => "word".to_owned(),
            Self::List(list) => format!("list of {}", list.item.plural()),
            Self::OneOrList(list) => {
                format!("{}, or list of {}", list.item.type_name(), list.item.plural())
            }
            Self::Map { key, value, .. } => {
                format!("mapping of {}s to {}", key.noun, value.plural())
            }
            Self::Object(_) => "mapping".to_owned(),
        }
    }

    fn plural(&self) -> String {
        match self {
            Self::TextOrObject(grammar, _) => format!("{}s or mappings", grammar.noun),
            Self::Text(_)
            | Self::WholeNumber { .. }
            | Self::CountOrPercent { .. }
            | Self::True
            | Self::Bool
            | Self::Choice(_)
            | Self::List(_)
            | Self::OneOrList(_)
            | Self::Map { .. }
            | Self::Object(_) => format!("{}s", self.type_name()),
        }
    }

    /// Returns the legal values in words, or `None` if every value of the type is legal.
    pub fn values(&self) -> Option<String> {
        match self {
            Self::Text(grammar) | Self::TextOrObject(grammar, _) => {
                (!grammar.rule.is_empty()).then(|| grammar.rule.to_owned())
            }
            Self::WholeNumber { min, max } => Some(format!("{min} to {max}")),
            Self::CountOrPercent { max } => Some(format!("0 to {max}, or 0% to 100%")),
            Self::True | Self::Bool => None,
            Self::Choice(words) => Some(words.join(", ")),
            Self::List(list) => Some(list.values("")),
            Self::OneOrList(list) => Some(list.values("one entry, or a list of ")),
            Self::Map { key, max, .. } => {
                Some(format!("at most {max} entries; each {}: {}", key.noun, key.rule))
            }
            Self::Object(object) if object.one_of.is_empty() => None,
            Self::Object(object) => Some(format!("exactly one of {}", object.one_of.join(", "))),
        }
    }
}

impl ListKind {
    fn values(&self, prefix: &str) -> String {
        let Self { item, min, max } = self;
        let each = item.values().map(|each| format!("; each: {each}")).unwrap_or_default();
        format!("{prefix}{min} to {max} entries{each}")
    }
}

impl ObjectKind {
    /// Returns a mapping with these keys and no further rules.
    pub const fn new(keys: &'static [Key]) -> Self {
        Self { keys, one_of: &[], body_only: &[] }
    }

    /// Returns the names of the keys.
    pub fn names(&self) -> Vec<&'static str> {
        self.keys.iter().map(|key| key.name).collect()
    }
}
