//! Endpoints: what listens in a container is reachable from this process.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use dubernetes_core::runtime::OpenPorts;

use super::bench::{ContractHarness, in_time};
use super::watching::words;

/// Serves a page in a container, and reads it from its address.
pub(super) async fn reachable_endpoint(bench: &ContractHarness<'_>) {
    let mut request = bench.request("endpoint");
    request.command =
        words(&["sh", "-c", "echo contract > /index.html && exec httpd -f -p 80 -h /"]);
    let endpoint = SocketAddr::from((request.address, 80));
    let id = bench.running(&request).await;
    let stream = in_time("a listener to accept connections", async {
        loop {
            match TcpStream::connect(endpoint).await {
                Ok(stream) => return stream,
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
            }
        }
    });
    let mut stream = stream.await;
    let sent = stream.write_all(b"GET /index.html HTTP/1.0\r\n\r\n").await;
    assert!(sent.is_ok(), "a request is sent, unlike {sent:?}");
    let mut answer = String::new();
    let read = in_time("the end of a response", stream.read_to_string(&mut answer)).await;
    assert!(
        read.is_ok() && answer.contains(" 200 OK\r\n") && answer.ends_with("contract\n"),
        "the response comes from the container, unlike {answer:?}"
    );
    let closed = SocketAddr::from((request.address, 81));
    let refused = TcpStream::connect(closed).await;
    assert!(refused.is_err(), "a port without a listener refuses connections");
    match bench.runtime.open_ports(&id, closed).await {
        OpenPorts::Listening { open, .. } => {
            assert!(open.contains(&80), "the open port is listed, unlike {open:?}");
        }
        OpenPorts::Exposed(_) | OpenPorts::Unknown => {}
    }
    bench.remove(&id).await;
}
