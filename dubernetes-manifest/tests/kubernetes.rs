//! The files under `tests/kubernetes`: each becomes the objects and notes in the `.txt` beside it.
//! All that is exported is of the types of Kubernetes, and no key is dropped in silence.
//!
//! `DUBERNETES_UPDATE_GOLDEN=1` rewrites the `.txt` files.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "kubernetes/keys.rs"]
mod keys;
#[path = "kubernetes/valid.rs"]
mod valid;

use std::fs;
use std::path::{Path, PathBuf};

use dubernetes_manifest::kubernetes::{Exported, export};
use dubernetes_manifest::{Source, parse_reading};

/// Reads files by their names: `*.env` has variables, `*.bin` is no text.
fn read_file(_: &Source, path: &str) -> Result<Vec<u8>, String> {
    Ok(match path.rsplit('.').next() {
        Some("env") => b"export A=1\nB='two words'\n".to_vec(),
        Some("bin") => vec![0xff, 0x00, 0xfe],
        _ => format!("content of {path}\n  line 2\n").into_bytes(),
    })
}

/// Exports the apps in a text.
fn export_text(text: &str) -> Exported {
    let source = Source { name: "app.yaml".into(), text: text.into() };
    let parsed = parse_reading(&[source], &read_file)
        .unwrap_or_else(|problems| panic!("{problems}\n{text}"));
    let specs: Vec<_> = parsed.apps.iter().map(|app| &app.spec).collect();
    export(&specs)
}

fn stream(exported: &Exported) -> String {
    let apps = exported.apps.iter().flat_map(|app| [app.secrets.as_str(), app.objects.as_str()]);
    apps.filter(|text| !text.is_empty()).collect::<Vec<_>>().join("---\n")
}

fn yaml_files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let all = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        all.filter(|path| path.extension().is_some_and(|end| end == "yaml")).collect();
    files.sort();
    files
}

#[test]
fn apps_become_objects_and_notes() {
    let update = std::env::var_os("DUBERNETES_UPDATE_GOLDEN").is_some();
    let mut failed = Vec::new();
    let cases = yaml_files("tests/kubernetes");
    assert!(cases.len() >= 3, "the files are missing");
    for path in cases {
        let exported = export_text(&fs::read_to_string(&path).unwrap());
        let yaml = stream(&exported);
        valid::check(&yaml);
        let notes: String = exported.notes.iter().map(|note| format!("{note}\n")).collect();
        let found = format!("{yaml}\n{notes}");
        let golden = path.with_extension("txt");
        if update {
            fs::write(&golden, &found).unwrap();
        } else if fs::read_to_string(&golden).ok().as_ref() != Some(&found) {
            failed.push(format!("{}:\n{found}", path.display()));
        }
    }
    assert!(failed.is_empty(), "unexpected results:\n\n{}", failed.join("\n"));
}

#[test]
fn all_good_files_become_valid_objects() {
    let files = yaml_files("tests/manifests/good");
    assert!(files.len() > 10, "the good files are missing");
    for path in files {
        let text = fs::read(&path).unwrap();
        let source = Source { name: path.display().to_string(), text };
        let parsed = dubernetes_manifest::parse(&[source]).unwrap();
        let specs: Vec<_> = parsed.apps.iter().map(|app| &app.spec).collect();
        valid::check(&stream(&export(&specs)));
    }
}

/// A value that only a store knows is in no object, whatever it is for.
#[test]
fn secret_of_the_store_is_referred_to_and_not_written() {
    let text = "name: web\nimage: web:1\nenv: { A: { secret: one } }\nenv_file: [{ secret: two }]\n\
                files: { /a: { secret: three } }\naccess: { host: a.test, tls: { cert: ./a.pem, \
                key: { secret: four } } }\n";
    let exported = export_text(text);
    assert_eq!(exported.apps[0].secrets, "");
    for name in ["one", "two", "three"] {
        assert!(exported.apps[0].objects.contains(&format!("name: {name}\n")), "{name}");
        let named = |help: &Option<String>| help.as_ref().is_some_and(|help| help.contains(name));
        assert!(exported.notes.iter().any(|note| named(&note.help)), "{name}");
    }
    assert!(exported.notes.iter().any(|note| note.place.path == "access.tls"));
}

/// Only the hash of a content is known of an app that was read from an orchestrator.
#[test]
fn content_that_was_not_read_is_referred_to() {
    let text = "name: web\nimage: web:1\nenv: { A: { file: ./a } }\nenv_file: ./b\n\
                files: { /etc/c: ./c }\n";
    let source = Source { name: "app.yaml".into(), text: text.into() };
    let parsed = dubernetes_manifest::parse(&[source]).unwrap();
    let exported = export(&[&parsed.apps[0].spec]);
    assert_eq!(exported.apps[0].secrets, "");
    valid::check(&stream(&exported));
    for path in ["env.A", "env_file.0", "files./etc/c"] {
        assert!(exported.notes.iter().any(|note| note.place.path == path), "{path}");
    }
}

#[test]
fn contents_of_files_roll_the_pods_when_they_change() {
    let export = |content: &'static str| {
        let text = "name: web\nimage: web:1\nfiles: { /etc/c: ./c }\n";
        let source = Source { name: "app.yaml".into(), text: text.into() };
        let parsed = parse_reading(&[source], &|_, _| Ok(content.into())).unwrap();
        export(&[&parsed.apps[0].spec]).apps[0].objects.clone()
    };
    let annotation = |objects: &str| {
        let line = objects.lines().find(|line| line.contains("checksum/contents"));
        line.map(ToOwned::to_owned).unwrap()
    };
    assert_ne!(annotation(&export("a")), annotation(&export("b")));
}

#[test]
fn equal_notes_of_several_apps_are_one() {
    let exported = export_text("name: a\nimage: a\n---\nname: b\nimage: b\n");
    let notes: Vec<_> = exported.notes.iter().map(|note| note.headline()).collect();
    assert!(notes.iter().all(|note| note.starts_with("a, b: ")), "{notes:?}");
}
