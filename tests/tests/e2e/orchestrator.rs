//! Faults of the orchestrator's own process and state: damaged store, lost answers, suspension,
//! resource limits, misbehaving clients.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::fs;
use std::time::Duration;

use dubernetes_core::runtime::{Container, ContainerState};
use dubernetes_tests::checks::{SOON, ensure};
use dubernetes_tests::engine_proxy::Call;
use dubernetes_tests::manifest::WHOAMI;
use dubernetes_tests::program::docker;
use dubernetes_tests::{Scenario, app, e2e, eventually, whoami};
use rustix::process::Signal;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;

async fn connect(s: &Scenario) -> UnixStream {
    UnixStream::connect(s.state_dir().join("dubernetes.sock")).await.unwrap()
}

#[test]
fn damaged_store_is_refused_before_anything_changes() {
    e2e!().run(async |s| {
        s.serve().await;
        let web = whoami("web", 2).host("web.test");
        s.apply(&web).await;
        s.terminate().await;
        let containers = s.containers().await;
        let nginx = s.nginx_state().await;
        let path = s.state_dir().join("dubernetes.db");
        assert!(
            !s.state_dir().join("dubernetes.db-wal").exists(),
            "the write-ahead log was not merged"
        );
        let good = fs::read(&path).unwrap();
        let mut newer = good.clone();
        newer[60..64].copy_from_slice(&99_u32.to_be_bytes());
        let bad: [(&[u8], &str); 5] = [
            (&good[..good.len() - 4096], "is damaged"),
            (&good[..good.len() / 2], "is damaged"),
            (&newer, "has the schema 99"),
            (b"PK\x03\x04 and so on", "is not a database of Dubernetes"),
            (b"", "is damaged"),
        ];
        let file = s.write_file("web.yaml", &web.with("env: { A: b }").to_string());
        for (content, reason) in bad {
            fs::write(&path, content).unwrap();
            for command in [&["serve"][..], &["apply", &file], &["down", "--yes"]] {
                let refused = s.run(command).await.assert_code(1);
                let stderr = &refused.stderr;
                assert!(stderr.contains(path.to_str().unwrap()), "{stderr}");
                assert!(stderr.contains(reason), "{stderr}");
                assert_eq!(fs::read(&path).unwrap(), content, "after `{}`", refused.line);
            }
            assert_eq!(s.containers().await, containers);
            s.assert_served_by("web.test", "web").await;
        }
        fs::write(&path, &good).unwrap();
        s.serve().await;
        s.wait_for_phase("web", "Ready", SOON).await;
        assert_eq!(s.containers().await, containers);
        assert_eq!(s.nginx_state().await, nginx);
    });
}

/// Sends a change without reading the answer.
async fn send_change(s: &Scenario, n: u32) -> UnixStream {
    let body = format!(
        "{{\"name\":\"web\",\"image\":\"{WHOAMI}\",\"replicas\":0,\"env\":{{\"N\":\"{n}\"}}}}"
    );
    let request = format!(
        "PUT /v1/apps/web HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = connect(s).await;
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

#[test]
fn change_with_lost_answer_is_applied_once() {
    e2e!().run(async |s| {
        s.serve().await;
        let mut stored_without_answer = 0;
        for n in 1..=8 {
            let unanswered = send_change(s, n).await;
            if n == 1 {
                // The first kill comes certainly after the write, the others at a time close to it.
                let is_stored =
                    async || ensure(s.run(&["get", "app", "web"]).await.code == Some(0), "");
                eventually("the change is stored", SOON, is_stored).await;
            } else {
                tokio::time::sleep(Duration::from_micros(u64::from(n) * 500)).await;
            }
            s.kill().await;
            drop(unanswered);
            s.serve().await;
            let stored = s.get_app("web").await;
            let is_stored = stored["spec"]["env"]["N"] == n.to_string().as_str();
            assert_eq!(stored["generation"], if is_stored { n } else { n - 1 }, "{stored}");
            let again = app("web", WHOAMI, 0).with(&format!("env: {{ N: '{n}' }}"));
            let again = s.apply_detached(&again).await;
            let change = if is_stored { "unchanged" } else { "configured" };
            assert_eq!(again.stdout, format!("app/web {change}\n"));
            assert_eq!(s.get_app("web").await["generation"], n);
            stored_without_answer += u32::from(is_stored);
        }
        assert!(stored_without_answer >= 1);
    });
}

#[test]
fn resumed_orchestrator_lists_before_it_acts() {
    e2e!().run(async |s| {
        let proxy = s.use_engine_proxy().await;
        s.serve().await;
        s.apply(&whoami("web", 3).host("web.test")).await;
        let ids = s.running_pods("web").await;
        // Suspend the orchestrator with a change in progress.
        s.apply_detached(&whoami("web", 6).host("web.test")).await;
        eventually("the change is in progress", SOON, async || {
            let replicas = s.containers_of("web").await;
            ensure(replicas.len() > 3, replicas)
        })
        .await;
        s.signal(Signal::STOP);
        // Wait until the engine has completed all calls in flight.
        eventually("the engine has completed all calls", SOON, async || {
            let calls = proxy.calls();
            let creates = calls.iter().filter(|call| call.path == "/containers/create").count();
            let is_start = |call: &&Call| call.is_mutation() && call.path.ends_with("/start");
            let starts = calls.iter().filter(is_start).count();
            let all = s.containers().await;
            let is_running = |c: &&Container| matches!(c.state, ContainerState::Running { .. });
            let observed = (all.len(), all.iter().filter(is_running).count());
            ensure(observed == (creates, starts), (observed, creates, starts))
        })
        .await;
        let before = proxy.calls().len();
        docker(&["rm", "-f", &ids["web-2"]]).await;
        docker(&["kill", &ids["web-3"]]).await;
        s.signal(Signal::CONT);
        s.wait_for_replicas("web", 6, 2 * SOON).await;
        s.wait_for_phase("web", "Ready", SOON).await;
        assert_eq!(s.running_pods("web").await["web-1"], ids["web-1"]);
        s.wait_for_balance_over("web.test", "web", 6).await;
        let calls = proxy.calls().split_off(before);
        let list = calls.iter().position(Call::is_list).unwrap();
        // A list that was in flight may still lead to creates, and to nothing else.
        let mut early = calls[..list].iter().filter(|call| call.is_mutation());
        let is_changed = |call: &Call| {
            ["web-2", "web-3"].iter().any(|pod| call.path.contains(ids[*pod].as_str()))
        };
        assert!(!early.any(is_changed), "{calls:#?}");
    });
}

#[test]
fn orchestrator_out_of_file_descriptors_removes_nothing() {
    e2e!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("web", 2).host("web.test")).await;
        let ids = s.running_pods("web").await;
        let nginx = s.nginx_state().await;
        s.limit_files(64);
        let mut held = Vec::new();
        for _ in 0..100 {
            held.push(connect(s).await);
        }
        docker(&["kill", &ids["web-2"]]).await;
        let log = || fs::read_to_string(s.log()).unwrap();
        eventually("the orchestrator reports the error", SOON, async || {
            let log = log();
            ensure(log.contains("EngineUnreachable") && log.contains("os error 24"), log)
        })
        .await;
        s.assert_served_by("web.test", "web").await;
        let left = s.container_ids("web").await;
        assert!(ids.values().all(|id| left.contains(id)), "{ids:?} {left:?}");
        drop(held);
        s.wait_for_replicas("web", 2, 2 * SOON).await;
        s.wait_for_phase("web", "Ready", SOON).await;
        assert_eq!(s.running_pods("web").await["web-1"], ids["web-1"]);
        assert_eq!(s.nginx_state().await.container, nginx.container);
        let log = log();
        assert!(!log.contains("panic") && !log.contains("bug"), "{log}");
    });
}

