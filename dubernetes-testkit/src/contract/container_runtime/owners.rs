//! The engine, its capabilities, and what an instance owns beside containers.

use dubernetes_core::app::PullPolicy;
use dubernetes_core::identity;
use dubernetes_core::runtime::{Capability, ContainerRequest, ContainerState, Owner, RuntimeError};

use super::harness::{
    ContractHarness, is_image_error, is_rejected, is_running, must, must_fail, networks_of,
};

pub(super) async fn engine_has_a_name(harness: &ContractHarness<'_>) {
    let info = must("describe the engine", harness.runtime.info().await);
    assert!(!info.name.is_empty(), "an engine has a name; seen: {info:?}");
    assert!(!info.version.is_empty(), "an engine has a version; seen: {info:?}");
    assert!(info.platform.contains('/'), "a platform is `system/architecture`; seen: {info:?}");
}

pub(super) async fn capabilities_match_parts(harness: &ContractHarness<'_>) {
    let runtime = harness.runtime;
    let offered = runtime.capabilities();
    for (capability, has_part) in [
        (Capability::PlannedAddresses, runtime.networks().is_some()),
        (Capability::Exec, runtime.exec().is_some()),
        (Capability::Files, runtime.files().is_some()),
        (Capability::Logs, runtime.logs().is_some()),
        (Capability::Stats, runtime.stats().is_some()),
        (Capability::Images, runtime.images().is_some()),
    ] {
        let is_offered = offered.contains(&capability);
        assert_eq!(is_offered, has_part, "{capability:?} is offered iff its part exists");
    }
    let has_tty = offered.contains(&Capability::Tty);
    assert!(!has_tty || runtime.exec().is_some(), "terminals need the part for commands");
}

pub(super) async fn network_is_made_once(harness: &ContractHarness<'_>) {
    let (networks, instance) = (networks_of(harness.runtime), &harness.facts.instance);
    let first = harness.network.clone();
    let again = must("ensure a network again", networks.ensure(instance).await);
    assert_eq!(first.as_ref(), Some(&again), "an existing network keeps its id and subnet");
    let capacity = identity::capacity(again.subnet);
    assert!(capacity >= 64, "a network has 64 addresses for replicas; seen: {capacity}");
    let found = must("find a network", networks.find(instance).await);
    assert_eq!(found, first, "an existing network is found");
}

pub(super) async fn networks_are_apart(harness: &ContractHarness<'_>) {
    let (networks, other) = (networks_of(harness.runtime), &harness.facts.other_instance);
    let none = must("find a missing network", networks.find(other).await);
    assert_eq!(none, None, "an instance does not get the network of another one");
    let second = must("ensure a second network", networks.ensure(other).await);
    let first = must("find a network", networks.find(&harness.facts.instance).await);
    let Some(first) = first else { panic!("the first network stays") };
    assert_ne!(first.id, second.id, "two instances have two networks");
    let (a, b) = (first.subnet, second.subnet);
    let overlap = a.contains(&b.network()) || b.contains(&a.network());
    assert!(!overlap, "the subnets of two instances do not overlap; seen: {a} and {b}");
    must("remove the second network", networks.remove(other).await);
}

pub(super) async fn removed_network_is_gone(harness: &ContractHarness<'_>) {
    let networks = networks_of(harness.runtime);
    let (instance, other) = (&harness.facts.instance, &harness.facts.other_instance);
    must("remove a missing network", networks.remove(other).await);
    let second = must("ensure a second network", networks.ensure(other).await);
    must("remove a network", networks.remove(instance).await);
    let gone = must("find a removed network", networks.find(instance).await);
    assert_eq!(gone, None, "a removed network is not found");
    let kept = must("find the second network", networks.find(other).await);
    assert_eq!(kept, Some(second), "the network of another instance stays");
    must("remove the second network", networks.remove(other).await);
}

pub(super) async fn address_has_one_container(harness: &ContractHarness<'_>) {
    let first = harness.request("address-first");
    let second =
        ContainerRequest { network: first.network.clone(), ..harness.request("address-second") };
    let first = harness.start(&first).await;
    let second = harness.create(&second).await;
    let refused = harness.runtime.start(&second).await;
    must_fail("an address has one container", refused, is_rejected);
    let state = harness.inspect(&second).await.state;
    let has_failed = matches!(state, ContainerState::StartFailed { .. });
    assert!(has_failed, "a container without its address has failed; seen: {state:?}");
    let state = harness.inspect(&first).await.state;
    assert!(is_running(&state), "the other container goes on; seen: {state:?}");
    harness.remove(&second).await;
    harness.remove(&first).await;
}

pub(super) async fn instance_has_one_owner(harness: &ContractHarness<'_>) {
    let (runtime, instance) = (harness.runtime, &harness.facts.instance);
    let networks = networks_of(runtime);
    let owner = |id: &str, folder: &str| Owner { id: id.into(), folder: folder.into() };
    must("remove a network", networks.remove(instance).await);
    must("claim a free instance", runtime.claim(instance, &owner("a", "/")).await);
    must("ensure a network", networks.ensure(instance).await);
    must("claim an instance again", runtime.claim(instance, &owner("a", "/moved")).await);
    let second = runtime.claim(instance, &owner("b", "/")).await;
    must_fail(
        "an instance has one owner",
        second,
        |error| matches!(error, RuntimeError::OwnedByOtherState { id: Some(id), .. } if id == "a"),
    );
    must("remove a network", networks.remove(instance).await);
    let freed = runtime.claim(instance, &owner("b", "/")).await;
    must("claim an instance after its network's removal", freed);
    must("remove a network", networks.remove(instance).await);
}

pub(super) async fn images_resolve_to_ids(harness: &ContractHarness<'_>) {
    let image = &harness.facts.image;
    for policy in [PullPolicy::Never, PullPolicy::Missing] {
        let again = harness.runtime.resolve(image, policy).await;
        let again = must("resolve an image on the engine", again);
        assert_eq!(harness.image, again, "an image has one id");
    }
    assert_ne!(harness.image.0, image.as_str(), "an id is immutable, unlike the image's name");
}

pub(super) async fn missing_image_is_an_image_error(harness: &ContractHarness<'_>) {
    for policy in [PullPolicy::Never, PullPolicy::Missing] {
        let missing = harness.runtime.resolve(&harness.facts.missing_image, policy).await;
        must_fail("a missing image is an image error", missing, is_image_error);
    }
}
