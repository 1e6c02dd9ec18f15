//! One table after the other.

use std::slice::from_ref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dubernetes_core::error::chain;
use dubernetes_core::ingress::{IngressError, Route, RouteTable};

use super::{IngressSubject, POLL_INTERVAL, Request, route, single, table};

pub(super) async fn same_table_changes_nothing(subject: &IngressSubject) {
    let upstreams = subject.upstreams();
    subject.apply(&single(&upstreams)).await;
    for _ in 0..2 {
        assert!(!subject.apply(&single(&upstreams)).await, "the same table is no change");
    }
}

pub(super) async fn every_difference_is_a_change(subject: &IngressSubject) {
    let [first, other, _] = &subject.upstreams();
    let base = route("a.test", "/", "root", from_ref(first));
    subject.apply(&table(from_ref(&base))).await;
    for (what, changed) in [
        ("other endpoints", route("a.test", "/", "root", from_ref(other))),
        ("no endpoint", route("a.test", "/", "root", &[])),
        ("another path", route("a.test", "/x", "root", &[])),
        ("a stripped prefix", Route { strip_prefix: true, ..route("a.test", "/x", "root", &[]) }),
        ("another host", route("b.test", "/x", "root", &[])),
        ("another app", route("b.test", "/x", "next", &[])),
    ] {
        assert!(subject.apply(&table(&[changed])).await, "{what} is a change");
    }
    assert!(subject.apply(&RouteTable::default()).await, "an empty table is a change");
}

pub(super) async fn acknowledged_table_is_served(subject: &IngressSubject) {
    let upstreams = subject.upstreams();
    for turn in 0..4 {
        let upstream = &upstreams[turn % 3];
        subject.apply(&single(from_ref(upstream))).await;
        for _ in 0..5 {
            subject.expect("a.test", "/", upstream).await;
        }
    }
}

pub(super) async fn concurrent_applies_end_in_one_table(subject: &IngressSubject) {
    let [first, other, _] = &subject.upstreams();
    subject.apply(&RouteTable::default()).await;
    let (one, two) = (single(from_ref(first)), single(from_ref(other)));
    let applied =
        futures_util::future::join(subject.ingress.apply(&one), subject.ingress.apply(&two)).await;
    assert!(matches!(applied, (Ok(_), Ok(_))), "both succeed; seen: {applied:?}");
    let served = subject.served().await;
    let by = if served == one { first } else { other };
    assert!(served == one || served == two, "one of both is served; seen: {served:?}");
    for _ in 0..5 {
        subject.expect("a.test", "/", by).await;
    }
}

pub(super) async fn dropped_apply_is_overtaken_by_the_next(subject: &IngressSubject) {
    let [first, other, _] = &subject.upstreams();
    for millis in [0, 20, 100] {
        let (dropped, next) = (single(from_ref(first)), single(from_ref(other)));
        // Dropped at one of its await points, if it takes that long.
        let limit = Duration::from_millis(millis);
        let _ = tokio::time::timeout(limit, subject.ingress.apply(&dropped)).await;
        subject.apply(&next).await;
        subject.expect("a.test", "/", other).await;
    }
}

pub(super) async fn requests_during_changes_are_answered(subject: &IngressSubject) {
    let upstreams = subject.upstreams();
    subject.apply(&single(&upstreams)).await;
    let is_over = Arc::new(AtomicBool::new(false));
    let client = || {
        let (world, is_over) = (Arc::clone(&subject.world), Arc::clone(&is_over));
        tokio::spawn(async move {
            let mut failed = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                let answer = world.send(&Request::get("a.test", "/")).await;
                if !matches!(answer, Ok((200, _))) {
                    failed.push(answer);
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            failed
        })
    };
    let clients = [client(), client(), client()];
    for left in [1, 0, 2, 1] {
        subject.apply(&single(&upstreams[left..=left])).await;
        tokio::time::sleep(POLL_INTERVAL).await;
        subject.apply(&single(&upstreams)).await;
    }
    is_over.store(true, Ordering::Relaxed);
    for client in clients {
        let failed = client.await;
        let none_failed = failed.as_ref().is_ok_and(Vec::is_empty);
        assert!(none_failed, "every request is answered; failed: {failed:?}");
    }
}

/// No proxy can connect to port 0.
pub(super) async fn refused_app_keeps_its_last_routes(subject: &IngressSubject) {
    let [first, kept, moved] = &subject.upstreams();
    let last_good = route("bad.test", "/", "bad", from_ref(kept));
    subject
        .apply(&table(&[route("a.test", "/", "good", from_ref(first)), last_good.clone()]))
        .await;
    let good = route("a.test", "/", "good", from_ref(moved));
    let mut bad = last_good.clone();
    bad.endpoints[0].port = 0;
    let applied = subject.ingress.apply(&table(&[good.clone(), bad])).await;
    match applied {
        Ok(applied) => {
            let names: Vec<_> = applied.quarantined.keys().map(|app| app.as_str()).collect();
            assert_eq!(names, ["bad"], "the app whose routes cannot be served is named");
            subject.expect("a.test", "/", moved).await;
            let served = subject.served().await;
            assert_eq!(served, table(&[good, last_good]), "the last good routes are observed");
        }
        Err(IngressError::Refused { .. }) => drop(subject.expect("a.test", "/", first).await),
        Err(other) => panic!("a table that cannot be served is refused: {}", chain(&other)),
    }
    subject.expect("bad.test", "/", kept).await;
}
