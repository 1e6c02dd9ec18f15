//! Ports of the host that lead to containers.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use dubernetes_core::app::Transport;
use dubernetes_core::runtime::{ContainerRequest, PublishedPort};

use super::harness::{
    ContractHarness, GRACE, POLL_INTERVAL, PORT, is_rejected, is_running, must, must_fail,
    within_patience, words,
};

const HOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Starts containers with the same port, with that of another transport, and of another address.
pub(super) async fn port_of_the_host_has_one_owner(harness: &ContractHarness<'_>) {
    let number = free_port();
    let request = |name: &str, host: [u8; 4], transport| -> ContainerRequest {
        let port = PublishedPort {
            host_ip: host.into(),
            host_port: number,
            container_port: PORT,
            transport,
        };
        ContainerRequest { ports: vec![port], ..harness.request(name) }
    };
    for transport in [Transport::Tcp, Transport::Udp] {
        let first = harness.start(&request("port-first", [127, 0, 0, 1], transport)).await;
        let second = harness.create(&request("port-second", [127, 0, 0, 1], transport)).await;
        let refused = harness.runtime.start(&second).await;
        must_fail("a port of the host has one owner", refused, is_rejected);
        let state = harness.inspect(&second).await.state;
        assert!(!is_running(&state), "a container without its port does not run; seen: {state:?}");
        let other = harness.start(&request("port-other", [127, 0, 0, 2], transport)).await;
        must("stop a container", harness.runtime.stop(&first, None, GRACE).await);
        harness.remove(&second).await;
        let again = harness.start(&request("port-second", [127, 0, 0, 1], transport)).await;
        for id in [&first, &again, &other] {
            harness.remove(id).await;
        }
    }
    let tcp = harness.start(&request("port-tcp", [127, 0, 0, 1], Transport::Tcp)).await;
    let udp = harness.start(&request("port-udp", [127, 0, 0, 1], Transport::Udp)).await;
    harness.remove(&tcp).await;
    harness.remove(&udp).await;
}

/// Serves a page in a container, and reads it from the port of the host.
pub(super) async fn published_port_leads_to_the_listener(harness: &ContractHarness<'_>) {
    let host = SocketAddr::new(HOST, free_port());
    let port = PublishedPort {
        host_ip: host.ip(),
        host_port: host.port(),
        container_port: PORT,
        transport: Transport::Tcp,
    };
    let serve = ["sh", "-c", "echo published > /index.html && exec httpd -f -p 80 -h /"];
    let request = ContainerRequest {
        command: words(&serve),
        ports: vec![port],
        ..harness.request("published")
    };
    let id = harness.start(&request).await;
    let answer = async {
        loop {
            if let Some(text) = read_page(host).await.filter(|text| text.contains(" 200 OK")) {
                return text;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    };
    let answer =
        within_patience("an answer at a published port", answer, || host.to_string()).await;
    assert!(answer.ends_with("published\n"), "the container answers; seen: {answer:?}");
    let other = SocketAddr::new(Ipv4Addr::new(127, 0, 0, 2).into(), host.port());
    let refused = TcpStream::connect(other).await;
    assert!(refused.is_err(), "a port is published at its own address alone");
    harness.remove(&id).await;
    let closed = TcpStream::connect(host).await;
    assert!(closed.is_err(), "a removed container publishes nothing");
}

async fn read_page(host: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect(host).await.ok()?;
    stream.write_all(b"GET /index.html HTTP/1.0\r\n\r\n").await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    Some(answer)
}

/// Returns a port without a listener, below those that the kernel gives to connections.
#[track_caller]
fn free_port() -> u16 {
    let first = 21_000 + u16::try_from(std::process::id() % 8_000).unwrap_or(0);
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port)).is_ok();
    let free = (first..first + 1_000).find(is_free);
    assert!(free.is_some(), "no port of the host is free");
    free.unwrap_or_default()
}
