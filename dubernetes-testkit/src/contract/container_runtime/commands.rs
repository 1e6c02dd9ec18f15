//! Commands in running containers.

use futures_util::future::join_all;
use futures_util::{AsyncWriteExt as _, StreamExt as _};

use dubernetes_core::app::Signal;
use dubernetes_core::runtime::{
    ContainerId, ExecOutput, ExecRequest, ExecResult, ExecSession, Stdio, TerminalSize,
};

use super::harness::{
    ContractHarness, is_not_found, is_not_running, missing, must, must_fail, within_patience, words,
};

pub(super) async fn exec_needs_a_running_container(harness: &ContractHarness<'_>) {
    let id = harness.create(&harness.request("idle")).await;
    let request = ExecRequest { command: words(&["true"]), ..ExecRequest::default() };
    let ran = harness.exec().exec(&id, &request).await;
    must_fail("a command needs a running container", ran, is_not_running);
    let ran = harness.exec().exec(&missing(), &request).await;
    must_fail("a command in a missing container is `not found`", ran, is_not_found);
    harness.remove(&id).await;
}

pub(super) async fn output_and_exit_code_arrive(harness: &ContractHarness<'_>) {
    let id = harness.start(&harness.request("output")).await;
    let both = run(harness, &id, &["sh", "-c", "echo out; echo err >&2; exit 3"]).await;
    assert_result(&both, 3, "out\n", "output and exit code are the command's own");
    assert_eq!(both.stderr, b"err\n", "standard error is separate; seen: {}", describe(&both));
    harness.remove(&id).await;
}

pub(super) async fn unknown_command_has_its_exit_code(harness: &ContractHarness<'_>) {
    let id = harness.start(&harness.request("unknown")).await;
    let unknown = run(harness, &id, &["/no/such/command"]).await;
    let is_unknown = matches!(unknown.code, 126 | 127);
    assert!(is_unknown, "an unknown command exits with 126 or 127; seen: {}", describe(&unknown));
    harness.remove(&id).await;
}

pub(super) async fn commands_at_once_are_apart(harness: &ContractHarness<'_>) {
    let id = harness.start(&harness.request("at-once")).await;
    let run_one = async |number: usize| {
        let script = format!("for n in 1 2 3; do echo {number}; sleep 0.05; done; exit {number}");
        (number, run(harness, &id, &["sh", "-c", &script]).await)
    };
    for (number, ran) in join_all((1..5).map(run_one)).await {
        let expected = format!("{number}\n").repeat(3);
        assert_result(&ran, i64::try_from(number).unwrap_or(0), &expected, "each has its own");
    }
    harness.remove(&id).await;
}

pub(super) async fn dropped_session_leaves_the_container(harness: &ContractHarness<'_>) {
    let id = harness.start(&harness.request("dropped")).await;
    let request = ExecRequest { stdin: true, ..request(&["cat"]) };
    drop(must("run a command", harness.exec().exec(&id, &request).await));
    let again = run(harness, &id, &["echo", "again"]).await;
    assert_result(&again, 0, "again\n", "the container goes on");
    harness.remove(&id).await;
}

pub(super) async fn no_shell_reads_a_command(harness: &ContractHarness<'_>) {
    let id = harness.start(&harness.request("arguments")).await;
    let printed = run(harness, &id, &["printf", "%s|", "$HOME *", "", "a\nb"]).await;
    assert_result(&printed, 0, "$HOME *||a\nb|", "no shell reads the command");
    harness.remove(&id).await;
}

pub(super) async fn long_output_is_whole(harness: &ContractHarness<'_>) {
    let id = harness.start(&harness.request("long-output")).await;
    let long = run(harness, &id, &["head", "-c", "300000", "/dev/zero"]).await;
    let length = long.stdout.len();
    assert_eq!(length, 300_000, "all bytes arrive; exit code {}", long.code);
    harness.remove(&id).await;
}

pub(super) async fn command_runs_as_user(harness: &ContractHarness<'_>) {
    let id = harness.start(&harness.request("user")).await;
    let request = ExecRequest { user: Some(1234), ..request(&["id", "-u"]) };
    let printed = talk(harness, &id, &request, b"").await;
    assert_result(&printed, 0, "1234\n", "a command runs as the user 1234");
    harness.remove(&id).await;
}

pub(super) async fn terminal_has_requested_size(harness: &ContractHarness<'_>) {
    let id = harness.start(&harness.request("terminal")).await;
    // An engine sets the size a moment after the start.
    let script = r#"while size=$(stty size 2>/dev/null); [ -z "$size" ] || [ "$size" = "0 0" ]
        do sleep 0.1; done; echo "$size""#;
    let tty = Some(TerminalSize { columns: 91, rows: 33 });
    let request = ExecRequest { stdin: true, tty, ..request(&["sh", "-c", script]) };
    let shown = talk(harness, &id, &request, b"").await;
    assert_result(&shown, 0, "33 91\r\n", "a terminal has 33 rows and 91 columns");
    harness.remove(&id).await;
}

