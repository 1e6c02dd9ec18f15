//! `logs` and `exec`.

use std::collections::BTreeSet;

use dubernetes_tests::checks::{SOON, ensure};
use dubernetes_tests::{busybox, e2e, eventually};
use tokio::io::{AsyncBufReadExt as _, BufReader};

/// Prints a greeting, then the contents of `/tmp/say` whenever that file appears.
const SCRIPT: &str = "echo hello from $DUBERNETES_REPLICA; \
                      while sleep 0.1; do [ -e /tmp/say ] && cat /tmp/say && rm /tmp/say; done";

#[test]
fn logs_prefix_lines_with_pod_and_stream_new_lines() {
    e2e!().run(async |s| {
        s.serve().await;
        s.apply(&busybox("tool", 3, SCRIPT)).await;
        let logs = s.run(&["logs", "tool"]).await.assert_success().stdout;
        let lines: BTreeSet<_> = logs.lines().collect();
        let wanted = ["tool-1", "tool-2", "tool-3"].map(|pod| format!("{pod} | hello from {pod}"));
        assert_eq!(lines, wanted.iter().map(String::as_str).collect());
        let one = s.run(&["logs", "tool-2"]).await.assert_success().stdout;
        assert_eq!(one, "hello from tool-2\n");

        let mut follow = s.spawn(&["logs", "-f", "--tail", "1", "tool"]);
        let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
        let mut next = async || {
            let line = tokio::time::timeout(SOON, lines.next_line()).await;
            line.expect("a line in time").unwrap().expect("the stream goes on")
        };
        let mut seen = BTreeSet::new();
        for _ in 0..3 {
            seen.insert(next().await);
        }
        assert_eq!(seen, wanted.into());
        for pod in ["tool-1", "tool-3"] {
            let script = format!("echo news of {pod} > /tmp/new; mv /tmp/new /tmp/say");
            let _ = s.run(&["exec", pod, "--", "sh", "-c", &script]).await.assert_success();
            assert_eq!(next().await, format!("{pod} | news of {pod}"));
        }
        follow.kill().await.unwrap();
    });
}

#[test]
fn exec_passes_stdin_output_and_exit_code() {
    e2e!().run(async |s| {
        s.serve().await;
        s.apply(&busybox("tool", 2, SCRIPT)).await;
        let script = "echo out; echo err >&2; exit 42";
        let exited = s.run(&["exec", "tool-2", "--", "sh", "-c", script]).await.assert_code(42);
        assert_eq!((exited.stdout.as_str(), exited.stderr.as_str()), ("out\n", "err\n"));
        let env = s.run(&["exec", "tool-2", "--", "sh", "-c", "echo $DUBERNETES_REPLICA"]).await;
        assert_eq!(env.assert_success().stdout, "tool-2\n");

        // Arguments are passed unchanged, without a shell.
        let words = ["exec", "tool", "--", "echo", "a  b", "$HOME", "*", "--", "-n"];
        assert_eq!(s.run(&words).await.assert_success().stdout, "a  b $HOME * -- -n\n");
        let typed = s.run_with(&["exec", "-i", "tool", "--", "tr", "a-z", "A-Z"], "typed\n").await;
        assert_eq!(typed.assert_success().stdout, "TYPED\n");
        let big = "0123456789abcdef".repeat(16 * 1024);
        let counted = s.run_with(&["exec", "-i", "tool", "--", "wc", "-c"], &big).await;
        assert_eq!(counted.assert_success().stdout.trim(), big.len().to_string());
    });
}

#[test]
fn exec_names_a_command_that_cannot_be_run() {
    e2e!().run(async |s| {
        s.serve().await;
        s.apply(&busybox("tool", 1, SCRIPT)).await;
        let missing = s.run(&["exec", "tool", "--", "/nosuch"]).await;
        assert_eq!((missing.code, missing.stdout.as_str()), (Some(127), ""), "{missing:?}");
        assert!(
            missing.stderr.starts_with("error: command `/nosuch` not found in pod"),
            "{missing:?}"
        );
        let file = s.run(&["exec", "tool", "--", "/etc/passwd"]).await;
        assert_eq!(file.code, Some(126), "{file:?}");
        assert!(file.stderr.contains("permission denied\nhelp: "), "{file:?}");
    });
}

#[test]
fn exec_and_logs_work_without_orchestrator() {
    e2e!().run(async |s| {
        s.apply(&busybox("tool", 1, SCRIPT)).await;
        let echoed = s.run(&["exec", "tool", "--", "echo", "inside"]).await.assert_success();
        assert_eq!(echoed.stdout, "inside\n");
        let logs = s.run(&["logs", "tool-1"]).await.assert_success();
        assert_eq!(logs.stdout, "hello from tool-1\n");
    });
}

/// Length of the line, and of the pieces that `logs` prints.
const LINE_LENGTH: usize = 10 << 20;
const PIECE_LENGTH: usize = 64 << 10;

#[test]
fn ten_megabyte_line_arrives_in_pieces_and_next_line_follows() {
    e2e!().run(async |s| {
        s.serve().await;
        let script =
            format!("head -c {LINE_LENGTH} /dev/zero | tr '\\0' x; echo; echo after; sleep 1000");
        s.apply(&busybox("tool", 1, &script)).await;
        eventually("the line and the next one are in the log", 3 * SOON, async || {
            // The engine counts the parts of 16 KiB in which it stores the line.
            let logs = s.run(&["logs", "tool", "--tail", "1000"]).await.assert_success().stdout;
            let lines: Vec<_> = logs.lines().collect();
            ensure(lines.last() == Some(&"tool-1 | after"), lines.len())?;
            let pieces: Vec<_> =
                lines.iter().filter_map(|line| line.strip_prefix("tool-1 | x")).collect();
            assert!(pieces.iter().all(|piece| piece.len() < PIECE_LENGTH));
            assert_eq!(pieces.iter().map(|piece| piece.len() + 1).sum::<usize>(), LINE_LENGTH);
            Ok(())
        })
        .await;
        // The orchestrator does not hold the whole line in memory.
        let status = std::fs::read_to_string(format!("/proc/{}/status", s.pid())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
        assert!(peak < 100 << 10, "{peak} KiB");
    });
}
