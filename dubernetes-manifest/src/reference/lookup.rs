//! Finding keys in the table by their path.

use dubernetes_core::app::escape::quote;

use super::hints::unknown_key_hint;
use super::{APP, Key, Kind, ObjectKind};

/// The manifest itself, as a mapping.
pub(crate) const ROOT: ObjectKind =
    ObjectKind { keys: APP, one_of: &["image", "program"], body_only: &[] };

/// The reason why a path names no key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownKey {
    /// What is wrong.
    pub message: String,
    /// What was probably meant.
    pub hint: String,
}

/// Returns the key at `path`, such as `access.host`, preceded by the keys above it.
///
/// The path may contain names of entries and positions in lists: `env.LOG_LEVEL` and `volumes.0`
/// are found as `env` and `volumes`.
///
/// # Errors
///
/// No such key exists.
///
/// # Examples
///
/// ```
/// use dubernetes_manifest::reference;
///
/// let trail = reference::find("access.host").unwrap();
/// assert_eq!(trail.last().unwrap().example, "host: myapp.local");
///
/// let unknown = reference::find("replcias").unwrap_err();
/// assert_eq!(unknown.hint, "did you mean `replicas`?");
/// ```
pub fn find(path: &str) -> Result<Vec<&'static Key>, UnknownKey> {
    let mut object = &ROOT;
    let mut above = String::new();
    let mut trail: Vec<&'static Key> = Vec::new();
    let mut names = path.split('.').peekable();
    while let Some(name) = names.next() {
        let Some(key) = object.keys.iter().find(|key| key.name == name) else {
            return Err(unknown(object, &above, name));
        };
        trail.push(key);
        above = if above.is_empty() { name.to_owned() } else { format!("{above}.{name}") };
        if let Some(fixed) = key.kind.fixed_keys() {
            object = fixed;
            // The position of a mapping in a list of them.
            if key.kind.entry().is_some() {
                names.next_if(|name| name.chars().all(|c| c.is_ascii_digit()));
            }
            continue;
        }
        if key.kind.entry().is_some() {
            // The rest names an entry, and may contain dots. A key below it can only be the last.
            let rest = path.strip_prefix(&above).filter(|rest| !rest.is_empty());
            let last = rest.and_then(|rest| rest.rsplit('.').next());
            trail.extend(key.children().iter().find(|child| Some(child.name) == last));
            break;
        }
        object = key.kind.object().unwrap_or(&NO_KEYS);
    }
    Ok(trail)
}

const NO_KEYS: ObjectKind = ObjectKind::new(&[]);

fn unknown(object: &ObjectKind, above: &str, name: &str) -> UnknownKey {
    if object.keys.is_empty() {
        return UnknownKey {
            message: format!("`{above}` has no keys below it, such as {}", quote(name)),
            hint: format!("`{above}` alone is a key"),
        };
    }
    let inside = if above.is_empty() { String::new() } else { format!(" in `{above}`") };
    UnknownKey {
        message: format!("unknown key {}{inside}", quote(name)),
        hint: unknown_key_hint(object, above, name),
    }
}

/// Returns every key with its path: first each key, then the keys below it. Keys below the entries
/// of a list or map are left out.
pub fn all_keys() -> Vec<(String, &'static Key)> {
    fn walk(above: &str, keys: &'static [Key], found: &mut Vec<(String, &'static Key)>) {
        for key in keys {
            let path = format!("{above}{}", key.name);
            let below = format!("{path}.");
            found.push((path, key));
            if let Some(object) = key.kind.fixed_keys() {
                walk(&below, object.keys, found);
            }
        }
    }
    let mut found = Vec::new();
    walk("", APP, &mut found);
    found
}

/// Returns the example of the field at `path`, which may contain list positions and names of
/// entries. An entry of a map gets an entry as its example.
pub(crate) fn example(path: &str) -> &'static str {
    let trail = find(path).unwrap_or_default();
    match trail.last() {
        Some(Key { kind: Kind::Map { .. }, example, .. }) if path.contains('.') => {
            let entry =
                example.split_once('{').map(|(_, entry)| entry.trim_end_matches('}').trim());
            entry.unwrap_or(example)
        }
        Some(key) => key.example,
        None => "name: myapp",
    }
}
