//! Every example is listed, its manifest is valid, its README is short, and its program runs.

#![expect(clippy::unwrap_used, reason = "in a test, what cannot go on panics")]

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use dubernetes_examples::STORIES;
use dubernetes_manifest::Source;

/// The only image of the examples: it is built from this repository, so they need no registry.
const IMAGE: &str = "dubernetes-whoami:1";

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn manifest_of(folder: &str) -> Source {
    let path = here().join(folder).join("app.yaml");
    Source::read(path.display().to_string(), File::open(path).unwrap()).unwrap()
}

#[test]
fn every_folder_with_a_manifest_is_listed() {
    let has_manifest = |path: &PathBuf| path.join("app.yaml").is_file();
    let folders = std::fs::read_dir(here()).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    let found: BTreeSet<String> = folders.filter(has_manifest).map(name).collect();
    let listed: BTreeSet<String> = STORIES.iter().map(|story| story.folder.to_owned()).collect();
    assert_eq!(found, listed);
}

#[test]
fn every_manifest_is_valid_and_can_run_together_with_the_others() {
    let sources: Vec<Source> = STORIES.iter().map(|story| manifest_of(story.folder)).collect();
    let parsed = match dubernetes_manifest::parse(&sources) {
        Ok(parsed) => parsed,
        Err(problems) => panic!("{problems}"),
    };
    assert_eq!(parsed.notes, Vec::<String>::new());
    assert_eq!(parsed.apps.len(), 6);
    for app in &parsed.apps {
        assert_eq!(app.spec.image.as_str(), IMAGE, "{}", app.spec.name);
    }
}

#[test]
fn every_readme_is_short_and_shows_how_its_manifest_is_applied() {
    for story in STORIES {
        let text = std::fs::read_to_string(here().join(story.folder).join("README.md")).unwrap();
        assert!(text.lines().count() <= 60, "{}: more than 60 lines", story.folder);
        let apply = format!("dubernetes apply examples/{}/app.yaml", story.folder);
        assert!(text.contains(&apply), "{}: `{apply}` is missing", story.folder);
    }
}

#[test]
fn the_embedding_program_tells_of_three_replicas_before_and_after_one_was_killed() {
    let output = Command::new(env!("CARGO_BIN_EXE_embed")).output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.starts_with("whoami is created\nfirst: 3 containers"), "{told}");
    assert!(told.contains("\nafter one was killed: 3 containers"), "{told}");
    assert_eq!(told.matches("Endpoint(").count(), 2, "{told}");
}
