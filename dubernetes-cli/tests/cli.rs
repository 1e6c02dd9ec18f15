//! Transcripts of commands: without an engine, and with an orchestrator on an engine in memory.

#[path = "cli/lists.rs"]
mod lists;
#[path = "cli/orchestrator.rs"]
mod orchestrator;

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use orchestrator::Orchestrator;
use trycmd::TestCases;

/// Returns test cases with everything set that could change the output.
fn cases() -> TestCases {
    let cases = TestCases::new();
    cases
        .env("XDG_CONFIG_HOME", "/nonexistent")
        .env("DOCKER_HOST", "unix:///nonexistent/engine.sock")
        .env("COLUMNS", "100")
        .env("LC_ALL", "C")
        .env("NO_COLOR", "1");
    cases
}

#[expect(clippy::unwrap_used, reason = "a failure here fails the test")]
fn transcripts(folder: &str) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|end| end == "trycmd")).collect();
    assert!(!files.is_empty(), "no transcript in {folder}");
    files
}

fn run(path: &Path, state_dir: &Path) {
    cases().env("DUBERNETES_STATE_DIR", state_dir.display().to_string()).case(path).run();
}

#[test]
fn usage_transcripts_match() {
    cases().case("tests/cli/usage/*.trycmd").run();
}

#[test]
fn transcripts_without_orchestrator_match() {
    for path in transcripts("tests/cli/alone") {
        // Commands without an orchestrator lock the state folder, so each file gets its own.
        let state = tempfile::tempdir().unwrap();
        run(&path, state.path());
    }
}

#[test]
fn transcripts_with_orchestrator_match() {
    for path in transcripts("tests/cli/running") {
        let orchestrator = Orchestrator::start();
        run(&path, orchestrator.folder());
    }
}

fn dubernetes(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dubernetes"));
    command.args(words).stdin(Stdio::null()).env_remove("NO_COLOR");
    command
}

