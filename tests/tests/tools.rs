//! Commands that use what runs: `top`, `port-forward`, `wait`, selectors, and output of before.

#![expect(clippy::unwrap_used, reason = "an unwrap that fails is a test that fails")]

use std::collections::BTreeSet;
use std::net::SocketAddr;

use dubernetes_tests::checks::SOON;
use dubernetes_tests::http::{Request, once};
use dubernetes_tests::program::docker;
use dubernetes_tests::scenario::interrupt;
use dubernetes_tests::{Scenario, busybox, eventually, here, whoami};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::Child;

/// A `port-forward` that goes on, and where it listens.
async fn forward(s: &Scenario, arguments: &[&str]) -> (Child, SocketAddr) {
    let mut child = s.spawn(&[&["port-forward"], arguments].concat());
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = tokio::time::timeout(SOON, said.next_line()).await.unwrap().unwrap();
    let Some(line) = line else {
        let mut errors = String::new();
        child.stderr.take().unwrap().read_to_string(&mut errors).await.unwrap();
        panic!("it does not listen: {errors}");
    };
    let address = line.split_whitespace().find_map(|word| word.parse().ok());
    (child, address.unwrap_or_else(|| panic!("no address in {line}")))
}

async fn json(s: &Scenario, arguments: &[&str]) -> Value {
    s.run(&[arguments, &["-o", "json"]].concat()).await.succeeds().json()
}

/// Which replica answers.
async fn who(address: SocketAddr) -> Result<String, String> {
    let answer = once(address.port(), Request::get("any", "/")).await?;
    answer.says("Replica").ok_or_else(|| answer.text())
}

#[test]
fn port_forward_leads_to_a_ready_replica_and_to_the_next_one_once_that_has_gone() {
    here!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("web", 2)).await;
        let (mut child, address) = forward(s, &["web", ":80"]).await;
        assert!(address.ip().is_loopback(), "{address}");
        let first = who(address).await.unwrap();
        let asked = (0..40).map(|_| tokio::spawn(who(address)));
        for answer in asked.collect::<Vec<_>>() {
            assert_eq!(answer.await.unwrap().unwrap(), first, "one replica takes them all");
        }
        // A connection that is open ends with its replica; the next one goes to the other.
        let mut open = TcpStream::connect(address).await.unwrap();
        open.write_all(b"GET / HT").await.unwrap();
        let container =
            json(s, &["get", "pod", &first]).await["container_id"].as_str().unwrap().to_owned();
        docker(&["kill", &container]).await;
        let end = tokio::time::timeout(SOON, open.read(&mut [0; 64])).await;
        assert!(matches!(end.unwrap(), Ok(0) | Err(_)), "it ends");
        eventually("another replica answers", SOON, async || who(address).await).await;
        interrupt(&child);
        assert_eq!(child.wait().await.unwrap().code(), Some(130));
        assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
    });
}

#[test]
fn port_forward_says_why_it_does_not_lead_anywhere() {
    here!().run(async |s| {
        // Without an orchestrator, too.
        s.apply(&whoami("web", 1)).await;
        let (mut child, address) = forward(s, &["web-1", ":80"]).await;
        assert_eq!(who(address).await.unwrap(), "web-1");
        interrupt(&child);
        assert_eq!(child.wait().await.unwrap().code(), Some(130));

        let (mut child, address) = forward(s, &["web-1", ":81"]).await;
        assert!(who(address).await.is_err(), "nothing listens there");
        interrupt(&child);
        let mut errors = String::new();
        child.stderr.take().unwrap().read_to_string(&mut errors).await.unwrap();
        assert!(errors.contains("web-1") && errors.contains("connection refused"), "{errors}");

        let taken = format!("{}:80", address.port());
        let holder = std::net::TcpListener::bind(address).unwrap();
        let failed = s.run(&["port-forward", "web", &taken]).await.fails(1);
        assert!(failed.stderr.contains(&address.to_string()), "{failed:?}");
        drop(holder);
        let failed = s.run(&["port-forward", "nosuch", ":80"]).await.fails(1);
        assert!(failed.stderr.contains("there are: web"), "{failed:?}");
    });
}

