//! What to write in place of a value of the wrong type.

use super::{Field, is_whole};
use crate::node::Value;
use crate::reference::{DefaultValue, Key, Kind};
use crate::suggest::example_hint;

pub(super) fn no_value_hint(field: &Field<'_>) -> String {
    match (field.known, field.kind) {
        (Some(Key { default: DefaultValue::Required, .. }), _) => example_hint(&field.path),
        (Some(Key { default: DefaultValue::Described(text), .. }), _)
            if text.ends_with("is required") =>
        {
            example_hint(&field.path)
        }
        (Some(_), _) => "delete the key to use the default".into(),
        (None, Kind::Text(grammar) | Kind::TextOrObject(grammar, _))
            if grammar.pattern.is_empty() =>
        {
            "write `\"\"` for an empty text, or put quotes around the word".into()
        }
        (None, _) if field.is_item() => "delete the entry".into(),
        (None, _) => example_hint(&field.path),
    }
}

pub(super) fn number_hint(field: &Field<'_>) -> String {
    let (key, example) = (&field.path, example_hint(&field.path));
    let Some(text) = field.node.text() else { return example };
    let last = text.rsplit(':').next().unwrap_or(text);
    let port = last.split('/').next().unwrap_or(last);
    let is_quoted = matches!(field.node.value, Value::Text(_));
    if is_quoted && is_whole(text) {
        format!("without quotes: `{key}: {text}`")
    } else if key != "port" || !is_whole(port) || port.len() > 5 {
        example
    } else if text.contains(':') {
        format!("replicas publish no host port: write the port in the container, `port: {port}`")
    } else {
        format!("without the protocol: `port: {port}`")
    }
}
