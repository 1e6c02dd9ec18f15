//! Behaviour on real pseudo-terminals and in pipes, with an orchestrator on an engine in memory.

#![expect(clippy::unwrap_used, reason = "a failure here fails the test")]

#[path = "cli/orchestrator.rs"]
mod orchestrator;

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use orchestrator::Orchestrator;

const PROGRAM: &str = env!("CARGO_BIN_EXE_dubernetes");
const WEB: &str = "name: web\nimage: web:1\nreplicas: 3\naccess: { host: web.local }\n";
const SLOW: &str = "name: slow\nimage: slow:1\naccess: { host: slow.local }\n";

/// Returns a command without the environment of the test.
fn bare(program: &str, state_dir: &Path) -> Command {
    let mut command = Command::new(program);
    // With `CI` set, a dumb terminal counts as one with colours.
    for name in ["CI", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "RUST_BACKTRACE", "COLUMNS"] {
        command.env_remove(name);
    }
    command.env("DUBERNETES_STATE_DIR", state_dir).env("TERM", "xterm");
    command.env("XDG_CONFIG_HOME", "/nonexistent").stdin(Stdio::null());
    command
}

fn sh(script: &str, state_dir: &Path) -> Output {
    let mut command = bare("sh", state_dir);
    command.args(["-c", script]).env("dubernetes", PROGRAM).output().unwrap()
}

/// Returns a command that runs a script on a terminal of that width.
fn on_terminal(columns: u16, script: &str, state_dir: &Path) -> Command {
    let mut command = bare("script", state_dir);
    let script = format!("stty cols {columns} rows 24; {script}");
    command.args(["--quiet", "--return", "--command", &script, "/dev/null"]);
    command.env("dubernetes", PROGRAM).env("SHELL", "/bin/sh");
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn file(orchestrator: &Orchestrator, name: &str, content: &str) -> PathBuf {
    let path = orchestrator.folder().join(name);
    std::fs::write(&path, content).unwrap();
    path
}

/// Splits output at cursor movements and removes colours.
fn strokes(output: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut chars = output.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\n' | '\r' => pieces.push(String::new()),
            '\u{1b}' => {
                let moves = chars.by_ref().find(|c| c.is_ascii_alphabetic());
                if moves != Some('m') {
                    pieces.push(String::new());
                }
            }
            c => pieces.last_mut().unwrap().push(c),
        }
    }
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

#[test]
fn terminal_shows_one_redrawn_line_per_app() {
    for columns in [40, 100] {
        let orchestrator = Orchestrator::start();
        let app = file(&orchestrator, "app.yaml", WEB);
        let script = format!("exec $dubernetes apply {}", app.display());
        let output = on_terminal(columns, &script, orchestrator.folder()).output().unwrap();
        let screen = text(&output.stdout);
        assert!(output.status.success(), "{screen}");
        let strokes = strokes(&screen);
        assert!(screen.contains('\u{1b}') && strokes.len() > 3, "{screen:?}");
        let drawn: Vec<_> = strokes.iter().filter(|s| s.contains("s  app/web  ")).collect();
        assert!(drawn.len() > 1, "{strokes:?}");
        for line in &drawn {
            assert!(line.chars().count() <= usize::from(columns), "{line:?}");
        }
        let last = strokes.last().unwrap();
        assert!(last.starts_with("app/web is ready: 3/3 replicas, revision 1, "), "{screen:?}");
        assert_eq!(screen.matches("is ready:").count(), 1, "{screen:?}");
    }
}

#[test]
fn dumb_terminal_and_plain_progress_get_lines() {
    for (term, progress) in [("dumb", "auto"), ("dumb", "tty"), ("", "auto"), ("xterm", "plain")] {
        let orchestrator = Orchestrator::start();
        let app = file(&orchestrator, "app.yaml", WEB);
        let script = format!("exec $dubernetes apply --progress {progress} {}", app.display());
        let mut command = on_terminal(80, &script, orchestrator.folder());
        let output = command.env("TERM", term).output().unwrap();
        let screen = text(&output.stdout);
        assert!(output.status.success() && !screen.contains('\u{1b}'), "{screen:?}");
        assert!(screen.lines().any(|line| line.contains("s  created ")), "{screen}");
    }
}

