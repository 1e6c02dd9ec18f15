//! `simulate` matches the real engine: for the same operations, every app and every pod has the
//! same events in the same order.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::collections::BTreeMap;
use std::time::Duration;

use dubernetes_tests::checks::ensure;
use dubernetes_tests::manifest::Manifest;
use dubernetes_tests::program::docker;
use dubernetes_tests::{Scenario, app, busybox, e2e, eventually, whoami};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};

/// Time limit for all expected events.
const LIMIT: Duration = Duration::from_secs(60);
/// Time during which no further event may follow.
const QUIET: Duration = Duration::from_secs(2);

/// Reasons of the events of each app and each pod, in order. Routes have a key of their own,
/// because nginx applies them concurrently.
type EventOrders = BTreeMap<String, Vec<String>>;

/// Adds one line of `events -w -o json` or of `simulate -o json`, if it is an event.
fn record_line(orders: &mut EventOrders, line: &str) {
    let line = serde_json::from_str::<Value>(line).unwrap();
    if line["type"] == "INJECTED" || line["type"] == "SUMMARY" {
        return;
    }
    let event = &line["object"];
    let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
    let reason = text("reason");
    let subject = if event["pod"].is_null() { "app" } else { "pod" };
    let (key, what) = match (reason.as_str(), event["app"].is_null()) {
        // Keep only the last routes: two pods may become ready at the same time.
        ("Routed", _) => {
            // Strip the ingress port, which differs in the simulation.
            let message = text("message");
            let (url, rest) = message.split_once(" -> ").unwrap();
            let host = url.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches(':');
            orders.insert(format!("routes of {}", text("app")), vec![format!("{host} -> {rest}")]);
            return;
        }
        (_, true) => ("instance".to_owned(), reason),
        (_, false) => (text(subject), reason),
    };
    // The simulator does not know who asked for a change, nor that a command is missing.
    let what = match what.as_str() {
        "Requested" => return,
        "StartFailed" => "Exited".to_owned(),
        _ => what,
    };
    let order = orders.entry(key).or_default();
    // The number of repeats may differ.
    if order.last() != Some(&what) {
        order.push(what);
    }
}

/// Runs `operations` and asserts that the events equal those of `simulate` with these arguments.
async fn assert_matches_simulation(
    s: &Scenario,
    simulate: &[&str],
    operations: impl AsyncFnOnce(),
) {
    let simulated = s.run(&[&["simulate", "-o", "json"], simulate].concat()).await.assert_success();
    let mut wanted = EventOrders::new();
    simulated.stdout.lines().for_each(|line| record_line(&mut wanted, line));

    let mut watch = s.spawn(&["events", "-w", "-o", "json"]);
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let orders = std::sync::Mutex::new(EventOrders::new());
    let follow = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            record_line(&mut orders.lock().unwrap(), &line);
        }
    };
    let work = async {
        operations().await;
        eventually("the real events equal the simulated events", LIMIT, async || {
            differences(&wanted, &orders.lock().unwrap())
        })
        .await;
        tokio::time::sleep(QUIET).await;
        let after = differences(&wanted, &orders.lock().unwrap());
        assert_eq!(after, Ok(()), "a further event followed");
    };
    tokio::select! {
        () = follow => panic!("the event stream ended"),
        () = work => {}
    }
}

/// Describes all differences. Apps named `endless…`, such as a crash loop, are compared up to the
/// shorter list.
fn differences(wanted: &EventOrders, found: &EventOrders) -> Result<(), String> {
    let is_endless = |key: &str| key.starts_with("endless");
    let empty = Vec::new();
    let keys = wanted.keys().chain(found.keys());
    let differs = keys.filter(|key| {
        let [wanted, found] = [wanted, found].map(|orders| orders.get(*key).unwrap_or(&empty));
        if is_endless(key) {
            let shorter = wanted.len().min(found.len());
            // 8 events include two restarts.
            wanted[..shorter] != found[..shorter] || shorter < wanted.len().min(8)
        } else {
            wanted != found
        }
    });
    let texts: Vec<_> = differs
        .map(|key| format!("{key}: simulated {:?}, real {:?}", wanted.get(key), found.get(key)))
        .collect();
    if texts.is_empty() { Ok(()) } else { Err(texts.join("\n")) }
}

