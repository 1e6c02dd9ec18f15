//! Commands on an engine that answers, but is too old: they say so, and change nothing.

#![expect(clippy::unwrap_used, reason = "a failure here fails the test")]

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

const PODMAN_4: &str = r#"{"Platform": {"Name": "linux/amd64/debian-12"}, "Components":
    [{"Name": "Podman Engine", "Version": "4.3.1"}], "Version": "4.3.1", "ApiVersion": "1.41",
    "MinAPIVersion": "1.24", "Os": "linux", "Arch": "amd64"}"#;
const DOCKER_19: &str = r#"{"Platform": {"Name": "Docker Engine - Community"}, "Components":
    [{"Name": "Engine", "Version": "19.03.1"}], "Version": "19.03.1", "ApiVersion": "1.40",
    "MinAPIVersion": "1.12", "Os": "linux", "Arch": "amd64"}"#;

/// An engine that says its version, and nothing else.
struct OldEngine {
    folder: tempfile::TempDir,
    /// The first lines of all other requests than those that read.
    changes: Arc<Mutex<Vec<String>>>,
}

impl OldEngine {
    fn start(version: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("engine.sock")).unwrap();
        let changes = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&changes);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                // A client that has gone needs no answer.
                let _ = answer(stream, version, &seen);
            }
        });
        Self { folder, changes }
    }

    fn run(&self, words: &[&str]) -> Output {
        let state = self.folder.path().join("state");
        let mut command = Command::new(env!("CARGO_BIN_EXE_dubernetes"));
        command.args(words).env("DUBERNETES_STATE_DIR", state).env("NO_COLOR", "1");
        let socket = format!("unix://{}", self.folder.path().join("engine.sock").display());
        command.env("DOCKER_HOST", socket).env("XDG_CONFIG_HOME", "/nonexistent");
        command.current_dir(self.folder.path()).stdin(Stdio::null()).output().unwrap()
    }
}

fn answer(
    mut stream: UnixStream,
    version: &str,
    changes: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte)? == 1 {
        request.extend(byte);
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let first = request.lines().next().unwrap_or_default();
    if !first.starts_with("GET ") {
        changes.lock().unwrap().push(first.to_owned());
    }
    let (status, body) = match first.contains("/version ") {
        true => ("200 OK", version),
        false => ("404 Not Found", r#"{"message": "nothing is here"}"#),
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
}

fn write_app(folder: &Path) {
    std::fs::write(folder.join("app.yaml"), "name: web\nimage: web:1\n").unwrap();
}

#[track_caller]
fn check_refused(engine: &OldEngine, words: &[&str], parts: &[&str]) {
    let output = engine.run(words);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{words:?}: {text}");
    for part in parts {
        assert!(text.contains(part), "{words:?}: {part} is missing in {text}");
    }
    assert!(text.contains("DOCKER_HOST"), "{words:?}: {text}");
    assert_eq!(*engine.changes.lock().unwrap(), Vec::<String>::new(), "{words:?}");
}

#[test]
fn podman_before_5_is_refused_by_each_command_that_starts_something() {
    let engine = OldEngine::start(PODMAN_4);
    write_app(engine.folder.path());
    let parts = ["cannot use this container engine", "Podman 4.3.1", "Podman 5 or later"];
    check_refused(&engine, &["serve"], &parts);
    check_refused(&engine, &["up", "app.yaml"], &parts);
    check_refused(&engine, &["apply", "app.yaml"], &parts);
}

#[test]
fn docker_with_an_older_api_is_refused_by_each_command_that_starts_something() {
    let engine = OldEngine::start(DOCKER_19);
    write_app(engine.folder.path());
    let parts = ["cannot use this container engine", "19.03.1 offers API 1.40", "API 1.41"];
    check_refused(&engine, &["serve"], &parts);
    check_refused(&engine, &["up", "app.yaml"], &parts);
    check_refused(&engine, &["apply", "app.yaml"], &parts);
}

#[test]
fn doctor_names_the_version_and_what_to_use() {
    for (version, part) in [(PODMAN_4, "Podman 4.3.1"), (DOCKER_19, "19.03.1 offers API 1.40")] {
        let engine = OldEngine::start(version);
        let output = engine.run(&["doctor"]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(!output.status.success(), "{text}");
        for part in [part, "Docker Engine 20.10 or later, or Podman 5 or later"] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
    }
}
