//! Endpoints: a listener in a container is reachable from this process.

use std::net::SocketAddr;

use tokio::net::TcpStream;

use dubernetes_core::runtime::{ContainerId, OpenPorts};

use super::harness::{ContractHarness, GRACE, POLL_INTERVAL, PORT, must, within_patience};
use super::ports::{read_page, serve};

/// Serves a page in a container, and reads the page from the container's endpoint.
pub(super) async fn listener_is_reachable(harness: &ContractHarness<'_>) {
    let id = harness.start(&serve(harness, "endpoint", "contract")).await;
    let endpoint = wait_for_endpoint(harness, &id).await;
    let answer = read_page(endpoint).await;
    assert!(answer.ends_with("contract\n"), "the container answers; seen: {answer:?}");
    if harness.network.is_some() {
        let closed = SocketAddr::new(endpoint.ip(), 81);
        let refused = TcpStream::connect(closed).await;
        assert!(refused.is_err(), "a port without a listener refuses connections");
        match harness.runtime.open_ports(&id, closed).await {
            OpenPorts::Listening { open, .. } => {
                assert!(open.contains(&PORT), "the open port is listed; seen: {open:?}");
            }
            OpenPorts::Exposed(_) | OpenPorts::Unknown => {}
        }
    }
    harness.remove(&id).await;
}

/// Looks at the endpoint of a container from its creation to its stop.
pub(super) async fn running_container_has_an_endpoint(harness: &ContractHarness<'_>) {
    let request = harness.request("endpoint");
    let planned = request.network.as_ref().and_then(|network| network.address);
    let id = harness.create(&request).await;
    let endpoint = harness.inspect(&id).await.endpoint;
    assert_eq!(endpoint, None, "a container that does not run has no endpoint");
    must("start a container", harness.runtime.start(&id).await);
    let endpoint = wait_for_endpoint(harness, &id).await;
    if let Some(address) = planned {
        let expected = SocketAddr::new(address, PORT);
        assert_eq!(endpoint, expected, "the endpoint is the planned address and the port");
    }
    let again = harness.inspect(&id).await.endpoint;
    assert_eq!(again, Some(endpoint), "an endpoint stays the same while a container runs");
    harness.stop(&id, None, GRACE).await;
    let stopped = harness.inspect(&id).await.endpoint;
    assert_eq!(stopped, None, "a stopped container has no endpoint");
    harness.remove(&id).await;
}

pub(super) async fn endpoints_differ(harness: &ContractHarness<'_>) {
    let mut ids = Vec::new();
    let mut endpoints = Vec::new();
    for name in ["endpoint-1", "endpoint-2", "endpoint-3"] {
        let id = harness.start(&harness.request(name)).await;
        let endpoint = wait_for_endpoint(harness, &id).await;
        assert!(!endpoints.contains(&endpoint), "{endpoint} is one of {endpoints:?}");
        endpoints.push(endpoint);
        ids.push(id);
    }
    for id in &ids {
        harness.remove(id).await;
    }
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
