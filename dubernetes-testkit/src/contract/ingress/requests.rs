//! What of a request reaches the upstream, and kept connections.

use std::slice::from_ref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;

use dubernetes_core::ingress::Route;

use super::{IngressSubject, KeptConnection, Request, has_line, is_by, route, single, table};

/// Time between two requests on a kept connection.
const PAUSE: Duration = Duration::from_millis(50);

pub(super) async fn target_arrives_unchanged(subject: &IngressSubject) {
    let [first, ..] = &subject.upstreams();
    subject.apply(&table(&[route("a.test", "/app", "api", from_ref(first))])).await;
    for target in ["/app/x?a=1&b=%20&c=/d?e", "/app?", "/app/a%2Fb//c"] {
        let body = subject.expect("a.test", target, first).await;
        let line = format!("GET {target} HTTP/1.1");
        assert!(has_line(&body, &line), "the upstream receives `{line}`; seen: {body}");
    }
}

pub(super) async fn host_arrives(subject: &IngressSubject) {
    let [first, ..] = &subject.upstreams();
    subject.apply(&table(&[route("*.a.test", "/", "wild", from_ref(first))])).await;
    for host in ["b.a.test", "b.a.test:8080"] {
        let body = subject.expect(host, "/", first).await;
        let line = format!("Host: {host}");
        assert!(has_line(&body, &line), "the upstream receives `{line}`; seen: {body}");
    }
}

pub(super) async fn method_and_body_arrive(subject: &IngressSubject) {
    let [first, ..] = &subject.upstreams();
    let whole = Route { buffer_requests: true, ..route("b.test", "/", "b", from_ref(first)) };
    subject.apply(&table(&[route("a.test", "/", "root", from_ref(first)), whole])).await;
    for host in ["a.test", "b.test"] {
        for length in [4, 300_000] {
            let request = Request::post(host, Bytes::from(vec![b'x'; length]));
            let answer = subject.world.send(&request).await;
            let Ok((200, body)) = &answer else { panic!("a POST is answered; seen: {answer:?}") };
            let has_body = has_line(body, &format!("BodyLength: {length}"));
            assert!(has_body, "{length} bytes arrive; seen: {body}");
            assert!(has_line(body, "POST / HTTP/1.1"), "the method arrives; seen: {body}");
        }
    }
}

pub(super) async fn prefix_is_stripped_where_requested(subject: &IngressSubject) {
    let [first, ..] = &subject.upstreams();
    let plain = route("a.test", "/app", "plain", from_ref(first));
    let stripped = Route { strip_prefix: true, ..route("b.test", "/app", "b", from_ref(first)) };
    subject.apply(&table(&[plain, stripped])).await;
    for (host, target, received) in [
        ("a.test", "/app/x?y=1", "/app/x?y=1"),
        ("b.test", "/app/x?y=1", "/x?y=1"),
        ("b.test", "/app", "/"),
    ] {
        let body = subject.expect(host, target, first).await;
        let line = format!("GET {received} HTTP/1.1");
        assert!(has_line(&body, &line), "the upstream of {host} receives `{line}`; seen: {body}");
    }
}

async fn connect(subject: &IngressSubject) -> Box<dyn KeptConnection> {
    match subject.world.connect().await {
        Ok(connection) => connection,
        Err(error) => panic!("an ingress takes connections; seen: {error}"),
    }
}

pub(super) async fn kept_connection_is_answered(subject: &IngressSubject) {
    let upstreams = &subject.upstreams();
    subject.apply(&single(&upstreams[..1])).await;
    let mut connection = connect(subject).await;
    for turn in 0..4 {
        let is_applied = AtomicBool::new(false);
        // An ingress may close a connection that is idle during the change.
        let requests = async {
            for sent in 0.. {
                if sent >= 3 && is_applied.load(Ordering::Relaxed) {
                    break;
                }
                let answer = connection.send(&Request::get("a.test", "/")).await;
                let is_answered = matches!(answer, Ok((200, _)));
                assert!(is_answered, "a kept connection is answered; seen: {answer:?}");
                tokio::time::sleep(PAUSE).await;
            }
        };
        let other = turn % 2 + 1;
        let change = async {
            subject.apply(&single(&upstreams[other..=other])).await;
            is_applied.store(true, Ordering::Relaxed);
        };
        tokio::join!(requests, change);
    }
}

pub(super) async fn kept_connection_follows_the_table(subject: &IngressSubject) {
    let [former, next, _] = &subject.upstreams();
    subject.apply(&single(from_ref(former))).await;
    let mut connection = connect(subject).await;
    let request = Request::get("a.test", "/");
    let first = connection.send(&request).await;
    assert!(matches!(&first, Ok((200, body)) if is_by(body, former)), "seen: {first:?}");
    subject.apply(&single(from_ref(next))).await;
    let _may_follow_the_former = connection.send(&request).await;
    for _ in 0..3 {
        let answer = connection.send(&request).await;
        let is_next = matches!(&answer, Ok((200, body)) if is_by(body, next));
        assert!(is_next, "the second request follows the new table; seen: {answer:?}");
    }
}
