//! Several callers at once, and callers that go away.

use std::slice;

use futures_util::future::join_all;

use dubernetes_core::app::Signal;
use dubernetes_core::runtime::{ContainerId, ContainerState};

use super::harness::{
    ContractHarness, GRACE, POLL_INTERVAL, is_exited, is_name_taken, is_not_found, must, must_fail,
    poll, within_patience,
};

const CALLERS: usize = 4;

pub(super) async fn one_of_several_creates_gets_the_name(harness: &ContractHarness<'_>) {
    let request = harness.request("contended");
    let calls = (0..CALLERS).map(|_| harness.runtime.create(&request));
    let (created, refused): (Vec<_>, Vec<_>) =
        join_all(calls).await.into_iter().partition(Result::is_ok);
    let created: Vec<_> = created.into_iter().flatten().collect();
    for refused in refused {
        must_fail("the others learn that the name is taken", refused, is_name_taken);
    }
    let listed = harness.list().await;
    let ids: Vec<_> = listed.iter().map(|container| container.id.clone()).collect();
    assert_eq!(ids.len(), 1, "one of several creates succeeds; seen: {listed:?}");
    assert_eq!(ids, created, "the successful caller gets the id");
    for container in listed {
        harness.remove(&container.id).await;
    }
}

pub(super) async fn concurrent_calls_of_one_container_succeed(harness: &ContractHarness<'_>) {
    let (runtime, id) = (harness.runtime, harness.create(&harness.request("shared")).await);
    for started in join_all((0..CALLERS).map(|_| runtime.start(&id))).await {
        must("start a container that another caller starts", started);
    }
    let signal = Some(Signal::SigKill);
    for stopped in join_all((0..CALLERS).map(|_| runtime.stop(&id, signal, GRACE))).await {
        must("stop a container that another caller stops", stopped);
    }
    let state = harness.inspect(&id).await.state;
    assert!(is_exited(&state), "the container has exited; seen: {state:?}");
    for removed in join_all((0..CALLERS).map(|_| runtime.remove(&id))).await {
        must("remove a container that another caller removes", removed);
    }
    assert_eq!(harness.list().await, [], "the container is gone");
}

pub(super) async fn dropped_create_is_whole_or_absent(harness: &ContractHarness<'_>) {
    for polls in 1..5 {
        let request = harness.request(&format!("dropped-{polls}"));
        poll(polls, harness.runtime.create(&request)).await;
        // The effect may still happen, so the name is taken by the whole container, or free.
        let again = harness.runtime.create(&request).await;
        if again.is_err() {
            must_fail("the name is taken, or free", again, is_name_taken);
        }
        let id = ContainerId(request.name.clone().into());
        let whole = async {
            loop {
                if let Ok(container) = harness.runtime.inspect(&id).await {
                    return container;
                }
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        };
        let container = within_patience("the container", whole, || "none".to_owned()).await;
        assert_eq!(harness.list().await, slice::from_ref(&container), "it is listed");
        assert_eq!(container.state, ContainerState::Created, "the container does not run");
        for (key, value) in &request.labels {
            assert_eq!(container.labels.get(key), Some(value), "the label `{key}` is there");
        }
        harness.remove(&container.id).await;
    }
}

pub(super) async fn dropped_stop_can_be_repeated(harness: &ContractHarness<'_>) {
    for polls in 1..3 {
        let id = harness.start(&harness.request(&format!("stopped-{polls}"))).await;
        let signal = Some(Signal::SigKill);
        poll(polls, harness.runtime.stop(&id, signal, GRACE)).await;
        harness.stop(&id, signal, GRACE).await;
        let state = harness.inspect(&id).await.state;
        assert!(is_exited(&state), "a repeated stop ends the container; seen: {state:?}");
        harness.remove(&id).await;
    }
}

pub(super) async fn dropped_removal_can_be_repeated(harness: &ContractHarness<'_>) {
    for polls in 1..3 {
        let id = harness.start(&harness.request(&format!("removed-{polls}"))).await;
        poll(polls, harness.runtime.remove(&id)).await;
        harness.remove(&id).await;
        let gone = harness.runtime.inspect(&id).await;
        must_fail("a repeated removal removes the container", gone, is_not_found);
    }
}
