//! Ports of the host.

use std::slice::from_ref;

use dubernetes_core::ingress::{Endpoint, HostPort, Listener, PortSupport, Protocol, RouteTable};

use super::{IngressSubject, PATIENCE, POLL_INTERVAL, is_by, single};

fn host_port(subject: &IngressSubject) -> HostPort {
    let Some(port) = subject.world.host_port() else { panic!("the world has a free port") };
    port
}

/// Returns a table with one route and one published port.
fn with_port(subject: &IngressSubject, endpoints: &[Endpoint]) -> RouteTable {
    let port = host_port(subject);
    let listener = Listener {
        app: port.app.clone(),
        address: port.address,
        port: port.mapping.port,
        protocol: Protocol::Tcp,
        endpoints: endpoints.to_vec(),
        keepalive: false,
        buffer_requests: false,
    };
    let (listeners, ports) = (vec![listener], vec![port]);
    RouteTable { listeners, ports, ..single(&subject.upstreams()[..1]) }
}

pub(super) async fn published_port_leads_to_its_app(subject: &IngressSubject) {
    for upstream in &subject.upstreams()[..2] {
        subject.apply(&with_port(subject, from_ref(upstream))).await;
        let support = subject.ingress.port_support().await;
        assert!(
            matches!(support, Ok(PortSupport::Supported)),
            "an ingress that publishes ports says so; seen: {support:?}"
        );
        wait_for_answer(subject, upstream).await;
    }
}

pub(super) async fn port_left_out_is_free(subject: &IngressSubject) {
    let [first, ..] = &subject.upstreams();
    let port = host_port(subject).mapping;
    subject.apply(&with_port(subject, from_ref(first))).await;
    wait_for_answer(subject, first).await;
    subject.apply(&single(from_ref(first))).await;
    let answer = subject.world.get_at(port.host()).await;
    assert!(answer.is_err(), "a port that left the table does not answer; seen: {answer:?}");
    let taken = subject.ingress.taken_port(&port).await;
    assert_eq!(taken, None, "a port that left the table is free");
}

/// Waits until the upstream answers at the port of the host.
async fn wait_for_answer(subject: &IngressSubject, upstream: &Endpoint) {
    let host = host_port(subject).mapping.host();
    let limit = tokio::time::Instant::now() + PATIENCE;
    loop {
        let answer = subject.world.get_at(host).await;
        if matches!(&answer, Ok((200, body)) if is_by(body, upstream)) {
            return;
        }
        let is_over = tokio::time::Instant::now() >= limit;
        assert!(!is_over, "{} answers at the port {host}; seen: {answer:?}", upstream.pod);
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}
