use std::collections::BTreeSet;

use super::*;
use crate::{Source, parse};
use dubernetes_core::app::{AppSpec, ConfigFile, ContentRef};

/// Returns every key with its path, and the path of the mapping above it.
fn all() -> Vec<(String, String, &'static Key)> {
    let split = |(path, key): (String, &'static Key)| {
        let above = path.rsplit_once('.').map_or("", |(above, _)| above).to_owned();
        (path, above, key)
    };
    all_keys().into_iter().map(split).collect()
}

/// Returns the lines that a key needs next to it.
fn required_lines(above: &str, key: &str) -> &'static str {
    match (above, key) {
        ("", "program") => "name: a\n",
        ("", _) => "name: a\nimage: b\n",
        ("access", "strip_prefix") => "host: a.test\npath: /x\n",
        ("access", _) => "host: a.test\n",
        ("health", "http" | "tcp" | "exec") => "",
        ("health", "failures") => "http: /\nreplace_after: 1000\n",
        ("health", "replace_after") => "http: /\nfailures: 1\n",
        ("health", _) => "http: /\n",
        ("rollout", "max_surge") => "max_unavailable: 1\n",
        ("pre_deploy", _) => "command: [a]\n",
        _ => "",
    }
}

/// Returns a manifest with `lines` in the mapping `above`, which replace required lines.
fn manifest(above: &str, key: &str, lines: &str) -> String {
    let mut kept = String::new();
    let replaced = lines.split(':').next().unwrap_or_default();
    for line in required_lines(above, key).lines() {
        if line.split(':').next() != Some(replaced) {
            kept += &format!("{line}\n");
        }
    }
    kept += lines;
    if above.is_empty() {
        return kept;
    }
    let inside: String = kept.lines().map(|line| format!("  {line}\n")).collect();
    format!("name: a\nimage: b\n{above}:\n{inside}")
}

fn read(text: &str) -> Result<AppSpec, String> {
    let source = Source { name: "app.yaml".into(), text: text.into() };
    match parse(&[source]) {
        Ok(parsed) => Ok(parsed.apps[0].spec.clone()),
        Err(problems) => Err(format!("{problems}\n{text}")),
    }
}

