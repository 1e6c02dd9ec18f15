//! Output formats of results: tables for people, JSON and YAML for programs, names for scripts.
//! Only results go to standard output.

mod json;
mod rows;
mod span;
mod table;
mod text;
mod wrap;
mod yaml;

pub(crate) use dubernetes_api::text::{age, changed_fields, reason, refusal};
pub(crate) use rows::{Column, Row, View, column, or_none, short_id, wide, yes_or_no};
pub(crate) use span::{seconds, span};
pub(crate) use table::{Cell, Table};
pub(crate) use text::{engine, replicas, urls};
pub(crate) use wrap::wrap;

use std::io::{self, IsTerminal as _, Write as _};

use jiff::Timestamp;
use serde::Serialize;

use crate::args::Format;
use crate::report::Result;

/// Writes styled text to standard output; styles are removed for a pipe.
pub(crate) fn print(text: &str) -> Result {
    let mut out = anstream::stdout();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Writes bytes unchanged to standard output.
pub(crate) fn print_raw(bytes: &[u8]) -> Result {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()?;
    Ok(())
}

/// Returns the width of the terminal at standard output, or `None` for a pipe or a file.
pub(crate) fn width() -> Option<usize> {
    let out = io::stdout();
    if !out.is_terminal() {
        return None;
    }
    let columns = rustix::termios::tcgetwinsize(&out).ok()?.ws_col;
    (columns > 0).then(|| usize::from(columns))
}

/// How to format a list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ListStyle {
    /// Format.
    pub(crate) format: Format,
    /// Whether a table has a header line.
    pub(crate) headers: bool,
    /// Whether exactly one object was asked for: JSON and YAML then show it without a list.
    pub(crate) single: bool,
}

/// Formats `items`. A table without rows is empty.
pub(crate) fn list<T: Row>(items: &[T], style: ListStyle, now: Timestamp) -> Result<String> {
    Ok(match style.format {
        Format::Table | Format::Wide => {
            if items.is_empty() {
                return Ok(String::new());
            }
            table(items, style.format == Format::Wide, now).render(style.headers, width())
        }
        Format::Name => items.iter().map(|item| format!("{}\n", item.full_name())).collect(),
        Format::Json | Format::Yaml => match items {
            [item] if style.single => value(item, style.format)?,
            items => value(&json::list(items), style.format)?,
        },
    })
}

/// Returns the table of `items`.
pub(crate) fn table<T: Row>(items: &[T], wide: bool, now: Timestamp) -> Table {
    let columns: Vec<_> = T::columns().into_iter().filter(|c| wide || !c.is_wide).collect();
    let titles: Vec<_> = columns.iter().map(|column| column.title).collect();
    let mut table = Table::new(&titles).keep_last(T::ENDS_WITH_CAUSE);
    for item in items {
        table.push(columns.iter().map(|c| (c.cell)(item, View { wide, now })).collect());
    }
    table
}

/// The changes of listed objects, one after the other, as rows of one table or as values.
#[derive(Debug)]
pub(crate) struct Changes {
    style: ListStyle,
    widths: Vec<usize>,
}

impl Changes {
    /// Continues the table of these objects.
    pub(crate) fn new<T: Row>(shown: &[T], style: ListStyle) -> Self {
        let table = table(shown, style.format == Format::Wide, Timestamp::now());
        Self { style, widths: table.widths().to_vec() }
    }

    /// Formats a change of an object. Its kind shows in JSON only.
    pub(crate) fn text<T: Row>(&mut self, kind: &str, item: &T) -> Result<String> {
        Ok(match self.style.format {
            format @ (Format::Table | Format::Wide) => {
                let item = std::slice::from_ref(item);
                let mut table = table(item, format == Format::Wide, Timestamp::now());
                table.widen_to(&self.widths);
                self.widths = table.widths().to_vec();
                table.render(std::mem::take(&mut self.style.headers), width())
            }
            Format::Json => change(kind, item)?,
            Format::Yaml => format!("---\n{}", value(item, Format::Yaml)?),
            Format::Name => format!("{}\n", item.full_name()),
        })
    }
}

/// Formats one value as YAML, or as JSON with any other format.
pub(crate) fn value<T: Serialize>(value: &T, format: Format) -> Result<String> {
    match format {
        Format::Yaml => yaml::to_text(value),
        Format::Table | Format::Wide | Format::Json | Format::Name => json::to_text(value),
    }
}

/// Formats a change of an object as one line of JSON.
pub(crate) fn change<T: Serialize>(kind: &str, object: &T) -> Result<String> {
    json::change(kind, object)
}
