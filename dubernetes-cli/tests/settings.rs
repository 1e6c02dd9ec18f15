//! Four ways to give each setting, and which of them counts: the flag, its variable, the settings
//! file, the default.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

#[path = "cli/orchestrator.rs"]
mod orchestrator;

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use orchestrator::Orchestrator;
use serde_json::Value;

/// What a command is told, and where.
#[derive(Default, Clone, Copy)]
struct Told<'a> {
    file: Option<&'a str>,
    variable: Option<&'a str>,
    flag: Option<&'a str>,
}

/// Runs a command of a user who has nothing but what is `told` of the setting `key`.
fn run(folder: &Path, words: &[&str], key: &str, told: Told<'_>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dubernetes"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("DUBERNETES_") {
            command.env_remove(name);
        }
    }
    command.env("DOCKER_HOST", "unix:///nonexistent/engine.sock").stdin(Stdio::null());
    command.env("DUBERNETES_STATE_DIR", folder.join("state"));
    if let Some(value) = told.file {
        let path = folder.join("config.yaml");
        std::fs::write(&path, format!("{key}: {value}\n")).unwrap();
        command.env("DUBERNETES_CONFIG", path);
    }
    if key == "state_dir" {
        command.env_remove("DUBERNETES_STATE_DIR");
    }
    if let Some(value) = told.variable {
        command.env(format!("DUBERNETES_{}", key.to_uppercase()), value);
    }
    command.args(words);
    if let Some(value) = told.flag {
        command.arg(format!("--{}", key.replace('_', "-"))).arg(value);
    }
    command.output().unwrap()
}

/// All settings as `status` shows them.
fn settings(folder: &Path, key: &str, told: Told<'_>) -> Vec<Value> {
    let json = if key == "output" { &["status"][..] } else { &["status", "-o", "json"] };
    let output = run(folder, json, key, told);
    assert!(output.status.success(), "{key}: {output:?}");
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    status["settings"].as_array().unwrap().clone()
}

fn setting(folder: &Path, key: &str, told: Told<'_>) -> (String, String) {
    let all = settings(folder, key, told);
    let found = all.iter().find(|setting| setting["name"] == key).unwrap();
    let text = |field: &str| found[field].as_str().unwrap().to_owned();
    (text("value"), text("origin"))
}

/// Sample values of each setting: for the file, the variable and the flag. Those of `serve` alone
/// have no flag here.
fn samples(folder: &Path) -> Vec<(&'static str, [String; 3], bool)> {
    let all = |values: [&str; 3]| values.map(str::to_owned);
    let paths = |prefix: &str, ending: &str| {
        let path = |name: &str| format!("{prefix}{}/{name}{ending}", folder.display());
        [path("file"), path("variable"), path("flag")]
    };
    vec![
        ("engine", paths("unix://", ".engine"), false),
        ("events_age", all(["1h", "2h", "3h"]), false),
        ("events_keep", all(["1000", "2000", "3000"]), false),
        ("host", paths("unix://", ".sock"), true),
        ("http_bind", all(["127.0.0.2", "127.0.0.3", "127.0.0.4"]), false),
        ("http_port", all(["81", "82", "83"]), false),
        ("ingress_image", all(["nginx:1", "nginx:2", "nginx:3"]), false),
        ("instance", all(["one", "two", "three"]), true),
        ("log_format", all(["json", "text", "json"]), false),
        ("output", all(["json", "json", "json"]), true),
        ("state_dir", paths("", ".state"), true),
    ]
}

#[test]
fn the_flag_wins_over_the_variable_that_over_the_file_and_that_over_the_default() {
    let orchestrator = Orchestrator::start();
    let socket = orchestrator.folder().join("dubernetes.sock");
    let mut seen = BTreeSet::new();
    let outer = tempfile::tempdir().unwrap();
    for (key, [file, variable, flag], has_flag) in samples(outer.path()) {
        let folder = outer.path().join(key);
        std::fs::create_dir(&folder).unwrap();
        if key == "host" {
            for name in ["file", "variable", "flag"] {
                symlink(&socket, outer.path().join(format!("{name}.sock"))).unwrap();
            }
        }
        // A state folder belongs to one instance.
        let fresh = |name: &str| {
            let folder = folder.join(name);
            std::fs::create_dir(&folder).unwrap();
            folder
        };
        let mut told = Told { file: Some(&file), ..Told::default() };
        let place = fresh("f");
        let from_file = setting(&place, key, told);
        let path = place.join("config.yaml");
        assert_eq!(from_file, (file.clone(), format!("file {}", path.display())), "{key}");
        told.variable = Some(&variable);
        let from_variable = setting(&fresh("v"), key, told);
        let name = format!("environment DUBERNETES_{}", key.to_uppercase());
        assert_eq!(from_variable, (variable.clone(), name), "{key}");
        if has_flag {
            told.flag = Some(&flag);
            let from_flag = setting(&fresh("o"), key, told);
            let name = format!("flag --{}", key.replace('_', "-"));
            assert_eq!(from_flag, (flag.clone(), name), "{key}");
        }
        if !["state_dir", "output", "engine"].contains(&key) {
            assert_eq!(setting(&fresh("d"), key, Told::default()).1, "default", "{key}");
        }
        seen.insert(key.to_owned());
    }
    let all = settings(&outer.path().join("engine"), "", Told::default());
    let all: BTreeSet<_> =
        all.iter().map(|setting| setting["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(seen, all, "each setting has its samples");
}

#[test]
fn the_file_counts_for_the_orchestrator_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let host = Told { file: Some("unix:///run/x.sock"), ..Told::default() };
    let output = run(folder.path(), &["serve"], "host", host);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let engine = Told { file: Some("tcp://127.0.0.1:1"), ..Told::default() };
    let output = run(folder.path(), &["serve"], "engine", engine);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("tcp://127.0.0.1:1"), "{told}");
}
