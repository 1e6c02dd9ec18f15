//! Networks, images, and a container from its creation to its removal.

use dubernetes_core::app::{Cpu, Memory, ParseError, PullPolicy, Resources, Signal};
use dubernetes_core::labels;
use dubernetes_core::runtime::{ContainerRuntime, ContainerState, Network, RuntimeError};

use super::Facts;
use super::bench::{
    ContractHarness, GRACE, has_room, is_exited, is_not_found, is_rejected, is_running, missing,
    must, must_fail,
};

pub(super) async fn engine_names_itself(runtime: &dyn ContainerRuntime) {
    let version = must("ask for the version", runtime.version().await);
    assert!(!version.name.is_empty(), "an engine has a name");
    assert!(!version.version.is_empty(), "an engine has a version");
    assert!(version.platform.contains('/'), "a platform is written as `system/architecture`");
}

pub(super) async fn networks(runtime: &dyn ContainerRuntime, facts: &Facts) {
    let none = must("look for a missing network", runtime.find_network(&facts.instance).await);
    assert_eq!(none, None, "a network that was never made is not found");
    must("remove a missing network", runtime.remove_network(&facts.instance).await);
    let first = must("make a network", runtime.ensure_network(&facts.instance).await);
    let again = must("make a network again", runtime.ensure_network(&facts.instance).await);
    assert_eq!(first, again, "making a network that is there keeps its id and its subnet");
    assert!(has_room(&first), "a network has room for replicas, unlike {}", first.subnet);
    let found = must("look for a network", runtime.find_network(&facts.instance).await);
    assert_eq!(found, Some(first.clone()), "a network that was made is found");
    let other = must("make a second network", runtime.ensure_network(&facts.other_instance).await);
    assert_apart(&first, &other);
    must("remove a network", runtime.remove_network(&facts.instance).await);
    let gone = must("look for a removed network", runtime.find_network(&facts.instance).await);
    assert_eq!(gone, None, "a removed network is not found");
    let kept = must("look for the other one", runtime.find_network(&facts.other_instance).await);
    assert_eq!(kept, Some(other), "removing a network leaves another instance's alone");
    must("remove the other one", runtime.remove_network(&facts.other_instance).await);
}

fn assert_apart(one: &Network, other: &Network) {
    assert_ne!(one.id, other.id, "two instances have two networks");
    let (a, b) = (one.subnet, other.subnet);
    assert!(
        !a.contains(&b.network()) && !b.contains(&a.network()),
        "the subnets of two instances do not overlap, unlike {a} and {b}"
    );
}

pub(super) async fn images(runtime: &dyn ContainerRuntime, facts: &Facts) {
    let id = runtime.ensure_image(&facts.image, PullPolicy::Missing).await;
    let id = must("have an image that is on the engine", id);
    let again = runtime.ensure_image(&facts.image, PullPolicy::Never).await;
    assert_eq!(
        must("have an image without a pull", again),
        id,
        "a reference keeps meaning the same image"
    );
    for policy in [PullPolicy::Never, PullPolicy::Missing] {
        must_fail(
            "an image that nobody has is an image error",
            runtime.ensure_image(&facts.missing_image, policy).await,
            |error| matches!(error, RuntimeError::Image { .. }),
        );
    }
}

pub(super) async fn missing_containers(bench: &ContractHarness<'_>) {
    let (runtime, missing) = (bench.runtime, missing());
    let inspected = runtime.inspect(&missing).await;
    must_fail("inspecting a missing container is `not found`", inspected, is_not_found);
    let started = runtime.start(&missing).await;
    must_fail("starting a missing container is `not found`", started, is_not_found);
    let signalled = runtime.signal(&missing, Signal::SigHup).await;
    must_fail("a signal to a missing container is `not found`", signalled, is_not_found);
    must("stop a missing container", runtime.stop(&missing, None, GRACE).await);
    let signal = Some(Signal::SigTerm);
    must("stop a missing container by a signal", runtime.stop(&missing, signal, GRACE).await);
    must("remove a missing container", runtime.remove(&missing).await);
    let listed = must("list an instance", runtime.list(&bench.facts.instance).await);
    assert!(listed.is_empty(), "an instance without containers lists none, unlike {listed:?}");
}

pub(super) async fn creating(bench: &ContractHarness<'_>) {
    let runtime = bench.runtime;
    let request = bench.request("creating");
    let id = bench.create(&request).await;
    let container = bench.inspect(&id).await;
    assert_eq!(container.id, id, "inspecting by id gives the same id");
    assert_eq!(container.name, request.name, "a name is kept, without a slash");
    assert_eq!(container.image_id, bench.image, "a container shows the image that it was made of");
    assert_eq!(container.state, ContainerState::Created, "a created container does not run");
    for (key, value) in &request.labels {
        assert_eq!(container.labels.get(key), Some(value), "the label `{key}` is kept");
    }
    let by_name = dubernetes_core::runtime::ContainerId(request.name.clone());
    assert_eq!(bench.inspect(&by_name).await.id, id, "a container is found by its name");
    let listed = must("list containers", runtime.list(&bench.facts.instance).await);
    assert_eq!(listed, [container], "a list and an inspection show the same");
    must_fail("a name is given only once", runtime.create(&request).await, |error| {
        matches!(error, RuntimeError::NameTaken { .. })
    });
    let mut unknown = bench.request("unknown-image");
    unknown.image = format!("sha256:{}", "0".repeat(64));
    must_fail(
        "creating from an image that is not on the engine is an image error",
        runtime.create(&unknown).await,
        |error| matches!(error, RuntimeError::Image { .. }),
    );
    assert!(
        !bench
            .lists(&bench.facts.instance, &dubernetes_core::runtime::ContainerId(unknown.name))
            .await
    );
    bench.remove(&id).await;
}

