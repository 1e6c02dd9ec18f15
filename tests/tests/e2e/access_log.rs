//! `logs --access`: requests as nginx has logged them.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::time::Duration;

use dubernetes_tests::checks::{SOON, ensure};
use dubernetes_tests::http::{Request, once};
use dubernetes_tests::load::Load;
use dubernetes_tests::port::Port;
use dubernetes_tests::program::{docker, run};
use dubernetes_tests::{Scenario, e2e, eventually, whoami};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

/// A number of last requests that is never reached.
const ALL: &str = "1000000";

/// Returns the logged requests as JSON.
async fn read(s: &Scenario, name: &str) -> Vec<Value> {
    let arguments = ["logs", name, "--access", "-o", "json", "--tail", ALL];
    let read = s.run(&arguments).await.assert_success().stdout;
    read.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Returns path, status and pod of the logged requests, once the last one is `last`.
async fn read_until(s: &Scenario, name: &str, last: &str) -> Vec<String> {
    let what = format!("{last} is logged");
    eventually(&what, SOON, async || {
        let entries = read(s, name).await.into_iter().map(|entry| {
            let [path, pod] = ["path", "pod"].map(|key| entry[key].as_str().unwrap_or("-"));
            format!("{path} {} {pod}", entry["status"])
        });
        let entries: Vec<_> = entries.collect();
        let is_last = entries.last().is_some_and(|entry| entry.split(' ').next() == Some(last));
        ensure(is_last, &entries).map(|()| entries)
    })
    .await
}

async fn ingress_id(s: &Scenario) -> String {
    docker(&["inspect", "-f", "{{.Id}}", &s.ingress()]).await
}

#[test]
fn requests_appear_with_pod_status_and_client() {
    e2e!().run(async |s| {
        s.serve_with(&[("DUBERNETES_TRUSTED_PROXIES", "host-gateway")]).await;
        s.apply(&whoami("web", 1).with("access: { host: web.test, path: /shop }")).await;
        s.apply(&whoami("other", 1).host("other.test")).await;
        let none = s.run(&["logs", "web", "--access"]).await.assert_success();
        assert_eq!(none.stdout, "", "probes are no requests through the ingress");
        let get = async |host: &str, path: &str| {
            let headers = &[("X-Forwarded-For", "203.0.113.9")];
            let answer = once(s.port, Request { headers, ..Request::get(host, path) }).await;
            // Requests of one millisecond to two workers have no order.
            tokio::time::sleep(Duration::from_millis(10)).await;
            answer.unwrap().status
        };
        assert_eq!(get("web.test", "/shop/a%20b?token=secret").await, 200);
        assert_eq!(get("other.test", "/foreign").await, 200);
        assert_eq!(get("unknown.test", "/unknown").await, 404);
        assert_eq!(get("web.test", "/elsewhere").await, 404);
        let _ = s.run(&["scale", "web", "0"]).await.assert_success();
        s.wait_for_status_code("other.test", 200, SOON).await;
        eventually("no replica is left", SOON, async || {
            let status = get("web.test", "/shop/gone").await;
            ensure(status == 503, status)
        })
        .await;
        assert_eq!(get("web.test", "/shop/last").await, 503);

        let entries = read_until(s, "web", "/shop/last").await;
        assert_eq!(entries[..2], ["/shop/a%20b 200 web-1", "/elsewhere 404 -"]);
        assert_eq!(entries.last().unwrap(), "/shop/last 503 -");
        let first = &read(s, "web").await[0];
        assert_eq!(first["client"], "203.0.113.9");
        assert_eq!(first["method"], "GET");
        assert_eq!(first["host"], "web.test");
        assert!(!first.to_string().contains("secret"), "{first}");
        let line = s.run(&["logs", "web", "--access", "--tail", "1"]).await.assert_success();
        assert!(line.stdout.contains("  -  203.0.113.9  GET /shop/last  503  "), "{line:?}");
        let of_pod = read_until(s, "other-1", "/").await;
        assert_eq!(of_pod[0], "/foreign 200 other-1");
        let narrow = ["logs", "web", "--access", "--since", "1ms"];
        assert_eq!(s.run(&narrow).await.assert_success().stdout, "");
    });
}

#[test]
fn new_requests_are_followed_and_the_follower_leaves_nothing_behind() {
    e2e!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("web", 1).host("web.test")).await;
        let _ = s.get("web.test", "/before").await.unwrap();
        let _ = read_until(s, "web", "/before").await;
        let mut follow = s.spawn(&["logs", "web-1", "--access", "-f", "--tail", "1"]);
        let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
        let mut next = async || {
            let line = tokio::time::timeout(SOON, lines.next_line()).await;
            line.expect("a line in time").unwrap().expect("the stream goes on")
        };
        for path in ["/before", "/one", "/two"] {
            if path != "/before" {
                let _ = s.get("web.test", path).await.unwrap();
            }
            let line = next().await;
            assert!(line.contains("  web-1  "), "{line}");
            assert!(line.contains(&format!("  GET {path}  200  ")), "{line}");
        }
        let processes = async || docker(&["top", &s.ingress()]).await;
        assert!(processes().await.contains("tail "), "{}", processes().await);
        follow.kill().await.unwrap();
        eventually("nothing reads the log", SOON, async || {
            let processes = processes().await;
            ensure(!processes.contains("tail "), processes)
        })
        .await;
    });
}