#[test]
fn misbehaving_clients_do_not_block_orchestrator() {
    e2e!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("web", 2).host("web.test")).await;
        let ids = s.running_pods("web").await;
        let memory = s.memory_kib();
        let put = "PUT /v1/apps/web HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
        let requests = [
            String::new(),
            "GET /v1/apps HTTP/1.1\r\nx-slow: ".to_owned(),
            format!("{put}content-length: 1000000000\r\n\r\n{}", "[".repeat(60_000)),
            format!("{put}transfer-encoding: chunked\r\n\r\nEA60\r\n{}", " ".repeat(60_000)),
            "GET /v1/watch HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(),
        ];
        let mut held = Vec::new();
        for n in 0..1000 {
            // The kernel refuses connections while the backlog is full.
            let socket = s.state_dir().join("dubernetes.sock");
            let Ok(mut stream) = UnixStream::connect(socket).await else { continue };
            let request = requests[n % requests.len()].as_bytes();
            // The orchestrator may close the connection midway, and the client may give up.
            let written =
                tokio::time::timeout(Duration::from_millis(20), stream.write_all(request));
            let _ = written.await;
            if n % 7 != 0 {
                held.push(stream);
            }
        }
        docker(&["kill", &ids["web-2"]]).await;
        eventually("the killed replica is replaced", SOON, async || {
            let running = s.running_pods("web").await;
            ensure(running.len() == 2 && running["web-2"] != ids["web-2"], running)
        })
        .await;
        s.assert_served_by("web.test", "web").await;
        let growth = s.memory_kib().saturating_sub(memory);
        assert!(growth < 128 << 10, "memory grew by {growth} KiB");
        drop(held);
        s.wait_for_phase("web", "Ready", SOON).await;
        s.wait_for_replicas("web", 2, SOON).await;
    });
}

#[test]
fn thousand_apps_fit_in_memory_limit() {
    e2e!().run(async |s| {
        s.serve().await;
        let memory = s.memory_kib();
        for part in 0..20 {
            let manifest = |n| app(&format!("app-{}", 50 * part + n), WHOAMI, 0).to_string();
            let apps: Vec<_> = (0..50).map(manifest).collect();
            s.write_file(&format!("apps/{part}.yaml"), &apps.join("---\n"));
        }
        let folder = s.write_file("apps/note.txt", "");
        let folder = folder.strip_suffix("/note.txt").unwrap();
        let applied = s.run(&["apply", "--detach", folder]).await.assert_success();
        assert_eq!(applied.stdout.lines().count(), 1000);
        let after_apply = s.memory_kib();
        for _ in 0..5 {
            let apps = s.run(&["get", "apps", "-o", "json"]).await.assert_success().json();
            assert_eq!(apps["items"].as_array().unwrap().len(), 1000);
        }
        let again = s.run(&["apply", "--detach", folder]).await.assert_success();
        assert!(again.stdout.lines().all(|line| line.ends_with(" unchanged")), "{}", again.stdout);
        let at_end = s.memory_kib();
        let measured =
            format!("{memory} KiB at start, {after_apply} KiB applied, {at_end} KiB at end");
        report(&format!("{measured}; applied in {:?}, then {:?}", applied.took, again.took));
        assert!(at_end < memory + (256 << 10), "{measured}");
    });
}

/// Prints a measurement.
#[expect(clippy::print_stderr, reason = "the test runner captures only the print macros")]
fn report(text: &str) {
    eprintln!("{text}");
}