pub(super) async fn starting_and_stopping(bench: &ContractHarness<'_>) {
    let runtime = bench.runtime;
    let id = bench.running(&bench.request("life")).await;
    must("start what runs", runtime.start(&id).await);
    let running = bench.inspect(&id).await;
    assert!(is_running(&running.state), "starting what runs leaves it running");
    let listed = must("list containers", runtime.list(&bench.facts.instance).await);
    assert_eq!(
        listed,
        std::slice::from_ref(&running),
        "a list shows a running container as inspection does"
    );
    must("send a signal", runtime.signal(&id, Signal::SigWinch).await);
    must("stop a container", runtime.stop(&id, None, GRACE).await);
    let stopped = bench.inspect(&id).await;
    let ContainerState::Exited { out_of_memory, started_at, finished_at, .. } = stopped.state
    else {
        panic!("a stopped container has exited when the stop returns, unlike {:?}", stopped.state);
    };
    assert!(!out_of_memory, "a stop is not taken for a lack of memory");
    assert!(finished_at >= started_at, "a container ends after its start");
    assert!(started_at >= running.created_at, "a container starts after its creation");
    must("stop what is stopped", runtime.stop(&id, None, GRACE).await);
    let again = runtime.stop(&id, Some(Signal::SigInt), GRACE).await;
    must("stop by a signal what is stopped", again);
    let listed = must("list containers", runtime.list(&bench.facts.instance).await);
    assert_eq!(listed, [stopped], "a list shows a stopped container as inspection does");
    let signalled = runtime.signal(&id, Signal::SigTerm).await;
    must_fail("a signal to what does not run is rejected", signalled, is_rejected);
    must("start what was stopped", runtime.start(&id).await);
    bench.wait_for(&id, "it runs again", is_running).await;
    must("stop by another signal", runtime.stop(&id, Some(Signal::SigKill), GRACE).await);
    let killed = bench.inspect(&id).await;
    assert!(
        is_exited(&killed.state),
        "a stop by a named signal ends it, unlike {:?}",
        killed.state
    );
    bench.remove(&id).await;
}

pub(super) async fn removing(bench: &ContractHarness<'_>) {
    let id = bench.running(&bench.request("removing")).await;
    must("remove what runs", bench.runtime.remove(&id).await);
    let inspected = bench.runtime.inspect(&id).await;
    must_fail("a removed container is gone", inspected, is_not_found);
    must("remove what is gone", bench.runtime.remove(&id).await);
    assert!(!bench.lists(&bench.facts.instance, &id).await, "a removed container is not listed");
    let id = bench.create(&bench.request("removing")).await;
    bench.remove(&id).await;
    assert!(!bench.lists(&bench.facts.instance, &id).await, "a created container is removed, too");
}

pub(super) async fn foreign_containers(bench: &ContractHarness<'_>) {
    let (mine, other) = (&bench.facts.instance, &bench.facts.other_instance);
    let foreign = bench.request_of(other, "foreign", bench.next_address());
    let id = bench.create(&foreign).await;
    assert!(!bench.lists(mine, &id).await, "another instance's container is not listed");
    assert!(bench.lists(other, &id).await, "its own instance lists it");
    let seen = bench.inspect(&id).await;
    let owner = seen.labels.get(labels::INSTANCE);
    assert_eq!(owner, Some(&other.to_string()), "inspection shows whose it is");
    bench.remove(&id).await;
}

pub(super) async fn limits_and_settings(bench: &ContractHarness<'_>) {
    let mut request = bench.request("limits");
    request.resources =
        Resources { cpu: legal(Cpu::parse("250m")), memory: legal(Memory::parse("32Mi")) };
    request.env.insert("EMPTY".into(), String::new());
    request.env.insert("LINES".into(), "a=b\nc".into());
    request.stop_signal = Some(Signal::SigKill);
    let id = bench.running(&request).await;
    must("stop by its own signal", bench.runtime.stop(&id, None, GRACE).await);
    assert!(is_exited(&bench.inspect(&id).await.state), "limits do not keep a container running");
    bench.remove(&id).await;
}

fn legal<T>(parsed: Result<T, ParseError>) -> Option<T> {
    match parsed {
        Ok(value) => Some(value),
        Err(rule) => panic!("the suite uses a legal value: {rule}"),
    }
}