#[test]
fn rollout_loses_no_request_and_a_full_log_is_cut_at_its_old_end() {
    e2e!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("web", 2).host("web.test")).await;
        let load = Load::start(s.port, "web.test", "web", 50);
        load.wait_for_requests(50).await;
        s.apply(&whoami("web", 2).host("web.test").with("env: { A: b }")).await;
        // One write that fills the log, while requests arrive.
        let log = "/dev/shm/dubernetes-access.log";
        let fill = format!(
            "cd /dev/shm; head -c 9000000 /dev/zero | tr '\\0' x > x; echo >> x; \
             dd if=x bs=9000001 count=1 >> {log}"
        );
        docker(&["exec", &s.ingress(), "sh", "-c", &fill]).await;
        eventually("the log has a former part", 2 * SOON, async || {
            let listed = docker(&["exec", &s.ingress(), "ls", "/dev/shm"]).await;
            ensure(listed.contains("dubernetes-access.log.1"), listed)
        })
        .await;
        load.wait_for_requests(100).await;
        let tally = load.stop().await;
        tally.assert_no_failures(100);
        let answered: u32 = tally.answers_by.values().sum();
        eventually("every request is logged", SOON, async || {
            let entries = read(s, "web").await;
            let answers = entries.iter().filter(|entry| entry["pod"].is_string()).count();
            ensure(answers == usize::try_from(answered).unwrap(), (answers, answered))
        })
        .await;
        let pods: std::collections::BTreeSet<_> =
            read(s, "web").await.iter().map(|entry| entry["pod"].to_string()).collect();
        assert_eq!(pods.len(), 4, "two replicas of each revision: {pods:?}");
    });
}

#[test]
fn change_of_the_setting_replaces_no_container_and_off_says_so() {
    e2e!().run(async |s| {
        s.serve_with(&[("DUBERNETES_ACCESS_LOG", "false")]).await;
        s.apply(&whoami("web", 1).host("web.test")).await;
        let _ = s.get("web.test", "/before").await.unwrap();
        let off = s.run(&["logs", "web", "--access"]).await.assert_code(1).stderr;
        assert!(off.starts_with("error: the access log is off\nhelp: start `dubernetes"), "{off}");
        let container = ingress_id(s).await;
        s.terminate().await;
        s.serve().await;
        eventually("requests are logged", SOON, async || {
            let _ = s.get("web.test", "/after").await?;
            let entries = read(s, "web").await;
            ensure(!entries.is_empty(), entries)
        })
        .await;
        assert!(read(s, "web").await.iter().all(|entry| entry["path"] == "/after"));
        assert_eq!(ingress_id(s).await, container);
    });
}

#[test]
fn requests_over_https_and_redirects_to_it_are_logged() {
    e2e!().run(async |s| {
        let taken = Port::take();
        let port = taken.number.to_string();
        s.serve_with(&[("DUBERNETES_HTTPS_PORT", &port)]).await;
        s.apply(&whoami("web", 1).with("access: { host: web.test, tls: internal }")).await;
        assert_eq!(s.get("web.test", "/plain").await.unwrap().status, 308);
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--insecure", "--max-time", "20", "--resolve"]);
        curl.arg(format!("web.test:{port}:127.0.0.1"));
        curl.arg(format!("https://web.test:{port}/secure"));
        let ran = run(curl, "curl".to_owned(), "").await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let entries = read_until(s, "web", "/secure").await;
        assert_eq!(entries, ["/plain 308 -", "/secure 200 web-1"]);
    });
}
