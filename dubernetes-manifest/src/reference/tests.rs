use std::collections::BTreeSet;

use super::*;
use crate::{Source, keys, parse};
use dubernetes_core::app::{AppSpec, ConfigFile, FileRef, OnFailure, Order, PullPolicy, Signal};

/// Every key with its path and the path of the mapping that it stands in.
fn all() -> Vec<(String, String, &'static Key)> {
    fn walk(above: &str, keys: &'static [Key], found: &mut Vec<(String, String, &'static Key)>) {
        for key in keys {
            let dot = if above.is_empty() { "" } else { "." };
            let path = format!("{above}{dot}{}", key.name);
            if matches!(key.kind, Kind::Mapping(_)) {
                walk(&path, key.children(), found);
            }
            found.push((path, above.to_owned(), key));
        }
    }
    let mut found = Vec::new();
    walk("", &APP, &mut found);
    found
}

/// What must stand beside the keys of a mapping.
fn beside(above: &str, key: &str) -> &'static str {
    match (above, key) {
        ("", _) => "name: a\nimage: b\n",
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

/// An app with these lines in the mapping `above`; of a key that is written twice the last counts.
fn file(above: &str, key: &str, lines: &str) -> String {
    let mut kept = String::new();
    let written = lines.split(':').next().unwrap_or_default();
    for line in beside(above, key).lines() {
        if line.split(':').next() != Some(written) {
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
fn every_key_of_the_specification_is_in_the_table_and_only_those() {
    // All keys of a mapping at once do not go together everywhere, so each is tried alone.
    let mut accepted = BTreeSet::new();
    for (path, above, key) in all() {
        let text = file(&above, key.name, key.example);
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
        if matches!(find(name).unwrap()[0].kind, Kind::Mapping(_)) {
            let inside = value.as_object().unwrap().keys();
            written.extend(inside.map(|key| format!("{name}.{key}")));
        }
    }
    // `everything.yaml` asks in one of the three ways.
    written.extend(["health.http", "health.tcp", "health.exec"].map(str::to_owned));
    assert_eq!(accepted, written);
}

/// The names in serde's own message about a field that there is not.
fn in_message(error: &serde_json::Error) -> BTreeSet<String> {
    let text = error.to_string();
    let list = text.split_once("expected").unwrap().1;
    list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_field_of_the_types_is_in_the_table() {
    let named = |body: &str| in_message(&serde_json::from_str::<AppSpec>(body).unwrap_err());
    let known =
        |keys: &[Key]| -> BTreeSet<String> { keys.iter().map(|key| key.name.to_owned()).collect() };
    assert_eq!(named(r#"{"nonsense": 1}"#), known(&APP));
    for key in APP.iter().filter(|key| matches!(key.kind, Kind::Mapping(_))) {
        let body = format!(r#"{{"name": "a", "image": "b", "{}": {{"nonsense": 1}}}}"#, key.name);
        assert_eq!(named(&body), known(key.children()), "{}", key.name);
    }
    let both = |keys: &[Key]| &known(keys) | &known(&CONTENT);
    let reference = serde_json::from_str::<FileRef>(r#"{"nonsense": 1}"#).unwrap_err();
    assert_eq!(in_message(&reference), both(&FILE_REF));
    let file = serde_json::from_str::<ConfigFile>(r#"{"nonsense": 1}"#).unwrap_err();
    assert_eq!(in_message(&file), both(&CONFIG_FILE));
    let read: BTreeSet<_> = keys::of_file(true, &["mode"]).into_iter().map(str::to_owned).collect();
    assert_eq!(read, both(&CONFIG_FILE));
}

#[test]
fn a_default_is_what_holds_without_the_key() {
    for (path, above, key) in all() {
        let Unless::Value(default) = key.unless else { continue };
        let with = read(&file(&above, key.name, &format!("{}: {default}\n", key.name)));
        let without = read(&file(&above, key.name, ""));
        let without = without.or_else(|_| read("name: a\nimage: b\n"));
        let with = with.unwrap_or_else(|error| panic!("{path}: {error}"));
        let (with, without) = (serde_json::to_value(with), serde_json::to_value(without.unwrap()));
        assert_eq!(with.unwrap().get(&path), without.unwrap().get(&path), "{path}");
    }
}

#[test]
fn the_limits_of_numbers_are_those_of_the_check() {
    let mut tried = 0;
    for (path, above, key) in all() {
        let (min, max) = match key.kind {
            Kind::Whole { min, max } => (i64::from(min), i64::from(max)),
            Kind::CountOrPercent { max } => (0, i64::from(max)),
            Kind::Text(_)
            | Kind::TextOr(..)
            | Kind::True
            | Kind::Choice(_)
            | Kind::List(_)
            | Kind::OneOrList(_)
            | Kind::Map { .. }
            | Kind::Mapping(_) => continue,
        };
        let with = |number: i64| {
            let number = format!("{}: {number}\n", key.name);
            read(&file(&above, key.name, &number))
        };
        for legal in [min, max] {
            assert!(with(legal).is_ok(), "{path}: {legal}: {:?}", with(legal));
        }
        for wrong in [min - 1, max + 1] {
            assert!(with(wrong).is_err(), "{path}: {wrong}");
        }
        tried += 1;
    }
    assert!(tried > 5, "the numbers are gone");
}

#[test]
fn the_words_are_those_of_the_types() {
    let words = |path: &str| match find(path).unwrap().last().unwrap().kind {
        Kind::Choice(words) => words.to_vec(),
        other => panic!("{path} is {other:?}"),
    };
    assert_eq!(words("stop.signal"), Signal::ALL.map(Signal::as_str));
    assert_eq!(words("rollout.order"), Order::ALL.map(Order::as_str));
    assert_eq!(words("rollout.on_failure"), OnFailure::ALL.map(OnFailure::as_str));
    let pull = [PullPolicy::Missing, PullPolicy::Always, PullPolicy::Never];
    let pull = pull.map(|policy| serde_json::to_value(policy).unwrap());
    assert_eq!(words("pull"), pull.each_ref().map(|word| word.as_str().unwrap()));
}

#[test]
fn every_key_is_described_in_sentences() {
    for (path, _, key) in all() {
        assert!(key.about.ends_with('.') && !key.summary().is_empty(), "{path}: {}", key.about);
        assert!(!key.about.contains("  "), "{path}: {}", key.about);
        assert!(key.example.starts_with(&format!("{}: ", key.name)), "{path}");
        assert!(!key.default_words().is_empty(), "{path}");
        assert!(!key.kind.words().is_empty(), "{path}");
    }
}

#[test]
fn a_key_is_found_by_its_path_and_a_wrong_one_leads_to_the_right_one() {
    let names = |path: &str| {
        let trail =
            find(path).map_err(|unknown| format!("{}: {}", unknown.message, unknown.hint))?;
        Ok::<_, String>(trail.iter().map(|key| key.name).collect::<Vec<_>>().join(" "))
    };
    for (path, expected) in [
        ("replicas", Ok("replicas")),
        ("access.host", Ok("access host")),
        ("access.host.0", Ok("access host")),
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
            Err(
                "unknown key `` in `rollout`: the keys here are `max_surge`, `max_unavailable`, `min_ready`, `progress_deadline`, `order`, `on_failure`, `history`",
            ),
        ),
    ] {
        assert_eq!(
            names(path).as_deref(),
            expected.map_err(|text: &str| text.to_owned()).as_deref(),
            "{path}"
        );
    }
}