#[test]
fn interrupt_restores_terminal_and_reports_state() {
    let orchestrator = Orchestrator::start();
    let app = file(&orchestrator, "app.yaml", SLOW);
    let script = format!(
        "trap : INT; stty -g; $dubernetes apply {}; code=$?; stty -g; exit $code",
        app.display()
    );
    let mut command = on_terminal(60, &script, orchestrator.folder());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut keyboard = child.stdin.take().unwrap();
    let mut terminal = child.stdout.take().unwrap();
    let mut screen = Vec::new();
    let mut part = [0; 4096];
    let deadline = Instant::now() + Duration::from_secs(30);
    while !text(&screen).contains("s  app/slow  ") {
        assert!(Instant::now() < deadline, "{}", text(&screen));
        let read = terminal.read(&mut part).unwrap();
        assert!(read > 0, "{}", text(&screen));
        screen.extend_from_slice(&part[..read]);
    }
    keyboard.write_all(b"\x03").unwrap();
    terminal.read_to_end(&mut screen).unwrap();
    let screen = text(&screen);
    assert_eq!(child.wait().unwrap().code(), Some(130), "{screen}");
    let strokes = strokes(&screen);
    assert_eq!(strokes.first(), strokes.last(), "terminal settings changed: {screen:?}");
    assert!(screen.contains("interrupted: app/slow stays applied"), "{screen}");
    // The cursor is visible again.
    assert_eq!(screen.matches("\u{1b}[?25l").count(), screen.matches("\u{1b}[?25h").count());
}

/// Commands that change nothing.
const READ_COMMANDS: [&str; 9] = [
    "get apps",
    "get pods -o wide",
    "get routes",
    "get events",
    "describe web",
    "events",
    "status -o wide",
    "version",
    "--help",
];

#[test]
fn environment_changes_no_result_and_adds_no_colour_to_pipe() {
    let orchestrator = Orchestrator::start();
    let folder = orchestrator.folder();
    let app = file(&orchestrator, "app.yaml", WEB);
    let applied = sh(&format!("$dubernetes apply --progress quiet {}", app.display()), folder);
    assert!(applied.status.success(), "{applied:?}");
    let environments = [
        "",
        "NO_COLOR=1",
        "TERM=dumb",
        "TERM=",
        "COLUMNS=0",
        "COLUMNS=40",
        "LC_ALL=C",
        "LC_ALL=tr_TR.UTF-8",
        "LANG=ar_EG.UTF-8",
    ];
    for command in READ_COMMANDS {
        let mut results = Vec::new();
        for environment in environments {
            let output = sh(&format!("{environment} $dubernetes {command}"), folder);
            assert_eq!(output.status.code(), Some(0), "{environment} {command}: {output:?}");
            let all = [output.stdout.clone(), output.stderr].concat();
            assert!(!all.contains(&0x1b), "{environment} {command}: {}", text(&all));
            // Help wraps at COLUMNS, and ages grow.
            if !(command == "--help" || command.contains("event") || command.contains("describe")) {
                let words = text(&output.stdout);
                let words = words.split_whitespace().filter(|w| !is_age(w)).map(str::to_owned);
                results.push(words.collect::<Vec<_>>());
            }
        }
        for result in &results {
            assert_eq!(result, &results[0], "{command}");
        }
    }
}

fn is_age(word: &str) -> bool {
    word.strip_suffix('s').is_some_and(|n| n.chars().all(|c| c.is_ascii_digit()))
}

