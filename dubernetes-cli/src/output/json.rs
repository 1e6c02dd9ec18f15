//! Results as JSON, in the shape of the API.

use serde::Serialize;

use crate::report::Result;

#[derive(Serialize)]
pub(super) struct List<'a, T> {
    kind: &'static str,
    items: &'a [T],
}

#[derive(Serialize)]
struct Change<'a, T> {
    r#type: &'a str,
    object: &'a T,
}

/// Returns the API's list of `items`.
pub(super) fn list<T>(items: &[T]) -> List<'_, T> {
    List { kind: "List", items }
}

/// Returns indented JSON and a line end.
pub(super) fn to_text<T: Serialize>(value: &T) -> Result<String> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    Ok(text)
}

/// Returns `{"type":…,"object":…}` on one line.
pub(super) fn change<T: Serialize>(kind: &str, object: &T) -> Result<String> {
    let mut text = serde_json::to_string(&Change { r#type: kind, object })?;
    text.push('\n');
    Ok(text)
}
