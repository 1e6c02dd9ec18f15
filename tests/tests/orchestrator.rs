//! What is done to the orchestrator's own process and to its state, and what it makes of it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::time::Duration;

use dubernetes_core::runtime::{Container, ContainerState};
use dubernetes_tests::checks::{SOON, expect};
use dubernetes_tests::door::Call;
use dubernetes_tests::manifest::WHOAMI;
use dubernetes_tests::program::docker;
use dubernetes_tests::{Scenario, app, eventually, here, whoami};
use rustix::process::Signal;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;

async fn connect(s: &Scenario) -> UnixStream {
    UnixStream::connect(s.state_dir().join("dubernetes.sock")).await.unwrap()
}

#[test]
fn a_state_that_is_none_is_refused_before_anything_is_touched() {
    here!().run(async |s| {
        s.serve().await;
        let web = whoami("web", 2).host("web.test");
        s.apply(&web).await;
        s.terminate().await;
        let (containers, nginx) = (s.containers().await, s.nginx().await);
        let path = s.state_dir().join("dubernetes.db");
        assert!(!s.state_dir().join("dubernetes.db-wal").exists(), "all is in one file");
        let good = fs::read(&path).unwrap();
        let mut later = good.clone();
        later[60..64].copy_from_slice(&99_u32.to_be_bytes());
        let bad: [(&[u8], &str); 5] = [
            (&good[..good.len() - 4096], "is damaged"),
            (&good[..good.len() / 2], "is damaged"),
            (&later, "has the schema 99"),
            (b"PK\x03\x04 and so on", "is not a database of Dubernetes"),
            (b"", "is damaged"),
        ];
        let file = s.file("web.yaml", &web.with("env: { A: b }").to_string());
        for (content, reason) in bad {
            fs::write(&path, content).unwrap();
            for command in [&["serve"][..], &["apply", &file], &["down", "--yes"]] {
                let refused = s.run(command).await.fails(1);
                let said = &refused.stderr;
                assert!(said.contains(path.to_str().unwrap()) && said.contains(reason), "{said}");
                assert_eq!(fs::read(&path).unwrap(), content, "after `{}`", refused.line);
            }
            assert_eq!(s.containers().await, containers);
            s.answers("web.test", "web").await;
        }
        fs::write(&path, &good).unwrap();
        s.serve().await;
        s.is_in("Ready", "web", SOON).await;
        assert_eq!(s.containers().await, containers);
        assert_eq!(s.nginx().await, nginx);
    });
}

/// Sends a change, and does not wait for what is answered.
async fn send(s: &Scenario, n: u32) -> UnixStream {
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
fn a_change_whose_answer_was_lost_is_made_once() {
    here!().run(async |s| {
        s.serve().await;
        let mut lost = 0;
        for n in 1..=8 {
            let unanswered = send(s, n).await;
            if n == 1 {
                // Once for certain after it was stored; else at some moment around that.
                let stored =
                    async || expect(s.run(&["get", "app", "web"]).await.code == Some(0), "");
                eventually("it is stored", SOON, stored).await;
            } else {
                tokio::time::sleep(Duration::from_micros(u64::from(n) * 500)).await;
            }
            s.kill().await;
            drop(unanswered);
            s.serve().await;
            let stored = s.app("web").await;
            let wanted = n.to_string();
            let is_there = stored["spec"]["env"]["N"] == wanted;
            assert_eq!(stored["generation"], if is_there { n } else { n - 1 }, "{stored}");
            let again = app("web", WHOAMI, 0).with(&format!("env: {{ N: '{n}' }}"));
            let again = s.apply_detached(&again).await;
            let change = if is_there { "unchanged" } else { "configured" };
            assert_eq!(again.stdout, format!("app/web {change}\n"));
            assert_eq!(s.app("web").await["generation"], n);
            lost += u32::from(is_there);
        }
        assert!(lost >= 1);
    });
}

#[test]
fn one_that_stood_still_looks_before_it_acts() {
    here!().run(async |s| {
        let door = s.through_a_door().await;
        s.serve().await;
        s.apply(&whoami("web", 3).host("web.test")).await;
        let ids = s.running("web").await;
        // With a change half done.
        s.apply_detached(&whoami("web", 6).host("web.test")).await;
        eventually("the change has begun", SOON, async || {
            let replicas = s.replicas("web").await;
            expect(replicas.len() > 3, replicas)
        })
        .await;
        s.signal(Signal::STOP);
        // What the engine was told before comes to its end: every container was asked for once.
        eventually("the engine has done it", SOON, async || {
            let calls = door.calls();
            let made = calls.iter().filter(|call| call.path == "/containers/create").count();
            let starts = |call: &&Call| call.is_change() && call.path.ends_with("/start");
            let started = calls.iter().filter(starts).count();
            let all = s.containers().await;
            let running = |c: &&Container| matches!(c.state, ContainerState::Running { .. });
            let there = (all.len(), all.iter().filter(running).count());
            expect(there == (made, started), (there, made, started))
        })
        .await;
        let before = door.calls().len();
        docker(&["rm", "-f", &ids["web-2"]]).await;
        docker(&["kill", &ids["web-3"]]).await;
        s.signal(Signal::CONT);
        s.settles("web", 6, 2 * SOON).await;
        s.is_in("Ready", "web", SOON).await;
        assert_eq!(s.running("web").await["web-1"], ids["web-1"]);
        s.answers_evenly("web.test", "web", 6).await;
        let calls = door.calls().split_off(before);
        let list = calls.iter().position(Call::is_list).unwrap();
        let acts = calls.iter().position(Call::is_change).unwrap();
        assert!(list < acts, "{calls:#?}");
    });
}

#[test]
fn one_that_can_open_no_more_files_gives_up_nothing() {
    here!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("web", 2).host("web.test")).await;
        let (ids, nginx) = (s.running("web").await, s.nginx().await);
        s.limit_files(64);
        let mut held = Vec::new();
        for _ in 0..100 {
            held.push(connect(s).await);
        }
        docker(&["kill", &ids["web-2"]]).await;
        let log = || fs::read_to_string(s.log()).unwrap();
        eventually("it notices", SOON, async || {
            let log = log();
            expect(log.contains("EngineAway") && log.contains("os error 24"), log)
        })
        .await;
        s.answers("web.test", "web").await;
        let there = s.ids("web").await;
        assert!(ids.values().all(|id| there.contains(id)), "{ids:?} {there:?}");
        drop(held);
        s.settles("web", 2, 2 * SOON).await;
        s.is_in("Ready", "web", SOON).await;
        assert_eq!(s.running("web").await["web-1"], ids["web-1"]);
        assert_eq!(s.nginx().await.container, nginx.container);
        let log = log();
        assert!(!log.contains("panic") && !log.contains("bug"), "{log}");
    });
}

