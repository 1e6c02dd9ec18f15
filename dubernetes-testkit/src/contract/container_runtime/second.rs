//! What a restarted orchestrator finds: another value of the adapter.

use dubernetes_core::app::Signal;
use dubernetes_core::runtime::ContainerRuntime;

use super::harness::{ContractHarness, GRACE, is_exited, is_not_found, must, must_fail};

fn second<'a>(harness: &ContractHarness<'a>) -> &'a dyn ContainerRuntime {
    let Some(second) = &harness.subject.second else { panic!("the subject has a second value") };
    &**second
}

pub(super) async fn second_value_finds_the_containers(harness: &ContractHarness<'_>) {
    let (second, instance) = (second(harness), &harness.facts.instance);
    let created = harness.create(&harness.request("created")).await;
    let running = harness.start(&harness.request("running")).await;
    let stopped = harness.start(&harness.request("stopped")).await;
    harness.stop(&stopped, Some(Signal::SigKill), GRACE).await;
    let mut mine = harness.list().await;
    let mut found = must("list containers by the second value", second.list(instance).await);
    mine.sort_by(|a, b| a.id.cmp(&b.id));
    found.sort_by(|a, b| a.id.cmp(&b.id));
    assert_eq!(found, mine, "both values list the same containers");
    if let Some(networks) = second.networks() {
        let network = must("find the network", networks.find(instance).await);
        assert_eq!(network, harness.network, "both values find the network");
    }
    for id in [&created, &running, &stopped] {
        harness.remove(id).await;
    }
}

pub(super) async fn second_value_ends_the_containers(harness: &ContractHarness<'_>) {
    let second = second(harness);
    let id = harness.start(&harness.request("inherited")).await;
    let stopped = second.stop(&id, Some(Signal::SigKill), GRACE).await;
    must("stop a container by the second value", stopped);
    let state = harness.inspect(&id).await.state;
    assert!(is_exited(&state), "the first value sees the end; seen: {state:?}");
    must("start it by the second value", second.start(&id).await);
    must("remove it by the second value", second.remove(&id).await);
    let gone = harness.runtime.inspect(&id).await;
    must_fail("the first value sees the removal", gone, is_not_found);
}
