//! Referenced files: what is read, where a problem is reported, and that no content is repeated.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use dubernetes_core::app::{MAX_CONTENT_BYTES, MAX_ENV_VALUE_BYTES, Secret};
use dubernetes_core::identity::spec_hash;
use dubernetes_manifest::{JsonError, Parsed, Source};

const CANARY: &str = "canary-4711";

/// Parses a manifest next to these files.
fn parse(manifest: &str, files: &[(&str, &[u8])]) -> Result<Parsed, String> {
    let source = Source { name: "app.yaml".into(), text: manifest.into() };
    let content = |source: &Source, path: &str| {
        assert_eq!(source.name, "app.yaml");
        let found = files.iter().find(|(name, _)| *name == path);
        found.map(|(_, content)| content.to_vec()).ok_or_else(|| "no such file".to_owned())
    };
    dubernetes_manifest::parse_reading(&[source], &content).map_err(|problems| problems.to_string())
}

fn refused(manifest: &str, files: &[(&str, &[u8])]) -> String {
    let problems = parse(manifest, files).unwrap_err();
    assert!(!problems.contains(CANARY), "{problems}");
    problems
}

#[test]
fn missing_file_is_reported_at_its_key() {
    let manifest = "name: web
image: web:1
env:
  LOG_LEVEL: info
  DB_PASSWORD: { file: ./db-password }
env_file: .env
files:
  /etc/app.conf: ./app.conf
";
    let problems = refused(manifest, &[("./app.conf", b"")]);
    let expected = "\
error: cannot read the file `./db-password`: no such file
 --> app.yaml:5:24
  |
5 |   DB_PASSWORD: { file: ./db-password }
  |                        ^^^^^^^^^^^^^
  |
help: relative paths start at the folder of the manifest

error: cannot read the file `.env`: no such file
 --> app.yaml:6:11
  |
6 | env_file: .env
  |           ^^^^
  |
help: relative paths start at the folder of the manifest

error: 2 problems in app.yaml; nothing was changed";
    assert_eq!(problems, expected);
}

#[test]
fn invalid_content_is_reported_without_its_text() {
    let manifest = "name: web
image: web:1
env:
  BYTES: { file: bytes }
  NUL: { file: nul }
  LONG: { file: long }
env_file: [good, bad]
files:
  /etc/large: large
";
    let long = CANARY.repeat(MAX_ENV_VALUE_BYTES / CANARY.len() + 1);
    let large = vec![b'x'; MAX_CONTENT_BYTES + 1];
    let problems = refused(
        manifest,
        &[
            ("bytes", b"canary-4711\xff"),
            ("nul", b"canary-4711\0"),
            ("long", long.as_bytes()),
            ("good", b"A=canary-4711\n"),
            ("bad", b"# fine\nKEY=fine\ncanary-4711\n"),
            ("large", &large),
        ],
    );
    for (place, text) in [
        ("4:3", "the file `bytes` is not UTF-8, so it cannot be a variable's value"),
        ("5:3", "the file `nul` contains a NUL character, so it cannot be a variable's value"),
        ("6:3", "the value in the file `long` has 32769 bytes, but at most 32768 are allowed"),
        ("7:18", "line 3 of the file `bad` has no `=`"),
        ("9:15", "the file `large` has more than 524288 bytes"),
    ] {
        let expected = format!("error: {text}\n --> app.yaml:{place}\n");
        assert!(problems.contains(&expected), "{expected} is missing in:\n{problems}");
    }
}

