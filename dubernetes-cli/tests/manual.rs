//! Shell completion and manual pages.

#![expect(clippy::unwrap_used, reason = "a failure here fails the test")]

#[path = "cli/orchestrator.rs"]
mod orchestrator;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use orchestrator::Orchestrator;

fn dubernetes(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dubernetes"));
    command.args(words).env("XDG_CONFIG_HOME", "/nonexistent").env_remove("DUBERNETES_STATE_DIR");
    command
}

fn stdout(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    String::from_utf8(output.stdout).unwrap()
}

/// Asks for completions of the last word like the script for bash. Leaves out flags.
fn complete(state_dir: Option<&Path>, words: &[&str]) -> BTreeSet<String> {
    let mut command = dubernetes(&[]);
    command.arg("--").arg("dubernetes").args(words).env("DUBERNETES_COMPLETE", "bash");
    command.env("_CLAP_COMPLETE_INDEX", words.len().to_string()).env("_CLAP_IFS", "\n");
    if let Some(folder) = state_dir {
        command.env("DUBERNETES_STATE_DIR", folder);
    }
    let offered = stdout(&mut command);
    offered.lines().filter(|word| !word.starts_with('-')).map(str::to_owned).collect()
}

fn set(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn completion_offers_existing_names() {
    let orchestrator = Orchestrator::start();
    let folder = orchestrator.folder();
    let file = folder.join("apps.yaml");
    std::fs::write(&file, "name: api\nimage: web:1\nreplicas: 2\n---\nname: web\nimage: web:1\n")
        .unwrap();
    let mut apply = dubernetes(&["apply", "--progress", "quiet"]);
    let applied = apply.arg(&file).env("DUBERNETES_STATE_DIR", folder).output().unwrap();
    assert!(applied.status.success(), "{applied:?}");
    let offered = |words: &[&str]| complete(Some(folder), words);
    assert_eq!(offered(&["scale", ""]), set(&["api", "web"]));
    assert_eq!(offered(&["logs", "w"]), set(&["web", "web-1"]));
    assert_eq!(offered(&["describe", "app/"]), set(&["app/api", "app/web"]));
    assert_eq!(offered(&["get", "pod/a"]), set(&["pod/api-1", "pod/api-2"]));
    assert_eq!(offered(&["get", "pods", "api"]), set(&["api-1", "api-2"]));
    assert_eq!(offered(&["get", "revisions", ""]), set(&["api", "web"]));
    assert_eq!(offered(&["delete", "pods", "web"]), set(&["web-1"]));
    assert_eq!(offered(&["exec", "nosuch"]), set(&[]));
    assert_eq!(offered(&["rollback", "web", "--to", ""]), set(&["1"]));
    assert_eq!(offered(&["rollout", "history", "app/api", "--revision", ""]), set(&["1"]));
    assert_eq!(offered(&["rollout", "undo", "--to", ""]), set(&[]));
    assert!(offered(&["get", "p"]).contains("pods"));
    let typed = folder.to_str().unwrap();
    let expected = set(&["api", "web"]);
    assert_eq!(complete(None, &["--state-dir", typed, "scale", ""]), expected);
    let socket = format!("--host=unix://{typed}/dubernetes.sock");
    assert_eq!(complete(None, &[&socket, "scale", ""]), expected);
}

#[test]
fn completion_without_orchestrator_offers_and_creates_nothing() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("state");
    let start = Instant::now();
    assert_eq!(complete(Some(&folder), &["scale", ""]), set(&[]));
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    assert!(!folder.exists());
    assert!(complete(Some(&folder), &["sca"]).contains("scale"));
    let offered = complete(Some(&folder), &["explain", "access.ho"]);
    assert_eq!(offered, set(&["access.host"]));
    assert_eq!(complete(Some(&folder), &["wait", "web", "--for", "del"]), set(&["deleted"]));
    assert!(complete(Some(&folder), &["help", "rollout", "un"]).contains("undo"));
    assert_eq!(complete(Some(Path::new("/dev/null")), &["logs", ""]), set(&[]));
    assert_eq!(complete(None, &["--config", "/nonexistent", "logs", ""]), set(&[]));
}

#[test]
fn completion_does_not_wait_for_hanging_orchestrator() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dubernetes.sock");
    let _silent = std::os::unix::net::UnixListener::bind(path).unwrap();
    let took = || {
        let start = Instant::now();
        assert_eq!(complete(Some(folder.path()), &["scale", ""]), set(&[]));
        start.elapsed()
    };
    // Other commands wait 5 s. The best of three counts: the machine may be busy.
    let took = [took(), took(), took()];
    assert!(took.iter().any(|took| *took < Duration::from_secs(4)), "{took:?}");
}

#[test]
fn completion_for_unknown_shell_fails() {
    let output = dubernetes(&["--", "x"]).env("DUBERNETES_COMPLETE", "nosuch").output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("nosuch"), "{output:?}");
}

#[test]
fn completion_script_calls_this_program() {
    for (program, path) in [
        ("dubernetes", env!("CARGO_BIN_EXE_dubernetes")),
        ("dubectl", env!("CARGO_BIN_EXE_dubectl")),
    ] {
        for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
            let script = stdout(Command::new(path).args(["completion", shell]));
            for part in [program, "DUBERNETES_COMPLETE"] {
                assert!(script.contains(part), "{part} is not in the script for {shell}: {script}");
            }
        }
    }
}

/// Returns the commands that the help lists, without clap's own `help`.
fn listed_commands() -> BTreeSet<String> {
    let help = stdout(&mut dubernetes(&["-h"]));
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.take_while(|line| !line.is_empty());
    let names = listed.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    names.filter(|name| !name.is_empty() && *name != "help").map(str::to_owned).collect()
}

#[test]
fn manual_has_page_for_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("man1");
    assert_eq!(stdout(dubernetes(&["man", "--out"]).arg(&out)), "");
    let pages: BTreeSet<String> = std::fs::read_dir(&out)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(listed_commands().contains("apply") && listed_commands().contains("version"));
    for name in listed_commands() {
        let page = format!("dubernetes-{name}.1");
        assert!(pages.contains(&page), "{page} is not in {pages:?}");
    }
    let apply = std::fs::read_to_string(out.join("dubernetes-apply.1")).unwrap();
    for part in [".TH dubernetes-apply 1", "DUBERNETES_STATE_DIR", "Exit codes", "\\-\\-timeout"] {
        assert!(apply.contains(part), "{part} is not in\n{apply}");
    }
    let first = stdout(&mut dubernetes(&["man"]));
    assert!(first.contains(".TH dubernetes 1") && first.contains("Exit codes"), "{first}");
    let failed = dubernetes(&["man", "--out", "/dev/null"]).output().unwrap();
    assert_eq!(failed.status.code(), Some(1), "{failed:?}");
}
