//! The reference against the reader: valid manifests pass the JSON schema, and those of a wrong
//! shape do not.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::{Path, PathBuf};

use dubernetes_manifest::reference::{Form, schema};
use jsonschema::Validator;
use serde_json::Value;

fn validator(form: Form) -> Validator {
    let schema = schema(form);
    jsonschema::draft202012::meta::validate(&schema).unwrap();
    jsonschema::draft202012::new(&schema).unwrap()
}

/// Returns the documents of a file as an editor sees them: YAML with its own types.
fn documents(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    let text = text.trim_start_matches('\u{feff}');
    serde_yaml::from_multiple(text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn yaml_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            yaml_files(&path, found);
        } else if path.extension().is_some_and(|end| end == "yaml") {
            found.push(path);
        }
    }
}

fn problems(validator: &Validator, value: &Value) -> Vec<String> {
    let text =
        |error: jsonschema::ValidationError<'_>| format!("{}: {error}", error.instance_path());
    validator.iter_errors(value).map(text).collect()
}

#[test]
fn good_files_and_examples_pass_the_schema() {
    let validator = validator(Form::File);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    yaml_files(&root.join("tests/manifests/good"), &mut files);
    yaml_files(&root.join("../examples"), &mut files);
    assert!(files.len() > 15, "the good files are missing");
    for path in files {
        let documents = documents(&path);
        assert!(!documents.is_empty(), "{}", path.display());
        for document in documents {
            let found = problems(&validator, &document);
            assert_eq!(found, Vec::<String>::new(), "{}", path.display());
        }
    }
}

/// The bad files with a wrong shape: an unknown key, a wrong type, a number out of range, or a
/// missing key.
const SHAPES: [&str; 31] = [
    "b02_list",
    "b02_scalar",
    "b13_sample",
    "b13_unknown_keys",
    "b14_keys_of_other_levels",
    "b15_compose",
    "b15_kubernetes",
    "b16_wrong_types",
    "b17_empty_text",
    "b17_missing",
    "b17_no_value",
    "b18_replicas_boolean",
    "b18_replicas_exponent",
    "b18_replicas_fraction",
    "b18_replicas_negative",
    "b18_replicas_quoted",
    "b18_replicas_sexagesimal",
    "b18_replicas_twenty_digits",
    "b19_replicas_million",
    "b19_replicas_above_the_limit",
    "b21_port",
    "b28_surge",
    "b32_host_1",
    "b32_host_2",
    "b38_env_names",
    "b40_env_values",
    "b40_too_many_env_entries",
    "b42_volumes",
    "labels",
    "pull_policy",
    "signals",
];

#[test]
fn files_of_a_wrong_shape_fail_the_schema() {
    let validator = validator(Form::File);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/manifests/bad");
    for name in SHAPES {
        let path = folder.join(name).with_extension("yaml");
        for (index, document) in documents(&path).iter().enumerate() {
            assert!(!validator.is_valid(document), "{name}, document {index}: {document}");
        }
    }
}

#[test]
fn json_schema_accepts_only_json_types() {
    let validator = validator(Form::Json);
    let body = |more: &str| {
        serde_json::from_str::<Value>(&format!(r#"{{"name": "a", "image": "b"{more}}}"#)).unwrap()
    };
    for legal in
        ["", r#", "replicas": 0"#, r#", "env": {"A": ""}"#, r#", "resources": {"cpu": "0.5"}"#]
    {
        assert_eq!(problems(&validator, &body(legal)), Vec::<String>::new(), "{legal}");
    }
    for wrong in [r#", "replicas": "3""#, r#", "env": {"A": 1}"#, r#", "resources": {"cpu": 0.5}"#]
    {
        assert!(!validator.is_valid(&body(wrong)), "{wrong}");
    }
}
