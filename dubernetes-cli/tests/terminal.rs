//! How the program behaves on a terminal, and where there is none: on real pseudo-terminals, with
//! an orchestrator on an engine in memory.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

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

/// A command with nothing of the tests' own surroundings in it.
fn bare(program: &str, state_dir: &Path) -> Command {
    let mut command = Command::new(program);
    // Where `CI` is set, a terminal that calls itself dumb counts as one with colours.
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

/// The same on a terminal of that many columns.
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

/// The text without what moves the cursor or colours it, one piece for each stroke of drawing.
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
fn on_a_terminal_each_app_has_one_line_that_is_drawn_anew() {
    for columns in [40, 100] {
        let orchestrator = Orchestrator::start();
        let app = file(&orchestrator, "app.yaml", WEB);
        let script = format!("exec $dubernetes apply {}", app.display());
        let output = on_terminal(columns, &script, orchestrator.folder()).output().unwrap();
        let told = text(&output.stdout);
        assert!(output.status.success(), "{told}");
        let strokes = strokes(&told);
        assert!(told.contains('\u{1b}') && strokes.len() > 3, "{told:?}");
        let drawn: Vec<_> = strokes.iter().filter(|s| s.contains("s  app/web  ")).collect();
        assert!(drawn.len() > 1, "{strokes:?}");
        for line in &drawn {
            assert!(line.chars().count() <= usize::from(columns), "{line:?}");
        }
        let last = strokes.last().unwrap();
        assert!(last.starts_with("app/web is ready: 3/3 replicas, revision 1, "), "{told:?}");
        assert_eq!(told.matches("is ready:").count(), 1, "{told:?}");
    }
}

#[test]
fn a_terminal_that_cannot_draw_and_one_that_was_told_so_get_lines() {
    for (term, progress) in [("dumb", "auto"), ("dumb", "tty"), ("", "auto"), ("xterm", "plain")] {
        let orchestrator = Orchestrator::start();
        let app = file(&orchestrator, "app.yaml", WEB);
        let script = format!("exec $dubernetes apply --progress {progress} {}", app.display());
        let mut command = on_terminal(80, &script, orchestrator.folder());
        let output = command.env("TERM", term).output().unwrap();
        let told = text(&output.stdout);
        assert!(output.status.success() && !told.contains('\u{1b}'), "{told:?}");
        assert!(told.lines().any(|line| line.contains("s  created ")), "{told}");
    }
}

#[test]
fn an_interrupt_leaves_the_terminal_as_it_was_and_says_what_stays() {
    let orchestrator = Orchestrator::start();
    let app = file(&orchestrator, "app.yaml", SLOW);
    let script = format!(
        "trap : INT; stty -g; $dubernetes apply {}; code=$?; stty -g; exit $code",
        app.display()
    );
    let mut command = on_terminal(60, &script, orchestrator.folder());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut keys, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let (mut told, mut part) = (Vec::new(), [0; 4096]);
    let deadline = Instant::now() + Duration::from_secs(30);
    while !text(&told).contains("s  app/slow  ") {
        assert!(Instant::now() < deadline, "{}", text(&told));
        let read = screen.read(&mut part).unwrap();
        assert!(read > 0, "{}", text(&told));
        told.extend_from_slice(&part[..read]);
    }
    keys.write_all(b"\x03").unwrap();
    screen.read_to_end(&mut told).unwrap();
    let told = text(&told);
    assert_eq!(child.wait().unwrap().code(), Some(130), "{told}");
    let strokes = strokes(&told);
    assert_eq!(strokes.first(), strokes.last(), "the terminal is not as it was: {told:?}");
    assert!(told.contains("interrupted; app/slow: stays applied"), "{told}");
    // Nothing hides the cursor for good.
    assert_eq!(told.matches("\u{1b}[?25l").count(), told.matches("\u{1b}[?25h").count());
}

/// Commands that only show something.
const SHOWING: [&str; 9] = [
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
fn surroundings_change_no_result_and_bring_no_colour_into_a_pipe() {
    let orchestrator = Orchestrator::start();
    let folder = orchestrator.folder();
    let app = file(&orchestrator, "app.yaml", WEB);
    let applied = sh(&format!("$dubernetes apply --progress quiet {}", app.display()), folder);
    assert!(applied.status.success(), "{applied:?}");
    let surroundings = [
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
    for command in SHOWING {
        let mut results = Vec::new();
        for surrounding in surroundings {
            let output = sh(&format!("{surrounding} $dubernetes {command}"), folder);
            assert_eq!(output.status.code(), Some(0), "{surrounding} {command}: {output:?}");
            let all = [output.stdout.clone(), output.stderr].concat();
            assert!(!all.contains(&0x1b), "{surrounding} {command}: {}", text(&all));
            // Help is wrapped for the columns that were named; ages go on.
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
fn no_width_is_too_small() {
    let orchestrator = Orchestrator::start();
    let folder = orchestrator.folder();
    let app = file(&orchestrator, "app.yaml", WEB);
    sh(&format!("$dubernetes apply --progress quiet {}", app.display()), folder);
    for (columns, replicas) in [(0, 1), (1, 2), (40, 3)] {
        // This one waits, and draws.
        let scale = format!("$dubernetes scale web {replicas}");
        let commands = SHOWING.map(|command| format!("$dubernetes {command}"));
        for command in commands.iter().chain([&scale]) {
            let output = on_terminal(columns, command, folder).output().unwrap();
            let told = text(&output.stdout);
            assert_eq!(output.status.code(), Some(0), "{columns} {command}: {told}");
            if columns == 40 && command.contains(" get ") {
                let long = strokes(&told).into_iter().find(|line| line.chars().count() > 40);
                assert_eq!(long, None, "{command}");
            }
        }
    }
}

#[test]
fn colours_are_for_terminals_and_for_who_asks() {
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
fn closed_files_and_readers_that_go_early_end_nothing_badly() {
    let orchestrator = Orchestrator::start();
    let folder = orchestrator.folder();
    let app = file(&orchestrator, "app.yaml", WEB);
    sh(&format!("$dubernetes apply --progress quiet {}", app.display()), folder);
    for command in SHOWING {
        for closed in ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"] {
            let output = sh(&format!("$dubernetes {command} {closed}"), folder);
            assert_eq!(output.status.code(), Some(0), "{command} {closed}: {output:?}");
        }
        // `head` reads nothing, and then nobody is left.
        let script = format!("($dubernetes {command}; echo code $? >&2) | (exec <&-; sleep 0.2)");
        let output = sh(&script, folder);
        assert_eq!(text(&output.stderr), "code 0\n", "{command}");
    }
    for command in ["events -w", "get apps -w", "completion zsh", "man"] {
        // By itself: `timeout` would end it with 124.
        let ends = format!("timeout 60 $dubernetes {command}; echo code $? >&2");
        let output = sh(&format!("({ends}) | (exec <&-; sleep 0.2)"), folder);
        assert_eq!(text(&output.stderr), "code 0\n", "{command}");
    }
    let full = sh("$dubernetes get apps > /dev/full", folder);
    assert_eq!(full.status.code(), Some(1), "{full:?}");
    assert!(text(&full.stderr).starts_with("error: the result cannot be written"), "{full:?}");
}

#[test]
fn every_command_takes_a_wish_for_more_to_read() {
    let help = sh("$dubernetes -h", Path::new("/nonexistent"));
    let help = text(&help.stdout);
    let names = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names: Vec<_> = names
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next().filter(|n| !n.is_empty()))
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
    let talking =
        sh("DOCKER_HOST=unix:///nonexistent/engine.sock $dubernetes -vvv get apps", state.path());
    assert!(quiet.stderr.len() < talking.stderr.len(), "{talking:?}");
}

#[test]
fn each_kind_of_ending_has_its_code() {
    let orchestrator = Orchestrator::start();
    let folder = orchestrator.folder();
    let (web, slow) = (file(&orchestrator, "w.yaml", WEB), file(&orchestrator, "s.yaml", SLOW));
    let (web, slow) = (web.display(), slow.display());
    let code = |words: &str| sh(&format!("$dubernetes {words}"), folder).status.code();
    assert_eq!(code(&format!("diff {web}")), Some(1), "something differs");
    assert_eq!(code(&format!("apply --progress quiet {web}")), Some(0));
    assert_eq!(code(&format!("diff {web}")), Some(0), "nothing differs");
    assert_eq!(code("diff /nonexistent.yaml"), Some(2), "no comparison");
    assert_eq!(code("get app/nosuch"), Some(1), "not found");
    assert_eq!(code("get frobs"), Some(2), "usage");
    assert_eq!(code("--host unix:///nonexistent/socket get apps"), Some(3), "unreachable");
    assert_eq!(code(&format!("apply --timeout 300ms {slow}")), Some(4), "timed out");

    let mut apply = bare(PROGRAM, folder);
    apply.args(["apply", &slow.to_string()]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = apply.spawn().unwrap();
    // From its first line on it is ready to be interrupted. Nothing else may be told for long: the
    // app was applied before.
    child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    sh(&format!("kill -INT {}", child.id()), folder);
    // One that the signal had killed would have no code of its own.
    assert_eq!(child.wait().unwrap().code(), Some(130), "interrupted");
}

#[test]
fn an_endless_file_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    for script in ["yes | $dubernetes validate -", "$dubernetes validate - < /dev/zero"] {
        let start = Instant::now();
        let output = sh(script, folder.path());
        let told = text(&output.stderr);
        assert!(output.status.code() == Some(1) && told.contains("larger than 1 MiB"), "{told}");
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    }
}

#[test]
fn a_state_folder_of_others_is_refused_with_a_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |state_dir: &Path, parts: [&str; 2]| {
        for command in ["status", "get apps", "serve"] {
            let output = sh(&format!("$dubernetes {command}"), state_dir);
            let told = text(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{command}: {told}");
            assert!(parts.iter().all(|part| told.contains(part)), "{command}: {told}");
        }
    };
    for mode in ["777", "770", "1777"] {
        sh(&format!("chmod {mode} \"$DUBERNETES_STATE_DIR\""), folder.path());
        refused(folder.path(), ["can be written by others", "chmod go-w"]);
    }
    sh("chmod 700 \"$DUBERNETES_STATE_DIR\"", folder.path());
    refused(&file_in(&folder), ["is not a folder", "choose another folder"]);
    // Root gives it away; who is not root has not got what is root's.
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
fn what_would_go_is_listed_before_anybody_is_asked() {
    let orchestrator = Orchestrator::start();
    let folder = orchestrator.folder();
    let empty = sh("$dubernetes down", folder);
    assert_eq!((empty.status.code(), text(&empty.stdout).as_str()), (Some(0), ""), "{empty:?}");
    assert!(text(&empty.stderr).contains("there is nothing of the instance"), "{empty:?}");
    let app = file(&orchestrator, "app.yaml", WEB);
    sh(&format!("$dubernetes apply --progress quiet {}", app.display()), folder);
    let output = sh("$dubernetes down", folder);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("web") && told.contains("--yes"), "{told}");
    assert!(told.contains("network/default") && told.contains("ingress/default"), "{told}");
    let kept = sh("$dubernetes get apps -o name", folder);
    assert_eq!(text(&kept.stdout), "app/web\n");
}
