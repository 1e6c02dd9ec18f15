//! Containers from creation to removal.

use dubernetes_core::app::{Cpu, Memory, PortMapping, Resources, Signal, User, Volume};
use dubernetes_core::labels;
use dubernetes_core::runtime::{
    Capability, ContainerId, ContainerRequest, ContainerState, Exit, Process, RuntimeError,
};

use super::harness::{
    ContractHarness, GRACE, POLL_INTERVAL, is_exited, is_image_error, is_name_taken, is_not_found,
    is_not_running, is_running, missing, must, must_fail, within_patience,
};

pub(super) async fn missing_container_is_not_found(harness: &ContractHarness<'_>) {
    let (runtime, missing) = (harness.runtime, missing());
    let inspected = runtime.inspect(&missing).await;
    must_fail("inspecting a missing container is `not found`", inspected, is_not_found);
    let started = runtime.start(&missing).await;
    must_fail("starting a missing container is `not found`", started, is_not_found);
    must("stop a missing container", runtime.stop(&missing, None, GRACE).await);
    let signal = Some(Signal::SigTerm);
    must("stop a missing container by a signal", runtime.stop(&missing, signal, GRACE).await);
    must("remove a missing container", runtime.remove(&missing).await);
    let listed = harness.list().await;
    assert!(listed.is_empty(), "an instance without containers lists none; seen: {listed:?}");
}

pub(super) async fn create_keeps_name_labels_and_image(harness: &ContractHarness<'_>) {
    let mut request = harness.request("create");
    request.labels.insert("test.text".to_owned(), "a=\"b\", c\nü".to_owned());
    request.labels.insert("test.empty".to_owned(), String::new());
    let id = harness.create(&request).await;
    let container = harness.inspect(&id).await;
    assert_eq!(container.id, id, "inspection by id returns the same id");
    assert_eq!(container.name, request.name, "the name is kept, without a slash");
    assert_eq!(container.image_id, harness.image, "the image is that of the request");
    assert_eq!(container.state, ContainerState::Created, "a created container does not run");
    for (key, value) in &request.labels {
        assert_eq!(container.labels.get(key), Some(value), "the label `{key}` is kept");
    }
    let by_name = ContainerId(request.name.clone().into());
    assert_eq!(harness.inspect(&by_name).await.id, id, "a container is found by its name");
    assert_eq!(harness.list().await, [container], "list and inspection show the same");
    harness.remove(&id).await;
}

pub(super) async fn image_is_given_by_id_or_reference(harness: &ContractHarness<'_>) {
    for (name, image) in
        [("by-id", &harness.image.0), ("by-reference", &harness.facts.image.to_string())]
    {
        let request = ContainerRequest { image: image.clone(), ..harness.request(name) };
        let id = harness.create(&request).await;
        let seen = harness.inspect(&id).await.image_id;
        assert_eq!(seen, harness.image, "a container created {name} has the id of its image");
        harness.remove(&id).await;
    }
}

pub(super) async fn name_is_given_once(harness: &ContractHarness<'_>) {
    let request = harness.request("name");
    let id = harness.create(&request).await;
    let again = harness.runtime.create(&request).await;
    must_fail("a name is given once", again, is_name_taken);
    let listed = harness.list().await;
    assert_eq!(listed.len(), 1, "a refused create leaves nothing; seen: {listed:?}");
    harness.remove(&id).await;
}

pub(super) async fn removed_name_is_free_and_its_id_is_not(harness: &ContractHarness<'_>) {
    let request = harness.request("reused");
    let first = harness.create(&request).await;
    harness.remove(&first).await;
    let second = harness.create(&request).await;
    assert_ne!(first, second, "an id is never used again");
    let gone = harness.runtime.inspect(&first).await;
    must_fail("the id of a removed container stays `not found`", gone, is_not_found);
    harness.remove(&first).await;
    assert_eq!(harness.inspect(&second).await.name, request.name, "the second one stays");
    harness.remove(&second).await;
}

pub(super) async fn unknown_image_is_an_image_error(harness: &ContractHarness<'_>) {
    let mut request = harness.request("unknown-image");
    request.image = format!("sha256:{}", "0".repeat(64));
    let created = harness.runtime.create(&request).await;
    must_fail("an image that is not on the engine is an image error", created, is_image_error);
    let listed = harness.list().await;
    assert!(listed.is_empty(), "a refused create leaves nothing; seen: {listed:?}");
}

