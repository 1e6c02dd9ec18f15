//! The output of containers.

use futures_util::StreamExt as _;
use jiff::SignedDuration;

use dubernetes_core::app::Signal;
use dubernetes_core::runtime::{ContainerId, LogLine, LogOptions, RuntimeStream};

use super::harness::{
    ContractHarness, GRACE, is_not_found, missing, must, must_fail, within_patience,
};

pub(super) async fn missing_container_has_no_logs(harness: &ContractHarness<'_>) {
    for follow in [false, true] {
        let options = LogOptions { follow, ..LogOptions::default() };
        let read = harness.logs().read(&missing(), &options).await;
        must_fail("the logs of a missing container are `not found`", read, is_not_found);
    }
}

/// Runs a script to its end, and returns its container.
async fn run(harness: &ContractHarness<'_>, name: &str, script: &str) -> ContainerId {
    let id = harness.launch(&harness.script(name, script)).await;
    assert_eq!(harness.exit_code(&id).await, 0, "the script succeeds");
    id
}

async fn read(
    harness: &ContractHarness<'_>,
    id: &ContainerId,
    options: LogOptions,
) -> Vec<LogLine> {
    let stream = must("read the logs", harness.logs().read(id, &options).await);
    let lines = within_patience("the end of the logs", stream.collect::<Vec<_>>(), String::new);
    lines.await.into_iter().map(|line| must("read a line", line)).collect()
}

async fn all(harness: &ContractHarness<'_>, id: &ContainerId) -> Vec<LogLine> {
    read(harness, id, LogOptions::default()).await
}

fn texts(lines: &[LogLine]) -> Vec<&str> {
    lines.iter().map(|line| line.text.as_str()).collect()
}

pub(super) async fn lines_keep_their_order(harness: &ContractHarness<'_>) {
    let script = "echo one; echo; echo ' two ü'; printf three";
    let id = run(harness, "ordered", script).await;
    let lines = all(harness, &id).await;
    assert_eq!(texts(&lines), ["one", "", " two ü", "three"], "each line is as it was written");
    assert!(lines.is_sorted_by_key(|line| line.time), "times rise; seen: {lines:?}");
    let created = harness.inspect(&id).await.created_at;
    assert!(lines.iter().all(|line| line.time >= created), "times are real; seen: {lines:?}");
    harness.remove(&id).await;
}

pub(super) async fn streams_are_kept_apart(harness: &ContractHarness<'_>) {
    let id = run(harness, "streams", "echo out; echo err >&2; echo out-2").await;
    let lines = all(harness, &id).await;
    // The engine keeps the two streams apart, so their relative order is not promised.
    let of = |stderr| lines.iter().filter(move |line| line.stderr == stderr);
    let texts = |stderr| of(stderr).map(|line| line.text.as_str()).collect::<Vec<_>>();
    assert_eq!(texts(false), ["out", "out-2"], "standard output is in order");
    assert_eq!(texts(true), ["err"], "standard error is marked");
    harness.remove(&id).await;
}

pub(super) async fn long_line_is_one_line(harness: &ContractHarness<'_>) {
    let id = run(harness, "long-line", "printf '%20000s\\n' x; echo last").await;
    let lines = all(harness, &id).await;
    let lengths: Vec<_> = lines.iter().map(|line| line.text.len()).collect();
    assert_eq!(lengths, [20_000, 4], "a long line is one line");
    harness.remove(&id).await;
}

pub(super) async fn tail_is_the_last_lines(harness: &ContractHarness<'_>) {
    let id = run(harness, "tail", "echo one; echo two; echo three").await;
    for (tail, expected) in
        [(0, &[][..]), (1, &["three"]), (2, &["two", "three"]), (9, &["one", "two", "three"])]
    {
        let options = LogOptions { tail: Some(tail), ..LogOptions::default() };
        let lines = read(harness, &id, options).await;
        assert_eq!(texts(&lines), expected, "the last {tail} lines");
    }
    harness.remove(&id).await;
}