#[test]
fn keys_of_the_table_are_those_of_the_reader() {
    // Some keys cannot be combined, so each one is tried alone.
    let mut accepted = BTreeSet::new();
    for (path, above, key) in all() {
        let text = manifest(&above, key.name, key.example);
        let spec = read(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
        let written = serde_json::to_value(&spec).unwrap();
        let pointer = format!("/{}", path.replace('.', "/"));
        let value = written.pointer(&pointer);
        let value = value.unwrap_or_else(|| panic!("{path} is not written: {written}"));
        assert_ne!(*value, serde_json::Value::Null, "{path}");
        accepted.insert(path);
    }
    let everything = include_str!("../../tests/manifests/good/everything.yaml");
    let spec = serde_json::to_value(read(everything).unwrap()).unwrap();
    let mut written = BTreeSet::new();
    for (name, value) in spec.as_object().unwrap() {
        written.insert(name.clone());
        if find(name).unwrap()[0].kind.fixed_keys().is_some() {
            // A mapping, or a list of mappings.
            let entries = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
            let inside = entries.iter().flat_map(|entry| entry.as_object().unwrap().keys());
            written.extend(inside.map(|key| format!("{name}.{key}")));
        }
    }
    // `everything.yaml` has an image, files, and one of the three probes.
    written.extend(["program", "read_only"].map(str::to_owned));
    written.extend(["health.http", "health.tcp", "health.exec"].map(str::to_owned));
    assert_eq!(accepted, written);
}

/// Returns the field names in serde's message about an unknown field.
fn named_fields(error: &serde_json::Error) -> BTreeSet<String> {
    let text = error.to_string();
    let list = text.split_once("expected").unwrap().1;
    list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn keys_of_the_table_are_the_fields_of_the_types() {
    let named = |body: &str| named_fields(&serde_json::from_str::<AppSpec>(body).unwrap_err());
    let known =
        |keys: &[Key]| -> BTreeSet<String> { keys.iter().map(|key| key.name.to_owned()).collect() };
    // The keys of the app itself are compared by `keys_of_the_table_are_those_of_the_reader`, and
    // by the properties of manifests, whose generator lists every field.
    for key in APP.iter().filter(|key| key.kind.fixed_keys().is_some()) {
        let body = format!(r#"{{"name": "a", "image": "b", "{}": {{"nonsense": 1}}}}"#, key.name);
        assert_eq!(named(&body), known(key.children()), "{}", key.name);
    }
    let both = |keys: &[Key]| &known(keys) | &known(CONTENT);
    let reference = serde_json::from_str::<ContentRef>(r#"{"nonsense": 1}"#).unwrap_err();
    assert_eq!(named_fields(&reference), both(CONTENT_REF));
    let file = serde_json::from_str::<ConfigFile>(r#"{"nonsense": 1}"#).unwrap_err();
    assert_eq!(named_fields(&file), both(CONFIG_FILE));
}

#[test]
fn default_is_the_value_without_the_key() {
    for (path, above, key) in all() {
        let DefaultValue::Value(default) = key.default else { continue };
        let with = read(&manifest(&above, key.name, &format!("{}: {default}\n", key.name)));
        let without = read(&manifest(&above, key.name, ""));
        let without = without.or_else(|_| read("name: a\nimage: b\n"));
        let with = with.unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(with, without.unwrap(), "{path}");
    }
}

#[test]
fn limits_of_numbers_are_those_of_the_reader() {
    let mut tried = 0;
    for (path, above, key) in all() {
        let (min, max) = match key.kind {
            Kind::WholeNumber { min, max } => (i64::from(min), i64::from(max)),
            Kind::CountOrPercent { max } => (0, i64::from(max)),
            Kind::Text(_)
            | Kind::TextOrObject(..)
            | Kind::True
            | Kind::Bool
            | Kind::Choice(_)
            | Kind::List(_)
            | Kind::OneOrList(_)
            | Kind::Map { .. }
            | Kind::Object(_) => continue,
        };
        let with = |number: i64| {
            let number = format!("{}: {number}\n", key.name);
            read(&manifest(&above, key.name, &number))
        };
        for legal in [min, max] {
            assert!(with(legal).is_ok(), "{path}: {legal}: {:?}", with(legal));
        }
        for wrong in [min - 1, max + 1] {
            assert!(with(wrong).is_err(), "{path}: {wrong}");
        }
        tried += 1;
    }
    assert!(tried > 5, "the numbers are missing");
}

#[test]
fn descriptions_are_sentences() {
    for (path, _, key) in all() {
        assert!(
            key.description.ends_with('.') && !key.summary().is_empty(),
            "{path}: {}",
            key.description
        );
        assert!(!key.description.contains("  "), "{path}: {}", key.description);
        assert!(key.example.starts_with(&format!("{}: ", key.name)), "{path}");
    }
}

#[test]
fn find_returns_the_key_or_a_hint() {
    let names = |path: &str| {
        let trail =
            find(path).map_err(|unknown| format!("{}: {}", unknown.message, unknown.hint))?;
        Ok::<_, String>(trail.iter().map(|key| key.name).collect::<Vec<_>>().join(" "))
    };
    for (path, expected) in [
        ("replicas", Ok("replicas")),
        ("access.host", Ok("access host")),
        ("access.host.0", Ok("access host")),
        ("access.1.host.0", Ok("access host")),
        ("access.1.hots", Err("unknown key `hots` in `access`: did you mean `host`?")),
        ("env.LOG_LEVEL", Ok("env")),
        ("labels.example.org/team", Ok("labels")),
        ("env.DB_PASSWORD.file", Ok("env file")),
        ("files.mode", Ok("files mode")),
        ("replcias", Err("unknown key `replcias`: did you mean `replicas`?")),
        ("access.hots", Err("unknown key `hots` in `access`: did you mean `host`?")),
        ("host", Err("unknown key `host`: it belongs under `access`")),
        (
            "replicas.x",
            Err("`replicas` has no keys below it, such as `x`: `replicas` alone is a key"),
        ),
        (
            "rollout.",
            Err("unknown key `` in `rollout`: the keys here are `max_surge`, \
                `max_terminating`, `max_unavailable`, \
                `min_ready`, `progress_deadline`, `order`, `on_failure`, `history`"),
        ),
    ] {
        assert_eq!(
            names(path).as_deref(),
            expected.map_err(|text: &str| text.to_owned()).as_deref(),
            "{path}"
        );
    }
}
