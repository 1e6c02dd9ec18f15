//! Every key of the file with its meaning: the one source of what is accepted, of examples in
//! messages, of the JSON schema, and of `dubernetes explain` and `dubernetes init`.
//!
//! The table itself is in `table`; `grammar` has the texts that are more than any text.

mod grammar;
mod schema;
mod table;
#[cfg(test)]
mod tests;

pub use grammar::{Grammar, Scalars};
pub use schema::{Form, schema};
pub use table::{
    ACCESS, APP, CONFIG_FILE, CONTENT, FILE_REF, HEALTH, PRE_DEPLOY, RESOURCES, ROLLOUT, STOP,
};

use super::keys;
use dubernetes_core::app::escape::quoted;

/// One key of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// As it is written.
    pub name: &'static str,
    /// What it is for, in sentences.
    pub about: &'static str,
    /// What may stand behind it.
    pub kind: Kind,
    /// What holds where it is not written.
    pub unless: Unless,
    /// How it is written, such as `replicas: 3`.
    pub example: &'static str,
}

/// What holds where a key is not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unless {
    /// Nothing: it must be written.
    Required,
    /// This value, as the file would write it.
    Value(&'static str),
    /// What these words say.
    Means(&'static str),
}

/// What may stand behind a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A text with a grammar.
    Text(&'static Grammar),
    /// A text with a grammar, or a mapping with keys of ours.
    TextOr(&'static Grammar, Level),
    /// A whole number within these limits.
    Whole {
        /// The smallest.
        min: u16,
        /// The largest.
        max: u16,
    },
    /// A number of replicas within these limits, or a percentage of them.
    CountOrPercent {
        /// The largest number.
        max: u16,
    },
    /// `true` and nothing else.
    True,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list.
    List(Items),
    /// One item, or a list of them.
    OneOrList(Items),
    /// A mapping with keys of the user's own.
    Map {
        /// The grammar of its keys.
        key: &'static Grammar,
        /// What stands behind each.
        value: &'static Self,
        /// How many entries it may have.
        max: usize,
    },
    /// A mapping with these keys and no other ones.
    Mapping(Level),
}

/// What a list may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Items {
    /// Each item.
    pub item: &'static Kind,
    /// How many at least.
    pub min: usize,
    /// How many at most.
    pub max: usize,
}

/// The keys of a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// All of them, in the order in which people would write them.
    pub keys: &'static [Key],
    /// Exactly one of these must be written; none where that is no rule here.
    pub one_of: &'static [&'static str],
    /// What a JSON body may have beside them.
    pub body_only: &'static [Key],
}

impl Key {
    /// The keys of ours below this one, or below its entries.
    pub fn children(&self) -> &'static [Self] {
        self.kind.children()
    }

    /// The first sentence of what it is for.
    pub fn summary(&self) -> &'static str {
        self.about.split_once(". ").map_or(self.about, |(first, _)| first).trim_end_matches('.')
    }

    /// What it takes when it is not written, in a few words.
    pub fn default_words(&self) -> &'static str {
        match self.unless {
            Unless::Required => "must be given",
            Unless::Value(text) | Unless::Means(text) => text,
        }
    }
}

