//! Commands in a container, and files put into it.

use bytes::Bytes;
use futures_util::{AsyncWriteExt as _, StreamExt as _};

use dubernetes_core::app::{FileMode, FileTarget, Secret};
use dubernetes_core::runtime::{
    ContainerFile, ContainerId, ContainerState, ExecOutput, ExecRequest, ExecResult, FileEntry,
    LogOptions, RuntimeError, TerminalSize, run_command,
};

use super::bench::{
    ContractHarness, in_time, is_exited, is_not_found, is_rejected, is_running, missing, must,
    must_fail,
};
use super::watching::words;

pub(super) async fn refused_where_nothing_runs(bench: &ContractHarness<'_>) {
    let id = bench.create(&bench.request("idle")).await;
    let request = ExecRequest { command: words(&["true"]), ..ExecRequest::default() };
    let ran = bench.exec().exec(&id, &request).await;
    must_fail("a command where nothing runs is rejected", ran, is_rejected);
    let ran = bench.exec().exec(&missing(), &request).await;
    must_fail("a command in a missing container is `not found`", ran, is_not_found);
    let put = bench.files().put(&missing(), &[file("/x", "x")]).await;
    must_fail("files for a missing container are `not found`", put, is_not_found);
    let read = bench.logs().read(&missing(), &LogOptions::default()).await;
    must_fail("the logs of a missing container are `not found`", read, is_not_found);
    bench.remove(&id).await;
}

pub(super) async fn files_into_a_created_container(bench: &ContractHarness<'_>) {
    let id = bench.create(&bench.request("files")).await;
    let files = [file("/etc/contract/deep/a.txt", "a"), file("/b.txt", "b")];
    must("put files into a created container", bench.files().put(&id, &files).await);
    must("put them again", bench.files().put(&id, &files).await);
    must("put no file at all", bench.files().put(&id, &[]).await);
    assert_eq!(
        bench.inspect(&id).await.state,
        ContainerState::Created,
        "putting files starts nothing"
    );
    bench.remove(&id).await;
}

pub(super) async fn created_with_files(bench: &ContractHarness<'_>) {
    let mut request = bench.request("with-files");
    request.files = vec![first_file("/etc/contract/new/a.conf", "a", "0644")];
    let id = bench.create(&request).await;
    let made = bench.inspect(&id).await;
    assert_eq!(made.state, ContainerState::Created, "files are put before the start");
    assert_eq!(made.name, request.name, "and change no name");
    assert!(bench.lists(&bench.facts.instance, &id).await, "and it is listed");
    let again = bench.runtime.create(&request).await;
    must_fail("a name is taken, with files or without", again, |error| {
        matches!(error, RuntimeError::NameTaken { .. })
    });
    let listed = must("list containers", bench.runtime.list(&bench.facts.instance).await);
    assert_eq!(listed.len(), 1, "what could not be made is not there, unlike {listed:?}");
    bench.remove(&id).await;
}

pub(super) async fn first_files_are_there_at_the_start(bench: &ContractHarness<'_>) {
    let mut request = bench.request("first-files");
    // The command itself needs them, so they are not late.
    request.command = words(&["sh", "-c", "cat /etc/contract/a /root/b >/all; exec sleep 86400"]);
    request.files = vec![
        first_file("/etc/contract/a", "canary-4711", "0644"),
        first_file("/root/b", "second\n", "0400"),
    ];
    request.secret_env.insert("SECRET".into(), Secret::new("a=\"b\"\nc"));
    let id = bench.running(&request).await;
    let all = "while [ ! -s /all ]; do sleep 0.1; done; cat /all; printf %s \"$SECRET\"";
    let read = run(bench, &id, &["sh", "-c", all]).await;
    let text = String::from_utf8_lossy(&read.stdout).into_owned();
    assert_eq!(
        text, "canary-4711second\na=\"b\"\nc",
        "files and secrets are as they were asked for"
    );
    let modes =
        run(bench, &id, &["ls", "-ld", "/etc/contract", "/etc/contract/a", "/root/b"]).await;
    let modes = String::from_utf8_lossy(&modes.stdout).into_owned();
    let starts: Vec<&str> = modes.lines().map(|line| line.get(..10).unwrap_or(line)).collect();
    assert_eq!(starts, ["drwxr-xr-x", "-rw-r--r--", "-r--------"], "files have their modes");
    bench.remove(&id).await;
}

