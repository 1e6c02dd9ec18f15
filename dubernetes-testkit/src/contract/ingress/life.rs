//! The proxy from its start to its removal.

use std::slice::from_ref;
use std::sync::Arc;

use dubernetes_core::ingress::{Ingress, IngressError, ObservedIngress};

use super::{IngressSubject, PATIENCE, POLL_INTERVAL, single};

impl IngressSubject {
    async fn expect_absent(&self, when: &str) {
        let observed = self.ingress.observe().await;
        let is_absent = matches!(observed, Ok(ObservedIngress::Absent));
        assert!(is_absent, "an ingress is absent {when}; seen: {observed:?}");
        let drained = self.ingress.drained(self.upstreams()[0].socket()).await;
        let is_drained = drained.as_ref().is_ok_and(|drained| drained.is_yes());
        assert!(is_drained, "every address is drained {when}; seen: {drained:?}");
    }

    async fn remove(&self) {
        let removed = self.ingress.remove().await;
        assert!(removed.is_ok(), "removing is success, also twice; seen: {removed:?}");
    }

    fn second(&self) -> &Arc<dyn Ingress> {
        let Some(second) = &self.second else { panic!("the subject has a second value") };
        second
    }
}

pub(super) async fn unapplied_ingress_is_absent(subject: &IngressSubject) {
    subject.expect_absent("before the first table").await;
    subject.remove().await;
    let repaired = subject.ingress.repair().await;
    assert!(matches!(repaired, Ok(None)), "there is nothing to repair; seen: {repaired:?}");
    subject.expect_absent("before the first table").await;
}

pub(super) async fn repair_of_an_intact_proxy_does_nothing(subject: &IngressSubject) {
    let [first, ..] = &subject.upstreams();
    subject.apply(&single(from_ref(first))).await;
    for _ in 0..2 {
        let repaired = subject.ingress.repair().await;
        assert!(matches!(repaired, Ok(None)), "there is nothing to repair; seen: {repaired:?}");
    }
    subject.expect("a.test", "/", first).await;
}

pub(super) async fn second_value_observes_the_table(subject: &IngressSubject) {
    let upstreams = subject.upstreams();
    for count in 1..3 {
        let table = single(&upstreams[..count]);
        subject.apply(&table).await;
        let observed = subject.second().observe().await;
        match &observed {
            Ok(ObservedIngress::Serving { table: served }) => assert_eq!(*served, table),
            _ => panic!("the second value observes the table; seen: {observed:?}"),
        }
    }
    let routed = subject.second().drained(upstreams[0].socket()).await;
    let is_drained = routed.as_ref().map(|drained| drained.is_yes());
    assert!(matches!(is_drained, Ok(false)), "a routed address is not drained; seen: {routed:?}");
}

pub(super) async fn second_value_changes_nothing(subject: &IngressSubject) {
    let [first, other, _] = &subject.upstreams();
    let table = single(from_ref(first));
    subject.apply(&table).await;
    let applied = subject.second().apply(&table).await;
    let is_changed = applied.as_ref().map(|applied| applied.changed);
    assert!(matches!(is_changed, Ok(false)), "the served table is no change; seen: {applied:?}");
    let next = subject.second().apply(&single(from_ref(other))).await;
    assert!(next.is_ok(), "the second value changes the table; seen: {next:?}");
    assert_eq!(subject.served().await, single(from_ref(other)), "both values observe the proxy");
    subject.expect("a.test", "/", other).await;
}

async fn kill(subject: &IngressSubject) {
    if let Err(error) = subject.world.kill().await {
        panic!("the world kills the proxy; seen: {error}");
    }
}

pub(super) async fn killed_proxy_is_not_serving(subject: &IngressSubject) {
    let [first, ..] = &subject.upstreams();
    subject.apply(&single(from_ref(first))).await;
    kill(subject).await;
    let observed = subject.ingress.observe().await;
    let is_serving = matches!(observed, Ok(ObservedIngress::Serving { .. }));
    assert!(!is_serving, "a killed proxy serves nothing; seen: {observed:?}");
}

pub(super) async fn killed_proxy_is_started_again(subject: &IngressSubject) {
    let [first, ..] = &subject.upstreams();
    subject.apply(&single(from_ref(first))).await;
    kill(subject).await;
    assert!(subject.apply(&single(from_ref(first))).await, "a start of the proxy is a change");
    subject.expect("a.test", "/", first).await;
    assert!(!subject.apply(&single(from_ref(first))).await, "the table is served again");
}

pub(super) async fn taken_port_is_reported(subject: &IngressSubject) {
    let [first, ..] = &subject.upstreams();
    subject.remove().await;
    let taken = match subject.world.take_port().await {
        Ok(taken) => taken,
        Err(error) => panic!("the world takes the port; seen: {error}"),
    };
    let applied = subject.ingress.apply(&single(from_ref(first))).await;
    let is_taken = matches!(applied, Err(IngressError::PortTaken { .. }));
    assert!(is_taken, "a taken port is `port taken`; seen: {applied:?}");
    let observed = subject.ingress.observe().await;
    let is_serving = matches!(observed, Ok(ObservedIngress::Serving { .. }));
    assert!(!is_serving, "a proxy without its port serves nothing; seen: {observed:?}");
    drop(taken);
    // A listener may take a moment to close.
    let limit = tokio::time::Instant::now() + PATIENCE;
    while subject.ingress.apply(&single(from_ref(first))).await.is_err() {
        let is_over = tokio::time::Instant::now() >= limit;
        assert!(!is_over, "the port is used once it is free");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    subject.expect("a.test", "/", first).await;
}

pub(super) async fn removed_ingress_is_absent(subject: &IngressSubject) {
    let [first, ..] = &subject.upstreams();
    subject.apply(&single(from_ref(first))).await;
    for _ in 0..2 {
        subject.remove().await;
        subject.expect_absent("once it is removed").await;
    }
    let answer = subject.get("a.test", "/").await;
    assert!(answer.is_err(), "a removed ingress does not answer; seen: {answer:?}");
}

pub(super) async fn removed_ingress_can_return(subject: &IngressSubject) {
    let [first, ..] = &subject.upstreams();
    subject.apply(&single(from_ref(first))).await;
    subject.remove().await;
    assert!(subject.apply(&single(from_ref(first))).await, "a new proxy is a change");
    subject.expect("a.test", "/", first).await;
}