#[test]
fn every_terminal_width_works() {
    let orchestrator = Orchestrator::start();
    let folder = orchestrator.folder();
    let app = file(&orchestrator, "app.yaml", WEB);
    sh(&format!("$dubernetes apply --progress quiet {}", app.display()), folder);
    for (columns, replicas) in [(0, 1), (1, 2), (40, 3)] {
        // `scale` redraws lines while it waits.
        let scale = format!("$dubernetes scale web {replicas}");
        let commands = READ_COMMANDS.map(|command| format!("$dubernetes {command}"));
        for command in commands.iter().chain([&scale]) {
            let output = on_terminal(columns, command, folder).output().unwrap();
            let screen = text(&output.stdout);
            assert_eq!(output.status.code(), Some(0), "{columns} {command}: {screen}");
            if columns == 40 && command.contains(" get ") {
                let long = strokes(&screen).into_iter().find(|line| line.chars().count() > 40);
                assert_eq!(long, None, "{command}");
            }
        }
    }
}

#[test]
fn colours_appear_on_terminals_and_on_request() {
    let orchestrator = Orchestrator::start();
    let folder = orchestrator.folder();
    let app = file(&orchestrator, "app.yaml", WEB);
    sh(&format!("$dubernetes apply --progress quiet {}", app.display()), folder);
    let colored = |output: Output| text(&output.stdout).contains("\u{1b}[3");
    let terminal = |before: &str| {
        on_terminal(80, &format!("{before} $dubernetes get apps"), folder).output().unwrap()
    };
    assert!(colored(terminal("")));
    assert!(!colored(terminal("NO_COLOR=1")));
    assert!(!colored(terminal("TERM=dumb")));
    assert!(!colored(sh("$dubernetes get apps", folder)));
    assert!(colored(sh("CLICOLOR_FORCE=1 $dubernetes get apps", folder)));
    assert!(colored(sh("$dubernetes --color always get apps", folder)));
    assert!(!colored(sh("CLICOLOR_FORCE=1 $dubernetes --color never get apps", folder)));
}

#[test]
fn closed_descriptors_and_pipes_are_no_errors() {
    let orchestrator = Orchestrator::start();
    let folder = orchestrator.folder();
    let app = file(&orchestrator, "app.yaml", WEB);
    sh(&format!("$dubernetes apply --progress quiet {}", app.display()), folder);
    for command in READ_COMMANDS {
        for closed in ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"] {
            let output = sh(&format!("$dubernetes {command} {closed}"), folder);
            assert_eq!(output.status.code(), Some(0), "{command} {closed}: {output:?}");
        }
        // The reader exits without reading.
        let script = format!("($dubernetes {command}; echo code $? >&2) | (exec <&-; sleep 0.2)");
        let output = sh(&script, folder);
        assert_eq!(text(&output.stderr), "code 0\n", "{command}");
    }
    for command in ["events -w", "get apps -w", "completion zsh", "man"] {
        // `timeout` would end the command with 124.
        let ends = format!("timeout 60 $dubernetes {command}; echo code $? >&2");
        let output = sh(&format!("({ends}) | (exec <&-; sleep 0.2)"), folder);
        assert_eq!(text(&output.stderr), "code 0\n", "{command}");
    }
    let full = sh("$dubernetes get apps > /dev/full", folder);
    assert_eq!(full.status.code(), Some(1), "{full:?}");
    assert!(text(&full.stderr).starts_with("error: cannot write the result"), "{full:?}");
}

#[test]
fn every_command_accepts_verbose() {
    let help = sh("$dubernetes -h", Path::new("/nonexistent"));
    let help = text(&help.stdout);
    let names = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names: Vec<_> = names
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|name| !name.is_empty() && *name != "help")
        .collect();
    assert!(names.len() > 15, "{help}");
    for name in names {
        for flag in ["-v", "-vv", "--verbose"] {
            let output = sh(&format!("$dubernetes {name} {flag} -h"), Path::new("/nonexistent"));
            assert!(output.status.success(), "{name} {flag}: {output:?}");
        }
    }
    let orchestrator = Orchestrator::start();
    let quiet = sh("$dubernetes get apps", orchestrator.folder());
    let state = tempfile::tempdir().unwrap();
    let verbose =
        sh("DOCKER_HOST=unix:///nonexistent/engine.sock $dubernetes -vvv get apps", state.path());
    assert!(quiet.stderr.len() < verbose.stderr.len(), "{verbose:?}");
}

