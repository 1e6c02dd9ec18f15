//! Limits of the socket: number of connections, and time of a request.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "support/api.rs"]
mod api;
#[path = "support/served.rs"]
mod served;

use std::time::Duration;

use served::{Served, soon};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::Instant;

const HEALTH: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";

async fn read(stream: &mut UnixStream) -> String {
    let mut buffer = [0; 4096];
    let read = soon(stream.read(&mut buffer)).await.unwrap();
    String::from_utf8_lossy(&buffer[..read]).into_owned()
}

/// Sends the start of a request, and returns the response with the time until it came.
async fn unfinished(text: &str) -> (String, Duration) {
    let served = Served::start();
    let mut stream = UnixStream::connect(&served.socket).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let start = Instant::now();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    (String::from_utf8(answer).unwrap(), start.elapsed())
}

#[tokio::test(start_paused = true)]
async fn incomplete_head_times_out_after_10_s() {
    let (answer, after) = unfinished("GET /healthz HTTP/1.1\r\nHost: x\r\n").await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!((10..15).contains(&after.as_secs()), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn incomplete_body_times_out_after_30_s() {
    let head = "PUT /v1/apps/web HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                Content-Length: 100\r\nConnection: close\r\n\r\n{";
    let (answer, after) = unfinished(head).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(answer.contains("the body took longer than 30s"), "{answer}");
    assert!((30..45).contains(&after.as_secs()), "{after:?}");
}

#[tokio::test]
async fn connections_above_limit_wait_for_a_permit() {
    let served = Served::start();
    let mut open = Vec::new();
    for _ in 0..256 {
        let mut stream = UnixStream::connect(&served.socket).await.unwrap();
        stream.write_all(HEALTH).await.unwrap();
        assert!(read(&mut stream).await.starts_with("HTTP/1.1 200"));
        open.push(stream);
    }
    let mut late = UnixStream::connect(&served.socket).await.unwrap();
    late.write_all(HEALTH).await.unwrap();
    let none = tokio::time::timeout(Duration::from_millis(300), late.readable()).await;
    assert!(none.is_err(), "no permit is free");
    open.pop();
    assert!(read(&mut late).await.contains(" 200"), "a permit is free");
}
