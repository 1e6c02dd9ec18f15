//! Limits of manifests and JSON bodies, and what a JSON body must not contain.

use dubernetes_manifest::{BodyProblem, Diagnostic, JsonError, MAX_FILE_BYTES, Source};

fn first_problem(text: impl Into<Vec<u8>>) -> Diagnostic {
    let source = Source { name: "app.yaml".into(), text: text.into() };
    dubernetes_manifest::parse(&[source]).expect_err("the manifest is invalid").list.remove(0)
}

#[test]
fn exceeded_limit_is_reported_at_its_place() {
    let cases = [
        (format!("name: {}", "[".repeat(40_000)), "nested deeper than 32 levels", (1, 39)),
        (format!("{}: x", "- ".repeat(40_000)), "nested deeper than 32 levels", (1, 65)),
        (
            format!("args: [{}]", "x,".repeat(20_000)),
            "a file may have at most 20000 keys and values",
            (1, 40_002),
        ),
        ("---\na: b\n".repeat(65), "a file may have at most 64 documents", (129, 1)),
        ("yes\n".repeat(MAX_FILE_BYTES / 4 + 1), "the file is larger than 1 MiB", (1, 1)),
    ];
    for (text, message, place) in cases {
        let source = Source { name: "app.yaml".into(), text: text.into_bytes() };
        let found = dubernetes_manifest::parse(&[source]).unwrap_err().list;
        let limit = found.iter().find(|found| found.message == message);
        let limit = limit.unwrap_or_else(|| panic!("{message} is not among {found:?}"));
        assert_eq!((limit.line, limit.column), place, "{message}");
    }
}

#[test]
fn file_of_the_largest_size_is_accepted() {
    let mut text = b"name: a\nimage: b\n#".to_vec();
    text.resize(MAX_FILE_BYTES, b'x');
    let source = Source { name: "app.yaml".into(), text };
    assert!(dubernetes_manifest::parse(&[source]).is_ok());
}

#[test]
fn endless_pipe_is_read_up_to_the_limit() {
    let source = Source::read("-", std::io::repeat(b'y')).unwrap();
    let found = dubernetes_manifest::parse(&[source]).unwrap_err();
    assert_eq!(found.list[0].source, "<stdin>");
    assert_eq!(found.list[0].message, "the file is larger than 1 MiB");
}

#[test]
fn too_large_value_is_reported_by_its_name() {
    let found =
        first_problem(format!("name: a\nimage: b\nenv: {{ A: {} }}", "x".repeat(32 * 1024 + 1)));
    assert_eq!(found.path, "env.A");
    assert_eq!(found.message, "the value of `A` has 32769 bytes, but at most 32768 are allowed");
}

#[test]
fn too_large_environment_is_refused() {
    let entries = |count: usize| {
        let value = "x".repeat(32_000);
        (0..count).map(|n| format!("  A{n}: {value}\n")).collect::<String>()
    };
    let text = |count| format!("name: a\nimage: b\nenv:\n{}", entries(count));
    let source = Source { name: "app.yaml".into(), text: text(8).into_bytes() };
    assert!(dubernetes_manifest::parse(&[source]).is_ok());
    let found = first_problem(text(9));
    assert_eq!(found.path, "env");
    assert!(found.message.contains("262144"), "{}", found.message);
}

#[test]
fn longest_list_of_problems_is_rendered() {
    let text = format!("{{{}}}", (0..9_000).map(|n| format!("k{n}: x,")).collect::<String>());
    let source = Source { name: "app.yaml".into(), text: text.into_bytes() };
    let found = dubernetes_manifest::parse(&[source]).unwrap_err();
    assert_eq!(found.list.len(), 9_002);
    assert!(found.to_string().ends_with(
        "error: 9002 problems in app.yaml, the first 20 are shown; nothing was changed"
    ));
}

#[test]
fn coloured_and_plain_text_are_the_same() {
    let source = Source { name: "app.yaml".into(), text: b"name: a\nimage: b\nprot: 1\n".to_vec() };
    let found = dubernetes_manifest::parse(&[source]).unwrap_err();
    let colored = found.render(true);
    assert!(colored.contains("\u{1b}["));
    let mut plain = String::new();
    let mut rest = colored.as_str();
    while let Some((before, code)) = rest.split_once('\u{1b}') {
        plain.push_str(before);
        rest = code.split_once('m').unwrap().1;
    }
    assert_eq!(plain + rest, found.to_string());
}

#[test]
fn no_sources_yield_no_apps() {
    assert_eq!(dubernetes_manifest::parse(&[]), Ok(dubernetes_manifest::Parsed::default()));
}

