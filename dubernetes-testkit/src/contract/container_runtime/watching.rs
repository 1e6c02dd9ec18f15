//! Events, statistics and logs.

use futures_util::StreamExt as _;

use dubernetes_core::app::Signal;
use dubernetes_core::labels;
use dubernetes_core::runtime::{ContainerId, LogLine, LogOptions, RuntimeStream};

use super::bench::{ContractHarness, GRACE, in_time, is_not_found, missing, must, must_fail};

pub(super) async fn events(bench: &ContractHarness<'_>) {
    let (mine, other) = (&bench.facts.instance, &bench.facts.other_instance);
    let mut events = must("watch for events", bench.runtime.events(mine).await);
    let foreign = bench.request_of(other, "foreign-events", bench.next_address());
    let foreign = bench.create(&foreign).await;
    bench.remove(&foreign).await;
    let request = bench.request("events");
    let id = bench.running(&request).await;
    must("stop a container", bench.runtime.stop(&id, Some(Signal::SigKill), GRACE).await);
    loop {
        let event = in_time("the event of a container's end", events.next()).await;
        let Some(event) = event else { panic!("the events ended while the engine answers") };
        let event = must("read an event", event);
        assert_ne!(event.id, foreign, "another instance's events are not told");
        if event.action == "die" {
            assert_eq!(event.id, id, "an event names its container");
            let owner = event.labels.get(labels::INSTANCE);
            assert_eq!(owner, Some(&mine.to_string()), "an event carries the container's labels");
            break;
        }
    }
    bench.remove(&id).await;
}

pub(super) async fn stats(bench: &ContractHarness<'_>) {
    let id = bench.running(&bench.request("stats")).await;
    let stats = must("ask what a container uses", bench.stats().read(&id).await);
    let later = must("ask what a container uses", bench.stats().read(&id).await);
    assert!(later.read_at >= stats.read_at, "a later reading has a later time");
    assert!(later.cpu_nanos >= stats.cpu_nanos, "processor time is never given back");
    if bench.facts.real_commands {
        assert!(stats.memory_bytes > 0, "a process uses memory");
        assert!(stats.cpu_nanos > 0, "a process has used the processor");
    }
    bench.remove(&id).await;
    let gone = bench.stats().read(&missing()).await;
    must_fail("what a missing container uses is `not found`", gone, is_not_found);
}

pub(super) async fn logs(bench: &ContractHarness<'_>) {
    let mut request = bench.request("logs");
    let script = "echo one; echo two >&2; printf '%20000s\\n' x; echo last; exec sleep 600";
    request.command = words(&["sh", "-c", script]);
    let id = bench.running(&request).await;
    let mut following = follow(bench, &id).await;
    let mut lines = Vec::new();
    while lines.len() < 4 {
        let line = in_time("a line of output", following.next()).await;
        let Some(line) = line else { panic!("following ended while the container runs") };
        lines.push(must("read a line", line));
    }
    // The engine keeps the two outputs apart, so their order among each other is not promised.
    let of = |stderr: bool| lines.iter().filter(move |line| line.stderr == stderr);
    let out: Vec<&str> = of(false).map(|line| line.text.trim_start()).collect();
    assert_eq!(out, ["one", "x", "last"], "standard output comes in order");
    let long = of(false).find(|line| line.text.ends_with('x')).map(|line| line.text.len());
    assert_eq!(long, Some(20_000), "a long line comes in one piece");
    let err: Vec<&str> = of(true).map(|line| line.text.as_str()).collect();
    assert_eq!(err, ["two"], "standard error is told apart");
    tail_and_since(bench, &id, &lines).await;
    must("stop a container", bench.runtime.stop(&id, Some(Signal::SigKill), GRACE).await);
    let rest = in_time("the end of the logs", following.collect::<Vec<_>>()).await;
    assert!(rest.is_empty(), "following ends when the container stops, unlike {rest:?}");
    bench.remove(&id).await;
    let gone = bench.logs().read(&missing(), &LogOptions::default()).await;
    must_fail("the logs of a missing container are `not found`", gone, is_not_found);
}

async fn tail_and_since(bench: &ContractHarness<'_>, id: &ContainerId, lines: &[LogLine]) {
    let all = read(bench, id, LogOptions::default()).await;
    assert_eq!(all.len(), lines.len(), "without following, the logs end after the last line");
    let tail = read(bench, id, LogOptions { tail: Some(1), ..LogOptions::default() }).await;
    assert_eq!(tail.len(), 1, "a tail of one is one line, unlike {tail:?}");
    let Some(last) = lines.iter().map(|line| line.time).max() else { return };
    let since = read(bench, id, LogOptions { since: Some(last), ..LogOptions::default() }).await;
    assert!(!since.is_empty(), "a line written at the asked time is shown");
    assert!(since.iter().all(|line| line.time >= last), "no line is older than the asked time");
}

async fn follow(bench: &ContractHarness<'_>, id: &ContainerId) -> RuntimeStream<LogLine> {
    let options = LogOptions { follow: true, ..LogOptions::default() };
    must("follow the logs", bench.logs().read(id, &options).await)
}

async fn read(bench: &ContractHarness<'_>, id: &ContainerId, options: LogOptions) -> Vec<LogLine> {
    let stream = must("read the logs", bench.logs().read(id, &options).await);
    let lines = in_time("the end of the logs", stream.collect::<Vec<_>>()).await;
    lines.into_iter().map(|line| must("read a line", line)).collect()
}

pub(super) fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
