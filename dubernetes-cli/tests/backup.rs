//! `backup` and `restore` as a user calls them: beside an open state, into folders of any kind.

#![expect(clippy::unwrap_used, reason = "a failure here fails the test")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use dubernetes_core::app::{Secret, SecretName};
use dubernetes_core::store::{SetSecret, Store as _};
use dubernetes_sqlite::SqliteStore;
use jiff::Timestamp;
use tempfile::TempDir;

fn dubernetes(state: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dubernetes"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("DUBERNETES_") {
            command.env_remove(name);
        }
    }
    command.env("DUBERNETES_STATE_DIR", state).env("XDG_CONFIG_HOME", "/nonexistent");
    command.args(words).stdin(Stdio::null()).output().unwrap()
}

#[track_caller]
fn succeed(state: &Path, words: &[&str]) -> String {
    let output = dubernetes(state, words);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn fail(state: &Path, words: &[&str], says: &str) {
    let output = dubernetes(state, words);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains(says), "{text}");
}

/// Creates an open state with a secret, and paths beside it.
async fn state() -> (TempDir, SqliteStore, PathBuf, PathBuf, String) {
    let outer = tempfile::tempdir().unwrap();
    let [from, to, file] = ["from", "to", "state.tar"].map(|name| outer.path().join(name));
    let store = SqliteStore::open(&from).unwrap();
    fs::write(from.join("instance"), "default\n").unwrap();
    let name = SecretName::parse("db").unwrap();
    let value = Secret::new(b"canary".to_vec());
    store.set_secret(SetSecret::new(name, value, Timestamp::now()).unwrap()).await.unwrap();
    (outer, store, from, to, file.to_str().unwrap().to_owned())
}

#[tokio::test]
async fn backup_of_an_open_state_is_restored_with_its_secrets() {
    let (_outer, store, from, to, file) = state().await;
    let said = succeed(&from, &["backup", &file]);
    assert_eq!(said, format!("backup of instance default written to `{file}`\n"));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
    let left = fs::read_dir(&from).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(left.filter(|name| name.to_string_lossy().starts_with('.')).count(), 0);
    fail(&from, &["backup", &file], "already exists");
    succeed(&from, &["backup", &file, "--force"]);

    let said = succeed(&to, &["restore", &file]);
    assert!(said.starts_with("instance default of 20") && said.contains("/to`"), "{said}");
    let restored = fs::read(to.join("secret.key")).unwrap();
    assert_eq!(restored, fs::read(from.join("secret.key")).unwrap());
    assert_eq!(fs::read_to_string(to.join("instance")).unwrap(), "default\n");
    let (id, secrets) = (store.id().to_owned(), store.secrets().await.unwrap());
    drop(store);
    let store = SqliteStore::open(&to).unwrap();
    assert_eq!((store.id(), store.secrets().await.unwrap()), (id.as_str(), secrets));
    // It is a copy, so only one of them may be in use.
    assert!(SqliteStore::open(&from).is_err());
}

#[tokio::test]
async fn restore_is_refused_where_it_would_replace_or_mix_anything() {
    let (outer, _store, from, to, file) = state().await;
    succeed(&from, &["backup", &file]);
    fail(&from, &["restore", &file], "is in use by another orchestrator");
    fail(&from, &["restore", &file], "help: stop that process");
    fs::create_dir(&to).unwrap();
    fs::write(to.join("notes"), "text").unwrap();
    fail(&to, &["restore", &file], "is not empty: it has `notes`");
    assert_eq!(fs::read_dir(&to).unwrap().count(), 1);
    let other = outer.path().join("other");
    fail(&other, &["restore", &file, "--instance", "lab"], "has instance `default`, not `lab`");
    fail(&from, &["backup", "-", "--instance", "lab"], "holds the state of instance `default`");
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    fail(&other, &["restore", &file], "is damaged");
    assert!(!SqliteStore::exists(&other) && !other.join("secret.key").exists());
    // A refused restore is no obstacle for the next one.
    fs::write(&file, &whole).unwrap();
    succeed(&other, &["restore", &file]);
}

#[tokio::test]
async fn standard_streams_carry_a_backup() {
    let (_outer, _store, from, to, file) = state().await;
    let output = dubernetes(&from, &["backup", "-"]);
    fs::write(&file, &output.stdout).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_dubernetes"));
    command.args(["restore", "-"]).env("DUBERNETES_STATE_DIR", &to);
    let output = command.stdin(fs::File::open(&file).unwrap()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(SqliteStore::exists(&to));
}
