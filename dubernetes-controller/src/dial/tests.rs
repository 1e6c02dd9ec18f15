//! Probes of listeners in this process.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use std::net::Ipv4Addr;

use super::*;

const LOCAL: Ipv4Addr = Ipv4Addr::LOCALHOST;

async fn probe(port: u16, probe: Probe, millis: u64) -> ProbeAnswer {
    TcpDialer::default().probe((LOCAL, port).into(), &probe, Span::from_millis(millis)).await
}

/// Answers one request with these bytes, and holds the connection open if `hold` is set.
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

fn http() -> Probe {
    Probe::Http { host: None, path: "/health?x=1".into() }
}

#[track_caller]
fn check(answer: &ProbeAnswer, reason: &str) {
    assert_eq!(*answer, ProbeAnswer::Failed { reason: reason.to_owned() });
}

#[tokio::test]
async fn listener_accepts_tcp_probe() {
    let listener = TcpListener::bind((LOCAL, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    assert_eq!(probe(port, Probe::Tcp, 2000).await, ProbeAnswer::Connected);
    drop(listener);
    let refused = ProbeAnswer::Refused { port, open: OpenPorts::Unknown };
    assert_eq!(probe(port, Probe::Tcp, 2000).await, refused);
    assert_eq!(probe(port, http(), 2000).await, refused);
}

#[tokio::test]
async fn http_probe_returns_status_and_body() {
    let (port, served) = serve(b"HTTP/1.1 503 No\r\nContent-Length: 4\r\n\r\ndown", true).await;
    let answer = probe(port, http(), 2000).await;
    assert_eq!(answer, ProbeAnswer::Http { status: 503, body: "down".into() });
    let request = served.await.unwrap().to_lowercase();
    assert!(request.starts_with("get /health?x=1 http/1.1\r\n"), "{request}");
    assert!(request.contains("host: 127.0.0.1\r\n"), "{request}");
    assert!(request.contains("connection: close\r\n"), "{request}");
}

#[tokio::test]
async fn chunked_body_is_joined() {
    let chunks =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n";
    let (port, _served) = serve(chunks, false).await;
    let answer = probe(port, http(), 2000).await;
    assert_eq!(answer, ProbeAnswer::Http { status: 200, body: "abc".into() });
}

#[tokio::test]
async fn endless_body_is_truncated() {
    let (port, _served) = serve(b"HTTP/1.1 200 OK\r\n\r\nfirst", true).await;
    let answer = probe(port, http(), 2000).await;
    assert_eq!(answer, ProbeAnswer::Http { status: 200, body: "first".into() });
}

#[tokio::test]
async fn silence_nonsense_and_hang_up_have_their_own_reasons() {
    let (port, _served) = serve(b"", true).await;
    let silent = format!("port {port}: no answer within 100ms");
    check(&probe(port, http(), 100).await, &silent);
    let (port, _served) = serve(b"SSH-2.0-whatever\r\n\r\n", false).await;
    check(&probe(port, http(), 2000).await, "the answer is not HTTP");
    let (port, _served) = serve(b"", false).await;
    check(&probe(port, http(), 2000).await, "closed without an answer");
}

#[tokio::test]
async fn illegal_path_is_not_sent() {
    let bad = Probe::Http { host: None, path: "/a b\r\nx: y".into() };
    let ProbeAnswer::Failed { reason } = probe(1, bad, 2000).await else { panic!("it was sent") };
    assert!(reason.ends_with("is not a path"), "{reason}");
}
