//! The JSON schema of the manifest (draft 2020-12).

use serde_json::{Map, Value, json};

use super::lookup::ROOT;
use super::{DefaultValue, Grammar, Key, Kind, ListKind, ObjectKind, Scalars};

/// The documents that a schema describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Files: unquoted YAML scalars such as `0.5` and `true` are accepted as text.
    File,
    /// JSON bodies: a text must be a JSON string.
    Json,
}

/// Returns the JSON schema of an app, for editors and other programs.
///
/// Every valid app passes. Rules over several fields, and rules that no pattern can express, are
/// not part of the schema.
pub fn schema(form: Form) -> Value {
    let mut schema = object_schema(&ROOT, form);
    if form == Form::File {
        schema.insert("patternProperties".into(), json!({"^x-": {}}));
    }
    schema.insert("$schema".into(), json!("https://json-schema.org/draft/2020-12/schema"));
    schema.insert("title".into(), json!("Dubernetes app"));
    let description = "The specification of one app. Only `name`, and `image` or `program`, are \
        required.";
    schema.insert("description".into(), json!(description));
    Value::Object(schema)
}

fn object_schema(of: &ObjectKind, form: Form) -> Map<String, Value> {
    let mut properties = Map::new();
    let mut required = Vec::new();
    let body_only = if form == Form::Json { of.body_only } else { &[] };
    for key in of.keys.iter().chain(body_only) {
        properties.insert(key.name.to_owned(), property_schema(key, form));
        if key.default == DefaultValue::Required {
            required.push(key.name);
        }
    }
    let mut schema = object(json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    }));
    if !required.is_empty() {
        schema.insert("required".into(), json!(required));
    }
    if !of.one_of.is_empty() {
        let one_of = of.one_of.iter().map(|key| json!({"required": [key]}));
        let one_of: Vec<Value> = one_of.collect();
        schema.insert("oneOf".into(), json!(one_of));
    }
    schema
}

fn property_schema(key: &Key, form: Form) -> Value {
    let mut schema = kind_schema(&key.kind, form);
    let mut description = key.description.to_owned();
    match key.default {
        DefaultValue::Required => {}
        DefaultValue::Value(text) => {
            schema.insert("default".into(), default_value(&key.kind, text));
        }
        DefaultValue::Described(text) => description.push_str(&format!(" Default: {text}.")),
    }
    description.push_str(&format!(" Example: `{}`", key.example));
    schema.insert("description".into(), json!(description));
    Value::Object(schema)
}

/// Returns a default as JSON.
fn default_value(kind: &Kind, text: &str) -> Value {
    match kind {
        Kind::WholeNumber { .. } | Kind::CountOrPercent { .. } => {
            text.parse::<u16>().map_or_else(|_| json!(text), |number| json!(number))
        }
        Kind::Bool => json!(text == "true"),
        Kind::Text(_)
        | Kind::TextOrObject(..)
        | Kind::True
        | Kind::Choice(_)
        | Kind::List(_)
        | Kind::OneOrList(_)
        | Kind::Map { .. }
        | Kind::Object(_) => json!(text),
    }
}

fn kind_schema(of: &Kind, form: Form) -> Map<String, Value> {
    match of {
        Kind::Text(grammar) => text_schema(grammar, form),
        Kind::TextOrObject(grammar, of) => {
            object(json!({"anyOf": [text_schema(grammar, form), object_schema(of, form)]}))
        }
        Kind::WholeNumber { min, max } => {
            object(json!({"type": "integer", "minimum": min, "maximum": max}))
        }
        Kind::CountOrPercent { max } => object(json!({"anyOf": [
            {"type": "integer", "minimum": 0, "maximum": max},
            {"type": "string", "pattern": "^(0|[1-9][0-9]?|100)%$"},
        ]})),
        Kind::True => object(json!({"const": true})),
        Kind::Bool => object(json!({"type": "boolean"})),
        Kind::Choice(words) => object(json!({"enum": words})),
        Kind::List(list) => list_schema(list, form),
        Kind::OneOrList(list) => {
            object(json!({"anyOf": [kind_schema(list.item, form), list_schema(list, form)]}))
        }
        Kind::Map { key, value, max } => object(json!({
            "type": "object",
            "propertyNames": {"pattern": key.pattern, "maxLength": key.max_chars},
            "additionalProperties": kind_schema(value, form),
            "maxProperties": max,
        })),
        Kind::Object(of) => object_schema(of, form),
    }
}

fn list_schema(ListKind { item, min, max }: &ListKind, form: Form) -> Map<String, Value> {
    object(json!({
        "type": "array",
        "items": kind_schema(item, form),
        "minItems": min,
        "maxItems": max,
    }))
}

fn text_schema(grammar: &Grammar, form: Form) -> Map<String, Value> {
    let types = match (form, grammar.scalars) {
        (Form::Json, _) | (Form::File, Scalars::Text) => json!("string"),
        (Form::File, Scalars::Numbers) => json!(["string", "number"]),
        (Form::File, Scalars::All) => json!(["string", "number", "boolean"]),
    };
    let mut schema = object(json!({"type": types, "maxLength": grammar.max_chars}));
    if !grammar.pattern.is_empty() {
        schema.insert("pattern".into(), json!(grammar.pattern));
    }
    schema
}

/// Unwraps an object that `json!` made.
fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Map::new()
        }
    }
}
