//! Which endpoint of a route gets a request.

use std::slice::from_ref;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use dubernetes_core::ingress::Endpoint;

use super::{IngressSubject, Request, is_by, single};

pub(super) async fn endpoints_share_requests(subject: &IngressSubject) {
    let upstreams = subject.upstreams();
    subject.apply(&single(&upstreams)).await;
    let reached = subject.reached(12).await;
    let expected = upstreams.iter().map(Endpoint::socket).collect();
    assert_eq!(reached, expected, "twelve requests reach each of three endpoints");
}

fn dead_endpoint(subject: &IngressSubject) -> Endpoint {
    let Some(dead) = subject.world.dead_endpoint() else { panic!("the world has a dead endpoint") };
    dead
}

pub(super) async fn dead_endpoint_is_skipped(subject: &IngressSubject) {
    let [living, ..] = subject.upstreams();
    subject.apply(&single(&[dead_endpoint(subject), living.clone()])).await;
    for _ in 0..6 {
        subject.expect("a.test", "/", &living).await;
        let answer = subject.world.send(&Request::post("a.test", Bytes::from("text"))).await;
        let is_answered = matches!(&answer, Ok((200, body)) if is_by(body, &living));
        assert!(is_answered, "a POST that no endpoint took is passed on; seen: {answer:?}");
    }
}

pub(super) async fn dead_endpoints_alone_answer_an_error(subject: &IngressSubject) {
    subject.apply(&single(from_ref(&dead_endpoint(subject)))).await;
    let answer = subject.get("a.test", "/").await;
    assert!(matches!(answer, Ok((502..=504, _))), "the answer is an error; seen: {answer:?}");
}

pub(super) async fn post_is_sent_once(subject: &IngressSubject) {
    let Some(failing) = subject.world.failing_endpoint() else {
        panic!("the world has a failing endpoint")
    };
    let [living, ..] = subject.upstreams();
    subject.apply(&single(&[failing.endpoint.clone(), living])).await;
    let before = failing.received.load(Ordering::SeqCst);
    let mut answered = 0;
    for _ in 0..10 {
        let answer = subject.world.send(&Request::post("a.test", Bytes::from("text"))).await;
        answered += u32::from(matches!(answer, Ok((200, _))));
    }
    let received = failing.received.load(Ordering::SeqCst) - before;
    assert!(received > 0, "the failing endpoint receives some of ten requests");
    assert_eq!(
        answered + received,
        10,
        "each of ten requests reaches one endpoint: {received} the failing one, {answered} another"
    );
}
