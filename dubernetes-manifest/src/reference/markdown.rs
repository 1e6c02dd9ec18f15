//! The table of keys in docs/file.md.

use super::lookup::all_keys;
use super::{DefaultValue, Kind};

/// Returns all keys that hold a value as a Markdown table. `cargo xtask generate` writes it into
/// docs/file.md.
pub fn markdown_table() -> String {
    let mut table = "| Key | Meaning | Values | Default | Example |\n".to_owned();
    table.push_str("|---|---|---|---|---|\n");
    for (path, key) in all_keys() {
        let values = match &key.kind {
            Kind::Object(_) => continue,
            Kind::Choice(words) => format!("`{}`", words.join("`, `")),
            Kind::Text(_)
            | Kind::TextOrObject(..)
            | Kind::WholeNumber { .. }
            | Kind::CountOrPercent { .. }
            | Kind::True
            | Kind::Bool
            | Kind::List(_)
            | Kind::OneOrList(_)
            | Kind::Map { .. } => key.kind.values().unwrap_or_else(|| key.kind.type_name()),
        };
        let default = match key.default {
            DefaultValue::Value(text) => format!("`{text}`"),
            DefaultValue::Required | DefaultValue::Described(_) => key.default.to_string(),
        };
        let cells = [&format!("`{path}`"), key.description, &values, &default];
        let cells = cells.map(|cell| cell.replace('|', "\\|")).join(" | ");
        table.push_str(&format!("| {cells} | `{}` |\n", key.example));
    }
    table
}