#[test]
fn each_outcome_has_its_exit_code() {
    let orchestrator = Orchestrator::start();
    let folder = orchestrator.folder();
    let web = file(&orchestrator, "w.yaml", WEB).display().to_string();
    let slow = file(&orchestrator, "s.yaml", SLOW).display().to_string();
    let code = |words: &str| sh(&format!("$dubernetes {words}"), folder).status.code();
    assert_eq!(code(&format!("diff {web}")), Some(1), "differences");
    assert_eq!(code(&format!("apply --progress quiet {web}")), Some(0));
    assert_eq!(code(&format!("diff {web}")), Some(0), "no differences");
    assert_eq!(code("diff /nonexistent.yaml"), Some(2), "error of diff");
    assert_eq!(code("get app/nosuch"), Some(1), "not found");
    assert_eq!(code("get frobs"), Some(2), "usage");
    assert_eq!(code("--host unix:///nonexistent/socket get apps"), Some(3), "unreachable");
    assert_eq!(code(&format!("apply --timeout 300ms {slow}")), Some(4), "timed out");

    let mut apply = bare(PROGRAM, folder);
    apply.args(["apply", &slow]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = apply.spawn().unwrap();
    // From its first line on the command handles an interrupt. The app was applied before, so no
    // other line may follow for long.
    child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    sh(&format!("kill -INT {}", child.id()), folder);
    // A process killed by the signal would have no exit code.
    assert_eq!(child.wait().unwrap().code(), Some(130), "interrupted");
}

#[test]
fn endless_file_is_refused_quickly() {
    let folder = tempfile::tempdir().unwrap();
    for script in ["yes | $dubernetes validate -", "$dubernetes validate - < /dev/zero"] {
        let start = Instant::now();
        let output = sh(script, folder.path());
        let stderr = text(&output.stderr);
        assert!(
            output.status.code() == Some(1) && stderr.contains("larger than 1 MiB"),
            "{stderr}"
        );
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    }
}

#[test]
fn unsafe_state_folder_is_refused_with_help() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |state_dir: &Path, parts: [&str; 2]| {
        for command in ["status", "get apps", "serve"] {
            let output = sh(&format!("$dubernetes {command}"), state_dir);
            let stderr = text(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{command}: {stderr}");
            assert!(parts.iter().all(|part| stderr.contains(part)), "{command}: {stderr}");
        }
    };
    for mode in ["777", "770", "1777"] {
        sh(&format!("chmod {mode} \"$DUBERNETES_STATE_DIR\""), folder.path());
        refused(folder.path(), ["can be written by others", "chmod go-w"]);
    }
    sh("chmod 700 \"$DUBERNETES_STATE_DIR\"", folder.path());
    refused(&file_in(&folder), ["is not a folder", "choose another folder"]);
    // Root can give the folder away; for other users `/` belongs to another user.
    let given = sh("chown 12345 \"$DUBERNETES_STATE_DIR\"", folder.path()).status.success();
    let foreign = if given { folder.path() } else { Path::new("/") };
    refused(foreign, ["belongs to the user", "--state-dir"]);
}

fn file_in(folder: &tempfile::TempDir) -> PathBuf {
    let path = folder.path().join("file");
    std::fs::write(&path, "text").unwrap();
    path
}

#[test]
fn down_lists_objects_before_confirmation() {
    let orchestrator = Orchestrator::start();
    let folder = orchestrator.folder();
    let empty = sh("$dubernetes down", folder);
    assert_eq!((empty.status.code(), text(&empty.stdout).as_str()), (Some(0), ""), "{empty:?}");
    assert!(text(&empty.stderr).contains("the instance `default` owns nothing"), "{empty:?}");
    let app = file(&orchestrator, "app.yaml", WEB);
    sh(&format!("$dubernetes apply --progress quiet {}", app.display()), folder);
    let output = sh("$dubernetes down", folder);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("web") && stderr.contains("--yes"), "{stderr}");
    assert!(stderr.contains("network/default") && stderr.contains("ingress/default"), "{stderr}");
    let kept = sh("$dubernetes get apps -o name", folder);
    assert_eq!(text(&kept.stdout), "app/web\n");
}
