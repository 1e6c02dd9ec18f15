//! What `get -o yaml` and `-o json` print is a manifest: the specification in it is read.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use dubernetes_core::app::AppSpec;
use dubernetes_manifest::{Source, parse, parse_reading};
use serde_json::{Value, json};

fn source(text: impl Into<Vec<u8>>) -> Source {
    Source { name: "x.yaml".into(), text: text.into() }
}

fn everything() -> AppSpec {
    let parsed = parse(&[source(include_str!("manifests/good/everything.yaml"))]).unwrap();
    parsed.apps[0].spec.clone()
}

/// Returns an app in the shape of the API.
fn exported(spec: &AppSpec) -> Value {
    json!({
        "name": spec.name, "generation": 3, "spec": spec, "urls": ["http://myapp.local"],
        "status": {"phase": "Ready", "message": ""}, "created_at": "2026-11-28T19:00:00Z",
    })
}

#[test]
fn exported_app_is_read_as_its_specification() {
    let spec = everything();
    let app = exported(&spec);
    let yaml = dubernetes_manifest::to_yaml_value(&app).unwrap();
    for text in [app.to_string(), yaml] {
        let parsed =
            parse(&[source(text.clone())]).unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!(parsed.apps[0].spec, spec, "{text}");
    }
}

#[test]
fn exported_list_is_read_as_its_specifications() {
    let mut other = everything();
    (other.name, other.access, other.ports) = ("other".parse().unwrap(), vec![], vec![]);
    let list = json!({"kind": "List", "items": [exported(&everything()), exported(&other)]});
    let parsed = parse(&[source(list.to_string())]).unwrap();
    let specs: Vec<_> = parsed.apps.into_iter().map(|app| app.spec).collect();
    assert_eq!(specs, [everything(), other]);
}

#[test]
fn problem_of_an_exported_app_is_located_in_its_specification() {
    let text = "generation: 1\nstatus: {}\nspec:\n  name: web\n  image: web:1\n  prot: 80\n";
    let problems = parse(&[source(text)]).unwrap_err().to_string();
    assert!(problems.contains("unknown key `prot`\n --> x.yaml:6:3"), "{problems}");
}

#[test]
fn file_that_cannot_be_read_keeps_its_hash() {
    let text = "name: a\nimage: b\nenv: { A: { file: ./a, sha256: 0123456789abcdef } }\n";
    let read = |_: &Source, _: &str| Err("no such file".to_owned());
    let parsed = parse_reading(&[source(text)], &read).unwrap();
    let spec = &parsed.apps[0].spec;
    assert_eq!(spec.missing_contents(), ["env.A"]);
    assert_eq!(spec.content_refs()[0].1.hash().unwrap().to_string(), "0123456789abcdef");
    let changed = parse_reading(&[source(text)], &|_, _| Ok(b"other".to_vec())).unwrap_err();
    assert!(changed.to_string().contains("has the hash"), "{changed}");
}