#[test]
fn lowered_host_is_noted() {
    let text = b"name: a\nimage: b\naccess: { host: A.Test }\n".to_vec();
    let parsed = dubernetes_manifest::parse(&[Source { name: "app.yaml".into(), text }]).unwrap();
    assert_eq!(parsed.notes, ["the host `A.Test` is read as `a.test` (app.yaml:3:17)"]);
    assert_eq!((parsed.apps[0].source.as_str(), parsed.apps[0].line), ("app.yaml", 1));
}

fn problems(body: &str) -> Vec<(String, String)> {
    match dubernetes_manifest::from_json(body.as_bytes()) {
        Err(JsonError::Invalid(found)) => {
            let pair = |found: BodyProblem| (found.problem.path, found.problem.message);
            found.into_iter().map(pair).collect()
        }
        other => panic!("{body} gives {other:?}"),
    }
}

#[test]
fn json_numbers_are_not_converted() {
    let cases = [
        ("4294967299", "`replicas` must be at most 250, not `4294967299`"),
        ("3.0", "`replicas` must be a whole number, not the number 3.0"),
        ("1e2", "`replicas` must be a whole number, not the number 100.0"),
        ("-1", "`replicas` must be a whole number, not the number -1"),
        ("\"3\"", "`replicas` must be a whole number, not the text `3`"),
        ("true", "`replicas` must be a whole number, not `true`"),
        ("null", "`replicas` has no value"),
        ("[]", "`replicas` must be a whole number, not a list"),
    ];
    for (value, message) in cases {
        let body = format!(r#"{{"name": "a", "image": "b", "replicas": {value}}}"#);
        assert_eq!(problems(&body), [("replicas".into(), message.into())], "{value}");
    }
}

#[test]
fn json_problems_are_reported_by_path() {
    let body = r#"{"name": "A", "image": 5, "replicas": 3, "replicas": 4, "env": {"A": 1, "A": "b"},
        "access": {"hots": "a"}, "volumes": ["a:/x", "b:/x"], "spec": {}, "labels": {"a": null}}"#;
    let paths: Vec<String> = problems(body).into_iter().map(|(path, _)| path).collect();
    let expected = [
        "replicas",
        "spec",
        "name",
        "image",
        "access.hots",
        "env.A",
        "env.A",
        "volumes.1",
        "labels.a",
    ];
    let (mut found, mut expected) = (paths, expected.map(str::to_owned).to_vec());
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn invalid_app_and_invalid_json_are_different_errors() {
    for body in ["[]", "5", "\"x\"", "null", "{}"] {
        assert!(
            matches!(dubernetes_manifest::from_json(body.as_bytes()), Err(JsonError::Invalid(_))),
            "{body}"
        );
    }
    let deep = "[".repeat(10_000);
    for body in ["", "{", "{} {}", "{'a': 1}", "{\"a\": 1e400}", "\u{feff}{}", deep.as_str()] {
        let error = dubernetes_manifest::from_json(body.as_bytes());
        assert!(matches!(error, Err(JsonError::Syntax { .. })), "{body}: {error:?}");
    }
    let error = dubernetes_manifest::from_json(b"{\"name\": \"\xff\"}");
    assert!(matches!(error, Err(JsonError::Syntax { line: 1, .. })), "{error:?}");
}

#[test]
fn json_problem_has_the_pointer_of_its_field() {
    let body = r#"{"image": "b", "access": {"host": "a b", "pth": "/"}, "volumes": ["a:/x", "b"],
        "labels": {"a/b~c": 1, "x.y": null}, "env": {"A.B": 1, "A": 2}, "stop": {"grace": "5"},
        "health": {}, "rollout": {"history": 0}}"#;
    let Err(JsonError::Invalid(found)) = dubernetes_manifest::from_json(body.as_bytes()) else {
        panic!("the app is invalid")
    };
    let mut pointers: Vec<String> = found.into_iter().map(|found| found.pointer).collect();
    pointers.sort();
    let mut expected = [
        "/name",
        "/access/host",
        "/access/pth",
        "/volumes/1",
        "/labels/a~1b~0c",
        "/labels/x.y",
        "/env/A.B",
        "/env/A",
        "/stop/grace",
        "/health",
        "/rollout/history",
    ];
    expected.sort_unstable();
    assert_eq!(pointers, expected);
    let Err(JsonError::Invalid(found)) = dubernetes_manifest::from_json(b"[]") else {
        panic!("the app is invalid")
    };
    assert_eq!(found[0].pointer, "", "the whole body");
}
