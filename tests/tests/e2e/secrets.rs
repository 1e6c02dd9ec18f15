//! Secrets: values reach containers, a change rolls, and no output and no file shows one.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::fs;
use std::path::Path;

use dubernetes_tests::checks::{SOON, ensure, eventually};
use dubernetes_tests::manifest::Manifest;
use dubernetes_tests::program::docker;
use dubernetes_tests::{Scenario, busybox, e2e};

/// The start of every value, in clear and in base64 at each offset.
const MARKERS: [&str; 4] = ["canary-", "Y2FuYXJ5L", "NhbmFyeS", "jYW5hcnkt"];

/// Exits with a value that ends in `crash`.
const SCRIPT: &str = "trap 'exit 0' TERM; case $DB in *crash) exit 3;; esac; echo up; \
    while :; do sleep 0.1; done";

fn app(s: &Scenario) -> Manifest {
    s.write_file("plain", "canary-file\n");
    busybox("web", 1, SCRIPT).with(
        "env: { DB: { secret: db }, FILE: { file: ./plain } }\n\
         files: { /run/db: { secret: db, mode: '0400' } }",
    )
}

#[track_caller]
fn assert_hidden(what: &str, bytes: &[u8]) {
    assert_hides(what, bytes, &MARKERS);
}

fn assert_hides(what: &str, bytes: &[u8], markers: &[&str]) {
    for marker in markers {
        let found = bytes.windows(marker.len()).any(|window| window == marker.as_bytes());
        assert!(!found, "{what} shows a secret:\n{}", String::from_utf8_lossy(bytes));
    }
}

/// Runs a command, and asserts that its output shows no secret.
async fn run_hidden(s: &Scenario, command: &[&str]) -> String {
    let result = s.run(command).await;
    assert_hidden(&result.line, result.stdout.as_bytes());
    assert_hidden(&result.line, result.stderr.as_bytes());
    result.stdout + &result.stderr
}

async fn contents_inside(s: &Scenario) -> String {
    s.wait_for_replicas("web", 1, SOON).await;
    let id = s.running_pods("web").await.into_values().next().unwrap();
    docker(&["exec", &id, "sh", "-c", "echo $DB $FILE; cat /run/db"]).await
}

/// Checks the bytes of every file below a folder.
fn assert_files_hidden(folder: &Path) {
    assert_files_hide(folder, &MARKERS);
}

/// Asserts that no file below `folder` has any of these texts.
pub(crate) fn assert_files_hide(folder: &Path, markers: &[&str]) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            assert_files_hide(&path, markers);
        } else if path.is_file() {
            assert_hides(&path.display().to_string(), &fs::read(&path).unwrap(), markers);
        }
    }
}

async fn set(s: &Scenario, value: &str) -> dubernetes_tests::program::CommandResult {
    let result = s.run_with(&["secret", "set", "db"], value).await;
    assert_hidden("secret set", format!("{}{}", result.stdout, result.stderr).as_bytes());
    result
}

#[test]
fn changed_secret_rolls_and_a_bad_value_rolls_back() {
    e2e!().run(async |s| {
        s.serve().await;
        let file = s.write_file("web.yaml", &app(s).to_string());
        let refused = s.run(&["apply", &file]).await.assert_code(1);
        for text in ["there is no secret `db`", "web.yaml:", "`dubernetes secret set db`"] {
            assert!(refused.stderr.contains(text), "{}", refused.stderr);
        }
        assert!(s.containers_of("web").await.is_empty());

        let created = set(s, "canary-1").await.assert_success();
        assert_eq!(created.stdout, "secret/db created\n");
        let _ = s.run(&["apply", &file]).await.assert_success();
        assert_eq!(contents_inside(s).await, "canary-1 canary-file\ncanary-1");

        let changed = set(s, "canary-2").await.assert_success();
        assert!(changed.stdout.contains("app/web configured: revision 2\n"), "{}", changed.stdout);
        assert_eq!(contents_inside(s).await, "canary-2 canary-file\ncanary-2");
        let same = s.run(&["apply", &file]).await.assert_success();
        assert!(same.stdout.contains("app/web unchanged"), "{}", same.stdout);
        let _ = s.run(&["diff", &file]).await.assert_success();

        let failed = set(s, "canary-crash").await.assert_code(1);
        assert!(failed.stderr.contains("rolled back to revision 2"), "{}", failed.stderr);
        assert_eq!(contents_inside(s).await, "canary-2 canary-file\ncanary-2");
        let history = run_hidden(s, &["rollout", "history", "web"]).await;
        assert!(history.contains("secret db changed"), "{history}");

        let refused = s.run(&["secret", "delete", "db"]).await.assert_code(1);
        assert!(refused.stderr.contains("secret `db` is used by app/web"), "{}", refused.stderr);
        let _ = s.run(&["delete", "web"]).await.assert_success();
        let deleted = s.run(&["secret", "delete", "db"]).await.assert_success();
        assert_eq!(deleted.stdout, "secret/db deleted\n");
    });
}

