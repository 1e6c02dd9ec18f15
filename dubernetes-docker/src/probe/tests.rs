//! Probes against listeners of this process.

use dubernetes_core::app;
use dubernetes_core::runtime::ContainerId;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

const LOCAL: Ipv4Addr = Ipv4Addr::LOCALHOST;

async fn probe(probe: Probe, millis: u64) -> ProbeAnswer {
    let id = ContainerId("c".into());
    let timeout = app::Duration::from_millis(millis);
    let open = async || OpenPorts::Exposed([7].into());
    send(&ProbeTarget { id, address: LOCAL, probe, timeout }, open).await
}

/// Answers one connection with these bytes once a request has come, and holds it open if told to.
async fn serve(answer: &'static [u8], hold: bool) -> (u16, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind((LOCAL, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let byte = stream.read_u8().await.unwrap();
            request.push(byte);
        }
        stream.write_all(answer).await.unwrap();
        if hold {
            // Until the probe hangs up.
            let _ = stream.read_u8().await;
        }
        String::from_utf8(request).unwrap()
    });
    (port, served)
}

fn http(port: u16) -> Probe {
    Probe::Http { port, path: "/health?x=1".into() }
}

#[track_caller]
fn check(answer: &ProbeAnswer, reason: &str) {
    assert_eq!(*answer, ProbeAnswer::Failed { reason: reason.to_owned() });
}

#[tokio::test]
async fn a_listener_is_enough_for_a_connection() {
    let listener = TcpListener::bind((LOCAL, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    assert_eq!(probe(Probe::Tcp { port }, 2000).await, ProbeAnswer::Connected);
    drop(listener);
    let refused = ProbeAnswer::Refused { port, open: OpenPorts::Exposed([7].into()) };
    assert_eq!(probe(Probe::Tcp { port }, 2000).await, refused);
    assert_eq!(probe(http(port), 2000).await, refused);
}

#[tokio::test]
async fn status_and_body_come_back_and_the_request_is_plain() {
    let (port, served) = serve(b"HTTP/1.1 503 No\r\nContent-Length: 4\r\n\r\ndown", true).await;
    let answer = probe(http(port), 2000).await;
    assert_eq!(answer, ProbeAnswer::Http { status: 503, body: "down".into() });
    let request = served.await.unwrap().to_lowercase();
    assert!(request.starts_with("get /health?x=1 http/1.1\r\n"), "{request}");
    assert!(request.contains("host: 127.0.0.1\r\n"), "{request}");
    assert!(request.contains("connection: close\r\n"), "{request}");
}

#[tokio::test]
async fn a_body_in_chunks_is_put_together() {
    let chunks =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n";
    let (port, _served) = serve(chunks, false).await;
    let answer = probe(http(port), 2000).await;
    assert_eq!(answer, ProbeAnswer::Http { status: 200, body: "abc".into() });
}

#[tokio::test]
async fn a_body_without_an_end_is_cut_and_still_an_answer() {
    let (port, _served) = serve(b"HTTP/1.1 200 OK\r\n\r\nfirst", true).await;
    let answer = probe(http(port), 2000).await;
    assert_eq!(answer, ProbeAnswer::Http { status: 200, body: "first".into() });
}

#[tokio::test]
async fn silence_is_told_from_nonsense_and_from_hanging_up() {
    let (port, _served) = serve(b"", true).await;
    let silent = format!("port {port}: no answer within 100ms");
    check(&probe(http(port), 100).await, &silent);
    let (port, _served) = serve(b"SSH-2.0-whatever\r\n\r\n", false).await;
    check(&probe(http(port), 2000).await, "the answer is not HTTP");
    let (port, _served) = serve(b"", false).await;
    check(&probe(http(port), 2000).await, "closed without an answer");
}

#[tokio::test]
async fn a_path_that_cannot_be_sent_is_not_sent() {
    let bad = Probe::Http { port: 1, path: "/a b\r\nx: y".into() };
    let ProbeAnswer::Failed { reason } = probe(bad, 2000).await else { panic!("it was sent") };
    assert!(reason.ends_with("is not a path"), "{reason}");
}