/// Requests what the runtime does not offer; passes where the runtime offers everything.
pub(super) async fn missing_capability_is_refused(harness: &ContractHarness<'_>) {
    let volume = legal("volume", Volume::parse("contract:/data").ok());
    let mut with_volume = harness.request("volume");
    with_volume.volumes.push(volume);
    let mut with_limit = harness.request("limit");
    with_limit.resources.memory = Some(legal("limit", Memory::parse("32Mi").ok()));
    let port = legal("port", PortMapping::parse("127.0.0.1:20999:80").ok());
    let mut with_port = harness.request("port");
    with_port.ports.push(port.into());
    let mut with_user = harness.request("user");
    with_user.options.user = Some(legal("user", User::parse("1000").ok()));
    let mut with_input = harness.request("input");
    with_input.stdio.stdin = true;
    for (capability, request) in [
        (Capability::Volumes, with_volume),
        (Capability::Limits, with_limit),
        (Capability::Ports, with_port),
        (Capability::ContainerOptions, with_user),
        (Capability::Exec, with_input),
    ] {
        if harness.runtime.capabilities().contains(&capability) {
            continue;
        }
        let created = harness.runtime.create(&request).await;
        let promise = format!("a request that needs {} is refused", capability.as_str());
        must_fail(&promise, created, |error| matches!(error, RuntimeError::Unsupported { .. }));
    }
}

pub(super) async fn start_is_idempotent(harness: &ContractHarness<'_>) {
    let id = harness.start(&harness.request("started")).await;
    let before = harness.inspect(&id).await;
    must("start a running container", harness.runtime.start(&id).await);
    let after = harness.inspect(&id).await;
    assert_eq!(after, before, "a second start changes nothing");
    let missing = harness.runtime.start(&missing()).await;
    must_fail("starting a missing container is `not found`", missing, is_not_found);
    harness.remove(&id).await;
}

pub(super) async fn stop_ends_a_started_container(harness: &ContractHarness<'_>) {
    let id = harness.start(&harness.request("life")).await;
    let running = harness.inspect(&id).await;
    harness.stop(&id, None, GRACE).await;
    let stopped = harness.inspect(&id).await;
    let ContainerState::Exited(Exit { out_of_memory, started_at, finished_at, .. }) = stopped.state
    else {
        panic!("a container has exited when stop returns; seen: {:?}", stopped.state);
    };
    assert!(!out_of_memory, "a stop is not reported as a lack of memory");
    assert_eq!(Some(started_at), running.state.started_at(), "the start is that of the process");
    assert!(finished_at >= started_at, "a container exits after its start");
    assert!(started_at >= running.created_at, "a container starts after its creation");
    harness.stop(&id, None, GRACE).await;
    harness.stop(&id, Some(Signal::SigInt), GRACE).await;
    assert_eq!(harness.inspect(&id).await, stopped, "stopping a stopped one changes nothing");
    harness.remove(&id).await;
}

pub(super) async fn stopped_container_starts_again(harness: &ContractHarness<'_>) {
    let id = harness.start(&harness.request("again")).await;
    harness.stop(&id, None, GRACE).await;
    let ContainerState::Exited(first) = harness.inspect(&id).await.state else {
        panic!("a container has exited when stop returns")
    };
    // A clock may count milliseconds.
    tokio::time::sleep(POLL_INTERVAL).await;
    must("start a stopped container", harness.runtime.start(&id).await);
    let again = harness.wait_for(&id, "is running again", is_running).await;
    let started = again.state.started_at();
    assert!(started > Some(first.finished_at), "the second start is later; seen: {again:?}");
    harness.stop(&id, Some(Signal::SigKill), GRACE).await;
    let killed = harness.inspect(&id).await.state;
    assert!(is_exited(&killed), "a stop by another signal ends a container; seen: {killed:?}");
    harness.remove(&id).await;
}

pub(super) async fn remove_ends_any_state(harness: &ContractHarness<'_>) {
    let id = harness.start(&harness.request("removed")).await;
    must("remove a running container", harness.runtime.remove(&id).await);
    let inspected = harness.runtime.inspect(&id).await;
    must_fail("a removed container is gone", inspected, is_not_found);
    must("remove a removed container", harness.runtime.remove(&id).await);
    assert!(!harness.lists(&harness.facts.instance, &id).await, "a removed one is not listed");
    let id = harness.create(&harness.request("removed")).await;
    harness.remove(&id).await;
    assert!(!harness.lists(&harness.facts.instance, &id).await, "a created one is removed too");
}

pub(super) async fn list_shows_every_state(harness: &ContractHarness<'_>) {
    let created = harness.create(&harness.request("created")).await;
    let running = harness.start(&harness.request("running")).await;
    let stopped = harness.start(&harness.request("stopped")).await;
    harness.stop(&stopped, None, GRACE).await;
    let mut inspected = Vec::new();
    for id in [&created, &running, &stopped] {
        inspected.push(harness.inspect(id).await);
    }
    let mut listed = harness.list().await;
    listed.sort_by(|a, b| a.name.cmp(&b.name));
    inspected.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!(listed, inspected, "list and inspection show the same");
    for id in [&created, &running, &stopped] {
        harness.remove(id).await;
    }
}