#[test]
fn no_output_and_no_file_shows_a_secret() {
    e2e!().run(async |s| {
        // The most verbose level, also for libraries.
        s.serve_with(&[("DUBERNETES_LOG", "trace")]).await;
        let _ = set(s, "canary-1").await.assert_success();
        let file = s.write_file("web.yaml", &app(s).to_string());
        run_hidden(s, &["apply", &file]).await;
        let _ = set(s, "canary-crash").await.assert_code(1);
        // A container that cannot be started.
        let broken = busybox("broken", 1, "").with("env: { DB: { secret: db } }");
        let broken = broken.to_string().replace("/bin/sh", "/bin/none");
        let broken = s.write_file("broken.yaml", &broken);
        run_hidden(s, &["apply", "--detach", &broken]).await;
        eventually("the start fails", SOON, async || {
            let why = s.run(&["why", "broken"]).await.stdout;
            ensure(why.contains("/bin/none"), why)
        })
        .await;
        let _ = s.run_with(&["secret", "set", "db"], "canary-\0").await.assert_code(1);
        let verbose = ["secret", "set", "db", "--detach", "-vvv"];
        let result = s.run_with(&verbose, "canary-3").await.assert_success();
        assert_hidden(&result.line, (result.stdout + &result.stderr).as_bytes());
        run_all_readers(s, &file).await;
        let rotated = run_hidden(s, &["secret", "rotate-key"]).await;
        assert!(rotated.contains("encrypted with the new key"), "{rotated}");
        run_hidden(s, &["get", "app/web", "-o", "yaml"]).await;
        assert_files_hidden(&s.state_dir());
        s.terminate().await;
        let log = fs::read(s.log()).unwrap();
        assert!(String::from_utf8_lossy(&log).contains("TRACE"), "the log level is not trace");
        assert_hidden("the log", &log);
        assert_files_hidden(&s.state_dir());
    });
}

/// Runs every command that shows something.
async fn run_all_readers(s: &Scenario, file: &str) {
    let mut commands: Vec<Vec<&str>> = Vec::new();
    for kind in ["apps", "pods", "revisions", "events", "routes"] {
        for format in ["table", "wide", "json", "yaml", "name"] {
            commands.push(vec!["get", kind, "-o", format]);
        }
    }
    for format in ["table", "wide", "json", "yaml", "name"] {
        commands.push(vec!["secret", "list", "-o", format]);
        commands.push(vec!["status", "-o", format]);
        commands.push(vec!["plan", file, "-o", format]);
        commands.push(vec!["apply", "--dry-run", file, "-o", format]);
    }
    for name in ["web", "broken"] {
        for verb in ["why", "describe", "logs", "events"] {
            commands.push(vec![verb, name]);
        }
        commands.push(vec!["why", name, "-o", "json"]);
        commands.push(vec!["events", name, "-o", "json"]);
        commands.push(vec!["rollout", "history", name]);
        commands.push(vec!["rollout", "history", name, "--revision", "1"]);
    }
    commands.push(vec!["diff", file]);
    commands.push(vec!["validate", file]);
    commands.push(vec!["simulate", file]);
    commands.push(vec!["replay", "--last", "100"]);
    commands.push(vec!["replay", "--last", "100", "-v"]);
    commands.push(vec!["secret", "delete", "db"]);
    for command in commands {
        run_hidden(s, &command).await;
    }
}
