//! Every key of the reference has a decision, and an effect: it changes the objects, or has a note.

use std::collections::BTreeSet;

use dubernetes_manifest::kubernetes::KEYS;
use dubernetes_manifest::reference::{APP, Key};

use super::{export_text, stream};

/// Returns the paths of all keys, also of those below entries.
fn all_paths() -> BTreeSet<String> {
    fn walk(above: &str, keys: &'static [Key], found: &mut BTreeSet<String>) {
        for key in keys {
            let path = format!("{above}{}", key.name);
            walk(&format!("{path}."), key.children(), found);
            found.insert(path);
        }
    }
    let mut found = BTreeSet::new();
    walk("", APP, &mut found);
    found
}

#[test]
fn each_key_has_one_decision() {
    let decided: Vec<String> =
        KEYS.iter().flat_map(|row| row.keys).map(ToString::to_string).collect();
    let unique: BTreeSet<String> = decided.iter().cloned().collect();
    assert_eq!(decided.len(), unique.len(), "a key is there twice");
    let missing: Vec<_> = all_paths().difference(&unique).cloned().collect();
    assert_eq!(missing, Vec::<String>::new(), "decide in `kubernetes/table.rs` what they become");
    let unknown: Vec<_> = unique.difference(&all_paths()).cloned().collect();
    assert_eq!(unknown, Vec::<String>::new());
}

/// A key, what else the app has, and the key with a value that is not its default.
type Case = (&'static str, &'static str, &'static str);

/// Keys that are checked when a file is read, and have no effect on an app.
fn is_hash(path: &str) -> bool {
    path.ends_with(".sha256")
}

const APP_KEYS: &[Case] = &[
    ("name", "", "name: other"),
    ("image", "", "image: other:2"),
    ("program", "", "program: /usr/bin/tool"),
    ("replicas", "", "replicas: 3"),
    ("port", "", "port: 8080"),
    ("ports", "", "ports: [\"5432:5432\"]"),
    ("env", "", "env: { A: b }"),
    ("env.file", "", "env: { A: { file: ./a } }"),
    ("env.secret", "", "env: { A: { secret: a } }"),
    ("env_file", "", "env_file: ./a.env"),
    ("env_file.file", "", "env_file: [{ file: ./a.env }]"),
    ("env_file.secret", "", "env_file: [{ secret: a }]"),
    ("files", "", "files: { /a: ./a }"),
    ("files.file", "", "files: { /a: { file: ./a } }"),
    ("files.secret", "", "files: { /a: { secret: a } }"),
    ("files.mode", "files: { /a: ./a }", "files: { /a: { file: ./a, mode: \"0640\" } }"),
    ("files.owner", "files: { /a: ./a }", "files: { /a: { file: ./a, owner: \"1:1\" } }"),
    ("command", "", "command: [a]"),
    ("args", "", "args: [a]"),
    ("pre_deploy", "", "pre_deploy: { command: [a] }"),
    ("pre_deploy.command", "pre_deploy: { command: [a] }", "pre_deploy: { command: [b] }"),
    (
        "pre_deploy.timeout",
        "pre_deploy: { command: [a] }",
        "pre_deploy: { command: [a], timeout: 1m }",
    ),
    ("after", "", "after: [db]"),
    ("resources", "", "resources: { cpu: 1 }"),
    ("resources.cpu", "", "resources: { cpu: 1 }"),
    ("resources.memory", "", "resources: { memory: 64Mi }"),
    ("volumes", "", "volumes: [\"a:/a\"]"),
    ("labels", "", "labels: { a: b }"),
    ("pull", "", "pull: always"),
    ("user", "", "user: \"1000\""),
    ("working_dir", "", "working_dir: /a"),
    ("init", "", "init: false"),
    ("read_only", "", "read_only: true"),
    ("no_new_privileges", "", "no_new_privileges: false"),
    ("cap_add", "", "cap_add: [CHOWN]"),
    ("cap_drop", "", "cap_drop: [ALL]"),
    ("devices", "", "devices: [/dev/a]"),
    ("tmpfs", "", "tmpfs: [/a]"),
    ("shm_size", "", "shm_size: 128Mi"),
    ("ulimits", "", "ulimits: { nofile: 1 }"),
    ("ulimits.soft", "", "ulimits: { nofile: { soft: 1, hard: 2 } }"),
    ("ulimits.hard", "", "ulimits: { nofile: { soft: 1, hard: 2 } }"),
    ("extra_hosts", "", "extra_hosts: [\"a:10.0.0.1\"]"),
];

const ACCESS_KEYS: &[Case] = &[
    ("access", "", "access: { host: a.test }"),
    ("access.host", "access: {}", "access: { host: \"*.a.test\" }"),
    ("access.path", "access: {}", "access: { path: /a }"),
    ("access.port", "access: {}", "access: { port: 81 }"),
    ("access.strip_prefix", "access: { path: /a }", "access: { path: /a, strip_prefix: true }"),
    ("access.protocol", "access: {}", "access: { protocol: h2c }"),
    ("access.keepalive", "access: {}", "access: { keepalive: true }"),
    ("access.buffer_requests", "access: {}", "access: { buffer_requests: true }"),
    ("access.tls", "access: { host: a.test }", "access: { host: a.test, tls: auto }"),
    ("access.tls.cert", "", "access: { host: a.test, tls: { cert: ./c, key: ./k } }"),
    ("access.tls.key", "", "access: { host: a.test, tls: { cert: ./c, key: ./k } }"),
    (
        "access.tls.cert.file",
        "",
        "access: { host: a.test, tls: { cert: { file: ./c }, key: ./k } }",
    ),
    ("access.tls.key.file", "", "access: { host: a.test, tls: { cert: ./c, key: { file: ./k } } }"),
    (
        "access.tls.cert.secret",
        "",
        "access: { host: a.test, tls: { cert: { secret: c }, key: ./k } }",
    ),
    (
        "access.tls.key.secret",
        "",
        "access: { host: a.test, tls: { cert: ./c, key: { secret: k } } }",
    ),
];

const TCP: &str = "port: 80\nhealth: { tcp: true }";
const SET: &str = "volumes: [\"a:/a\"]";
const ROUTED: &str = "port: 80";

const LIFECYCLE_KEYS: &[Case] = &[
    ("health", ROUTED, "health: { tcp: true }"),
    ("health.http", ROUTED, "health: { http: /a }"),
    ("health.tcp", ROUTED, "health: { tcp: true }"),
    ("health.exec", "", "health: { exec: [a] }"),
    ("health.port", TCP, "health: { tcp: true, port: 81 }"),
    ("health.host", "port: 80\nhealth: { http: /a }", "health: { http: /a, host: a.test }"),
    ("health.interval", TCP, "health: { tcp: true, interval: 9s }"),
    ("health.timeout", TCP, "health: { tcp: true, timeout: 1s }"),
    ("health.start_period", TCP, "health: { tcp: true, start_period: 9s }"),
    ("health.success", TCP, "health: { tcp: true, success: 2 }"),
    ("health.failures", TCP, "health: { tcp: true, failures: 3 }"),
    ("health.replace_after", TCP, "health: { tcp: true, replace_after: 9 }"),
    ("rollout", "", "rollout: { max_surge: 2 }"),
    ("rollout.max_surge", "", "rollout: { max_surge: 2 }"),
    ("rollout.max_terminating", "", "rollout: { max_terminating: 0 }"),
    ("rollout.max_unavailable", "", "rollout: { max_unavailable: 1 }"),
    ("rollout.min_ready", "", "rollout: { min_ready: 5s }"),
    ("rollout.progress_deadline", "", "rollout: { progress_deadline: 5m }"),
    ("rollout.progress_deadline", SET, "rollout: { progress_deadline: 5m }"),
    ("rollout.order", "", "rollout: { order: stop-first }"),
    ("rollout.order", SET, "rollout: { order: start-first }"),
    ("rollout.order", "replicas: 2", "rollout: { order: stop-first }"),
    ("rollout.on_failure", "", "rollout: { on_failure: pause }"),
    ("rollout.history", "", "rollout: { history: 20 }"),
    ("stop", "", "stop: { grace: 20s }"),
    ("stop.signal", "", "stop: { signal: SIGINT }"),
    ("stop.grace", "", "stop: { grace: 20s }"),
    ("stop.drain", ROUTED, "stop: { drain: 1s }"),
];

fn all_cases() -> impl Iterator<Item = &'static Case> {
    APP_KEYS.iter().chain(ACCESS_KEYS).chain(LIFECYCLE_KEYS)
}

