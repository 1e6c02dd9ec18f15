//! Old workers of a real nginx after reloads: what they still serve, and how many there are.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dubernetes_core::ingress::{Drained, Ingress as _, ObservedIngress, RouteTable};
use dubernetes_core::runtime::{ContainerId, run_command};
use dubernetes_nginx::NginxIngress;
use dubernetes_tests::websocket::WebSocket;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::nginx_fixture::{NginxFixture, eventually, route, with_fixture};
use super::table;

/// Time during which a busy address must stay undrained. An idle address drains faster.
const BUSY_PERIOD: Duration = Duration::from_secs(4);

/// Returns two tables that route `a.test` to the first or second upstream, and `ws.test` to the
/// third.
fn two_tables(fixture: &NginxFixture) -> [RouteTable; 2] {
    let ws = route("ws.test", "/", "ws", &fixture.upstreams[2..3]);
    [0, 1].map(|at| table(&[&route("a.test", "/", "web", &fixture.upstreams[at..=at]), &ws]))
}

async fn assert_stays_busy(ingress: &NginxIngress, address: SocketAddr) {
    let start = tokio::time::Instant::now();
    while start.elapsed() < BUSY_PERIOD {
        let drained = ingress.drained(address).await.unwrap();
        assert!(!drained.is_yes(), "after {:?}", start.elapsed());
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

async fn until_drained(ingress: &NginxIngress, address: SocketAddr) {
    let is_drained = || async { ingress.drained(address).await.unwrap().is_yes() };
    eventually("the address is drained", is_drained).await;
}

async fn read_answer(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn pending_connection_delays_drain_and_websocket_does_not() {
    with_fixture("pending_connection_delays_drain_and_websocket_does_not", |fixture| async move {
        let ingress = fixture.ingress();
        let [first, second] = two_tables(&fixture);
        ingress.apply(&first).await.unwrap();
        let mut socket = fixture.websocket("ws.test").await;
        // A connection opened in advance, as browsers do, and one with an incomplete head.
        let mut unused = fixture.connect().await;
        let mut slow = fixture.connect().await;
        slow.write_all(b"GET / HTTP/1.1\r\nHost: a.").await.unwrap();
        // Once every worker has answered a later connection, it has accepted these two.
        for _ in 0..20 {
            fixture.assert_served_by("a.test", &fixture.upstreams[0]).await;
        }
        ingress.apply(&second).await.unwrap();
        let removed = fixture.upstreams[0].socket();
        assert_stays_busy(&ingress, removed).await;
        unused.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await.unwrap();
        slow.write_all(b"test\r\n\r\n").await.unwrap();
        let by = format!("Name: {}", fixture.upstreams[0].pod);
        for stream in [unused, slow] {
            let answer = read_answer(stream).await;
            assert!(answer.contains(&by), "another upstream answered: {answer}");
        }
        until_drained(&ingress, removed).await;
        socket.echo("still open").await.unwrap();
        assert!(fixture.count_workers().await > 2, "no old worker is left");
    })
    .await;
}

#[tokio::test]
async fn slow_upload_delays_drain_of_its_own_upstream_only() {
    with_fixture("slow_upload_delays_drain_of_its_own_upstream_only", |fixture| async move {
        let ingress = fixture.ingress();
        let [first, second] = two_tables(&fixture);
        ingress.apply(&first).await.unwrap();
        let upload = async |host: &str| {
            let mut stream = fixture.connect().await;
            let head = format!("POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1000\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(&[b'x'; 400]).await.unwrap();
            stream
        };
        let mut own = upload("a.test").await;
        let mut other = upload("ws.test").await;
        let [removed, next, busy] = [0, 1, 2].map(|at| fixture.upstreams[at].socket());
        for address in [removed, busy] {
            eventually("the upload reaches the upstream", || fixture.is_connected(address)).await;
        }
        ingress.apply(&second).await.unwrap();
        assert_stays_busy(&ingress, removed).await;
        own.write_all(&[b'x'; 600]).await.unwrap();
        let answer = read_answer(own).await;
        assert!(answer.contains("BodyLength: 1000"), "{answer}");
        assert!(answer.contains(fixture.upstreams[0].pod.as_str()), "{answer}");
        until_drained(&ingress, removed).await;

        // The upload to the other app is still in flight and delays no other drain.
        ingress.apply(&first).await.unwrap();
        until_drained(&ingress, next).await;
        assert!(fixture.is_connected(busy).await);
        other.write_all(&[b'x'; 600]).await.unwrap();
        assert!(read_answer(other).await.contains("BodyLength: 1000"));
    })
    .await;
}

#[tokio::test]
async fn upload_is_retried_on_next_upstream_when_first_refuses() {
    with_fixture("upload_is_retried_on_next_upstream_when_first_refuses", |fixture| async move {
        let ingress = fixture.ingress();
        let mut endpoints = fixture.upstreams[..2].to_vec();
        endpoints[0].port = 9; // Closed port.
        ingress.apply(&table(&[&route("a.test", "/", "web", &endpoints)])).await.unwrap();
        for _ in 0..6 {
            let mut stream = fixture.connect().await;
            let head = b"POST / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\
                Content-Length: 8\r\n\r\nhalf";
            stream.write_all(head).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
            stream.write_all(b"half").await.unwrap();
            let answer = read_answer(stream).await;
            assert!(answer.contains("BodyLength: 8"), "{answer}");
        }
    })
    .await;
}

/// Number of websockets opened before the first reload.
const EARLY: usize = 20;

async fn count_echoing(sockets: &mut [WebSocket]) -> usize {
    let mut alive = 0;
    for socket in sockets {
        alive += usize::from(socket.echo("alive?").await.is_ok());
    }
    alive
}

#[tokio::test]
async fn websockets_survive_hundred_reloads_within_memory_limit() {
    with_fixture("websockets_survive_hundred_reloads_within_memory_limit", |fixture| async move {
        let ingress = Arc::new(fixture.ingress());
        let tables = two_tables(&fixture);
        ingress.apply(&tables[1]).await.unwrap();
        eventually("old workers have exited", || async { fixture.count_workers().await == 2 })
            .await;
        let baseline = fixture.memory_bytes().await;
        let mut early = Vec::new();
        for _ in 0..EARLY {
            early.push(fixture.websocket("ws.test").await);
        }
        let reload = async |number: usize| {
            assert!(ingress.apply(&tables[number % 2]).await.unwrap().changed);
        };
        // All early websockets are in the same generation of workers.
        for number in 0..20 {
            reload(number).await;
        }
        assert_eq!(count_echoing(&mut early).await, EARLY);
        eventually("one old generation of workers is left", || async {
            fixture.count_workers().await <= 4
        })
        .await;
        let with_early = fixture.memory_bytes().await;
        // A websocket opened between two reloads keeps a worker of its own.
        let mut late = Vec::new();
        for number in 20..100 {
            late.push(fixture.websocket("ws.test").await);
            reload(number).await;
        }
        assert_eq!(
            count_echoing(&mut early).await,
            EARLY,
            "workers with most connections must be ended last"
        );
        // 64 old workers, two of them with the early websockets, and two current workers. Fewer, if
        // one worker has two of the late websockets.
        eventually("the oldest workers have exited", || async {
            fixture.count_workers().await <= 66
        })
        .await;
        let late_alive = count_echoing(&mut late).await;
        let workers = fixture.count_workers().await;
        let with_late = fixture.memory_bytes().await;
        let measured = format!(
            "bytes of memory: {baseline} baseline, {with_early} with {EARLY} websockets and 20 \
             reloads, {with_late} with {late_alive} late websockets in {workers} workers"
        );
        fixture.print_line(&measured).await;
        assert!(with_early <= 2 * baseline, "{measured}");
        assert!((50..=66).contains(&workers) && (50..80).contains(&late_alive), "{measured}");
        assert!(with_late <= 256 << 20, "{measured}");
    })
    .await;
}

#[tokio::test]
async fn stopped_old_worker_keeps_its_addresses_undrained() {
    with_fixture("stopped_old_worker_keeps_its_addresses_undrained", |fixture| async move {
        let ingress = fixture.ingress();
        let [first, second] = two_tables(&fixture);
        let left = fixture.upstreams[0].socket();
        ingress.apply(&first).await.unwrap();
        let signal = async |signal: &str| {
            let worker = "$(cut -d' ' -f1 /tmp/children)";
            let script = format!(
                "[ -f /tmp/children ] || \
                 cat /proc/$(cat /etc/nginx/dubernetes/nginx.pid)/task/*/children >/tmp/children; \
                 kill -{signal} {worker}"
            );
            let id = ContainerId(fixture.container().into());
            let sent = run_command(&fixture.runtime, &id, &["sh", "-c", &script], None).await;
            assert_eq!(sent.unwrap().code, 0);
        };
        signal("STOP").await;
        let mut named = false;
        ingress.apply(&second).await.unwrap();
        let start = tokio::time::Instant::now();
        while start.elapsed() < BUSY_PERIOD {
            let drained = ingress.drained(left).await.unwrap();
            assert!(!drained.is_yes(), "it may still accept a request");
            if let Drained::No { held_by: Some(why) } = drained {
                assert!(why.ends_with("has not ended: it is stopped (`kill -STOP`)"), "{why}");
                named = true;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        assert!(named, "nothing says what is waited for");
        signal("CONT").await;
        until_drained(&ingress, left).await;
    })
    .await;
}

#[tokio::test]
async fn image_without_tools_serves_and_drains() {
    with_fixture("image_without_tools_serves_and_drains", |fixture| async move {
        let [first, second] = two_tables(&fixture);
        fixture.ingress().apply(&first).await.unwrap();
        let tools = "/bin/busybox /usr/bin/busybox";
        fixture.docker(&format!("exec {} rm -f {tools}", fixture.container())).await;
        let next = fixture.ingress();
        let observed = next.observe().await.unwrap();
        assert_eq!(observed, ObservedIngress::Serving { table: first });
        assert!(next.apply(&second).await.unwrap().changed);
        assert_eq!(next.repair().await.unwrap(), None, "the files are as they were put");
        fixture.assert_served_by("a.test", &fixture.upstreams[1]).await;
        eventually("the address is drained", || async {
            next.drained(fixture.upstreams[0].socket()).await.is_ok_and(|drained| drained.is_yes())
        })
        .await;
    })
    .await;
}
