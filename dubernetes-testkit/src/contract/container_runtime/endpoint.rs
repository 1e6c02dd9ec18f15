//! Endpoints: a listener in a container is reachable from this process.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use dubernetes_core::runtime::{ContainerId, OpenPorts};

use super::harness::{ContractHarness, GRACE, POLL_INTERVAL, PORT, must, within_patience, words};

/// Serves a page in a container, and reads the page from the container's address.
pub(super) async fn listener_is_reachable(harness: &ContractHarness<'_>) {
    let mut request = harness.request("endpoint");
    request.command =
        words(&["sh", "-c", "echo contract > /index.html && exec httpd -f -p 80 -h /"]);
    let id = harness.start(&request).await;
    let endpoint = wait_for_endpoint(harness, &id).await;
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
    let closed = SocketAddr::new(endpoint.ip(), 81);
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

/// Starts two containers, and looks at their endpoints from creation to stop.
pub(super) async fn running_container_has_an_endpoint(harness: &ContractHarness<'_>) {
    let (first, second) = (harness.request("endpoint-1"), harness.request("endpoint-2"));
    let planned = first.network.as_ref().and_then(|network| network.address);
    let created = harness.create(&first).await;
    let endpoint = harness.inspect(&created).await.endpoint;
    assert_eq!(endpoint, None, "a container that does not run has no endpoint");
    must("start a container", harness.runtime.start(&created).await);
    let endpoint = wait_for_endpoint(harness, &created).await;
    if let Some(address) = planned {
        let expected = SocketAddr::new(address, PORT);
        assert_eq!(endpoint, expected, "the endpoint is the planned address and the port");
    }
    let other = harness.start(&second).await;
    let other_endpoint = wait_for_endpoint(harness, &other).await;
    assert_ne!(endpoint, other_endpoint, "no two running containers have one endpoint");
    let again = harness.inspect(&created).await.endpoint;
    assert_eq!(again, Some(endpoint), "an endpoint stays the same while a container runs");
    must("stop a container", harness.runtime.stop(&created, None, GRACE).await);
    let stopped = harness.inspect(&created).await.endpoint;
    assert_eq!(stopped, None, "a stopped container has no endpoint");
    harness.remove(&created).await;
    harness.remove(&other).await;
}

async fn wait_for_endpoint(harness: &ContractHarness<'_>, id: &ContainerId) -> SocketAddr {
    let observed = async {
        loop {
            if let Some(endpoint) = harness.inspect(id).await.endpoint {
                return endpoint;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    };
    within_patience("the endpoint of a running container", observed, || "none".to_owned()).await
}