pub(super) async fn list_shows_each_change_at_once(harness: &ContractHarness<'_>) {
    let listed = async || match &harness.list().await[..] {
        [] => None,
        [one] => Some(one.state.clone()),
        more => panic!("one container is listed; seen: {more:?}"),
    };
    for turn in 0..3 {
        let id = harness.create(&harness.request(&format!("turn-{turn}"))).await;
        assert_eq!(listed().await, Some(ContainerState::Created), "a create shows at once");
        must("start a container", harness.runtime.start(&id).await);
        let started = listed().await;
        let is_running = started.as_ref().is_some_and(is_running);
        assert!(is_running, "a start shows at once; seen: {started:?}");
        harness.stop(&id, Some(Signal::SigKill), GRACE).await;
        let stopped = listed().await;
        let is_exited = stopped.as_ref().is_some_and(is_exited);
        assert!(is_exited, "a stop shows at once; seen: {stopped:?}");
        harness.remove(&id).await;
        assert_eq!(listed().await, None, "a removal shows at once");
    }
}

pub(super) async fn list_shows_own_instance(harness: &ContractHarness<'_>) {
    let (mine, other) = (&harness.facts.instance, &harness.facts.other_instance);
    let id = harness.create(&harness.request_for(other, "foreign")).await;
    assert!(!harness.lists(mine, &id).await, "another instance's container is not listed");
    assert!(harness.lists(other, &id).await, "its own instance lists the container");
    let owner = harness.inspect(&id).await.labels.get(labels::INSTANCE).cloned();
    assert_eq!(owner, Some(other.to_string()), "inspection shows the owner");
    let mut without_owner = harness.request("without-owner");
    without_owner.labels.remove(labels::INSTANCE);
    let stranger = harness.create(&without_owner).await;
    assert!(!harness.lists(mine, &stranger).await, "a container without a label is not listed");
    harness.remove(&stranger).await;
    harness.remove(&id).await;
}

/// Passes where the runtime has no signals.
pub(super) async fn signal_needs_a_running_container(harness: &ContractHarness<'_>) {
    let runtime = harness.runtime;
    let id = harness.start(&harness.request("signal")).await;
    let sent = runtime.signal(&id, Signal::SigWinch).await;
    if !matches!(sent, Err(RuntimeError::Unsupported { .. })) {
        must("send a signal", sent);
        must("stop a container", runtime.stop(&id, None, GRACE).await);
        let stopped = runtime.signal(&id, Signal::SigTerm).await;
        must_fail("a signal needs a running container", stopped, is_not_running);
        let missing = runtime.signal(&missing(), Signal::SigHup).await;
        must_fail("a signal to a missing container is `not found`", missing, is_not_found);
    }
    harness.remove(&id).await;
}

/// Passes where the runtime lists no processes.
pub(super) async fn processes_are_those_of_a_running_container(harness: &ContractHarness<'_>) {
    let runtime = harness.runtime;
    let id = harness.start(&harness.request("processes")).await;
    let listed = runtime.processes(&id).await;
    if !matches!(listed, Err(RuntimeError::Unsupported { .. })) {
        // For a moment after the start, the process may still be one of the engine.
        let is_main = |process: &Process| process.command.contains("sleep");
        let main = async {
            while !must("list the processes", runtime.processes(&id).await).iter().any(is_main) {
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        };
        within_patience("the main process in the list", main, || format!("{listed:?}")).await;
        must("stop a container", runtime.stop(&id, None, GRACE).await);
        let stopped = runtime.processes(&id).await;
        must_fail("a stopped container has no processes", stopped, is_not_running);
        let missing = runtime.processes(&missing()).await;
        must_fail("processes of a missing container are `not found`", missing, is_not_found);
    }
    harness.remove(&id).await;
}

/// Passes where the runtime has no signals.
pub(super) async fn signal_ends_a_container(harness: &ContractHarness<'_>) {
    let id = harness.start(&harness.request("killed")).await;
    let sent = harness.runtime.signal(&id, Signal::SigKill).await;
    if !matches!(sent, Err(RuntimeError::Unsupported { .. })) {
        must("send a signal", sent);
        assert_eq!(harness.exit_code(&id).await, 137, "SIGKILL has the number 9");
    }
    harness.remove(&id).await;
}

pub(super) async fn limits_are_reported(harness: &ContractHarness<'_>) {
    let cpu = Some(legal("limit", Cpu::parse("250m").ok()));
    let memory = Some(legal("limit", Memory::parse("32Mi").ok()));
    for (name, resources) in [
        ("cpu", Resources { cpu, memory: None }),
        ("memory", Resources { cpu: None, memory }),
        ("both", Resources { cpu, memory }),
    ] {
        let request = ContainerRequest { resources, ..harness.request(name) };
        let id = harness.start(&request).await;
        let limits = harness.inspect(&id).await.limits;
        let difference = limits.as_ref().map(|limits| limits.difference(&request.resources));
        assert_eq!(difference, Some(None), "the limits of the request are reported: {limits:?}");
        harness.remove(&id).await;
    }
}

fn legal<T>(what: &str, parsed: Option<T>) -> T {
    match parsed {
        Some(value) => value,
        None => panic!("the {what} of the suite is legal"),
    }
}
