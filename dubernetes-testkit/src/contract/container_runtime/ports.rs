//! Ports of the host that lead to containers, and web servers in containers.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use dubernetes_core::app::Transport;
use dubernetes_core::runtime::{ContainerRequest, PublishedPort};

use super::harness::{
    ContractHarness, GRACE, PATIENCE, POLL_INTERVAL, PORT, is_rejected, is_running, must_fail,
};

const HOST: Ipv4Addr = Ipv4Addr::LOCALHOST;
const OTHER_HOST: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Returns a request that publishes a port.
fn publish(
    request: ContainerRequest,
    host: (Ipv4Addr, u16),
    transport: Transport,
) -> ContainerRequest {
    let port = PublishedPort {
        host_ip: IpAddr::V4(host.0),
        host_port: host.1,
        container_port: PORT,
        transport,
    };
    ContainerRequest { ports: vec![port], ..request }
}

pub(super) async fn port_of_the_host_has_one_owner(harness: &ContractHarness<'_>) {
    let host = (HOST, free_port());
    for transport in [Transport::Tcp, Transport::Udp] {
        let request = |name| publish(harness.request(name), host, transport);
        let first = harness.start(&request("port-first")).await;
        let second = harness.create(&request("port-second")).await;
        let refused = harness.runtime.start(&second).await;
        must_fail("a port of the host has one owner", refused, is_rejected);
        let state = harness.inspect(&second).await.state;
        assert!(!is_running(&state), "a container without its port does not run; seen: {state:?}");
        harness.remove(&second).await;
        harness.stop(&first, None, GRACE).await;
        let again = harness.start(&request("port-second")).await;
        for id in [&first, &again] {
            harness.remove(id).await;
        }
    }
}

pub(super) async fn ports_of_addresses_and_transports_are_apart(harness: &ContractHarness<'_>) {
    let port = free_port();
    let mut ids = Vec::new();
    for (name, address, transport) in [
        ("port-tcp", HOST, Transport::Tcp),
        ("port-udp", HOST, Transport::Udp),
        ("port-other", OTHER_HOST, Transport::Tcp),
    ] {
        let request = publish(harness.request(name), (address, port), transport);
        ids.push(harness.start(&request).await);
    }
    for id in &ids {
        harness.remove(id).await;
    }
}

/// Returns a request for a web server with one page.
pub(super) fn serve(harness: &ContractHarness<'_>, name: &str, page: &str) -> ContainerRequest {
    let Some(server) = &harness.facts.web_server else { panic!("the facts have a web server") };
    let folder = harness.path(&format!("{name}-pages"));
    let page = format!("mkdir -p {folder}; echo {page} >{folder}/index.html");
    harness.script(name, &format!("{page}; exec {server} {folder}"))
}

/// Reads the page of a web server, once there is one.
pub(super) async fn read_page(address: SocketAddr) -> String {
    let limit = tokio::time::Instant::now() + PATIENCE;
    loop {
        let answer = request_page(address).await;
        if matches!(&answer, Ok(answer) if answer.contains(" 200 OK")) {
            return answer.unwrap_or_default();
        }
        let is_over = tokio::time::Instant::now() >= limit;
        assert!(!is_over, "{address} answers within {PATIENCE:?}; seen: {answer:?}");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

async fn request_page(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /index.html HTTP/1.0\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// Serves a page in a container, and reads it from the port of the host.
pub(super) async fn published_port_leads_to_the_listener(harness: &ContractHarness<'_>) {
    let host = (HOST, free_port());
    let request = publish(serve(harness, "published", "published"), host, Transport::Tcp);
    let id = harness.start(&request).await;
    let answer = read_page(host.into()).await;
    assert!(answer.ends_with("published\n"), "the container answers; seen: {answer:?}");
    let refused = TcpStream::connect((OTHER_HOST, host.1)).await;
    assert!(refused.is_err(), "a port is published at its own address alone");
    harness.remove(&id).await;
    let closed = TcpStream::connect(host).await;
    assert!(closed.is_err(), "a removed container publishes nothing");
}

/// Returns a port without a listener, below those that the kernel gives to connections, which no
/// other check of this process has got.
#[track_caller]
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 21_000 + u16::try_from(std::process::id() % 8_000).unwrap_or(0);
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port)).is_ok();
    let mut ports = (0..1_000).map(|_| first + NEXT.fetch_add(1, Ordering::Relaxed) % 1_000);
    let free = ports.find(is_free);
    assert!(free.is_some(), "no port of the host is free");
    free.unwrap_or_default()
}
