//! The table of keys in README.md.

use super::lookup::all_keys;
use super::{Key, Kind};

/// Returns all keys as a Markdown table. `cargo xtask generate` writes it into README.md.
pub fn markdown_table() -> String {
    let mut table =
        "| Key | Meaning | Values | Default | Example |\n|---|---|---|---|---|\n".to_owned();
    for (path, key) in all_keys() {
        let (meaning, values, default) = (key.summary(), values(key), key.default);
        let row = format!("`{path}` | {meaning} | {values} | {default} | `{}`", key.example);
        table.push_str(&format!("| {row} |\n"));
    }
    table
}

fn values(key: &Key) -> String {
    let name = key.kind.type_name();
    match (&key.kind, key.kind.values()) {
        (Kind::Choice(words), _) => {
            words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
        }
        (_, Some(values)) => format!("{name}: {values}"),
        (_, None) => name,
    }
}
