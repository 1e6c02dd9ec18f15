//! Commands on running pods: `port-forward`, `top`, `logs --previous`, `wait`, and label selectors.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::collections::BTreeSet;
use std::net::SocketAddr;

use dubernetes_tests::checks::SOON;
use dubernetes_tests::http::{Request, once};
use dubernetes_tests::program::docker;
use dubernetes_tests::scenario::interrupt;
use dubernetes_tests::{Scenario, busybox, e2e, eventually, whoami};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::Child;

/// Starts `port-forward` in the background, and returns it with its listen address.
pub(crate) async fn start_port_forward(s: &Scenario, arguments: &[&str]) -> (Child, SocketAddr) {
    let mut child = s.spawn(&[&["port-forward"], arguments].concat());
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = tokio::time::timeout(SOON, lines.next_line()).await.unwrap().unwrap();
    let Some(line) = line else {
        let mut errors = String::new();
        child.stderr.take().unwrap().read_to_string(&mut errors).await.unwrap();
        panic!("`port-forward` does not listen: {errors}");
    };
    let address = line.split_whitespace().find_map(|word| word.parse().ok());
    (child, address.unwrap_or_else(|| panic!("no address in {line}")))
}

async fn run_json(s: &Scenario, arguments: &[&str]) -> Value {
    s.run(&[arguments, &["-o", "json"]].concat()).await.assert_success().json()
}

/// Returns the replica that answers.
async fn answering_replica(address: SocketAddr) -> Result<String, String> {
    let answer = once(address.port(), Request::get("any", "/")).await?;
    answer.field("Replica").ok_or_else(|| answer.text())
}

#[test]
fn port_forward_moves_to_next_ready_replica_when_first_dies() {
    e2e!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("web", 2)).await;
        let (mut child, address) = start_port_forward(s, &["web", ":80"]).await;
        assert!(address.ip().is_loopback(), "{address}");
        let first = answering_replica(address).await.unwrap();
        let requests = (0..40).map(|_| tokio::spawn(answering_replica(address)));
        for replica in requests.collect::<Vec<_>>() {
            assert_eq!(replica.await.unwrap().unwrap(), first, "another replica answered");
        }
        // An open connection ends with its replica; the next connection goes to the other replica.
        let mut open = TcpStream::connect(address).await.unwrap();
        open.write_all(b"GET / HT").await.unwrap();
        let container =
            run_json(s, &["get", "pod", &first]).await["container_id"].as_str().unwrap().to_owned();
        docker(&["kill", &container]).await;
        let read = tokio::time::timeout(SOON, open.read(&mut [0; 64])).await;
        assert!(matches!(read.unwrap(), Ok(0) | Err(_)), "the connection is still open");
        eventually("another replica answers", SOON, async || answering_replica(address).await)
            .await;
        interrupt(&child);
        assert_eq!(child.wait().await.unwrap().code(), Some(130));
        assert!(TcpStream::connect(address).await.is_err(), "the port is still open");
    });
}

#[test]
fn port_forward_reports_why_it_cannot_connect() {
    e2e!().run(async |s| {
        // `port-forward` works without an orchestrator.
        s.apply(&whoami("web", 1)).await;
        let (mut child, address) = start_port_forward(s, &["web-1", ":80"]).await;
        assert_eq!(answering_replica(address).await.unwrap(), "web-1");
        interrupt(&child);
        assert_eq!(child.wait().await.unwrap().code(), Some(130));

        let (mut child, address) = start_port_forward(s, &["web-1", ":81"]).await;
        assert!(answering_replica(address).await.is_err(), "no process listens on port 81");
        interrupt(&child);
        let mut errors = String::new();
        child.stderr.take().unwrap().read_to_string(&mut errors).await.unwrap();
        assert!(errors.contains("web-1") && errors.contains("connection refused"), "{errors}");

        let taken = format!("{}:80", address.port());
        let holder = std::net::TcpListener::bind(address).unwrap();
        let failed = s.run(&["port-forward", "web", &taken]).await.assert_code(1);
        assert!(failed.stderr.contains(&address.to_string()), "{failed:?}");
        drop(holder);
        let failed = s.run(&["port-forward", "nosuch", ":80"]).await.assert_code(1);
        assert!(failed.stderr.contains("existing apps: web"), "{failed:?}");
    });
}

