//! Checks of all examples: listed, valid manifest, short README; and the embedding program runs.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use dubernetes::manifest::Source;
use dubernetes_examples::{EXAMPLES, Example};

/// The only image of the examples. It is built from this repository, so no registry is needed.
const IMAGE: &str = "dubernetes-whoami:1";

fn examples_folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read_manifest(folder: &str) -> Source {
    let path = examples_folder().join(folder).join("app.yaml");
    Source::read(path.display().to_string(), File::open(path).unwrap()).unwrap()
}

#[test]
fn every_folder_with_manifest_is_listed() {
    let has_manifest = |path: &PathBuf| path.join("app.yaml").is_file();
    let folders = std::fs::read_dir(examples_folder()).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    let found: BTreeSet<String> = folders.filter(has_manifest).map(name).collect();
    let listed: BTreeSet<String> =
        EXAMPLES.iter().map(|example| example.folder.to_owned()).collect();
    assert_eq!(found, listed);
}

#[test]
fn manifests_are_valid_together() {
    let sources: Vec<Source> =
        EXAMPLES.iter().map(|example| read_manifest(example.folder)).collect();
    let parsed = match dubernetes::manifest::parse(&sources) {
        Ok(parsed) => parsed,
        Err(problems) => panic!("{problems}"),
    };
    assert_eq!(parsed.notes, Vec::<String>::new());
    assert_eq!(parsed.apps.len(), 8);
    for app in &parsed.apps {
        assert_eq!(app.spec.artifact.as_str(), IMAGE, "{}", app.spec.name);
    }
}

#[test]
fn readme_is_short_and_applies_manifest() {
    for Example { folder, .. } in EXAMPLES {
        let path = examples_folder().join(folder).join("README.md");
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.lines().count() <= 60, "{folder}: more than 60 lines");
        let apply = format!("dubernetes apply examples/{folder}/app.yaml");
        assert!(text.contains(&apply), "{folder}: `{apply}` is missing");
    }
}

#[test]
fn embed_prints_three_replicas_before_and_after_kill() {
    let output = Command::new(env!("CARGO_BIN_EXE_embed")).output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(stdout.starts_with("whoami is created\nat first: 3 containers"), "{stdout}");
    assert!(stdout.contains("\nafter a crash: 3 containers"), "{stdout}");
    assert_eq!(stdout.matches("Endpoint(").count(), 2, "{stdout}");
}