/// Returns an app with some keys, of which those of `with` replace those of `base`.
fn app(base: &str, with: &str) -> String {
    let key = |line: &str| line.split(':').next().unwrap_or_default().to_owned();
    let mut lines: Vec<&str> = vec!["name: a", "image: b"];
    for line in base.lines().chain(with.lines()) {
        lines.retain(|known| key(known) != key(line));
        if key(line) == "program" {
            lines.retain(|known| key(known) != "image");
        }
        lines.push(line);
    }
    lines.join("\n")
}

#[test]
fn each_key_changes_objects_or_has_a_note() {
    for (key, base, with) in all_cases() {
        let [without, with] = [app(base, ""), app(base, with)].map(|text| export_text(&text));
        let is_noted = with.notes.iter().any(|note| {
            let without_positions =
                note.place.path.split('.').filter(|part| part.parse::<u32>().is_err());
            let path = without_positions.collect::<Vec<_>>().join(".");
            let key = key.trim_end_matches(".file").trim_end_matches(".secret");
            path == key || path.starts_with(&format!("{key}.")) || above(key, &path)
        });
        let has_changed = stream(&without) != stream(&with) || without.notes != with.notes;
        assert!(has_changed || is_noted, "{key} is dropped in silence");
    }
}

/// Returns whether a note about an entry is about a key of the entry.
fn above(key: &str, path: &str) -> bool {
    let parent = key.rsplit_once('.').map(|(parent, _)| parent);
    parent.is_some_and(|parent| path == parent || path.starts_with(&format!("{parent}./")))
}

#[test]
fn each_key_is_tried() {
    let tried: BTreeSet<String> = all_cases().map(|(key, ..)| (*key).to_owned()).collect();
    let untried = all_paths().into_iter().filter(|path| !tried.contains(path) && !is_hash(path));
    assert_eq!(untried.collect::<Vec<_>>(), Vec::<String>::new(), "add a case for them");
}