pub(super) async fn files_are_read_back(bench: &ContractHarness<'_>) {
    let id = bench.create(&bench.request("read-back")).await;
    let files =
        [file("/etc/contract/deep/a.txt", "first"), link("/etc/contract/live", "deep/a.txt")];
    must("put files into a created container", bench.files().put(&id, &files).await);
    must("start a container", bench.runtime.start(&id).await);
    bench.wait_for(&id, "it runs", is_running).await;
    let read = run(bench, &id, &["cat", "/etc/contract/live"]).await;
    assert_eq!(read.stdout, b"first", "a file and a link put before the start are there");
    let files = [
        file("/etc/contract/deep/b.txt", "second"),
        link("/etc/contract/live", "deep/b.txt"),
        file("/tmp/new/folder/c.txt", ""),
    ];
    must("put files into a running container", bench.files().put(&id, &files).await);
    let read = run(bench, &id, &["cat", "/etc/contract/live", "/tmp/new/folder/c.txt"]).await;
    assert_eq!(read.stdout, b"second", "a link that is put again leads to its new target");
    let kept = run(bench, &id, &["cat", "/etc/contract/deep/a.txt"]).await;
    assert_eq!(kept.stdout, b"first", "putting files leaves the others alone");
    let modes = run(bench, &id, &["ls", "-ld", "/tmp/new", "/tmp/new/folder/c.txt"]).await;
    let modes = String::from_utf8_lossy(&modes.stdout).into_owned();
    let starts: Vec<&str> = modes.lines().map(|line| line.get(..10).unwrap_or(line)).collect();
    assert_eq!(starts, ["drwxr-xr-x", "-rw-r--r--"], "everybody may read what was put");
    bench.remove(&id).await;
}

pub(super) async fn output_and_exit_codes(bench: &ContractHarness<'_>) {
    let id = bench.running(&bench.request("commands")).await;
    let both = run(bench, &id, &["sh", "-c", "echo out; echo err >&2; exit 3"]).await;
    assert_eq!(both.code, 3, "the exit code is the command's own");
    assert_eq!(both.stdout, b"out\n", "standard output comes as it is");
    assert_eq!(both.stderr, b"err\n", "standard error comes as it is");
    let spaced = run(bench, &id, &["printf", "%s", "$HOME *"]).await;
    assert_eq!(spaced.stdout, b"$HOME *", "no shell reads the command");
    let user = run_command(bench.runtime, &id, &["id", "-u"], Some(1234)).await;
    assert_eq!(must("run as a user", user).stdout, b"1234\n", "a command runs as the user named");
    let many = run(bench, &id, &["head", "-c", "300000", "/dev/zero"]).await;
    assert_eq!(many.stdout.len(), 300_000, "long output comes whole");
    let unfound = run(bench, &id, &["/no/such/command"]).await;
    assert!(
        matches!(unfound.code, 126 | 127),
        "a command that is not found exits with 126 or 127, unlike {}",
        unfound.code
    );
    // An engine sets the size a moment after the start.
    let sized = r#"while size=$(stty size 2>/dev/null); [ -z "$size" ] || [ "$size" = "0 0" ]
        do sleep 0.1; done; echo "$size""#;
    let terminal = ExecRequest {
        command: words(&["sh", "-c", sized]),
        stdin: true,
        tty: Some(TerminalSize { columns: 91, rows: 33 }),
        user: None,
    };
    let shown = talk(bench, &id, &terminal, b"").await;
    assert_eq!(shown.stdout, b"33 91\r\n", "a terminal has the size that was asked for");
    bench.remove(&id).await;
}

