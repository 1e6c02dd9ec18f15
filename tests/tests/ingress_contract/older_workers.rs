//! What older workers of a real nginx still do, and how many of them there are.

use std::sync::Arc;
use std::time::Duration;

use dubernetes_core::ingress::{Ingress as _, RouteTable};
use dubernetes_tests::websocket::WebSocket;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::rig::{Rig, eventually, route, with_rig};
use crate::table;

/// Longer than an address without any request takes to be drained, at which it was not.
const PATIENCE: Duration = Duration::from_secs(4);

/// `a.test` is answered by one upstream or the other, `ws.test` by the third all the time.
fn tables(rig: &Rig) -> [RouteTable; 2] {
    let ws = route("ws.test", "/", "ws", &rig.upstreams[2..3]);
    [0, 1].map(|at| table(&[&route("a.test", "/", "web", &rig.upstreams[at..=at]), &ws]))
}

async fn answer(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::test]
async fn a_connection_whose_request_is_yet_to_come_holds_up_the_drain_and_no_websocket_does() {
    with_rig("a_connection_whose_request_is_yet_to_come_holds_up_the_drain", |rig| async move {
        let ingress = rig.ingress();
        let [first, second] = tables(&rig);
        ingress.apply(&first).await.unwrap();
        let mut socket = rig.websocket("ws.test").await;
        // Opened ahead, as browsers do, and a head that takes its time.
        let mut unused = rig.connect().await;
        let mut slow = rig.connect().await;
        slow.write_all(b"GET / HTTP/1.1\r\nHost: a.").await.unwrap();
        // Both have been accepted once a later one was answered by each worker.
        for _ in 0..20 {
            rig.answers("a.test", &rig.upstreams[0]).await;
        }
        ingress.apply(&second).await.unwrap();
        let left = rig.upstreams[0].address;
        let start = tokio::time::Instant::now();
        while start.elapsed() < PATIENCE {
            assert!(!ingress.drained(left).await.unwrap(), "after {:?}", start.elapsed());
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        unused.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await.unwrap();
        slow.write_all(b"test\r\n\r\n").await.unwrap();
        let by = format!("Name: {}", rig.upstreams[0].pod);
        for stream in [unused, slow] {
            let answer = answer(stream).await;
            assert!(answer.contains(&by), "it goes where it was always going: {answer}");
        }
        eventually("it is drained", || async { ingress.drained(left).await.unwrap() }).await;
        socket.echo("the websocket is still there").await.unwrap();
        assert!(rig.workers().await > 2, "and so is its worker");
    })
    .await;
}

#[tokio::test]
async fn a_slow_upload_holds_up_its_own_replica_alone() {
    with_rig("a_slow_upload_holds_up_its_own_replica_alone", |rig| async move {
        let ingress = rig.ingress();
        let [first, second] = tables(&rig);
        ingress.apply(&first).await.unwrap();
        let upload = async |host: &str| {
            let mut stream = rig.connect().await;
            let head = format!("POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1000\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(&[b'x'; 400]).await.unwrap();
            stream
        };
        let mut own = upload("a.test").await;
        let mut other = upload("ws.test").await;
        let [left, next, busy] = [0, 1, 2].map(|at| rig.upstreams[at].address);
        for address in [left, busy] {
            eventually("the upload is passed on", || rig.is_connected(address)).await;
        }
        ingress.apply(&second).await.unwrap();
        let start = tokio::time::Instant::now();
        while start.elapsed() < PATIENCE {
            assert!(!ingress.drained(left).await.unwrap(), "after {:?}", start.elapsed());
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        own.write_all(&[b'x'; 600]).await.unwrap();
        let said = answer(own).await;
        assert!(
            said.contains("BodyLength: 1000") && said.contains(&rig.upstreams[0].pod),
            "{said}"
        );
        eventually("it is drained", || async { ingress.drained(left).await.unwrap() }).await;

        // The other app's upload goes on and makes nobody wait.
        ingress.apply(&first).await.unwrap();
        eventually("it is drained", || async { ingress.drained(next).await.unwrap() }).await;
        assert!(rig.is_connected(busy).await);
        other.write_all(&[b'x'; 600]).await.unwrap();
        assert!(answer(other).await.contains("BodyLength: 1000"));
    })
    .await;
}

#[tokio::test]
async fn an_upload_whose_first_upstream_refuses_goes_to_the_next() {
    with_rig("an_upload_whose_first_upstream_refuses_goes_to_the_next", |rig| async move {
        let ingress = rig.ingress();
        let mut endpoints = rig.upstreams[..2].to_vec();
        endpoints[0].port = 9; // Nobody listens there.
        ingress.apply(&table(&[&route("a.test", "/", "web", &endpoints)])).await.unwrap();
        for _ in 0..6 {
            let mut stream = rig.connect().await;
            let head = b"POST / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\nContent-Length: 8\r\n\r\nhalf";
            stream.write_all(head).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
            stream.write_all(b"half").await.unwrap();
            let said = answer(stream).await;
            assert!(said.contains("BodyLength: 8"), "{said}");
        }
    })
    .await;
}

/// So many websockets are opened before the first change and stay.
const EARLY: usize = 20;

async fn all_echo(sockets: &mut [WebSocket]) -> usize {
    let mut alive = 0;
    for socket in sockets {
        alive += usize::from(socket.echo("alive?").await.is_ok());
    }
    alive
}

#[tokio::test]
async fn websockets_outlive_a_hundred_changes_and_the_memory_is_bounded() {
    with_rig("websockets_outlive_a_hundred_changes", |rig| async move {
        let ingress = Arc::new(rig.ingress());
        let tables = tables(&rig);
        ingress.apply(&tables[1]).await.unwrap();
        eventually("older workers are gone", || async { rig.workers().await == 2 }).await;
        let alone = rig.memory().await;
        let mut early = Vec::new();
        for _ in 0..EARLY {
            early.push(rig.websocket("ws.test").await);
        }
        let change = async |number: usize| {
            assert!(ingress.apply(&tables[number % 2]).await.unwrap().changed);
        };
        // What is there before a row of changes is in one generation of workers.
        for number in 0..20 {
            change(number).await;
        }
        assert_eq!(all_echo(&mut early).await, EARLY);
        eventually("one older generation lives", || async { rig.workers().await <= 4 }).await;
        let with_early = rig.memory().await;
        // One that comes between two changes keeps a worker of its own.
        let mut late = Vec::new();
        for number in 20..100 {
            late.push(rig.websocket("ws.test").await);
            change(number).await;
        }
        assert_eq!(all_echo(&mut early).await, EARLY, "those with most connections end last");
        // 64 older workers, two of them with the early ones, and the two that serve; fewer if one
        // worker got two of the late ones.
        eventually("the oldest are gone", || async { rig.workers().await <= 66 }).await;
        let late_alive = all_echo(&mut late).await;
        let (workers, with_late) = (rig.workers().await, rig.memory().await);
        let seen = format!(
            " {alone} alone, {with_early} with {EARLY} websockets and 20 changes, \
             {with_late} with {late_alive} late ones in {workers} workers"
        );
        rig.report(&seen).await;
        assert!(with_early <= 2 * alone, "{seen}");
        assert!((50..=66).contains(&workers) && (50..80).contains(&late_alive), "{seen}");
        assert!(with_late <= 256 << 20, "{seen}");
    })
    .await;
}
