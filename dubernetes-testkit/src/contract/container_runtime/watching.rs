//! Events, statistics and logs.

use futures_util::StreamExt as _;

use dubernetes_core::app::Signal;
use dubernetes_core::labels;
use dubernetes_core::runtime::{ContainerId, LogLine, LogOptions, RuntimeStream};

use super::harness::{
    ContractHarness, GRACE, PATIENCE, POLL_INTERVAL, is_not_found, missing, must, must_fail,
    within_patience, words,
};

/// A runtime may choose the words for its events, so any event of the container counts.
pub(super) async fn end_of_container_is_an_event(harness: &ContractHarness<'_>) {
    let (mine, other) = (&harness.facts.instance, &harness.facts.other_instance);
    let id = harness.start(&harness.request("events")).await;
    let mut events = must("watch for events", harness.runtime.events(mine).await);
    let foreign = harness.create(&harness.request_for(other, "foreign-events")).await;
    harness.remove(&foreign).await;
    must("stop a container", harness.runtime.stop(&id, Some(Signal::SigKill), GRACE).await);
    let mut seen = Vec::new();
    loop {
        let next = within_patience("an event after a stop", events.next(), || format!("{seen:?}"));
        let Some(event) = next.await else {
            panic!("events do not end while the engine answers; seen: {seen:?}")
        };
        let event = must("read an event", event);
        assert_ne!(event.id, foreign, "another instance's events are not streamed");
        if event.id == id {
            let owner = event.labels.get(labels::INSTANCE);
            assert_eq!(owner, Some(&mine.to_string()), "an event has the container's labels");
            break;
        }
        seen.push(event);
    }
    harness.remove(&id).await;
}

pub(super) async fn stats_grow(harness: &ContractHarness<'_>) {
    let id = harness.start(&harness.request("stats")).await;
    let first = must("measure a container", harness.stats().read(&id).await);
    let later = must("measure a container", harness.stats().read(&id).await);
    assert!(later.read_at >= first.read_at, "a later reading has a later time");
    assert!(later.cpu_nanos >= first.cpu_nanos, "CPU time never falls");
    harness.remove(&id).await;
    let gone = harness.stats().read(&missing()).await;
    must_fail("the usage of a missing container is `not found`", gone, is_not_found);
}

/// Polls, because CPU time may be counted in steps of 10 ms.
pub(super) async fn usage_is_measured(harness: &ContractHarness<'_>) {
    let mut request = harness.request("usage");
    request.command = words(&["sh", "-c", "while :; do :; done"]);
    let id = harness.start(&request).await;
    let limit = tokio::time::Instant::now() + PATIENCE;
    loop {
        let stats = must("measure a container", harness.stats().read(&id).await);
        if stats.cpu_nanos > 0 && stats.memory_bytes > 0 {
            break;
        }
        assert!(
            tokio::time::Instant::now() < limit,
            "a busy process uses CPU and memory within {PATIENCE:?}; seen: {stats:?}"
        );
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    harness.remove(&id).await;
}

pub(super) async fn missing_container_has_no_logs(harness: &ContractHarness<'_>) {
    let read = harness.logs().read(&missing(), &LogOptions::default()).await;
    must_fail("the logs of a missing container are `not found`", read, is_not_found);
}

pub(super) async fn logs_keep_order_and_streams(harness: &ContractHarness<'_>) {
    let mut request = harness.request("logs");
    let script = "echo one; echo two >&2; printf '%20000s\\n' x; echo last; exec sleep 600";
    request.command = words(&["sh", "-c", script]);
    let id = harness.start(&request).await;
    let mut following = follow(harness, &id).await;
    let mut lines: Vec<LogLine> = Vec::new();
    while lines.len() < 4 {
        let seen = || texts(&lines);
        let line = within_patience("4 lines of output", following.next(), seen).await;
        let Some(line) = line else {
            panic!("following does not end while the container runs; seen: {}", texts(&lines))
        };
        lines.push(must("read a line", line));
    }
    // The engine keeps the two streams apart, so their relative order is not promised.
    let select = |stderr: bool| lines.iter().filter(move |line| line.stderr == stderr);
    let out: Vec<&str> = select(false).map(|line| line.text.trim_start()).collect();
    assert_eq!(out, ["one", "x", "last"], "standard output is in order");
    let long = select(false).find(|line| line.text.ends_with('x')).map(|line| line.text.len());
    assert_eq!(long, Some(20_000), "a long line is one line");
    let err: Vec<&str> = select(true).map(|line| line.text.as_str()).collect();
    assert_eq!(err, ["two"], "standard error is marked");
    check_tail_and_since(harness, &id, &lines).await;
    must("stop a container", harness.runtime.stop(&id, Some(Signal::SigKill), GRACE).await);
    let rest = following.collect::<Vec<_>>();
    let rest = within_patience("the end of the logs after a stop", rest, String::new).await;
    assert!(rest.is_empty(), "following ends when the container stops; seen: {rest:?}");
    harness.remove(&id).await;
}

async fn check_tail_and_since(harness: &ContractHarness<'_>, id: &ContainerId, lines: &[LogLine]) {
    let all = read(harness, id, LogOptions::default()).await;
    assert_eq!(all.len(), lines.len(), "without following, logs end after the last line");
    let tail = read(harness, id, LogOptions { tail: Some(1), ..LogOptions::default() }).await;
    assert_eq!(tail.len(), 1, "a tail of one is one line; seen: {tail:?}");
    let Some(last) = lines.iter().map(|line| line.time).max() else { return };
    let since = read(harness, id, LogOptions { since: Some(last), ..LogOptions::default() }).await;
    assert!(!since.is_empty(), "a line written at the requested time is included");
    assert!(since.iter().all(|line| line.time >= last), "older lines are left out");
}

/// Follows the output of a container until a line appears.
pub(super) async fn wait_for_line(harness: &ContractHarness<'_>, id: &ContainerId, text: &str) {
    let mut following = follow(harness, id).await;
    let mut lines: Vec<LogLine> = Vec::new();
    while lines.last().is_none_or(|line| line.text != text) {
        let seen = || texts(&lines);
        let line = within_patience(&format!("the line {text:?}"), following.next(), seen).await;
        let Some(line) = line else {
            panic!("following does not end while the container runs; seen: {}", texts(&lines))
        };
        lines.push(must("read a line", line));
    }
}

async fn follow(harness: &ContractHarness<'_>, id: &ContainerId) -> RuntimeStream<LogLine> {
    let options = LogOptions { follow: true, ..LogOptions::default() };
    must("follow the logs", harness.logs().read(id, &options).await)
}

async fn read(
    harness: &ContractHarness<'_>,
    id: &ContainerId,
    options: LogOptions,
) -> Vec<LogLine> {
    let stream = must("read the logs", harness.logs().read(id, &options).await);
    let lines = stream.collect::<Vec<_>>();
    let lines = within_patience("the end of the logs", lines, String::new).await;
    lines.into_iter().map(|line| must("read a line", line)).collect()
}

fn texts(lines: &[LogLine]) -> String {
    format!("{:?}", lines.iter().map(|line| line.text.trim_start()).collect::<Vec<_>>())
}
