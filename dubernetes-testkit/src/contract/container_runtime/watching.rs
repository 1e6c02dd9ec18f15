//! Events and statistics.

use std::time::Duration;

use futures_util::StreamExt as _;

use dubernetes_core::app::Signal;
use dubernetes_core::labels;
use dubernetes_core::runtime::{ContainerId, RuntimeEvent, RuntimeStream};

use super::harness::{
    ContractHarness, GRACE, PATIENCE, POLL_INTERVAL, is_not_found, missing, must, must_fail,
    within_patience, words,
};

/// How long no event comes after the last one.
const QUIET: Duration = Duration::from_millis(500);

async fn watch(harness: &ContractHarness<'_>) -> RuntimeStream<RuntimeEvent> {
    must("watch for events", harness.runtime.events(&harness.facts.instance).await)
}

/// Waits for an event of a container, and returns those before it. A runtime may choose the words
/// for its events, so any event of the container counts.
async fn expect_event(
    harness: &ContractHarness<'_>,
    events: &mut RuntimeStream<RuntimeEvent>,
    id: &ContainerId,
) -> Vec<RuntimeEvent> {
    let mut others = Vec::new();
    loop {
        let next = within_patience("an event", events.next(), || format!("{others:?}")).await;
        let Some(event) = next else {
            panic!("events do not end while the engine answers; seen: {others:?}")
        };
        let event = must("read an event", event);
        if event.id == *id {
            let owner = event.labels.get(labels::INSTANCE);
            let expected = harness.facts.instance.to_string();
            assert_eq!(owner, Some(&expected), "an event has the container's labels");
            return others;
        }
        others.push(event);
    }
}

pub(super) async fn start_is_an_event(harness: &ContractHarness<'_>) {
    let id = harness.create(&harness.request("begins")).await;
    let mut events = watch(harness).await;
    must("start a container", harness.runtime.start(&id).await);
    expect_event(harness, &mut events, &id).await;
    harness.remove(&id).await;
}

pub(super) async fn end_of_container_is_an_event(harness: &ContractHarness<'_>) {
    let id = harness.start(&harness.request("ends")).await;
    let mut events = watch(harness).await;
    harness.stop(&id, Some(Signal::SigKill), GRACE).await;
    expect_event(harness, &mut events, &id).await;
    harness.remove(&id).await;
}

pub(super) async fn removal_is_an_event(harness: &ContractHarness<'_>) {
    let id = harness.create(&harness.request("goes")).await;
    let mut events = watch(harness).await;
    harness.remove(&id).await;
    expect_event(harness, &mut events, &id).await;
}

pub(super) async fn events_are_of_one_instance(harness: &ContractHarness<'_>) {
    let other = &harness.facts.other_instance;
    let id = harness.create(&harness.request("own")).await;
    let mut events = watch(harness).await;
    let foreign = harness.create(&harness.request_for(other, "foreign")).await;
    harness.remove(&foreign).await;
    harness.remove(&id).await;
    let mut others = expect_event(harness, &mut events, &id).await;
    // Those of the other instance may come later.
    let quiet = async |events: &mut RuntimeStream<RuntimeEvent>| {
        tokio::time::timeout(QUIET, events.next()).await
    };
    while let Ok(Some(event)) = quiet(&mut events).await {
        others.push(must("read an event", event));
    }
    others.retain(|event| event.id != id);
    assert_eq!(others, [], "events of another instance are not streamed");
}

pub(super) async fn stats_grow(harness: &ContractHarness<'_>) {
    let id = harness.start(&harness.request("stats")).await;
    let mut former = must("measure a container", harness.stats().read(&id).await);
    for _ in 0..2 {
        let later = must("measure a container", harness.stats().read(&id).await);
        assert!(later.read_at >= former.read_at, "a later reading has a later time");
        assert!(later.cpu_nanos >= former.cpu_nanos, "CPU time never falls");
        former = later;
    }
    harness.remove(&id).await;
}

pub(super) async fn stats_need_a_container(harness: &ContractHarness<'_>) {
    let gone = harness.stats().read(&missing()).await;
    must_fail("the usage of a missing container is `not found`", gone, is_not_found);
}

/// Polls, because CPU time may be counted in steps of 10 ms.
pub(super) async fn usage_is_measured(harness: &ContractHarness<'_>) {
    let mut request = harness.request("usage");
    request.command = words(&["sh", "-c", "while :; do :; done"]);
    let id = harness.start(&request).await;
    let limit = tokio::time::Instant::now() + PATIENCE;
    loop {
        let stats = must("measure a container", harness.stats().read(&id).await);
        if stats.cpu_nanos > 0 && stats.memory_bytes > 0 {
            break;
        }
        assert!(
            tokio::time::Instant::now() < limit,
            "a busy process uses CPU and memory within {PATIENCE:?}; seen: {stats:?}"
        );
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    harness.remove(&id).await;
}
