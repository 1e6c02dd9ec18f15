//! Precedence of settings: flag, environment variable, settings file, default.

#![expect(clippy::unwrap_used, reason = "a failure here fails the test")]

#[path = "cli/orchestrator.rs"]
mod orchestrator;

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use orchestrator::Orchestrator;
use serde_json::Value;

/// Values of one setting, by source.
#[derive(Default, Clone, Copy)]
struct Sources<'a> {
    file: Option<&'a str>,
    variable: Option<&'a str>,
    flag: Option<&'a str>,
}

/// Runs a command with the setting `key` from `sources`, and no other settings.
fn run(folder: &Path, words: &[&str], key: &str, sources: Sources<'_>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dubernetes"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("DUBERNETES_") {
            command.env_remove(name);
        }
    }
    command.env("DOCKER_HOST", "unix:///nonexistent/engine.sock").stdin(Stdio::null());
    command.env("DUBERNETES_STATE_DIR", folder.join("state"));
    if let Some(value) = sources.file {
        let path = folder.join("config.yaml");
        std::fs::write(&path, format!("{key}: {value}\n")).unwrap();
        command.env("DUBERNETES_CONFIG", path);
    }
    if key == "state_dir" {
        command.env_remove("DUBERNETES_STATE_DIR");
    }
    if let Some(value) = sources.variable {
        command.env(format!("DUBERNETES_{}", key.to_uppercase()), value);
    }
    if key == "node" {
        // Without it, nodes would be refused.
        command.env("DUBERNETES_RUNTIME", "swarm");
    }
    command.args(words);
    if let Some(value) = sources.flag {
        command.arg(format!("--{}", key.replace('_', "-"))).arg(value);
    }
    command.output().unwrap()
}

/// Returns all settings as `status` shows them.
fn settings(folder: &Path, key: &str, sources: Sources<'_>) -> Vec<Value> {
    let words = if key == "output" { &["status"][..] } else { &["status", "-o", "json"] };
    let output = run(folder, words, key, sources);
    // With 3 if no orchestrator is running.
    assert!(matches!(output.status.code(), Some(0 | 3)), "{key}: {output:?}");
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    status["settings"].as_array().unwrap().clone()
}

fn setting(folder: &Path, key: &str, sources: Sources<'_>) -> (String, String) {
    let all = settings(folder, key, sources);
    let found = all.iter().find(|setting| setting["name"] == key).unwrap();
    // A setting without a default has no value.
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    (text("value"), text("origin"))
}

/// Returns sample values of each setting for file, variable and flag, and whether `status` has the
/// flag.
fn samples(folder: &Path) -> Vec<(&'static str, [String; 3], bool)> {
    let all = |values: [&str; 3]| values.map(str::to_owned);
    let paths = |prefix: &str, ending: &str| {
        let path = |name: &str| format!("{prefix}{}/{name}{ending}", folder.display());
        [path("file"), path("variable"), path("flag")]
    };
    let urls = ["1", "2", "3"].map(|last| format!("https://192.0.2.{last}/directory"));
    vec![
        ("access_log", all(["false", "false", "false"]), false),
        ("acme_contact", all(["a@a.test", "b@a.test", "c@a.test"]), false),
        ("acme_directory", urls, false),
        ("acme_root", paths("", ".pem"), false),
        ("allow", all(["devices", "cap_add", "host-paths"]), false),
        ("default_tls", all(["none", "none", "none"]), false),
        ("engine", paths("unix://", ".engine"), false),
        ("events_age", all(["1h", "2h", "3h"]), false),
        ("events_keep", all(["1000", "2000", "3000"]), false),
        ("host", paths("unix://", ".sock"), true),
        ("http_bind", all(["127.0.0.2", "127.0.0.3,::1", "127.0.0.4"]), false),
        ("http_port", all(["81", "82", "83"]), false),
        ("https_port", all(["441", "442", "443"]), false),
        ("ingress", all(["nginx", "proxy", "nginx"]), false),
        ("ingress_image", all(["nginx:1", "nginx:2", "nginx:3"]), false),
        ("instance", all(["one", "two", "three"]), true),
        ("keepalive_window", all(["2s", "5s", "1m"]), false),
        ("log_format", all(["json", "text", "json"]), false),
        ("metrics_listen", all(["127.0.0.1:1", "[::1]:2", "127.0.0.1:3"]), false),
        ("node", all(["a=unix:///a", "b=unix:///b", "c=unix:///c"]), false),
        ("output", all(["json", "json", "json"]), true),
        ("proxy_protocol", all(["false", "false", "true"]), false),
        ("runtime", all(["process", "docker", "process"]), false),
        ("socket_group", all(["1", "2", "3"]), false),
        ("ssh", all(["ssh -4", "ssh -6", "ssh -v"]), true),
        ("state_dir", paths("", ".state"), true),
        ("store", all(["sqlite", "sqlite", "sqlite"]), false),
        ("trusted_proxies", all(["10.0.0.0/8", "host-gateway,::1", "192.0.2.7"]), false),
    ]
}

#[test]
fn flag_wins_over_variable_over_file_over_default() {
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
        let mut sources = Sources { file: Some(&file), ..Sources::default() };
        let file_folder = fresh("f");
        let from_file = setting(&file_folder, key, sources);
        let path = file_folder.join("config.yaml");
        assert_eq!(from_file, (file.clone(), format!("file {}", path.display())), "{key}");
        sources.variable = Some(&variable);
        let from_variable = setting(&fresh("v"), key, sources);
        let name = format!("environment DUBERNETES_{}", key.to_uppercase());
        assert_eq!(from_variable, (variable.clone(), name), "{key}");
        if has_flag {
            sources.flag = Some(&flag);
            let from_flag = setting(&fresh("o"), key, sources);
            let name = format!("flag --{}", key.replace('_', "-"));
            assert_eq!(from_flag, (flag.clone(), name), "{key}");
        }
        if !["state_dir", "output", "engine"].contains(&key) {
            assert_eq!(setting(&fresh("d"), key, Sources::default()).1, "default", "{key}");
        }
        seen.insert(key.to_owned());
    }
    let all = settings(&outer.path().join("engine"), "", Sources::default());
    let all: BTreeSet<_> =
        all.iter().map(|setting| setting["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(seen, all, "every setting needs samples");
}

#[test]
fn file_applies_to_serve() {
    let folder = tempfile::tempdir().unwrap();
    let host = Sources { file: Some("unix:///run/x.sock"), ..Sources::default() };
    let output = run(folder.path(), &["serve"], "host", host);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let engine = Sources { file: Some("tcp://127.0.0.1:1"), ..Sources::default() };
    let output = run(folder.path(), &["serve"], "engine", engine);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("tcp://127.0.0.1:1"), "{stderr}");
}

#[test]
fn example_in_the_packages_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/config.yaml");
    let words = ["status", "-o", "json", "--config", path.to_str().unwrap()];
    let output = run(folder.path(), &words, "", Sources::default());
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    let from_file = |setting: &&Value| setting["origin"].as_str().unwrap().starts_with("file ");
    let settings = status["settings"].as_array().unwrap().iter().filter(from_file);
    let names: Vec<_> = settings.map(|setting| setting["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["http_bind", "http_port"]);
}
