//! The engine, its capabilities, and what an instance owns beside containers.

use dubernetes_core::app::PullPolicy;
use dubernetes_core::identity;
use dubernetes_core::runtime::{Capability, ContainerRuntime, Network, Owner, RuntimeError};

use super::Facts;
use super::harness::{is_image_error, must, must_fail, networks_of};

pub(super) async fn engine_has_a_name(runtime: &dyn ContainerRuntime, _: &Facts) {
    let info = must("describe the engine", runtime.info().await);
    assert!(!info.name.is_empty(), "an engine has a name; seen: {info:?}");
    assert!(!info.version.is_empty(), "an engine has a version; seen: {info:?}");
    assert!(info.platform.contains('/'), "a platform is `system/architecture`; seen: {info:?}");
}

pub(super) async fn capabilities_match_parts(runtime: &dyn ContainerRuntime, _: &Facts) {
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

pub(super) async fn each_instance_has_a_network(runtime: &dyn ContainerRuntime, facts: &Facts) {
    let networks = networks_of(runtime);
    let (instance, other) = (&facts.instance, &facts.other_instance);
    must("remove a missing network", networks.remove(instance).await);
    let none = must("find a missing network", networks.find(instance).await);
    assert_eq!(none, None, "a missing network is not found");
    let first = must("ensure a network", networks.ensure(instance).await);
    let again = must("ensure a network again", networks.ensure(instance).await);
    assert_eq!(first, again, "an existing network keeps its id and subnet");
    let capacity = identity::capacity(first.subnet);
    assert!(capacity >= 64, "a network has 64 addresses for replicas; seen: {capacity}");
    let found = must("find a network", networks.find(instance).await);
    assert_eq!(found, Some(first.clone()), "an existing network is found");
    let second = must("ensure a second network", networks.ensure(other).await);
    assert_disjoint(&first, &second);
    must("remove a network", networks.remove(instance).await);
    let gone = must("find a removed network", networks.find(instance).await);
    assert_eq!(gone, None, "a removed network is not found");
    let kept = must("find the second network", networks.find(other).await);
    assert_eq!(kept, Some(second), "the network of another instance stays");
    must("remove the second network", networks.remove(other).await);
}

fn assert_disjoint(one: &Network, other: &Network) {
    assert_ne!(one.id, other.id, "two instances have two networks");
    let (a, b) = (one.subnet, other.subnet);
    assert!(
        !a.contains(&b.network()) && !b.contains(&a.network()),
        "the subnets of two instances do not overlap; seen: {a} and {b}"
    );
}

pub(super) async fn instance_has_one_owner(runtime: &dyn ContainerRuntime, facts: &Facts) {
    let (instance, networks) = (&facts.instance, networks_of(runtime));
    let owner = |id: &str, folder: &str| Owner { id: id.into(), folder: folder.into() };
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
    must("remove a missing network", networks.remove(instance).await);
}

pub(super) async fn images_resolve_to_ids(runtime: &dyn ContainerRuntime, facts: &Facts) {
    let id = runtime.resolve(&facts.image, PullPolicy::Missing).await;
    let id = must("resolve an image on the engine", id);
    let again = runtime.resolve(&facts.image, PullPolicy::Never).await;
    let again = must("resolve an image on the engine without a pull", again);
    assert_eq!(id, again, "an image has one id");
    assert_ne!(id.0, facts.image.as_str(), "an id is immutable, unlike the image's name");
    for policy in [PullPolicy::Never, PullPolicy::Missing] {
        let missing = runtime.resolve(&facts.missing_image, policy).await;
        must_fail("a missing image is an image error", missing, is_image_error);
    }
}