#[test]
fn top_shows_usage_and_limits() {
    e2e!().run(async |s| {
        s.serve().await;
        let busy = busybox("busy", 1, "while :; do :; done");
        s.apply(&busy.with("resources: { memory: 64Mi, cpu: 500m }")).await;
        s.apply(&whoami("web", 2)).await;
        let pods = run_json(s, &["top", "pods"]).await;
        let pods = pods["items"].as_array().unwrap();
        let names: Vec<_> = pods.iter().map(|pod| pod["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["busy-1", "web-1", "web-2"]);
        let cpu = pods[0]["cpu"].as_u64().unwrap();
        // The engine enforces half a core on average; one reading may exceed the limit.
        assert!((50..=1100).contains(&cpu), "{cpu} thousandths of a core");
        assert_eq!(pods[0]["memory_limit"], 64 << 20);
        assert!(pods.iter().all(|pod| pod["memory"].as_u64().unwrap() > 10_000), "{pods:?}");
        let apps = s.run(&["top", "--sort-by", "cpu"]).await.assert_success();
        assert_eq!(apps.table()[0], ["NAME", "CPU", "MEMORY", "MEMORY", "LIMIT"]);
        assert_eq!((apps.table()[1][0], apps.table()[1][3]), ("busy", "64Mi"), "{apps:?}");
        let named = s.run(&["top", "web", "-q"]).await.assert_success().stdout;
        assert_eq!(named, "pod/web-1\npod/web-2\n");
    });
}

#[test]
fn logs_previous_shows_crashed_container() {
    e2e!().run(async |s| {
        s.serve().await;
        let script = "echo life $(cat /data/n 2>/dev/null || echo 0); \
                      [ -e /data/n ] && exec sleep 1000; echo 1 > /data/n; echo dying; exit 3";
        s.apply(&busybox("job", 1, script).with("volumes: [\"data:/data\"]")).await;
        eventually("the replacement prints its line", SOON, async || {
            let now = s.run(&["logs", "job-1"]).await.assert_success().stdout;
            if now == "life 1\n" { Ok(()) } else { Err(now) }
        })
        .await;
        let previous = s.run(&["logs", "job-1", "--previous"]).await.assert_success().stdout;
        assert_eq!(previous, "life 0\ndying\n");
        let of_app = s.run(&["logs", "-p", "job", "--tail", "1"]).await.assert_success().stdout;
        assert_eq!(of_app, "job-1 | dying\n");
        s.apply(&whoami("web", 1)).await;
        let none = s.run(&["logs", "web-1", "--previous"]).await.assert_code(1);
        assert!(none.stderr.contains("no container of pod `web-1` has crashed"), "{none:?}");
    });
}

#[test]
fn wait_and_label_selectors_follow_state() {
    e2e!().run(async |s| {
        s.serve().await;
        s.apply_detached(&whoami("web", 2).with("labels: { tier: front }")).await;
        s.apply(&busybox("job", 1, "sleep 1000").with("labels: { tier: back }")).await;
        let ready = s.run(&["wait", "web", "pod/job-1", "--for", "condition=ready"]).await;
        assert_eq!(
            ready.assert_success().stdout,
            "app/web condition met\npod/job-1 condition met\n"
        );
        let late = s.run(&["wait", "web", "--for", "phase=Failed", "--timeout", "300ms"]).await;
        assert!(late.assert_code(4).stderr.contains("now: Ready, 2/2 ready"));
        let pods = s.run(&["get", "pods", "-l", "tier=front", "-o", "name"]).await.assert_success();
        assert_eq!(pods.stdout, "pod/web-1\npod/web-2\n");
        let events = run_json(s, &["get", "events", "-l", "tier!=front"]).await;
        let apps: BTreeSet<_> = events["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|e| e["app"].as_str().unwrap())
            .collect();
        assert_eq!(apps, BTreeSet::from(["job"]));
        let gone = s.spawn(&["wait", "web", "job", "--for", "deleted", "--timeout", "60s"]);
        let _ = s.run(&["delete", "-l", "tier=front"]).await.assert_success();
        let _ = s.run(&["delete", "job"]).await.assert_success();
        let gone = gone.wait_with_output().await.unwrap();
        let output = String::from_utf8_lossy(&gone.stdout).into_owned();
        assert!(gone.status.success(), "{gone:?}");
        // An app deleted before `wait` starts is printed without its kind.
        let both = output.contains("web condition met") && output.contains("job condition met");
        assert!(both, "{output}");
    });
}
