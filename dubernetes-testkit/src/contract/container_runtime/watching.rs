//! Events, statistics, probes and logs.

use std::net::Ipv4Addr;

use futures_util::StreamExt as _;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use dubernetes_core::app::{Duration, Signal};
use dubernetes_core::labels;
use dubernetes_core::runtime::{
    ConnectTarget, Connection, ContainerId, LogLine, LogOptions, Probe, ProbeAnswer, ProbeTarget,
    RuntimeError,
};

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
    let stats = must("ask what a container uses", bench.runtime.stats(&id).await);
    let later = must("ask what a container uses", bench.runtime.stats(&id).await);
    assert!(later.read_at >= stats.read_at, "a later reading has a later time");
    assert!(later.cpu_nanos >= stats.cpu_nanos, "processor time is never given back");
    if bench.facts.real_commands {
        assert!(stats.memory_bytes > 0, "a process uses memory");
        assert!(stats.cpu_nanos > 0, "a process has used the processor");
    }
    bench.remove(&id).await;
    let gone = bench.runtime.stats(&missing()).await;
    must_fail("what a missing container uses is `not found`", gone, is_not_found);
}

pub(super) async fn probes_that_fail(bench: &ContractHarness<'_>) {
    let nobody = bench.next_address();
    for probe in [Probe::Tcp { port: 80 }, Probe::Http { port: 80, path: "/".into() }] {
        let answer = send(bench, missing(), nobody, probe).await;
        let ProbeAnswer::Failed { reason } = answer else {
            panic!("a probe to an address that nobody has fails, unlike {answer:?}");
        };
        assert!(!reason.is_empty(), "a probe that failed says why");
    }
    let target = ConnectTarget { id: missing(), address: nobody, port: 80 };
    let connected = bench.runtime.connect(&target).await;
    must_fail("an address that nobody has takes no connection", connected, is_not_connected);
}

pub(super) async fn probes_that_pass(bench: &ContractHarness<'_>) {
    let mut request = bench.request("probes");
    request.command =
        words(&["sh", "-c", "echo contract > /index.html && exec httpd -f -p 80 -h /"]);
    let address = request.address;
    let id = bench.running(&request).await;
    in_time("a listener to accept connections", async {
        while send(bench, id.clone(), address, Probe::Tcp { port: 80 }).await
            != ProbeAnswer::Connected
        {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    let page = Probe::Http { port: 80, path: "/index.html".into() };
    let answer = send(bench, id.clone(), address, page).await;
    let body = "contract\n".to_owned();
    assert_eq!(answer, ProbeAnswer::Http { status: 200, body }, "a page is read");
    let missing = Probe::Http { port: 80, path: "/missing".into() };
    let answer = send(bench, id.clone(), address, missing).await;
    assert!(
        matches!(answer, ProbeAnswer::Http { status: 404, .. }),
        "any status is an answer, unlike {answer:?}"
    );
    let refused = send(bench, id.clone(), address, Probe::Tcp { port: 81 }).await;
    assert!(
        matches!(refused, ProbeAnswer::Refused { port: 81, .. }),
        "a port without a listener refuses, unlike {refused:?}"
    );
    connections(bench, ConnectTarget { id: id.clone(), address, port: 80 }).await;
    bench.remove(&id).await;
}

async fn connections(bench: &ContractHarness<'_>, target: ConnectTarget) {
    let opened = must("open a connection", bench.runtime.connect(&target).await);
    let Connection { mut reader, mut writer } = opened;
    let asked = writer.write_all(b"GET /index.html HTTP/1.0\r\n\r\n").await;
    assert!(asked.is_ok(), "what is written is sent, unlike {asked:?}");
    let ended = writer.shutdown().await;
    assert!(ended.is_ok(), "the end of what is sent can be said, unlike {ended:?}");
    let mut answer = String::new();
    let read = in_time("the end of an answer", reader.read_to_string(&mut answer)).await;
    assert!(read.is_ok(), "the answer comes up to its end, unlike {read:?}");
    assert!(
        answer.contains(" 200 OK\r\n") && answer.ends_with("\r\n\r\ncontract\n"),
        "after the end of what is sent the whole answer still comes, unlike {answer:?}"
    );
    let nobody = ConnectTarget { port: 81, ..target };
    let refused = bench.runtime.connect(&nobody).await;
    must_fail("a port without a listener takes no connection", refused, is_not_connected);
}

fn is_not_connected(error: &RuntimeError) -> bool {
    matches!(error, RuntimeError::NotConnected { .. })
}

async fn send(
    bench: &ContractHarness<'_>,
    id: ContainerId,
    address: Ipv4Addr,
    probe: Probe,
) -> ProbeAnswer {
    let target = ProbeTarget { id, address, probe, timeout: Duration::from_secs(2) };
    must("send a probe", bench.runtime.probe(&target).await)
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
    let gone = bench.runtime.logs(&missing(), &LogOptions::default()).await;
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

async fn follow(
    bench: &ContractHarness<'_>,
    id: &ContainerId,
) -> futures_util::stream::BoxStream<'static, Result<LogLine, RuntimeError>> {
    let options = LogOptions { follow: true, ..LogOptions::default() };
    must("follow the logs", bench.runtime.logs(id, &options).await)
}

async fn read(bench: &ContractHarness<'_>, id: &ContainerId, options: LogOptions) -> Vec<LogLine> {
    let stream = must("read the logs", bench.runtime.logs(id, &options).await);
    let lines = in_time("the end of the logs", stream.collect::<Vec<_>>()).await;
    lines.into_iter().map(|line| must("read a line", line)).collect()
}

pub(super) fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
