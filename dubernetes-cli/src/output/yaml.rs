//! Results as YAML: JSON's values in block style, in the order in which JSON has them. Text that
//! could be read as anything else is written as JSON writes it, which is YAML as well.

use std::fmt;

use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::report::Result;

/// `value` as a YAML document.
pub(super) fn to_text<T: Serialize>(value: &T) -> Result<String> {
    // By way of text: a JSON value would not keep the order of keys.
    let node: Node = serde_json::from_str(&serde_json::to_string(value)?)?;
    let mut out = String::new();
    match &node {
        Node::Map(entries) if !entries.is_empty() => write_map(&mut out, entries, 0),
        Node::List(items) if !items.is_empty() => write_list(&mut out, items, 0),
        Node::Map(_) | Node::List(_) | Node::Scalar(_) => {
            out.push_str(&inline(&node));
            out.push('\n');
        }
    }
    Ok(out)
}

enum Node {
    Scalar(String),
    List(Vec<Self>),
    Map(Vec<(String, Self)>),
}

fn write_map(out: &mut String, entries: &[(String, Node)], indent: usize) {
    for (at, (key, value)) in entries.iter().enumerate() {
        // The first key of a list's item stands behind its dash.
        if at > 0 || out.is_empty() || out.ends_with('\n') {
            out.push_str(&" ".repeat(indent));
        }
        out.push_str(&scalar(key));
        out.push(':');
        match value {
            Node::Map(inner) if !inner.is_empty() => {
                out.push('\n');
                write_map(out, inner, indent + 2);
            }
            Node::List(inner) if !inner.is_empty() => {
                out.push('\n');
                write_list(out, inner, indent);
            }
            Node::Map(_) | Node::List(_) | Node::Scalar(_) => {
                out.push_str(&format!(" {}\n", inline(value)));
            }
        }
    }
}

fn write_list(out: &mut String, items: &[Node], indent: usize) {
    for item in items {
        if out.is_empty() || out.ends_with('\n') {
            out.push_str(&" ".repeat(indent));
        }
        out.push_str("- ");
        match item {
            Node::Map(inner) if !inner.is_empty() => write_map(out, inner, indent + 2),
            Node::List(inner) if !inner.is_empty() => write_list(out, inner, indent + 2),
            Node::Map(_) | Node::List(_) | Node::Scalar(_) => {
                out.push_str(&format!("{}\n", inline(item)));
            }
        }
    }
}

fn inline(node: &Node) -> String {
    match node {
        Node::Scalar(text) => text.clone(),
        Node::List(_) => "[]".to_owned(),
        Node::Map(_) => "{}".to_owned(),
    }
}

/// Text as it stands where no reader can take it for anything else, else in quotes.
fn scalar(text: &str) -> String {
    let first = |c: char| c.is_ascii_alphabetic() || c == '/';
    // A colon means something only at the end or before a space.
    let inner = |c: char| c.is_ascii_alphanumeric() || "_-./+@:".contains(c);
    let word = text.starts_with(first) && text.chars().all(inner) && !text.ends_with(':');
    const SPECIAL: [&str; 8] = ["null", "true", "false", "yes", "no", "on", "off", "y"];
    let lower = text.to_ascii_lowercase();
    if word && lower != "n" && !SPECIAL.contains(&lower.as_str()) {
        return text.to_owned();
    }
    serde_json::to_string(text).unwrap_or_default()
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

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Scalar(scalar(value)))
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar("null".to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Node::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Sample {
        name: &'static str,
        generation: u64,
        spec: Vec<(&'static str, Option<bool>)>,
        items: Vec<Inner>,
        empty: Vec<u8>,
    }

    #[derive(Serialize)]
    struct Inner {
        zebra: &'static str,
        ant: &'static str,
    }

    #[test]
    fn keys_keep_their_order_and_odd_text_its_quotes() {
        let sample = Sample {
            name: "web:1",
            generation: 3,
            spec: vec![("no", None), ("a: b", Some(true))],
            items: vec![Inner { zebra: "10", ant: "x\ny" }],
            empty: Vec::new(),
        };
        let expected = "\
name: web:1
generation: 3
spec:
- - \"no\"
  - null
- - \"a: b\"
  - true
items:
- zebra: \"10\"
  ant: \"x\\ny\"
empty: []
";
        assert_eq!(to_text(&sample).ok().as_deref(), Some(expected));
    }
}
