//! What `simulate` tells is what happens: each story runs on the real engine and in memory, and
//! every app and every pod has the same events in the same order.

#![expect(clippy::unwrap_used, reason = "an unwrap that fails is a test that fails")]

use std::collections::BTreeMap;
use std::time::Duration;

use dubernetes_tests::checks::expect;
use dubernetes_tests::manifest::Manifest;
use dubernetes_tests::program::docker;
use dubernetes_tests::{Scenario, app, busybox, eventually, here, whoami};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};

/// The longest that all events of a story may take to come.
const LIMIT: Duration = Duration::from_secs(60);
/// So long no other one may follow.
const QUIET: Duration = Duration::from_secs(2);

/// The reasons of each app's and each pod's events. The routes have a row of their own: they are
/// served by nginx, which works beside the engine.
type Orders = BTreeMap<String, Vec<String>>;

/// Notes one line of `events -w -o json`, or of `simulate -o json`.
fn note(orders: &mut Orders, line: &str) {
    let event = &serde_json::from_str::<Value>(line).unwrap()["object"];
    let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
    let (reason, subject) = (text("reason"), if event["pod"].is_null() { "app" } else { "pod" });
    let (key, what) = match (reason.as_str(), event["app"].is_null()) {
        // What matters of the routes is where they end: two pods may become ready at once.
        ("Routed", _) => {
            // The port is that of the machine, and the simulation has another one.
            let message = text("message");
            let (url, rest) = message.split_once(" -> ").unwrap();
            let host = url.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches(':');
            orders.insert(format!("routes of {}", text("app")), vec![format!("{host} -> {rest}")]);
            return;
        }
        (_, true) => ("instance".to_owned(), reason),
        (_, false) => (text(subject), reason),
    };
    let order = orders.entry(key).or_default();
    // One that repeats is told again and again, or once.
    if order.last() != Some(&what) {
        order.push(what);
    }
}

/// Follows the events of a scenario until they are those of a simulation.
async fn compare(s: &Scenario, simulate: &[&str], story: impl AsyncFnOnce()) {
    let simulated = s.run(&[&["simulate", "-o", "json"], simulate].concat()).await.succeeds();
    let mut wanted = Orders::new();
    simulated.stdout.lines().for_each(|line| note(&mut wanted, line));

    let mut watch = s.spawn(&["events", "-w", "-o", "json"]);
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let orders = std::sync::Mutex::new(Orders::new());
    let follow = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            note(&mut orders.lock().unwrap(), &line);
        }
    };
    let work = async {
        story().await;
        eventually("the real events are the simulated ones", LIMIT, async || {
            differences(&wanted, &orders.lock().unwrap())
        })
        .await;
        tokio::time::sleep(QUIET).await;
        let after = differences(&wanted, &orders.lock().unwrap());
        assert_eq!(after, Ok(()), "and no other one follows");
    };
    tokio::select! {
        () = follow => panic!("the events ended"),
        () = work => {}
    }
}

/// Those that go on for ever, a crash loop for one, are compared as far as both went.
fn differences(wanted: &Orders, found: &Orders) -> Result<(), String> {
    let endless = |key: &str| key.starts_with("endless");
    let none = Vec::new();
    let keys = wanted.keys().chain(found.keys());
    let differs = keys.filter(|key| {
        let [wanted, found] = [wanted, found].map(|orders| orders.get(*key).unwrap_or(&none));
        if endless(key) {
            let shorter = wanted.len().min(found.len());
            // Two restarts are on the way by then.
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

/// An app that is routed, and whose answers may come late: a machine with much to do adds no event.
fn patient(name: &str, replicas: u32) -> Manifest {
    let health =
        "health: { tcp: true, interval: 10s, timeout: 10s, failures: 9, replace_after: 99 }";
    whoami(name, replicas).host(&format!("{name}.test")).with(health)
}

fn file(s: &Scenario, name: &str, apps: &[Manifest]) -> String {
    let texts: Vec<_> = apps.iter().map(ToString::to_string).collect();
    s.file(name, &texts.join("---\n"))
}

/// First apply, up, down, to nothing, an update, a delete, and an app that is not routed.
#[test]
fn what_users_do_has_the_order_of_the_simulation() {
    here!().run(async |s| {
        s.serve().await;
        let apps = [
            patient("first", 2),
            patient("up", 1),
            patient("down", 3),
            patient("zero", 1),
            patient("update", 2),
            patient("gone", 2),
            whoami("worker", 1),
        ];
        let update = patient("update", 2).with("env: { VERSION: two }");
        let (first, next) = (file(s, "first.yaml", &apps), file(s, "next.yaml", &[update]));
        let later = format!("{next}@10s");
        let simulate = [
            first.as_str(),
            "--scale=up=3@10s",
            "--scale=down=1@10s",
            "--scale=zero=0@10s",
            "--apply",
            &later,
            "--delete=gone@10s",
            // The end of a deleted app is known only two minutes later.
            "--for=40s",
        ];
        compare(s, &simulate, async || {
            let _ = s.run(&["apply", &first]).await.succeeds();
            eventually("every first revision is complete", LIMIT, async || {
                let events = s.events().await;
                let complete = events.iter().filter(|(reason, _)| reason == "Complete").count();
                expect(complete == apps.len(), complete)
            })
            .await;
            for words in [
                ["scale", "up", "3", "--detach"],
                ["scale", "down", "1", "--detach"],
                ["scale", "zero", "0", "--detach"],
                ["apply", next.as_str(), "--detach", "--color=never"],
                ["delete", "gone", "--detach", "--color=never"],
            ] {
                let _ = s.run(&words).await.succeeds();
            }
        })
        .await;
    });
}

/// A killed pod, a crash loop, a command that is not there, an image that is not there, an update
/// to one, and a pod that ends by itself.
#[test]
fn what_breaks_has_the_order_of_the_simulation() {
    here!().run(async |s| {
        s.serve().await;
        let missing = "dubernetes-no-such-image:1";
        let apps = [
            patient("killed", 2),
            patient("stuck", 1),
            busybox("ends", 1, "sleep 3600"),
            busybox("endless-crash", 1, "sleep 1; exit 3"),
            patient("endless-start", 1).with("command: [/nosuch]"),
        ];
        let stuck = app("stuck", missing, 1).host("stuck.test").with("pull: never");
        let absent = app("absent", missing, 1).with("pull: never");
        let first = file(s, "first.yaml", &apps);
        let next = file(s, "next.yaml", &[stuck, absent]);
        let later = format!("{next}@10s");
        let simulate = [
            first.as_str(),
            "--kill=killed-2@10s",
            "--exit=ends-1@10s=137",
            "--crash-loop=endless-crash=3",
            // So it ends by itself: the engine starts an init process, which finds no command.
            "--crash-loop=endless-start=127",
            "--bad-image=10s",
            "--apply",
            &later,
            "--for=40s",
        ];
        compare(s, &simulate, async || {
            let _ = s.run(&["apply", "--detach", &first]).await.succeeds();
            for app in ["killed", "stuck", "ends"] {
                s.is_in("Ready", app, LIMIT).await;
            }
            for pod in ["killed-2", "ends-1"] {
                docker(&["kill", &format!("dubernetes.{}.{pod}.r1", s.instance)]).await;
            }
            let _ = s.run(&["apply", "--detach", &next]).await.succeeds();
        })
        .await;
    });
}