pub(super) async fn since_leaves_out_older_lines(harness: &ContractHarness<'_>) {
    let id = run(harness, "since", "for n in 1 2 3; do echo $n; sleep 0.1; done").await;
    let lines = all(harness, &id).await;
    assert_eq!(texts(&lines), ["1", "2", "3"], "all lines are there");
    for line in &lines {
        let since = Some(line.time);
        let later = read(harness, &id, LogOptions { since, ..LogOptions::default() }).await;
        // An adapter may see several lines at one time.
        let expected = lines.iter().filter(|other| other.time >= line.time);
        let expected: Vec<_> = expected.map(|other| other.text.as_str()).collect();
        assert_eq!(texts(&later), expected, "lines at the time of `{}` and later", line.text);
    }
    let after = lines.last().map(|line| line.time + SignedDuration::from_secs(1));
    let none = read(harness, &id, LogOptions { since: after, ..LogOptions::default() }).await;
    assert_eq!(texts(&none), [""; 0], "no line is later than the last one");
    let options = LogOptions { since: Some(lines[0].time), tail: Some(1), ..LogOptions::default() };
    assert_eq!(texts(&read(harness, &id, options).await), ["3"], "both options apply together");
    harness.remove(&id).await;
}

pub(super) async fn logs_outlive_the_process(harness: &ContractHarness<'_>) {
    let request = harness.script("outlived", "echo before; exec sleep 86400");
    let id = harness.launch(&request).await;
    harness.wait_for_line(&request, &id, "before").await;
    harness.stop(&id, Some(Signal::SigKill), GRACE).await;
    assert_eq!(texts(&all(harness, &id).await), ["before"], "the output stays after a stop");
    must("start a stopped container", harness.runtime.start(&id).await);
    harness.stop(&id, Some(Signal::SigKill), GRACE).await;
    let lines = all(harness, &id).await;
    assert_eq!(lines.first().map(|line| line.text.as_str()), Some("before"), "and a second start");
    harness.remove(&id).await;
    let gone = harness.logs().read(&id, &LogOptions::default()).await;
    must_fail("the logs of a removed container are `not found`", gone, is_not_found);
}

async fn follow(harness: &ContractHarness<'_>, id: &ContainerId) -> RuntimeStream<LogLine> {
    let options = LogOptions { follow: true, ..LogOptions::default() };
    must("follow the logs", harness.logs().read(id, &options).await)
}

/// Returns the next line, or `None` at the end.
async fn next(following: &mut RuntimeStream<LogLine>) -> Option<String> {
    let line = within_patience("a line of output", following.next(), || "nothing".to_owned()).await;
    line.map(|line| must("read a line", line).text)
}

pub(super) async fn following_shows_new_lines(harness: &ContractHarness<'_>) {
    let script = "trap 'echo second' USR1; echo first; while :; do sleep 0.1; done";
    let id = harness.launch(&harness.script("followed", script)).await;
    let mut following = follow(harness, &id).await;
    assert_eq!(next(&mut following).await.as_deref(), Some("first"), "earlier lines come first");
    let sent = harness.runtime.signal(&id, Signal::SigUsr1).await;
    must("send a signal", sent);
    assert_eq!(next(&mut following).await.as_deref(), Some("second"), "a new line is shown");
    harness.remove(&id).await;
}

pub(super) async fn following_ends_with_the_container(harness: &ContractHarness<'_>) {
    let script = "trap 'echo last; exit 0' TERM; echo first; while :; do sleep 0.1; done";
    let id = harness.launch(&harness.script("ending", script)).await;
    let mut following = follow(harness, &id).await;
    assert_eq!(next(&mut following).await.as_deref(), Some("first"), "following has begun");
    harness.stop(&id, Some(Signal::SigTerm), GRACE).await;
    assert_eq!(next(&mut following).await.as_deref(), Some("last"), "no line is lost at the end");
    assert_eq!(next(&mut following).await, None, "following ends when the container stops");
    harness.remove(&id).await;
}