pub(super) async fn input_arrives_and_ends(harness: &ContractHarness<'_>) {
    let id = harness.start(&harness.request("input")).await;
    let request = ExecRequest { stdin: true, ..request(&["cat"]) };
    let echoed = talk(harness, &id, &request, b"typed").await;
    assert_result(&echoed, 0, "typed", "input arrives, and ends where it is closed");
    let closed = run(harness, &id, &["cat"]).await;
    assert_result(&closed, 0, "", "without input a command reads nothing");
    harness.remove(&id).await;
}

pub(super) async fn attached_client_loses_no_output(harness: &ContractHarness<'_>) {
    let mut request = harness.request("attached");
    request.command = words(&["sh", "-c", "cat; echo err >&2; exit 5"]);
    request.stdio = Stdio { stdin: true, tty: None };
    let id = harness.create(&request).await;
    let attached = harness.exec().attach(&id, request.stdio);
    let nothing = || "nothing".to_owned();
    let attached = within_patience("a container to attach to", attached, nothing).await;
    let mut session = must("attach to a container that is not started", attached);
    must("start a container that a client is attached to", harness.runtime.start(&id).await);
    let written = async {
        session.input.write_all(b"typed").await?;
        session.input.close().await
    };
    let written = within_patience("a process to take its input", written, nothing).await;
    assert!(written.is_ok(), "a process takes its input; seen: {written:?}");
    let result = read_to_end("the process of a container", session).await;
    assert_result(&result, 5, "typed", "output and exit code of a container's own process");
    assert_eq!(result.stderr, b"err\n", "its error output is apart; seen: {}", describe(&result));
    harness.remove(&id).await;
}

pub(super) async fn attached_client_sees_a_kill(harness: &ContractHarness<'_>) {
    let request = harness.request("attached-killed");
    let id = harness.create(&request).await;
    let session = must("attach", harness.exec().attach(&id, request.stdio).await);
    must("start a container that a client is attached to", harness.runtime.start(&id).await);
    must("kill a container", harness.runtime.signal(&id, Signal::SigKill).await);
    let result = read_to_end("a killed process", session).await;
    assert_eq!(result.code, 137, "a killed process exits with 128 and 9");
    harness.remove(&id).await;
    let gone = harness.exec().attach(&missing(), request.stdio).await;
    must_fail("a missing container cannot be attached to", gone, is_not_found);
}

fn request(command: &[&str]) -> ExecRequest {
    ExecRequest { command: words(command), ..ExecRequest::default() }
}

/// Runs a command without input to its end.
pub(super) async fn run(
    harness: &ContractHarness<'_>,
    id: &ContainerId,
    command: &[&str],
) -> ExecResult {
    talk(harness, id, &request(command), b"").await
}

/// Runs a command to its end. With input, writes `input`, and closes it unless there is a terminal.
async fn talk(
    harness: &ContractHarness<'_>,
    id: &ContainerId,
    request: &ExecRequest,
    input: &[u8],
) -> ExecResult {
    let command = request.command.join(" ");
    let started = harness.exec().exec(id, request);
    let nothing = || "nothing".to_owned();
    let started = within_patience(&format!("`{command}` to start"), started, nothing).await;
    let mut session = must(&format!("run `{command}`"), started);
    if request.stdin {
        let written = async {
            session.input.write_all(input).await?;
            session.input.flush().await?;
            if request.tty.is_none() { session.input.close().await } else { Ok(()) }
        };
        let written: std::io::Result<()> =
            within_patience(&format!("`{command}` to take its input"), written, nothing).await;
        assert!(written.is_ok(), "`{command}` takes its input; seen: {written:?}");
    }
    read_to_end(&command, session).await
}

async fn read_to_end(command: &str, mut session: ExecSession) -> ExecResult {
    let mut result = ExecResult::default();
    let mut exit_codes = Vec::new();
    loop {
        let seen = || describe(&result);
        let what = format!("output of `{command}`");
        let output = within_patience(&what, session.output.next(), seen).await;
        match output.map(|output| must(&format!("read the {what}"), output)) {
            Some(ExecOutput::Stdout(part)) => result.stdout.extend_from_slice(&part),
            Some(ExecOutput::Stderr(part)) => result.stderr.extend_from_slice(&part),
            Some(ExecOutput::Exit(code)) => exit_codes.push(code),
            None => break,
        }
    }
    let [code] = exit_codes[..] else {
        panic!(
            "the session of `{command}` has one exit code, at its end; seen: {exit_codes:?}, {}",
            describe(&result)
        );
    };
    ExecResult { code, ..result }
}

#[track_caller]
pub(super) fn assert_result(result: &ExecResult, code: i64, stdout: &str, promise: &str) {
    assert!(
        result.code == code && result.stdout == stdout.as_bytes(),
        "{promise}: exit code {code}, stdout {stdout:?}; seen: {}",
        describe(result)
    );
}

pub(super) fn describe(result: &ExecResult) -> String {
    let (stdout, stderr) =
        (String::from_utf8_lossy(&result.stdout), String::from_utf8_lossy(&result.stderr));
    format!("exit code {}, stdout {stdout:?}, stderr {stderr:?}", result.code)
}