/// Returns a routed app with long probe limits, so that a busy machine adds no events.
fn tolerant(name: &str, replicas: u32) -> Manifest {
    let health =
        "health: { tcp: true, interval: 10s, timeout: 10s, failures: 9, replace_after: 99 }";
    whoami(name, replicas).host(&format!("{name}.test")).with(health)
}

fn write_apps(s: &Scenario, name: &str, apps: &[Manifest]) -> String {
    let texts: Vec<_> = apps.iter().map(ToString::to_string).collect();
    s.write_file(name, &texts.join("---\n"))
}

/// First apply, scale up, down and to zero, update, delete, and an unrouted app.
#[test]
fn user_operations_emit_events_in_simulated_order() {
    e2e!().run(async |s| {
        s.serve().await;
        let apps = [
            tolerant("first", 2),
            tolerant("up", 1),
            tolerant("down", 3),
            tolerant("zero", 1),
            tolerant("update", 2),
            tolerant("gone", 2),
            whoami("worker", 1),
        ];
        let update = tolerant("update", 2).with("env: { VERSION: two }");
        let first = write_apps(s, "first.yaml", &apps);
        let next = write_apps(s, "next.yaml", &[update]);
        let later = format!("{next}@10s");
        let simulate = [
            first.as_str(),
            "--scale=up=3@10s",
            "--scale=down=1@10s",
            "--scale=zero=0@10s",
            "--apply",
            &later,
            "--delete=gone@10s",
            // Stop before the tombstone of the deleted app is purged after two minutes.
            "--for=40s",
        ];
        assert_matches_simulation(s, &simulate, async || {
            let _ = s.run(&["apply", &first]).await.assert_success();
            eventually("every app's first revision is complete", LIMIT, async || {
                let events = s.event_messages().await;
                let complete = events.iter().filter(|(reason, _)| reason == "Complete").count();
                ensure(complete == apps.len(), complete)
            })
            .await;
            for words in [
                ["scale", "up", "3", "--detach"],
                ["scale", "down", "1", "--detach"],
                ["scale", "zero", "0", "--detach"],
                ["apply", next.as_str(), "--detach", "--color=never"],
                ["delete", "gone", "--detach", "--color=never"],
            ] {
                let _ = s.run(&words).await.assert_success();
            }
        })
        .await;
    });
}

/// A killed pod, a crash loop, a missing command, a missing image, an update to a missing image,
/// and a pod that exits.
#[test]
fn failures_emit_events_in_simulated_order() {
    e2e!().run(async |s| {
        s.serve().await;
        let missing = "dubernetes-no-such-image:1";
        let apps = [
            tolerant("killed", 2),
            tolerant("stuck", 1),
            busybox("ends", 1, "sleep 3600"),
            busybox("endless-crash", 1, "sleep 1; exit 3"),
            tolerant("endless-start", 1).with("command: [/nosuch]"),
        ];
        let stuck = app("stuck", missing, 1).host("stuck.test").with("pull: never");
        let absent = app("absent", missing, 1).with("pull: never");
        let first = write_apps(s, "first.yaml", &apps);
        let next = write_apps(s, "next.yaml", &[stuck, absent]);
        let later = format!("{next}@10s");
        let simulate = [
            first.as_str(),
            "--kill=killed-2@10s",
            "--exit=ends-1@10s=137",
            "--crash-loop=endless-crash=3",
            // Exit code 127: the engine starts an init process, which does not find the command.
            "--crash-loop=endless-start=127",
            "--bad-image=10s",
            "--apply",
            &later,
            "--for=40s",
        ];
        assert_matches_simulation(s, &simulate, async || {
            let _ = s.run(&["apply", "--detach", &first]).await.assert_success();
            for app in ["killed", "stuck", "ends"] {
                s.wait_for_phase(app, "Ready", LIMIT).await;
            }
            for pod in ["killed-2", "ends-1"] {
                docker(&["kill", &format!("dubernetes.{}.{pod}.r1", s.instance)]).await;
            }
            let _ = s.run(&["apply", "--detach", &next]).await.assert_success();
        })
        .await;
    });
}
