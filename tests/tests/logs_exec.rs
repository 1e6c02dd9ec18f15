//! What replicas print, and commands inside them.

use std::collections::BTreeSet;

use dubernetes_tests::checks::{SOON, expect};
use dubernetes_tests::{busybox, eventually, here};
use tokio::io::{AsyncBufReadExt as _, BufReader};

/// Greets, and then says what is put into a file.
const SCRIPT: &str = "echo hello from $DUBERNETES_REPLICA; \
                      while sleep 0.1; do [ -e /tmp/say ] && cat /tmp/say && rm /tmp/say; done";

#[test]
fn logs_of_all_replicas_carry_their_names_and_new_lines_follow() {
    here!().run(async |s| {
        s.serve().await;
        s.apply(&busybox("tool", 3, SCRIPT)).await;
        let logs = s.run(&["logs", "tool"]).await.succeeds().stdout;
        let lines: BTreeSet<_> = logs.lines().collect();
        let wanted = ["tool-1", "tool-2", "tool-3"].map(|pod| format!("{pod} | hello from {pod}"));
        assert_eq!(lines, wanted.iter().map(String::as_str).collect());
        let one = s.run(&["logs", "tool-2"]).await.succeeds().stdout;
        assert_eq!(one, "hello from tool-2\n");

        let mut follow = s.spawn(&["logs", "-f", "--tail", "1", "tool"]);
        let mut said = BufReader::new(follow.stdout.take().unwrap()).lines();
        let mut next = async || {
            let line = tokio::time::timeout(SOON, said.next_line()).await;
            line.expect("a line in time").unwrap().expect("the stream goes on")
        };
        let mut seen = BTreeSet::new();
        for _ in 0..3 {
            seen.insert(next().await);
        }
        assert_eq!(seen, wanted.into());
        for pod in ["tool-1", "tool-3"] {
            let say = format!("echo news of {pod} > /tmp/new; mv /tmp/new /tmp/say");
            let _ = s.run(&["exec", pod, "--", "sh", "-c", &say]).await.succeeds();
            assert_eq!(next().await, format!("{pod} | news of {pod}"));
        }
        follow.kill().await.unwrap();
    });
}

#[test]
fn exec_passes_on_input_output_and_the_exit_code() {
    here!().run(async |s| {
        s.serve().await;
        s.apply(&busybox("tool", 2, SCRIPT)).await;
        let both = s.run(&["exec", "tool-2", "--", "sh", "-c", "echo out; echo err >&2; exit 42"]);
        let both = both.await.fails(42);
        assert_eq!((both.stdout.as_str(), both.stderr.as_str()), ("out\n", "err\n"));
        let env = s.run(&["exec", "tool-2", "--", "sh", "-c", "echo $DUBERNETES_REPLICA"]).await;
        assert_eq!(env.succeeds().stdout, "tool-2\n");

        // The arguments arrive as they are; no shell has a look at them.
        let words = ["exec", "tool", "--", "echo", "a  b", "$HOME", "*", "--", "-n"];
        assert_eq!(s.run(&words).await.succeeds().stdout, "a  b $HOME * -- -n\n");
        let typed = s.run_with(&["exec", "-i", "tool", "--", "tr", "a-z", "A-Z"], "typed\n").await;
        assert_eq!(typed.succeeds().stdout, "TYPED\n");
        let big = "0123456789abcdef".repeat(16 * 1024);
        let counted = s.run_with(&["exec", "-i", "tool", "--", "wc", "-c"], &big).await;
        assert_eq!(counted.succeeds().stdout.trim(), big.len().to_string());

        let missing = s.run(&["exec", "tool", "--", "/nosuch"]).await;
        assert_eq!((missing.code, missing.stdout.as_str()), (Some(127), ""), "{missing:?}");
        assert!(missing.stderr.starts_with("error: there is no command `/nosuch`"), "{missing:?}");
        let file = s.run(&["exec", "tool", "--", "/etc/passwd"]).await;
        assert_eq!(file.code, Some(126), "{file:?}");
        assert!(file.stderr.contains("permission denied\nhelp: "), "{file:?}");
    });
}

#[test]
fn exec_and_logs_work_without_an_orchestrator() {
    here!().run(async |s| {
        s.apply(&busybox("tool", 1, SCRIPT)).await;
        let said = s.run(&["exec", "tool", "--", "echo", "inside"]).await.succeeds();
        assert_eq!(said.stdout, "inside\n");
        let logs = s.run(&["logs", "tool-1"]).await.succeeds();
        assert_eq!(logs.stdout, "hello from tool-1\n");
    });
}

/// So many bytes are in the line, and so many of them are shown.
const LONG: usize = 10 << 20;
const SHOWN: usize = 1 << 20;

#[test]
fn a_line_of_ten_megabytes_is_cut_and_the_next_one_follows() {
    here!().run(async |s| {
        s.serve().await;
        let script = format!("head -c {LONG} /dev/zero | tr '\\0' x; echo; echo after; sleep 1000");
        s.apply(&busybox("tool", 1, &script)).await;
        eventually("both lines are there", 3 * SOON, async || {
            let logs = s.run(&["logs", "tool"]).await.succeeds().stdout;
            let lines: Vec<_> = logs.lines().collect();
            expect(lines.last() == Some(&"tool-1 | after"), lines.len())?;
            assert_eq!(lines.len(), 2);
            assert!(lines[0].starts_with("tool-1 | xxx"), "{:.60}", lines[0]);
            assert!((SHOWN..SHOWN + 100).contains(&lines[0].len()), "{}", lines[0].len());
            Ok(())
        })
        .await;
        // Nothing holds the whole line.
        let status = std::fs::read_to_string(format!("/proc/{}/status", s.pid())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
        assert!(peak < 200 << 10, "{peak} KiB");
    });
}
