//! The files under `tests/manifests`: good ones are accepted and round-trip, bad ones yield exactly
//! the diagnostics in the `.txt` beside them.
//!
//! `DUBERNETES_UPDATE_GOLDEN=1` rewrites the expected diagnostics.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::{Path, PathBuf};

use dubernetes_manifest::Source;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/manifests").join(name)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

fn source(path: &Path) -> Source {
    Source { name: file_name(path), text: fs::read(path).unwrap() }
}

#[test]
fn folders_are_good_and_bad() {
    let root: Vec<String> = files(&folder("")).iter().map(|path| file_name(path)).collect();
    assert_eq!(root, ["bad", "good"]);
}

#[test]
fn good_files_are_accepted_and_round_trip() {
    let files = files(&folder("good"));
    assert!(files.len() > 5, "the good files are missing");
    for path in files {
        check_accepted(&path);
    }
}

#[test]
fn manifests_of_examples_are_accepted_and_round_trip() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut folders = vec![examples];
    while let Some(folder) = folders.pop() {
        for path in files(&folder) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "yaml") {
                check_accepted(&path);
            }
        }
    }
}

fn check_accepted(path: &Path) {
    let parsed = match dubernetes_manifest::parse(&[source(path)]) {
        Ok(parsed) => parsed,
        Err(problems) => panic!("{} is refused:\n{problems}", path.display()),
    };
    assert!(!parsed.apps.is_empty(), "{} holds no app", path.display());
    for located in parsed.apps {
        assert_eq!(located.spec.problems(), [], "{}", path.display());
        let yaml = dubernetes_manifest::to_yaml(&located.spec);
        let again = Source { name: "again.yaml".into(), text: yaml.clone().into_bytes() };
        let again =
            dubernetes_manifest::parse(&[again]).unwrap_or_else(|error| panic!("{error}\n{yaml}"));
        assert_eq!(again.apps[0].spec, located.spec, "{yaml}");
        let json = serde_json::to_vec(&located.spec).unwrap();
        assert_eq!(dubernetes_manifest::from_json(&json), Ok(located.spec));
    }
}

/// A bad case is one file, or a folder of files that are parsed together.
#[test]
fn bad_files_yield_exactly_their_diagnostics() {
    let update = std::env::var_os("DUBERNETES_UPDATE_GOLDEN").is_some();
    let mut failed = Vec::new();
    let mut goldens = Vec::new();
    let mut cases = 0;
    for path in files(&folder("bad")) {
        if path.extension().is_some_and(|end| end == "txt") {
            goldens.push(path);
            continue;
        }
        cases += 1;
        let inputs = if path.is_dir() { files(&path) } else { vec![path.clone()] };
        let sources: Vec<Source> = inputs.iter().map(|input| source(input)).collect();
        let found = match dubernetes_manifest::parse(&sources) {
            Ok(parsed) => panic!("{} is accepted: {parsed:?}", path.display()),
            Err(problems) => format!("{problems}\n"),
        };
        assert!(!found.contains("\u{1b}"), "{} has colour codes", path.display());
        let golden = path.with_extension("txt");
        if update {
            fs::write(&golden, &found).unwrap();
        } else if fs::read_to_string(&golden).ok().as_ref() != Some(&found) {
            failed.push(format!("{}:\n{found}", path.display()));
        }
    }
    assert!(failed.is_empty(), "unexpected diagnostics:\n\n{}", failed.join("\n"));
    assert!(cases > 20, "the bad files are missing");
    for golden in goldens {
        let yaml = golden.with_extension("yaml");
        let folder = golden.with_extension("");
        assert!(yaml.exists() || folder.is_dir(), "{} belongs to no case", golden.display());
    }
}