#[test]
fn files_and_environment_have_total_limits() {
    let half = vec![b'x'; MAX_CONTENT_BYTES];
    let manifest = "name: web\nimage: web:1\nfiles: { /a: a, /b: a, /c: b }\n";
    assert!(parse(manifest, &[("a", &half), ("b", b"")]).is_ok(), "exactly the limit");
    let problems = refused(manifest, &[("a", &half), ("b", b"x")]);
    assert!(problems.contains("at most 1048576 bytes together, not 1048577"), "{problems}");

    let manifest = "name: web\nimage: web:1\nenv_file: a\n";
    let many: String = (0..257).map(|number| format!("KEY{number}={CANARY}\n")).collect();
    let problems = refused(manifest, &[("a", many.as_bytes())]);
    assert!(problems.contains("at most 256 variables together, not 257"), "{problems}");
    let value = "x".repeat(MAX_ENV_VALUE_BYTES);
    let much: String = (0..8).map(|number| format!("KEY{number}={value}\n")).collect();
    let problems = refused(manifest, &[("a", much.as_bytes())]);
    assert!(problems.contains("bytes with their names"), "{problems}");
    let long = format!("KEY={value}x");
    let problems = refused(manifest, &[("a", long.as_bytes())]);
    assert!(problems.contains("the value of `KEY` has 32769 bytes"), "{problems}");
}

#[test]
fn content_with_another_hash_is_refused() {
    let hash = Secret::new("new").hash();
    let manifest = |hash: &str| {
        format!("name: web\nimage: web:1\nenv: {{ A: {{ file: a, sha256: {hash} }} }}\n")
    };
    assert!(parse(&manifest(&hash.to_string()), &[("a", b"new")]).is_ok());
    let problems = refused(&manifest("0123456789abcdef"), &[("a", b"new")]);
    let text = format!("the content of `a` has the hash `{hash}`, not `0123456789abcdef`");
    assert!(problems.contains(&text), "{problems}");
    assert!(
        problems.contains("help: delete `sha256` to accept the file as it is now"),
        "{problems}"
    );
}

#[test]
fn changed_content_changes_the_spec_hash() {
    let manifest =
        "name: web\nimage: web:1\nenv: { A: { file: a } }\nenv_file: b\nfiles: { /c: c }\n";
    let hash = |files: [&[u8]; 3]| {
        let [a, b, c] = files;
        spec_hash(&parse(manifest, &[("a", a), ("b", b), ("c", c)]).unwrap().apps[0].spec)
    };
    let before = hash([b"1", b"A=1", b"1"]);
    assert_eq!(before, hash([b"1", b"A=1", b"1"]));
    for changed in [[&b"2"[..], b"A=1", b"1"], [b"1", b"A=2", b"1"], [b"1", b"A=1", b"2"]] {
        assert_ne!(before, hash(changed), "{changed:?}");
    }
}

#[test]
fn invalid_body_is_reported_without_its_content() {
    for reference in [
        r#"{"file": "a", "content": "canary-4711"}"#,
        r#"{"file": "a", "content": ["canary-4711"]}"#,
        r#"{"file": "a", "content": "Y2FuYXJ5LTQ3MTE=", "sha256": "0123456789abcdef"}"#,
        r#"{"file": "a", "content": 4711}"#,
        r#"{"file": 1, "content": "Y2FuYXJ5LTQ3MTE="}"#,
        r#"{"flie": "a", "content": "Y2FuYXJ5LTQ3MTE="}"#,
        r#"{"content": "Y2FuYXJ5LTQ3MTE="}"#,
        r#"{"file": "a", "content": "Y2FuYXJ5LTQ3MTEA"}"#,
        r#"{"file": "a", "content": "Y2FuYXJ5LTQ3MTE="#,
    ] {
        let body = format!(
            r#"{{"name": "web", "image": "web:1",
                "env": {{"A": {reference}}}, "env_file": [{reference}]}}"#
        );
        let error = dubernetes_manifest::from_json(body.as_bytes()).unwrap_err();
        let text = match &error {
            JsonError::Syntax { message, .. } => message.clone(),
            JsonError::Invalid(problems) => format!("{problems:?}"),
        };
        for secret in [CANARY, "4711", "Y2FuYXJ5LTQ3MT"] {
            assert!(!text.contains(secret), "{body}\n{text}");
        }
    }
}
