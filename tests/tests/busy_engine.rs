//! An engine that takes its time, or has much to tell.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::time::Duration;

use dubernetes_core::labels;
use dubernetes_tests::checks::{SOON, expect};
use dubernetes_tests::door::Call;
use dubernetes_tests::manifest::BUSYBOX;
use dubernetes_tests::program::docker;
use dubernetes_tests::{Scenario, eventually, here, whoami};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

/// How long each call takes, at least.
const DELAY: Duration = Duration::from_millis(300);
/// Together more events than an engine keeps for one who comes late.
const STORMS: usize = 4;
const EVENTS: usize = 750;
/// Apps of one replica.
const APPS: usize = 12;

/// The most of these calls that were under way at one time: each is, as long as it is held back.
fn most_at_once(calls: &[Call]) -> usize {
    let in_flight = |at: &Call| {
        let is_open = |call: &&Call| (call.began..call.began + DELAY).contains(&at.began);
        calls.iter().filter(is_open).count()
    };
    calls.iter().map(in_flight).max().unwrap_or(0)
}

#[test]
fn an_engine_that_takes_long_for_each_call_gets_eight_at_a_time() {
    here!().run(async |s| {
        let door = s.through_a_door().await;
        s.serve().await;
        door.set_delay(DELAY);
        s.apply(&whoami("web", 12)).await;
        s.settles("web", 12, SOON).await;
        let mut calls = door.calls();
        calls.retain(Call::is_change);
        let most = most_at_once(&calls);
        assert!((2..=8).contains(&most), "{most} calls at once: {calls:#?}");
        let creates = calls.iter().filter(|call| call.path == "/containers/create").count();
        let starts: Vec<_> = calls.iter().filter(|call| call.path.ends_with("/start")).collect();
        let started: BTreeSet<_> = starts.iter().map(|call| &call.path).collect();
        assert_eq!((creates, starts.len(), started.len()), (12, 12, 12), "{calls:#?}");
    });
}

/// Renames a container again and again: each is an event.
async fn storm(s: &Scenario, container: &str) {
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
fn a_storm_of_events_is_no_storm_of_looks() {
    here!().run(async |s| {
        let door = s.through_a_door().await;
        s.serve().await;
        s.apply(&whoami("web", 2).host("web.test")).await;
        let orphan = format!("{}={}", labels::INSTANCE, s.instance);
        let mut orphans = Vec::new();
        for _ in 0..STORMS {
            orphans.push(s.foreign(&["--label", &orphan, BUSYBOX]).await);
        }
        let (ids, memory, before) = (s.running("web").await, s.memory(), door.calls().len());
        let killed = async {
            docker(&["kill", &ids["web-2"]]).await;
            eventually("another one comes in the middle", SOON, async || {
                let running = s.running("web").await;
                expect(running.len() == 2 && running["web-2"] != ids["web-2"], running)
            })
            .await;
        };
        let storms = futures_util::future::join_all(orphans.iter().map(|orphan| storm(s, orphan)));
        tokio::join!(storms, killed);
        s.is_in("Ready", "web", SOON).await;
        s.settles("web", 2, SOON).await;
        let looks = door.calls()[before..].iter().filter(|call| call.is_list()).count();
        let grown = s.memory().saturating_sub(memory);
        let events = STORMS * EVENTS;
        report(&format!("{looks} looks at {events} events, {grown} KiB more"));
        assert!(looks < events / 2, "{looks} looks at {events} events");
        assert!(grown < 64 << 10, "{grown} KiB more");
        assert_eq!(s.running("web").await["web-1"], ids["web-1"]);
    });
}

#[test]
fn a_quiet_round_lists_once_and_inspects_nothing_that_is_as_it_was() {
    here!().run(async |s| {
        let door = s.through_a_door().await;
        s.serve().await;
        let apps: Vec<_> = (0..APPS).map(|n| format!("app-{n}")).collect();
        let of = |name: &String| whoami(name, 1).host(&format!("{name}.test")).to_string();
        let file: Vec<_> = apps.iter().map(of).collect();
        let file = s.file("apps.yaml", &file.join("---\n"));
        let applied = s.run(&["apply", &file]).await.succeeds();
        report(&format!("{APPS} apps are ready after {:?}", applied.took));
        // Whatever the last change has caused is over by the first list of those.
        let lists = || door.calls().iter().filter(|call| call.is_list()).count();
        let begin = lists();
        eventually("three rounds", 5 * SOON, async || expect(lists() > begin + 3, lists())).await;
        let calls = door.calls();
        let rounds: Vec<_> = calls.split(Call::is_list).collect();
        let quiet = &rounds[rounds.len() - 4..rounds.len() - 1];
        let count = |is: fn(&Call) -> bool| -> Vec<_> {
            quiet.iter().map(|round| round.iter().filter(|call| is(call)).count()).collect()
        };
        let (inspected, changed) = (count(Call::is_inspection), count(Call::is_change));
        report(&format!("inspected {inspected:?}, changed {changed:?}"));
        assert_eq!((inspected, changed), (vec![0; 3], vec![0; 3]), "{quiet:#?}");
    });
}

/// A measurement is worth nothing if nobody sees it.
#[expect(clippy::print_stderr, reason = "the test runner shows it with the test")]
fn report(text: &str) {
    eprintln!("{text}");
}
