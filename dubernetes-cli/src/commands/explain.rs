//! `explain`: explains manifest keys, from the table of keys that the parser uses.

use dubernetes_manifest::reference::{self, APP, DefaultValue, Key, Kind};

use crate::args::ExplainArgs;
use crate::output::{self, Cell, Table, wrap};
use crate::report::{CliError, Result};

/// Width of sentences.
const WIDTH: usize = 88;

pub(super) fn run(args: &ExplainArgs) -> Result {
    let text = match &args.key {
        Some(path) => explain_key(path)?,
        None => {
            let mut rows = Vec::new();
            collect_keys("", APP, true, &mut rows);
            keys_table(rows).render(true, output::width())
        }
    };
    output::print(&text)
}

/// Returns everything about one key, and a line for each key below it.
fn explain_key(path: &str) -> Result<String> {
    let trail = reference::find(path)
        .map_err(|unknown| CliError::new(unknown.message).help(unknown.hint))?;
    let Some(key) = trail.last() else { return Ok(String::new()) };
    let names: Vec<&str> = path_steps(&trail).into_iter().map(|(name, _)| name).collect();
    let mut text = format!("Key:       {}\nType:      {}\n", names.join("."), key.kind.type_name());
    if let Some(range) = key.kind.values() {
        text += &format!("Values:    {range}\n");
    }
    let default = match key.default {
        DefaultValue::Required => "none (required)",
        DefaultValue::Value(text) | DefaultValue::Described(text) => text,
    };
    text += &format!("Default:   {default}\n");
    text += &format!("Example:\n{}\n", example(&trail));
    for line in wrap(key.description, WIDTH) {
        text += &format!("{line}\n");
    }
    if !key.children().is_empty() {
        let mut rows = Vec::new();
        collect_keys("", key.children(), false, &mut rows);
        let of = if matches!(key.kind, Kind::Object(_)) { "" } else { " of an entry" };
        text += &format!("\nKeys{of}:\n{}", keys_table(rows).render_indented(output::width()));
    }
    Ok(text)
}

/// Returns the path to the last key: each name in a path, and each line in a file. Below a mapping
/// with user-defined names stands `NAME`.
fn path_steps(trail: &[&'static Key]) -> Vec<(&'static str, String)> {
    let mut steps = Vec::new();
    let last = trail.len().saturating_sub(1);
    for (index, key) in trail.iter().enumerate() {
        let line = if index == last { key.example.to_owned() } else { format!("{}:", key.name) };
        steps.push((key.name, line));
        if index < last && matches!(key.kind, Kind::Map { .. }) {
            steps.push(("NAME", "NAME:".to_owned()));
        }
    }
    steps
}

/// Returns the key as in a file, below its parent keys.
fn example(trail: &[&'static Key]) -> String {
    let mut text = String::new();
    let mut indent = "  ".to_owned();
    for (_, line) in path_steps(trail) {
        text += &format!("{indent}{line}\n");
        indent += "  ";
    }
    text
}

/// Collects keys with their paths; nested keys, too, if `deep`.
fn collect_keys(
    above: &str,
    keys: &'static [Key],
    deep: bool,
    rows: &mut Vec<(String, &'static Key)>,
) {
    for key in keys {
        let path = format!("{above}{}", key.name);
        rows.push((path.clone(), key));
        if deep && let Kind::Object(level) = key.kind {
            collect_keys(&format!("{path}."), level.keys, deep, rows);
        }
    }
}

fn keys_table(rows: Vec<(String, &'static Key)>) -> Table {
    let mut table = Table::new(&["KEY", "TYPE", "DEFAULT", "DESCRIPTION"]);
    for (path, key) in rows {
        let default = match key.default {
            DefaultValue::Required => "required",
            DefaultValue::Value(text) | DefaultValue::Described(text) => text,
        };
        table.push(vec![
            Cell::new(path),
            Cell::new(key.kind.type_name()),
            Cell::new(default),
            Cell::new(key.summary()),
        ]);
    }
    table
}
