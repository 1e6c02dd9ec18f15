//! Several processes with one state folder.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use dubernetes_sqlite::{Role, SqliteStore};

fn program(folder: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dubernetes"));
    command.args(words).env("DUBERNETES_STATE_DIR", folder).env("NO_COLOR", "1");
    command.env("DOCKER_HOST", "unix:///nonexistent/engine.sock").stdin(Stdio::null());
    command
}

/// Ends the process when dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn serve_waits_for_a_command_and_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let command = SqliteStore::open_as(folder.path(), Role::Command).unwrap();
    let serve = program(folder.path(), &["serve"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut serve = Killed(serve);
    let mut lines = BufReader::new(serve.0.stderr.take().unwrap()).lines().map(Result::unwrap);
    let waits = lines.next().unwrap();
    let holder = format!("a command that runs in its own process, process {}", std::process::id());
    assert!(waits.starts_with("note: waiting until") && waits.contains(&holder), "{waits}");
    drop(command);
    let ready = lines.find(|line| line.starts_with("dubernetes is ready"));
    assert!(ready.is_some());

    let second = program(folder.path(), &["serve"]).output().unwrap();
    let text = String::from_utf8(second.stderr).unwrap();
    assert_eq!(second.status.code(), Some(1), "{text}");
    assert!(text.contains(&format!("another orchestrator, process {}", serve.0.id())), "{text}");
}

#[test]
fn reading_command_needs_no_lock_and_creates_no_state() {
    let folder = tempfile::tempdir().unwrap();
    let get = || program(folder.path(), &["get", "apps"]).output().unwrap();
    assert!(get().status.success());
    assert!(!SqliteStore::exists(folder.path()));
    let _locked = SqliteStore::open_as(folder.path(), Role::Command).unwrap();
    let read = get();
    assert!(read.status.success(), "{read:?}");
}