#[test]
fn closed_pipe_ends_command_quietly() {
    let mut child = dubernetes(&["completion", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert_eq!((child.wait().unwrap().code(), errors.as_str()), (Some(0), ""));
}

#[test]
fn pipe_gets_colours_only_if_asked() {
    let plain = dubernetes(&["get", "frobs"]).output().unwrap().stderr;
    assert!(!plain.contains(&0x1b), "{}", String::from_utf8_lossy(&plain));
    let host = ["--host", "unix:///nonexistent/socket", "status"];
    let plain = dubernetes(&host).output().unwrap().stderr;
    assert!(!plain.contains(&0x1b), "{}", String::from_utf8_lossy(&plain));
    let mut asked = dubernetes(&["--color", "always"]);
    let colored = asked.args(host).output().unwrap().stderr;
    assert!(colored.contains(&0x1b), "{}", String::from_utf8_lossy(&colored));
}

#[test]
fn simulation_is_deterministic() {
    let file = "tests/cli/alone/simulate.in/web.yaml";
    let faults = ["--kill", "web-2@3s", "--scale", "web=5@4s", "--engine-away", "5s+3s"];
    let run = || {
        let mut command = dubernetes(&["simulate", file, "-o", "json", "--unready", "web-1@9s+8s"]);
        command.args(faults).output().unwrap()
    };
    let first = run();
    let second = run();
    let text = String::from_utf8_lossy(&first.stdout);
    assert!(first.status.success() && text.contains("NotReady"), "{first:?}");
    assert_eq!(text, String::from_utf8_lossy(&second.stdout));
}

#[test]
fn completion_script_exists_for_both_program_names() {
    for (program, path) in [
        ("dubernetes", env!("CARGO_BIN_EXE_dubernetes")),
        ("dubectl", env!("CARGO_BIN_EXE_dubectl")),
    ] {
        for shell in ["bash", "zsh", "fish"] {
            let output = Command::new(path).args(["completion", shell]).output().unwrap();
            let script = String::from_utf8(output.stdout).unwrap();
            assert!(output.status.success() && script.contains(program), "{shell}: {script}");
        }
    }
}

#[test]
fn schema_prints_whole_schema() {
    use dubernetes_manifest::reference::{Form, schema};
    let output = dubernetes(&["schema"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let printed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(printed, schema(Form::File));
}

#[test]
fn init_creates_valid_file_and_overwrites_only_with_force() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("My_Shop.2");
    std::fs::create_dir(&folder).unwrap();
    let run = |words: &[&str]| {
        let output = dubernetes(words).current_dir(&folder).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (code, out, err) = run(&["init"]);
    assert_eq!((code, out.as_str()), (Some(0), ""), "{err}");
    assert!(err.contains("created app.yaml with app `my-shop-2`"), "{err}");
    assert!(err.contains("help: edit it, check it with `dubernetes validate app.yaml`"), "{err}");
    let (code, out, err) = run(&["validate", "app.yaml"]);
    assert_eq!((code, out.as_str()), (Some(0), "app/my-shop-2 is valid\n"), "{err}");
    let first = std::fs::read(folder.join("app.yaml")).unwrap();
    let (code, _, err) = run(&["init", "web"]);
    assert_eq!(code, Some(1));
    assert!(err.starts_with("error: `app.yaml` already exists\nhelp: `--force`"), "{err}");
    assert_eq!(std::fs::read(folder.join("app.yaml")).unwrap(), first);
    assert_eq!(run(&["init", "web", "--image", "web:1.5", "--force"]).0, Some(0));
    let second = std::fs::read_to_string(folder.join("app.yaml")).unwrap();
    assert!(second.contains("\nname: web\n") && second.contains("\nimage: web:1.5\n"), "{second}");
    let (code, out, err) = run(&["init", "web", "--image", "web:1.5", "-o", "-"]);
    assert_eq!((code, out, err.as_str()), (Some(0), second, ""));
    assert_eq!(run(&["init", "Web"]).0, Some(2), "invalid name");
}

/// Returns a function that creates commands of an unprivileged user: root can read every file.
#[expect(clippy::unwrap_used, reason = "a failure here fails the test")]
fn unprivileged(folder: &Path) -> impl Fn(&[&str]) -> Command {
    use std::os::unix::fs::MetadataExt as _;
    use std::os::unix::process::CommandExt as _;
    const UNPRIVILEGED: u32 = 65_534;
    let is_root = std::fs::metadata(folder).unwrap().uid() == 0;
    let program = folder.join("dubernetes");
    if is_root {
        // The path to the built program may be accessible to root only.
        std::fs::copy(env!("CARGO_BIN_EXE_dubernetes"), &program).unwrap();
    }
    move |words| {
        if !is_root {
            return dubernetes(words);
        }
        let mut command = Command::new(&program);
        command.args(words).stdin(Stdio::null()).env("XDG_CONFIG_HOME", "/nonexistent");
        command.uid(UNPRIVILEGED).gid(UNPRIVILEGED);
        command
    }
}

#[test]
fn unreadable_file_is_named_with_reason() {
    use std::os::unix::fs::PermissionsExt as _;
    let set_mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let folder = tempfile::tempdir().unwrap();
    set_mode(folder.path(), 0o755);
    let named = |name: &str| folder.path().join(name).display().to_string();
    let file = named("app.yaml");
    let closed = named("closed");
    let inside = named("closed/app.yaml");
    std::fs::create_dir(&closed).unwrap();
    for path in [&file, &inside] {
        std::fs::write(path, "name: web\nimage: web:1\n").unwrap();
    }
    set_mode(file.as_ref(), 0);
    set_mode(closed.as_ref(), 0);
    let below = format!("{file}/app.yaml");
    let user = unprivileged(folder.path());
    let cases = [
        (&file, format!("cannot read `{file}`: permission denied")),
        (&closed, format!("cannot read the folder `{closed}`: permission denied")),
        (&inside, format!("cannot read `{inside}`: permission denied")),
        (&below, format!("cannot read `{below}`: Not a directory (os error 20)")),
    ];
    for (path, reason) in cases {
        let output = user(&["validate", path]).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert_eq!(stderr, format!("error: {reason}\n"));
    }
    set_mode(closed.as_ref(), 0o700);
}
