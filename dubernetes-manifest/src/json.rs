//! JSON: bytes to a tree without places. Duplicate keys are kept.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::JsonError;
use super::node::{Entry, Node, Place, Value};

/// Reads one JSON value.
pub(super) fn read(body: &[u8]) -> Result<Node, JsonError> {
    serde_json::from_slice(body).map_err(|error| {
        let text = error.to_string();
        let at = format!(" at line {} column {}", error.line(), error.column());
        let cause = text.strip_suffix(at.as_str()).unwrap_or(&text);
        let message = if error.is_eof() {
            "invalid JSON: unexpected end".to_owned()
        } else {
            format!("invalid JSON: {cause}")
        };
        JsonError::Syntax { message, line: error.line(), column: error.column() }
    })
}

fn node(value: Value) -> Node {
    Node { value, place: Place::default() }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Node, E> {
        Ok(node(Value::Bool(value)))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Node, E> {
        Ok(node(Value::Number(value.to_string())))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Node, E> {
        Ok(node(Value::Number(value.to_string())))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Node, E> {
        // `{:?}` keeps the point of `3.0`, which is not a whole number.
        Ok(node(Value::Number(format!("{value:?}"))))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Node, E> {
        Ok(node(Value::Text(text.to_owned())))
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(node(Value::Null))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(node(Value::List(list)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, value)) = map.next_entry()? {
            entries.push(Entry { key, key_place: Place::default(), value });
        }
        Ok(node(Value::Map(entries)))
    }
}
