//! The same table as a JSON schema (draft 2020-12).

use serde_json::{Map, Value, json};

use super::{APP, Grammar, Items, Key, Kind, Level, Scalars, Unless};

/// For whom a schema is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// For the file: YAML scalars such as `0.5` and `true` are texts where a text is wanted.
    File,
    /// For a JSON body, where a text stands in quotes.
    Json,
}

/// What an app is, for editors and other programs: every valid app passes. The rules over several
/// fields, and those of the grammars that no pattern says, are checked by the program alone.
pub fn schema(form: Form) -> Value {
    let mut schema = level(&Level { keys: &APP, one_of: &[], body_only: &[] }, form);
    schema.insert("$schema".into(), json!("https://json-schema.org/draft/2020-12/schema"));
    schema.insert("title".into(), json!("Dubernetes app"));
    let about = "What one app shall be. Only `name` and `image` are required.";
    schema.insert("description".into(), json!(about));
    Value::Object(schema)
}

fn level(level: &Level, form: Form) -> Map<String, Value> {
    let mut properties = Map::new();
    let mut required = Vec::new();
    let body_only = if form == Form::Json { level.body_only } else { &[] };
    for key in level.keys.iter().chain(body_only) {
        properties.insert(key.name.to_owned(), property(key, form));
        if key.unless == Unless::Required {
            required.push(key.name);
        }
    }
    let mut object = object(json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    }));
    if !required.is_empty() {
        object.insert("required".into(), json!(required));
    }
    if !level.one_of.is_empty() {
        let ways: Vec<Value> = level.one_of.iter().map(|key| json!({"required": [key]})).collect();
        object.insert("oneOf".into(), json!(ways));
    }
    object
}

fn property(key: &Key, form: Form) -> Value {
    let mut property = kind(&key.kind, form);
    let mut about = key.about.to_owned();
    match key.unless {
        Unless::Required => {}
        Unless::Value(text) => {
            property.insert("default".into(), value(&key.kind, text));
        }
        Unless::Means(words) => about.push_str(&format!(" Unless given: {words}.")),
    }
    about.push_str(&format!(" Example: `{}`", key.example));
    property.insert("description".into(), json!(about));
    Value::Object(property)
}

/// A default as JSON.
fn value(kind: &Kind, text: &str) -> Value {
    match kind {
        Kind::Whole { .. } | Kind::CountOrPercent { .. } => {
            text.parse::<u16>().map_or_else(|_| json!(text), |number| json!(number))
        }
        Kind::Text(_)
        | Kind::TextOr(..)
        | Kind::True
        | Kind::Choice(_)
        | Kind::List(_)
        | Kind::OneOrList(_)
        | Kind::Map { .. }
        | Kind::Mapping(_) => json!(text),
    }
}

fn kind(of: &Kind, form: Form) -> Map<String, Value> {
    match of {
        Kind::Text(grammar) => text(grammar, form),
        Kind::TextOr(grammar, of) => {
            object(json!({"anyOf": [text(grammar, form), level(of, form)]}))
        }
        Kind::Whole { min, max } => {
            object(json!({"type": "integer", "minimum": min, "maximum": max}))
        }
        Kind::CountOrPercent { max } => object(json!({"anyOf": [
            {"type": "integer", "minimum": 0, "maximum": max},
            {"type": "string", "pattern": "^(0|[1-9][0-9]?|100)%$"},
        ]})),
        Kind::True => object(json!({"const": true})),
        Kind::Choice(words) => object(json!({"enum": words})),
        Kind::List(items) => list(items, form),
        Kind::OneOrList(items) => {
            object(json!({"anyOf": [kind(items.item, form), list(items, form)]}))
        }
        Kind::Map { key, value, max } => object(json!({
            "type": "object",
            "propertyNames": {"pattern": key.pattern, "maxLength": key.max},
            "additionalProperties": kind(value, form),
            "maxProperties": max,
        })),
        Kind::Mapping(of) => level(of, form),
    }
}

fn list(Items { item, min, max }: &Items, form: Form) -> Map<String, Value> {
    object(json!({
        "type": "array",
        "items": kind(item, form),
        "minItems": min,
        "maxItems": max,
    }))
}

fn text(grammar: &Grammar, form: Form) -> Map<String, Value> {
    let types = match (form, grammar.scalars) {
        (Form::Json, _) | (Form::File, Scalars::Text) => json!("string"),
        (Form::File, Scalars::Numbers) => json!(["string", "number"]),
        (Form::File, Scalars::All) => json!(["string", "number", "boolean"]),
    };
    let mut object = object(json!({"type": types, "maxLength": grammar.max}));
    if !grammar.pattern.is_empty() {
        object.insert("pattern".into(), json!(grammar.pattern));
    }
    object
}

/// The object that the macro made.
fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Map::new()
        }
    }
}
