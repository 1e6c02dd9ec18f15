//! Counted requests.

use std::slice::from_ref;

use dubernetes_core::app::AppName;
use dubernetes_core::error::chain;
use dubernetes_core::ingress::RequestCounts;

use super::{IngressSubject, PATIENCE, POLL_INTERVAL, Request, route, table};

/// Returns what is counted of these apps.
async fn counts(subject: &IngressSubject, apps: [&AppName; 2]) -> [RequestCounts; 2] {
    match subject.ingress.request_counts().await {
        Ok(Some(counts)) => apps.map(|app| counts.get(app).cloned().unwrap_or_default()),
        Ok(None) => panic!("requests are counted"),
        Err(error) => panic!("the counts are read: {}", chain(&error)),
    }
}

pub(super) async fn answers_are_counted_by_app(subject: &IngressSubject) {
    let upstreams = &subject.upstreams();
    let (counted, other) = (
        route("a.test", "/", "counted", from_ref(&upstreams[0])),
        route("b.test", "/", "empty", &[]),
    );
    let apps = [&counted.app, &other.app];
    subject.apply(&table(&[counted.clone(), other.clone()])).await;
    let before = counts(subject, apps).await;
    for _ in 0..3 {
        subject.expect("a.test", "/", &upstreams[0]).await;
    }
    subject.expect_status("b.test", "/", 503).await;
    subject.expect_status("c.test", "/", 404).await;
    let moved = route("a.test", "/", "counted", from_ref(&upstreams[1]));
    subject.apply(&table(&[moved, other.clone()])).await;
    let answer = subject.world.send(&Request::get("a.test", "/")).await;
    assert!(matches!(answer, Ok((200, _))), "a routed host is answered; seen: {answer:?}");
    let new = |before: &RequestCounts, after: &RequestCounts| {
        let classes: Vec<u64> =
            after.by_class.iter().zip(before.by_class).map(|(after, b)| after - b).collect();
        let durations = |counts: &RequestCounts| counts.durations.iter().sum::<u64>();
        (classes, durations(after) - durations(before))
    };
    let expected = [(vec![0, 4, 0, 0, 0], 4), (vec![0, 0, 0, 0, 1], 1)];
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let after = counts(subject, apps).await;
        let seen = [new(&before[0], &after[0]), new(&before[1], &after[1])];
        if seen == expected {
            return;
        }
        let is_late = tokio::time::Instant::now() > deadline;
        assert!(!is_late, "4 answers with 200 and one with 503 are counted; seen: {seen:?}");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}
