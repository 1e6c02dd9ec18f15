//! `exec` with a terminal: keys, size and exit code are passed on, and whatever ends it, the
//! terminal is left as it was.

use dubernetes_tests::terminal::{Terminal, exit_code};
use dubernetes_tests::{busybox, here};

#[test]
fn the_terminal_is_left_as_it_was_whatever_ends_the_command() {
    here!().run(async |s| {
        s.serve().await;
        s.apply(&busybox("tool", 1, "sleep 1000")).await;
        let terminal = Terminal::new(100, 30);

        // The engine sets the size a moment after the start.
        let script = "until stty size 2>/dev/null | grep '[1-9]'; do sleep 0.1; done; \
                      read line; echo got $line; exit 7";
        let child = terminal.start(s, &["exec", "-it", "tool", "--", "sh", "-c", script]);
        terminal.shows("30 100").await;
        terminal.is_raw().await;
        terminal.press("a key\r");
        terminal.shows("got a key").await;
        assert_eq!(exit_code(child).await, Some(7));
        assert!(terminal.is_as_before(), "after the end of the command");

        let script =
            "trap 'echo interrupted; exit 42' INT; echo ready; while :; do sleep 0.1; done";
        let child = terminal.start(s, &["exec", "-it", "tool", "--", "sh", "-c", script]);
        terminal.shows("ready").await;
        terminal.press("\u{3}");
        terminal.shows("interrupted").await;
        assert_eq!(exit_code(child).await, Some(42), "Ctrl-C is the command's");
        assert!(terminal.is_as_before(), "after Ctrl-C");

        let script = "trap 'stty size; exit 0' WINCH; echo sized; while :; do sleep 0.1; done";
        let child = terminal.start(s, &["exec", "-it", "tool", "--", "sh", "-c", script]);
        terminal.shows("sized").await;
        terminal.resize(132, 43);
        terminal.shows("43 132").await;
        assert_eq!(exit_code(child).await, Some(0));

        let script = "echo waiting; sleep 1000";
        let child = terminal.start(s, &["exec", "-it", "tool", "--", "sh", "-c", script]);
        terminal.shows("waiting").await;
        s.kill().await;
        assert_eq!(exit_code(child).await, Some(3), "the orchestrator has gone");
        assert!(terminal.is_as_before(), "after the orchestrator has gone");
    });
}
