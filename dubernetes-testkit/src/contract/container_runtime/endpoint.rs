//! Endpoints: a listener in a container is reachable from this process.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use dubernetes_core::runtime::OpenPorts;

use super::harness::{ContractHarness, POLL_INTERVAL, within_patience, words};

/// Serves a page in a container, and reads the page from the container's address.
pub(super) async fn listener_is_reachable(harness: &ContractHarness<'_>) {
    let mut request = harness.request("endpoint");
    request.command =
        words(&["sh", "-c", "echo contract > /index.html && exec httpd -f -p 80 -h /"]);
    let endpoint = SocketAddr::from((request.address, 80));
    let id = harness.start(&request).await;
    let mut refusal = String::new();
    let connected = async {
        loop {
            match TcpStream::connect(endpoint).await {
                Ok(stream) => return stream,
                Err(error) => refusal = error.to_string(),
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    };
    let connected = tokio::time::timeout(super::harness::PATIENCE, connected).await;
    let Ok(mut stream) = connected else {
        panic!("`httpd` in a container accepts connections at {endpoint}; seen: {refusal}")
    };
    let sent = stream.write_all(b"GET /index.html HTTP/1.0\r\n\r\n").await;
    assert!(sent.is_ok(), "a request is sent; seen: {sent:?}");
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    let read = within_patience("the end of a response", read, String::new).await;
    assert!(
        read.is_ok() && answer.contains(" 200 OK\r\n") && answer.ends_with("contract\n"),
        "the response comes from the container; seen: {answer:?}"
    );
    let closed = SocketAddr::from((request.address, 81));
    let refused = TcpStream::connect(closed).await;
    assert!(refused.is_err(), "a port without a listener refuses connections");
    match harness.runtime.open_ports(&id, closed).await {
        OpenPorts::Listening { open, .. } => {
            assert!(open.contains(&80), "the open port is listed; seen: {open:?}");
        }
        OpenPorts::Exposed(_) | OpenPorts::Unknown => {}
    }
    harness.remove(&id).await;
}
