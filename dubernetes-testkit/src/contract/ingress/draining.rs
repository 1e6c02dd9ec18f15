//! When an address may be stopped.

use std::net::SocketAddr;
use std::slice::from_ref;

use dubernetes_core::ingress::Drained;

use super::{IngressSubject, PATIENCE, POLL_INTERVAL, is_by, single};

impl IngressSubject {
    async fn is_drained(&self, address: SocketAddr) -> bool {
        match self.ingress.drained(address).await {
            Ok(drained) => drained == Drained::Yes,
            Err(error) => panic!("`drained` answers while the ingress runs; seen: {error:?}"),
        }
    }

    async fn wait_for_drain(&self, address: SocketAddr) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !self.is_drained(address).await {
            assert!(
                tokio::time::Instant::now() < deadline,
                "an address without requests in flight is drained within {PATIENCE:?}"
            );
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

pub(super) async fn routed_address_is_not_drained(subject: &IngressSubject) {
    let upstreams = subject.upstreams();
    subject.apply(&single(&upstreams[..2])).await;
    for upstream in &upstreams[..2] {
        let is_drained = subject.is_drained(upstream.socket()).await;
        assert!(!is_drained, "{} is routed, and not drained", upstream.pod);
    }
}

pub(super) async fn removed_address_gets_no_request(subject: &IngressSubject) {
    let [left, rest @ ..] = &subject.upstreams();
    subject.apply(&single(&subject.upstreams())).await;
    subject.apply(&single(rest)).await;
    let reached = subject.reached(12).await;
    assert!(!reached.contains(&left.socket()), "seen: {reached:?}");
}

pub(super) async fn removed_address_is_drained(subject: &IngressSubject) {
    let [left, rest @ ..] = &subject.upstreams();
    subject.apply(&single(&subject.upstreams())).await;
    subject.reached(6).await;
    subject.apply(&single(rest)).await;
    subject.wait_for_drain(left.socket()).await;
    assert!(!subject.is_drained(rest[0].socket()).await, "a routed address is not drained");
}

pub(super) async fn address_that_returns_is_not_drained(subject: &IngressSubject) {
    let upstreams = subject.upstreams();
    subject.apply(&single(&upstreams[..1])).await;
    subject.apply(&single(&upstreams[1..2])).await;
    subject.apply(&single(&upstreams[..2])).await;
    let is_drained = subject.is_drained(upstreams[0].socket()).await;
    assert!(!is_drained, "an address that is routed again is not drained");
}

pub(super) async fn request_in_flight_delays_drain(subject: &IngressSubject) {
    let [left, next, _] = &subject.upstreams();
    subject.apply(&single(from_ref(left))).await;
    let request = tokio::spawn(subject.world.begin_slow_request("a.test").await);
    subject.apply(&single(from_ref(next))).await;
    let mut asked = 0;
    while !request.is_finished() {
        let is_early = subject.is_drained(left.socket()).await && !request.is_finished();
        assert!(!is_early, "an address with a request in flight is not drained");
        asked += 1;
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    assert!(asked > 0, "the slow request outlives the apply: let its upstream answer later");
    subject.wait_for_drain(left.socket()).await;
}

pub(super) async fn request_in_flight_is_answered(subject: &IngressSubject) {
    let [left, next, _] = &subject.upstreams();
    subject.apply(&single(from_ref(left))).await;
    let request = tokio::spawn(subject.world.begin_slow_request("a.test").await);
    subject.apply(&single(from_ref(next))).await;
    subject.expect("a.test", "/", next).await;
    let answer = request.await;
    let is_answered = matches!(&answer, Ok(Ok((200, body))) if is_by(body, left));
    assert!(is_answered, "the request is answered by {}; seen: {answer:?}", left.pod);
}
