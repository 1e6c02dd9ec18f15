//! `exec -it` and `run -it`: pass on keys, window size and exit code, and restore the terminal
//! however they end.

use dubernetes_tests::scenario::Scenario;
use dubernetes_tests::terminal::{Terminal, exit_code};
use dubernetes_tests::{busybox, e2e};

/// Runs scripts on a terminal with `verb`, the last one until the orchestrator is killed.
async fn expect_terminal(s: &Scenario, verb: &str) {
    s.serve().await;
    s.apply(&busybox("tool", 1, "sleep 1000")).await;
    let terminal = Terminal::new(100, 30);
    let start = |script: &str| terminal.start(s, &[verb, "-it", "tool", "--", "sh", "-c", script]);

    // The engine sets the size shortly after the start.
    let child = start(
        "until stty size 2>/dev/null | grep '[1-9]'; do sleep 0.1; done; \
         read line; echo got $line; exit 7",
    );
    terminal.wait_for_text("30 100").await;
    terminal.wait_for_raw_mode().await;
    terminal.type_keys("a key\r");
    terminal.wait_for_text("got a key").await;
    assert_eq!(exit_code(child).await, Some(7));
    assert!(terminal.is_restored(), "after the command exited");

    let child =
        start("trap 'echo interrupted; exit 42' INT; echo ready; while :; do sleep 0.1; done");
    terminal.wait_for_text("ready").await;
    terminal.type_keys("\u{3}");
    terminal.wait_for_text("interrupted").await;
    assert_eq!(exit_code(child).await, Some(42), "Ctrl-C did not reach the command");
    assert!(terminal.is_restored(), "after Ctrl-C");

    // The first size may arrive after the trap is set, too.
    let child = start(
        "trap 'stty size' WINCH; echo sized; until stty size | grep -q 43; do sleep 0.1; done",
    );
    terminal.wait_for_text("sized").await;
    terminal.resize(132, 43);
    terminal.wait_for_text("43 132").await;
    assert_eq!(exit_code(child).await, Some(0));

    // A terminal without input leaves ours as it is.
    let child = terminal.start(s, &[verb, "-t", "tool", "--", "tty"]);
    terminal.wait_for_text("/dev/").await;
    assert!(terminal.is_restored(), "without input");
    assert_eq!(exit_code(child).await, Some(0));

    let child = start("echo waiting; sleep 1000");
    terminal.wait_for_text("waiting").await;
    s.kill().await;
    assert_eq!(exit_code(child).await, Some(3), "after the orchestrator was killed");
    assert!(terminal.is_restored(), "after the orchestrator was killed");
}

#[test]
fn exec_restores_terminal_however_command_ends() {
    e2e!().run(async |s| expect_terminal(s, "exec").await);
}

#[test]
fn run_restores_terminal_however_command_ends() {
    e2e!().run(async |s| expect_terminal(s, "run").await);
}