#[test]
fn top_says_what_is_used_and_what_is_allowed() {
    here!().run(async |s| {
        s.serve().await;
        let busy = busybox("busy", 1, "while :; do :; done");
        s.apply(&busy.with("resources: { memory: 64Mi, cpu: 500m }")).await;
        s.apply(&whoami("web", 2)).await;
        let pods = json(s, &["top", "pods"]).await;
        let pods = pods["items"].as_array().unwrap();
        let names: Vec<_> = pods.iter().map(|pod| pod["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["busy-1", "web-1", "web-2"]);
        let cpu = pods[0]["cpu"].as_u64().unwrap();
        // The engine holds it to half a core, over longer times than one reading.
        assert!((50..=1100).contains(&cpu), "{cpu} thousandths of a core");
        assert_eq!(pods[0]["memory_limit"], 64 << 20);
        assert!(pods.iter().all(|pod| pod["memory"].as_u64().unwrap() > 10_000), "{pods:?}");
        let apps = s.run(&["top", "--sort-by", "cpu"]).await.succeeds();
        assert_eq!(apps.table()[0], ["NAME", "CPU", "MEMORY", "MEMORY", "LIMIT"]);
        assert_eq!((apps.table()[1][0], apps.table()[1][3]), ("busy", "64Mi"), "{apps:?}");
        let named = s.run(&["top", "web", "-q"]).await.succeeds().stdout;
        assert_eq!(named, "pod/web-1\npod/web-2\n");
    });
}

#[test]
fn what_crashed_is_read_after_its_successor_has_come() {
    here!().run(async |s| {
        s.serve().await;
        let script = "echo life $(cat /data/n 2>/dev/null || echo 0); \
                      [ -e /data/n ] && exec sleep 1000; echo 1 > /data/n; echo dying; exit 3";
        s.apply(&busybox("job", 1, script).with("volumes: [\"data:/data\"]")).await;
        eventually("the successor speaks", SOON, async || {
            let now = s.run(&["logs", "job-1"]).await.succeeds().stdout;
            if now == "life 1\n" { Ok(()) } else { Err(now) }
        })
        .await;
        let before = s.run(&["logs", "job-1", "--previous"]).await.succeeds().stdout;
        assert_eq!(before, "life 0\ndying\n");
        let of_app = s.run(&["logs", "-p", "job", "--tail", "1"]).await.succeeds().stdout;
        assert_eq!(of_app, "job-1 | dying\n");
        s.apply(&whoami("web", 1)).await;
        let none = s.run(&["logs", "web-1", "--previous"]).await.fails(1);
        assert!(none.stderr.contains("no container of pod `web-1` has crashed"), "{none:?}");
    });
}

#[test]
fn wait_and_selectors_see_what_happens() {
    here!().run(async |s| {
        s.serve().await;
        s.apply_detached(&whoami("web", 2).with("labels: { tier: front }")).await;
        s.apply(&busybox("job", 1, "sleep 1000").with("labels: { tier: back }")).await;
        let ready = s.run(&["wait", "web", "pod/job-1", "--for", "condition=ready"]).await;
        assert_eq!(ready.succeeds().stdout, "app/web condition met\npod/job-1 condition met\n");
        let late = s.run(&["wait", "web", "--for", "phase=Failed", "--timeout", "300ms"]).await;
        assert!(late.fails(4).stderr.contains("now: Ready, 2/2 ready"));
        let pods = s.run(&["get", "pods", "-l", "tier=front", "-o", "name"]).await.succeeds();
        assert_eq!(pods.stdout, "pod/web-1\npod/web-2\n");
        let events = json(s, &["get", "events", "-l", "tier!=front"]).await;
        let apps: BTreeSet<_> = events["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|e| e["app"].as_str().unwrap())
            .collect();
        assert_eq!(apps, BTreeSet::from(["job"]));
        let gone = s.spawn(&["wait", "web", "job", "--for", "deleted", "--timeout", "60s"]);
        let _ = s.run(&["delete", "-l", "tier=front"]).await.succeeds();
        let _ = s.run(&["delete", "job"]).await.succeeds();
        let gone = gone.wait_with_output().await.unwrap();
        let said = String::from_utf8_lossy(&gone.stdout).into_owned();
        assert!(gone.status.success(), "{gone:?}");
        // One that was gone before it was looked for is known by its name alone.
        assert!(said.contains("web condition met") && said.contains("job condition met"), "{said}");
    });
}