pub(super) async fn input(bench: &ContractHarness<'_>) {
    let id = bench.running(&bench.request("input")).await;
    let request = ExecRequest { command: words(&["cat"]), stdin: true, tty: None, user: None };
    let echoed = talk(bench, &id, &request, b"typed").await;
    assert_eq!(echoed.stdout, b"typed", "what is written to the input arrives");
    assert_eq!(echoed.code, 0, "shutting the input down ends it");
    let closed = run(bench, &id, &["cat"]).await;
    assert_eq!((closed.code, closed.stdout.len()), (0, 0), "without input a command reads nothing");
    bench.remove(&id).await;
}

pub(super) async fn failing_commands(bench: &ContractHarness<'_>) {
    let mut request = bench.request("exits");
    request.command = words(&["sh", "-c"]);
    request.args = words(&["exit 7"]);
    let id = bench.create(&request).await;
    must("start what ends at once", bench.runtime.start(&id).await);
    let ended = bench.wait_for(&id, "it has exited", is_exited).await;
    assert!(
        matches!(ended.state, ContainerState::Exited { code: 7, out_of_memory: false, .. }),
        "an exit code is kept, unlike {:?}",
        ended.state
    );
    bench.remove(&id).await;
    let mut request = bench.request("unfound");
    request.command = words(&["/no/such/command"]);
    let id = bench.create(&request).await;
    // An engine sees this when it starts the container, or its first process does afterwards.
    if let Err(error) = bench.runtime.start(&id).await {
        assert!(is_rejected(&error), "a failed start is rejected, unlike {error:?}");
    }
    let failed = |state: &ContainerState| {
        matches!(
            state,
            ContainerState::StartFailed { code: 126..=128, .. }
                | ContainerState::Exited { code: 126..=128, .. }
        )
    };
    bench.wait_for(&id, "its failed start shows", failed).await;
    bench.remove(&id).await;
}

async fn run(bench: &ContractHarness<'_>, id: &ContainerId, command: &[&str]) -> ExecResult {
    let ran = in_time("a command to end", run_command(bench.runtime, id, command, None)).await;
    must("run a command", ran)
}

/// Runs a command, writes `input` to it, and shuts its input down.
async fn talk(
    bench: &ContractHarness<'_>,
    id: &ContainerId,
    request: &ExecRequest,
    input: &[u8],
) -> ExecResult {
    let session = in_time("a command to start", bench.exec().exec(id, request)).await;
    let mut session = must("run a command with input", session);
    let written = async {
        session.input.write_all(input).await?;
        session.input.flush().await?;
        if request.tty.is_none() { session.input.close().await } else { Ok(()) }
    };
    let written: std::io::Result<()> = in_time("input to be taken", written).await;
    assert!(written.is_ok(), "input is taken, unlike {written:?}");
    let mut result =
        ExecResult { code: -1, stdout: Vec::new(), stderr: Vec::new(), truncated: false };
    let mut ends = 0;
    while let Some(output) = in_time("a command's output", session.output.next()).await {
        match must("read a command's output", output) {
            ExecOutput::Stdout(part) => result.stdout.extend_from_slice(&part),
            ExecOutput::Stderr(part) => result.stderr.extend_from_slice(&part),
            ExecOutput::Exit(code) => {
                result.code = code;
                ends += 1;
            }
        }
    }
    assert_eq!(ends, 1, "a session tells its end once, and ends");
    result
}

fn file(path: &str, contents: &str) -> FileEntry {
    FileEntry::File { path: path.to_owned(), contents: Bytes::copy_from_slice(contents.as_bytes()) }
}

fn first_file(target: &str, content: &str, mode: &str) -> ContainerFile {
    ContainerFile {
        target: FileTarget::parse(target).expect("a legal target"),
        content: Secret::new(content.to_owned()),
        mode: FileMode::parse(mode).expect("a legal mode"),
    }
}

fn link(path: &str, target: &str) -> FileEntry {
    FileEntry::Symlink { path: path.to_owned(), target: target.to_owned() }
}
