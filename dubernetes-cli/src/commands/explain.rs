//! `explain`: what the keys of the file mean, out of the table that reads them.

use dubernetes_manifest::reference::{self, APP, DefaultValue, Key, Kind};

use crate::args::ExplainArgs;
use crate::output::{self, Cell, Table, wrap};
use crate::report::{Failure, Outcome};

/// How wide sentences are written.
const WIDTH: usize = 88;

pub(super) fn run(args: &ExplainArgs) -> Outcome {
    let text = match &args.key {
        Some(path) => one(path)?,
        None => {
            let mut rows = Vec::new();
            collect("", APP, true, &mut rows);
            table(rows).render(true, output::width())
        }
    };
    output::print(&text)
}

/// All that is known of one key, and a line for each key below it.
fn one(path: &str) -> Outcome<String> {
    let trail = reference::find(path)
        .map_err(|unknown| Failure::new(unknown.message).help(unknown.hint))?;
    let Some(key) = trail.last() else { return Ok(String::new()) };
    let names: Vec<&str> = steps(&trail).into_iter().map(|(name, _)| name).collect();
    let mut text = format!("Key:       {}\nType:      {}\n", names.join("."), key.kind.type_name());
    if let Some(range) = key.kind.values() {
        text += &format!("Values:    {range}\n");
    }
    text += &format!("Default:   {}\n", default(key));
    text += &format!("Example:\n{}\n", example(&trail));
    for line in wrap(key.description, WIDTH) {
        text += &format!("{line}\n");
    }
    if !key.children().is_empty() {
        let mut rows = Vec::new();
        collect("", key.children(), false, &mut rows);
        let of = if matches!(key.kind, Kind::Object(_)) { "" } else { " of an entry" };
        text += &format!("\nKeys{of}:\n{}", table(rows).render_indented(output::width()));
    }
    Ok(text)
}

fn default(key: &Key) -> String {
    match key.default {
        DefaultValue::Required => "none, it must be given".to_owned(),
        DefaultValue::Value(text) | DefaultValue::Described(text) => text.to_owned(),
    }
}

/// The way to the last key: names as they stand in a path, and lines as they stand in a file.
/// Below a mapping with names of the user's own stands such a name.
fn steps(trail: &[&'static Key]) -> Vec<(&'static str, String)> {
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

/// The key as it stands in a file, below the keys above it.
fn example(trail: &[&'static Key]) -> String {
    let mut text = String::new();
    let mut indent = "  ".to_owned();
    for (_, line) in steps(trail) {
        text += &format!("{indent}{line}\n");
        indent += "  ";
    }
    text
}

/// Each key with its path; those below it as well, if `deep`.
fn collect(above: &str, keys: &'static [Key], deep: bool, rows: &mut Vec<(String, &'static Key)>) {
    for key in keys {
        let path = format!("{above}{}", key.name);
        rows.push((path.clone(), key));
        if deep && let Kind::Object(level) = key.kind {
            collect(&format!("{path}."), level.keys, deep, rows);
        }
    }
}

fn table(rows: Vec<(String, &'static Key)>) -> Table {
    let mut table = Table::new(&["KEY", "TYPE", "DEFAULT", "WHAT FOR"]);
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