impl Kind {
    fn children(&self) -> &'static [Key] {
        match self {
            Self::Mapping(level) | Self::TextOr(_, level) => level.keys,
            Self::List(items) | Self::OneOrList(items) => items.item.children(),
            Self::Map { value, .. } => value.children(),
            Self::Text(_)
            | Self::Whole { .. }
            | Self::CountOrPercent { .. }
            | Self::True
            | Self::Choice(_) => &[],
        }
    }

    /// What it is, in one or two words.
    pub fn words(&self) -> String {
        match self {
            Self::Text(grammar) => grammar.what.to_owned(),
            Self::TextOr(grammar, _) => format!("{} or mapping", grammar.what),
            Self::Whole { .. } => "whole number".to_owned(),
            Self::CountOrPercent { .. } => "whole number or percentage".to_owned(),
            Self::True => "`true`".to_owned(),
            Self::Choice(_) => "word".to_owned(),
            Self::List(items) => format!("list of: {}", items.item.words()),
            Self::OneOrList(items) => format!("{0}, or list of: {0}", items.item.words()),
            Self::Map { value, .. } => format!("mapping to: {}", value.words()),
            Self::Mapping(_) => "mapping".to_owned(),
        }
    }

    /// Which values there are; `None` where every one is fine.
    pub fn range(&self) -> Option<String> {
        match self {
            Self::Text(grammar) | Self::TextOr(grammar, _) => {
                (!grammar.rule.is_empty()).then(|| grammar.rule.to_owned())
            }
            Self::Whole { min, max } => Some(format!("{min} to {max}")),
            Self::CountOrPercent { max } => Some(format!("0 to {max}, or 0% to 100%")),
            Self::True => None,
            Self::Choice(words) => Some(words.join(", ")),
            Self::List(items) | Self::OneOrList(items) => {
                let each = items.item.range().map(|each| format!("; each: {each}"));
                let (min, max) = (items.min, items.max);
                Some(format!("{min} to {max} entries{}", each.unwrap_or_default()))
            }
            Self::Map { key, max, .. } => {
                Some(format!("at most {max} entries; each {}: {}", key.what, key.rule))
            }
            Self::Mapping(level) if level.one_of.is_empty() => None,
            Self::Mapping(level) => Some(format!("exactly one of {}", level.one_of.join(", "))),
        }
    }
}

/// Why there is nothing to tell of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// What is wrong.
    pub message: String,
    /// What was probably meant.
    pub hint: String,
}

/// The key at `path`, such as `access.host`, behind the keys above it.
///
/// Names of entries and positions in lists may stand in the path as well: `env.LOG_LEVEL` and
/// `volumes.0` are found as `env` and `volumes`.
///
/// # Errors
///
/// There is no such key.
pub fn find(path: &str) -> Result<Vec<&'static Key>, Unknown> {
    let (mut level, mut above): (&'static [Key], _) = (&APP, String::new());
    let mut trail: Vec<&'static Key> = Vec::new();
    for name in path.split('.') {
        if let Some(key) = level.iter().find(|key| key.name == name) {
            trail.push(key);
            level = key.children();
            above = if above.is_empty() { name.to_owned() } else { format!("{above}.{name}") };
            continue;
        }
        match trail.last().map(|key| key.kind) {
            // Whatever follows is an entry of the user's own.
            Some(Kind::Map { .. } | Kind::List(_) | Kind::OneOrList(_)) => {
                let last = path.rsplit('.').next();
                trail.extend(level.iter().find(|key| Some(key.name) == last));
                break;
            }
            None | Some(Kind::Mapping(_)) => return Err(unknown(&above, name)),
            Some(
                Kind::Text(_)
                | Kind::TextOr(..)
                | Kind::Whole { .. }
                | Kind::CountOrPercent { .. }
                | Kind::True
                | Kind::Choice(_),
            ) => {
                return Err(Unknown {
                    message: format!("`{above}` has no keys below it, such as {}", quoted(name)),
                    hint: format!("`{above}` alone is a key"),
                });
            }
        }
    }
    Ok(trail)
}

fn unknown(above: &str, name: &str) -> Unknown {
    let inside = if above.is_empty() { String::new() } else { format!(" in `{above}`") };
    Unknown {
        message: format!("unknown key {}{inside}", quoted(name)),
        hint: keys::advice(above, name),
    }
}

/// The example of the field at `path`; list positions and names of entries may stand in it.
pub(super) fn example(path: &str) -> Option<&'static str> {
    match find(path).ok()?.last()? {
        // What is wrong with an entry is shown by an entry.
        Key { kind: Kind::Map { .. }, example, .. } if path.contains('.') => {
            let inside = example.split_once('{')?.1;
            Some(inside.trim_end_matches('}').trim())
        }
        key => Some(key.example),
    }
}

/// The names of some keys.
pub(super) const fn names<const N: usize>(keys: &[Key; N]) -> [&'static str; N] {
    let mut names = [""; N];
    let mut index = 0;
    while index < N {
        names[index] = keys[index].name;
        index += 1;
    }
    names
}
