//! `get` for every kind in every format, by all names of the kind, once and with `-w`.

#![expect(clippy::unwrap_used, reason = "a failure here fails the test")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::orchestrator::Orchestrator;

/// All names of each kind, its prefix under `-o name`, and its first column.
const KINDS: [(&[&str], &str, &str); 5] = [
    (&["apps", "app"], "app/", "NAME"),
    (&["pods", "pod", "po"], "pod/", "NAME"),
    (&["revisions", "revision", "rev"], "revision/", "APP"),
    (&["events", "event", "ev"], "event/", "AGE"),
    (&["routes", "route"], "route/", "HOST"),
];

const APP: &str =
    "name: web\nimage: web:1\nreplicas: 2\naccess: { host: web.local }\nlabels: { tier: front }\n";

fn command(folder: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dubernetes"));
    command.args(words).env("DUBERNETES_STATE_DIR", folder).env("NO_COLOR", "1");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(folder: &Path, words: &[&str]) -> Output {
    command(folder, words).output().unwrap()
}

/// Returns the output of a command that succeeds without writing to standard error.
fn text(folder: &Path, words: &[&str]) -> String {
    let Output { status, stdout, stderr } = run(folder, words);
    let errors = String::from_utf8_lossy(&stderr).into_owned();
    assert!(status.success() && errors.is_empty(), "{words:?}: {status} {errors}");
    String::from_utf8(stdout).unwrap()
}

fn start_with_app() -> Orchestrator {
    let orchestrator = Orchestrator::start();
    let folder = orchestrator.folder();
    let file = folder.join("app.yaml");
    std::fs::write(&file, APP).unwrap();
    let applied = run(folder, &["apply", file.to_str().unwrap()]);
    assert!(applied.status.success(), "{applied:?}");
    // `Complete`, two seconds later, is the last event for a while.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !text(folder, &["events", "web"]).contains("Complete") {
        assert!(std::time::Instant::now() < deadline, "the revision is not complete");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    orchestrator
}

#[test]
fn get_lists_every_kind_in_every_format() {
    let orchestrator = start_with_app();
    let folder = orchestrator.folder();
    for (names, prefix, column) in KINDS {
        for kind in names {
            for selected in [&["get", kind][..], &["get", kind, "-l", "tier=front"]] {
                let get = |more: &[&str]| text(folder, &[selected, more].concat());
                let table = get(&[]);
                assert!(table.starts_with(column), "{kind}: {table}");
                let wide = get(&["-o", "wide"]);
                let columns = |table: &str| {
                    table.lines().next().unwrap().split("   ").filter(|c| !c.is_empty()).count()
                };
                assert!(columns(&wide) > columns(&table), "{kind}: {wide}");
                for format in ["table", "wide"] {
                    let bare = get(&["-o", format, "--no-headers"]);
                    assert_eq!(bare.lines().count(), table.lines().count() - 1, "{kind}: {bare}");
                    assert!(!bare.starts_with(column), "{kind}: {bare}");
                }
                let json: Value = serde_json::from_str(&get(&["-o", "json"])).unwrap();
                let items = json["items"].as_array().unwrap();
                assert_eq!(
                    (&json["kind"], items.len()),
                    (&"List".into(), table.lines().count() - 1)
                );
                assert!(get(&["-o", "yaml"]).starts_with("kind: List\nitems:\n- "), "{kind}");
                let named = get(&["-o", "name"]);
                assert_eq!(named, get(&["-q"]));
                assert_eq!(named.lines().count(), items.len());
                assert!(named.lines().all(|line| line.starts_with(prefix)), "{kind}: {named}");
            }
        }
    }
}

#[test]
fn get_watches_every_kind_in_every_format() {
    let orchestrator = start_with_app();
    let folder = orchestrator.folder();
    for (names, prefix, column) in KINDS {
        for (format, begin) in [
            ("table", column),
            ("wide", column),
            ("json", r#"{"type":"ADDED","object":{"#),
            ("yaml", "kind: List"),
            ("name", prefix),
        ] {
            let mut child =
                command(folder, &["get", names[0], "-w", "-o", format]).spawn().unwrap();
            let mut line = String::new();
            BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
            let is_running = child.try_wait().unwrap().is_none();
            child.kill().unwrap();
            child.wait().unwrap();
            assert!(line.starts_with(begin), "{names:?} as {format}: {line}");
            assert!(is_running, "{names:?} as {format}");
        }
    }
}

#[test]
fn closed_pipe_ends_lists_quietly() {
    let orchestrator = start_with_app();
    for words in [
        &["get", "pods"][..],
        &["get", "apps", "-o", "json"],
        &["get", "pods", "-w"],
        &["get", "apps", "-w", "-o", "json"],
        &["events"],
        &["describe", "web"],
        &["top"],
        &["wait", "web", "--for", "ready"],
        &["port-forward", "web-1", ":80"],
    ] {
        let mut child = command(orchestrator.folder(), words).spawn().unwrap();
        drop(child.stdout.take());
        let mut errors = String::new();
        child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        assert_eq!((child.wait().unwrap().code(), errors.as_str()), (Some(0), ""), "{words:?}");
    }
}

#[test]
fn events_are_selected_by_labels_of_their_apps() {
    let orchestrator = start_with_app();
    let folder = orchestrator.folder();
    let file = folder.join("api.yaml");
    std::fs::write(&file, "name: api\nimage: web:1\n").unwrap();
    assert!(run(folder, &["apply", file.to_str().unwrap()]).status.success());
    for (selector, app) in [("tier=front", "web"), ("!tier", "api")] {
        let list: Value =
            serde_json::from_str(&text(folder, &["events", "-l", selector, "-o", "json"])).unwrap();
        let items = list["items"].as_array().unwrap();
        assert!(!items.is_empty(), "no event of {selector}");
        assert!(items.iter().all(|event| event["app"] == app), "{list}");
    }
    // The watch shows later events of selected apps only, also of new apps.
    let mut child =
        command(folder, &["events", "-w", "-l", "!tier", "-o", "json"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for (name, labels) in [("front", "labels: { tier: front }\n"), ("late", "")] {
        let file = folder.join(name);
        std::fs::write(&file, format!("name: {name}\nimage: web:1\n{labels}")).unwrap();
        assert!(run(folder, &["apply", file.to_str().unwrap()]).status.success());
    }
    let mut seen = std::collections::BTreeSet::new();
    while !seen.contains("late") {
        let line: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        seen.insert(line["object"]["app"].as_str().unwrap().to_owned());
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(seen.iter().all(|app| app == "api" || app == "late"), "{seen:?}");
}