#[test]
fn bad_clients_keep_it_from_nothing() {
    here!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("web", 2).host("web.test")).await;
        let (ids, memory) = (s.running("web").await, s.memory());
        let put = "PUT /v1/apps/web HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
        let begins = [
            String::new(),
            "GET /v1/apps HTTP/1.1\r\nx-slow: ".to_owned(),
            format!("{put}content-length: 1000000000\r\n\r\n{}", "[".repeat(60_000)),
            format!("{put}transfer-encoding: chunked\r\n\r\nEA60\r\n{}", " ".repeat(60_000)),
            "GET /v1/watch HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(),
        ];
        let mut held = Vec::new();
        for n in 0..1000 {
            // Where the queue is full, the kernel takes no more.
            let socket = s.state_dir().join("dubernetes.sock");
            let Ok(mut stream) = UnixStream::connect(socket).await else { continue };
            let begin = begins[n % begins.len()].as_bytes();
            // It may hang up in the middle, and so may the client.
            let whole = tokio::time::timeout(Duration::from_millis(20), stream.write_all(begin));
            let _ = whole.await;
            if n % 7 != 0 {
                held.push(stream);
            }
        }
        docker(&["kill", &ids["web-2"]]).await;
        eventually("the work goes on", SOON, async || {
            let running = s.running("web").await;
            expect(running.len() == 2 && running["web-2"] != ids["web-2"], running)
        })
        .await;
        s.answers("web.test", "web").await;
        let grown = s.memory().saturating_sub(memory);
        assert!(grown < 128 << 10, "{grown} KiB more");
        drop(held);
        s.is_in("Ready", "web", SOON).await;
        s.settles("web", 2, SOON).await;
    });
}

#[test]
fn a_thousand_apps_take_a_bounded_part_of_the_memory() {
    here!().run(async |s| {
        s.serve().await;
        let memory = s.memory();
        for part in 0..20 {
            let of = |n| app(&format!("app-{}", 50 * part + n), WHOAMI, 0).to_string();
            let apps: Vec<_> = (0..50).map(of).collect();
            s.file(&format!("apps/{part}.yaml"), &apps.join("---\n"));
        }
        let folder = s.file("apps/note.txt", "");
        let folder = folder.strip_suffix("/note.txt").unwrap();
        let applied = s.run(&["apply", "--detach", folder]).await.succeeds();
        assert_eq!(applied.stdout.lines().count(), 1000);
        let many = s.memory();
        for _ in 0..5 {
            let apps = s.run(&["get", "apps", "-o", "json"]).await.succeeds().json();
            assert_eq!(apps["items"].as_array().unwrap().len(), 1000);
        }
        let again = s.run(&["apply", "--detach", folder]).await.succeeds();
        assert!(again.stdout.lines().all(|line| line.ends_with(" unchanged")), "{}", again.stdout);
        let later = s.memory();
        report(&format!("{memory}, {many}, {later} KiB; {:?}, {:?}", applied.took, again.took));
        assert!(later < memory + (256 << 10), "{memory} KiB, then {many} KiB, then {later} KiB");
    });
}

/// A measurement is worth nothing if nobody sees it.
#[expect(clippy::print_stderr, reason = "the test runner shows it with the test")]
fn report(text: &str) {
    eprintln!("{text}");
}
