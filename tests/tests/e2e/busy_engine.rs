//! The orchestrator's calls to an engine that is slow, floods it with events, or is idle.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::collections::BTreeSet;
use std::time::Duration;

use dubernetes_core::labels;
use dubernetes_tests::checks::{SOON, ensure};
use dubernetes_tests::engine_proxy::Call;
use dubernetes_tests::manifest::BUSYBOX;
use dubernetes_tests::program::docker;
use dubernetes_tests::{Scenario, e2e, eventually, whoami};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

/// Minimum duration of each call.
const DELAY: Duration = Duration::from_millis(300);
/// Containers that emit events at the same time, and events of each. Together these are more events
/// than an engine buffers for a slow subscriber.
const FLOODS: usize = 4;
const EVENTS: usize = 750;
/// Number of apps, with one replica each.
const APPS: usize = 12;

/// Returns the maximum number of calls in flight at one time. Each call is in flight for [`DELAY`].
fn max_concurrent(calls: &[Call]) -> usize {
    let in_flight = |at: &Call| {
        let is_open = |call: &&Call| (call.began..call.began + DELAY).contains(&at.began);
        calls.iter().filter(is_open).count()
    };
    calls.iter().map(in_flight).max().unwrap_or(0)
}

#[test]
fn slow_engine_gets_at_most_eight_concurrent_calls() {
    e2e!().run(async |s| {
        let proxy = s.use_engine_proxy().await;
        s.serve().await;
        proxy.set_delay(DELAY);
        s.apply(&whoami("web", 12)).await;
        s.wait_for_replicas("web", 12, SOON).await;
        let mut calls = proxy.calls();
        calls.retain(Call::is_mutation);
        let max = max_concurrent(&calls);
        assert!((2..=8).contains(&max), "{max} concurrent calls: {calls:#?}");
        let creates = calls.iter().filter(|call| call.path == "/containers/create").count();
        let starts: Vec<_> = calls.iter().filter(|call| call.path.ends_with("/start")).collect();
        let started: BTreeSet<_> = starts.iter().map(|call| &call.path).collect();
        assert_eq!((creates, starts.len(), started.len()), (12, 12, 12), "{calls:#?}");
    });
}

/// Renames a container repeatedly; each rename emits an event.
async fn emit_events(s: &Scenario, container: &str) {
    let engine = s.runtime.endpoint();
    let mut engine = UnixStream::connect(engine.strip_prefix("unix://").unwrap()).await.unwrap();
    for n in 0..EVENTS {
        let name = format!("{}.{container:.12}-{n}", s.instance);
        let request = format!(
            "POST /containers/{container}/rename?name={name} HTTP/1.1\r\nHost: x\r\n\
             Content-Length: 0\r\n\r\n"
        );
        engine.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            assert_ne!(engine.read_buf(&mut answer).await.unwrap(), 0);
        }
        assert!(answer.starts_with(b"HTTP/1.1 204"), "{}", String::from_utf8_lossy(&answer));
    }
}

#[test]
fn event_flood_is_coalesced_into_few_list_calls() {
    e2e!().run(async |s| {
        let proxy = s.use_engine_proxy().await;
        s.serve().await;
        s.apply(&whoami("web", 2).host("web.test")).await;
        let orphan = format!("{}={}", labels::INSTANCE, s.instance);
        let mut orphans = Vec::new();
        for _ in 0..FLOODS {
            orphans.push(s.create_container(&["--label", &orphan, BUSYBOX]).await);
        }
        let ids = s.running_pods("web").await;
        let memory = s.memory_kib();
        let calls_before = proxy.calls().len();
        let kill_replica = async {
            docker(&["kill", &ids["web-2"]]).await;
            eventually("the killed replica is replaced during the flood", SOON, async || {
                let running = s.running_pods("web").await;
                ensure(running.len() == 2 && running["web-2"] != ids["web-2"], running)
            })
            .await;
        };
        let floods = orphans.iter().map(|orphan| emit_events(s, orphan));
        tokio::join!(futures_util::future::join_all(floods), kill_replica);
        s.wait_for_phase("web", "Ready", SOON).await;
        s.wait_for_replicas("web", 2, SOON).await;
        let lists = proxy.calls()[calls_before..].iter().filter(|call| call.is_list()).count();
        let growth = s.memory_kib().saturating_sub(memory);
        let events = FLOODS * EVENTS;
        report(&format!("{lists} list calls for {events} events, memory grew by {growth} KiB"));
        assert!(lists < events / 2, "{lists} list calls for {events} events");
        assert!(growth < 64 << 10, "memory grew by {growth} KiB");
        assert_eq!(s.running_pods("web").await["web-1"], ids["web-1"]);
    });
}

#[test]
fn idle_pass_lists_once_and_inspects_no_unchanged_container() {
    e2e!().run(async |s| {
        let proxy = s.use_engine_proxy().await;
        s.serve().await;
        let apps: Vec<_> = (0..APPS).map(|n| format!("app-{n}")).collect();
        let manifest = |name: &String| whoami(name, 1).host(&format!("{name}.test")).to_string();
        let documents: Vec<_> = apps.iter().map(manifest).collect();
        let file = s.write_file("apps.yaml", &documents.join("---\n"));
        let applied = s.run(&["apply", &file]).await.assert_success();
        report(&format!("{APPS} apps are ready after {:?}", applied.took));
        // The effects of the apply end before the first of these lists.
        let lists = || proxy.calls().iter().filter(|call| call.is_list()).count();
        let first = lists();
        eventually("three passes", 5 * SOON, async || ensure(lists() > first + 3, lists())).await;
        let calls = proxy.calls();
        let passes: Vec<_> = calls.split(Call::is_list).collect();
        let idle = &passes[passes.len() - 4..passes.len() - 1];
        let count = |matches: fn(&Call) -> bool| -> Vec<_> {
            idle.iter().map(|pass| pass.iter().filter(|call| matches(call)).count()).collect()
        };
        let inspected = count(Call::is_inspect);
        let changed = count(Call::is_mutation);
        report(&format!("inspected {inspected:?}, changed {changed:?}"));
        assert_eq!((inspected, changed), (vec![0; 3], vec![0; 3]), "{idle:#?}");
    });
}

#[test]
fn change_of_the_table_makes_few_engine_calls() {
    e2e!().run(async |s| {
        let proxy = s.use_engine_proxy().await;
        s.serve().await;
        s.apply(&whoami("web", 1).host("web.test")).await;
        let before = proxy.calls().len();
        s.apply(&whoami("web", 1).host("other.test")).await;
        let ingress = s.containers().await;
        let ingress = ingress.iter().find(|container| container.name == s.ingress()).unwrap();
        let calls = &proxy.calls()[before..];
        let is_own = |call: &&Call| {
            call.path.contains(ingress.id.0.as_str()) && !call.is_inspect()
                || call.path.starts_with("/exec")
        };
        let own: Vec<_> =
            calls.iter().filter(is_own).map(|call| (&call.method, &call.path)).collect();
        report(&format!("{} calls for nginx: {own:#?}", own.len()));
        // Two files put, a signal, and one command: its create, its start and its exit code.
        assert!(own.len() <= 8, "{own:#?}");
    });
}

/// Prints a measurement.
#[expect(clippy::print_stderr, reason = "the test runner captures only the print macros")]
fn report(text: &str) {
    eprintln!("{text}");
}
