//! Containers from creation to removal.

use dubernetes_core::app::{Cpu, Duration, Memory, PortMapping, Resources, Signal, User, Volume};
use dubernetes_core::labels;
use dubernetes_core::runtime::{
    Capability, ContainerId, ContainerState, Exit, Process, RuntimeError,
};

use super::harness::{
    ContractHarness, GRACE, is_exited, is_image_error, is_name_taken, is_not_found, is_not_running,
    is_running, missing, must, must_fail, words,
};
use super::watching::wait_for_line;

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
    let request = harness.request("create");
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

pub(super) async fn name_is_given_once(harness: &ContractHarness<'_>) {
    let request = harness.request("name");
    let id = harness.create(&request).await;
    let again = harness.runtime.create(&request).await;
    must_fail("a name is given once", again, is_name_taken);
    let listed = harness.list().await;
    assert_eq!(listed.len(), 1, "a refused create leaves nothing; seen: {listed:?}");
    harness.remove(&id).await;
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

pub(super) async fn stop_ends_a_started_container(harness: &ContractHarness<'_>) {
    let runtime = harness.runtime;
    let id = harness.start(&harness.request("life")).await;
    must("start a running container", runtime.start(&id).await);
    let running = harness.inspect(&id).await;
    assert!(is_running(&running.state), "a second start changes nothing; seen: {running:?}");
    let listed = harness.list().await;
    assert_eq!(listed, std::slice::from_ref(&running), "list and inspection show the same");
    must("stop a container", runtime.stop(&id, None, GRACE).await);
    let stopped = harness.inspect(&id).await;
    let ContainerState::Exited(Exit { out_of_memory, started_at, finished_at, .. }) = stopped.state
    else {
        panic!("a container has exited when stop returns; seen: {:?}", stopped.state);
    };
    assert!(!out_of_memory, "a stop is not reported as a lack of memory");
    assert!(finished_at >= started_at, "a container exits after its start");
    assert!(started_at >= running.created_at, "a container starts after its creation");
    must("stop a stopped container", runtime.stop(&id, None, GRACE).await);
    let again = runtime.stop(&id, Some(Signal::SigInt), GRACE).await;
    must("stop a stopped container by a signal", again);
    assert_eq!(harness.list().await, [stopped], "list and inspection show the same");
    harness.remove(&id).await;
}

pub(super) async fn stopped_container_starts_again(harness: &ContractHarness<'_>) {
    let runtime = harness.runtime;
    let id = harness.start(&harness.request("again")).await;
    must("stop a container", runtime.stop(&id, None, GRACE).await);
    must("start a stopped container", runtime.start(&id).await);
    harness.wait_for(&id, "is running again", is_running).await;
    must("stop by another signal", runtime.stop(&id, Some(Signal::SigKill), GRACE).await);
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

pub(super) async fn list_shows_own_instance(harness: &ContractHarness<'_>) {
    let (mine, other) = (&harness.facts.instance, &harness.facts.other_instance);
    let id = harness.create(&harness.request_for(other, "foreign")).await;
    assert!(!harness.lists(mine, &id).await, "another instance's container is not listed");
    assert!(harness.lists(other, &id).await, "its own instance lists the container");
    let owner = harness.inspect(&id).await.labels.get(labels::INSTANCE).cloned();
    assert_eq!(owner, Some(other.to_string()), "inspection shows the owner");
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
        let listed = must("list the processes", listed);
        let is_main = |process: &Process| process.command.contains("sleep");
        assert!(listed.iter().any(is_main), "the main process is listed; seen: {listed:?}");
        must("stop a container", runtime.stop(&id, None, GRACE).await);
        let stopped = runtime.processes(&id).await;
        must_fail("a stopped container has no processes", stopped, is_not_running);
        let missing = runtime.processes(&missing()).await;
        must_fail("processes of a missing container are `not found`", missing, is_not_found);
    }
    harness.remove(&id).await;
}

pub(super) async fn stop_uses_requested_signal(harness: &ContractHarness<'_>) {
    let mut request = harness.request("stop-signal");
    request.env.insert("EMPTY".into(), String::new());
    request.env.insert("LINES".into(), "a=b\nc".into());
    request.stop_signal = Some(Signal::SigKill);
    let id = harness.start(&request).await;
    must("stop by its own signal", harness.runtime.stop(&id, None, GRACE).await);
    let state = harness.inspect(&id).await.state;
    assert!(is_exited(&state), "a container stops by its own signal; seen: {state:?}");
    harness.remove(&id).await;
}

pub(super) async fn stop_signals_then_kills(harness: &ContractHarness<'_>) {
    for (name, trap, grace, expected) in
        [("polite", "exit 9", GRACE, 9), ("stubborn", "", Duration::from_secs(1), 137)]
    {
        let mut request = harness.request(name);
        let script = format!("trap '{trap}' TERM; echo trapped; while :; do sleep 0.1; done");
        request.command = words(&["sh", "-c", &script]);
        let id = harness.start(&request).await;
        wait_for_line(harness, &id, "trapped").await;
        let stopped = harness.runtime.stop(&id, Some(Signal::SigTerm), grace).await;
        must("stop a container that traps its signal", stopped);
        let state = harness.inspect(&id).await.state;
        let is_expected =
            matches!(state, ContainerState::Exited(Exit { code, .. }) if code == expected);
        assert!(is_expected, "a {name} process exits with code {expected}; seen: {state:?}");
        harness.remove(&id).await;
    }
}

pub(super) async fn limited_container_runs(harness: &ContractHarness<'_>) {
    let mut request = harness.request("limits");
    let cpu = Some(legal("limit", Cpu::parse("250m").ok()));
    let memory = Some(legal("limit", Memory::parse("32Mi").ok()));
    request.resources = Resources { cpu, memory };
    let id = harness.start(&request).await;
    let limits = harness.inspect(&id).await.limits;
    let difference = limits.as_ref().map(|limits| limits.difference(&request.resources));
    assert_eq!(difference, Some(None), "the limits of the request are reported: {limits:?}");
    must("stop a container with limits", harness.runtime.stop(&id, None, GRACE).await);
    let state = harness.inspect(&id).await.state;
    assert!(is_exited(&state), "a container with limits stops; seen: {state:?}");
    harness.remove(&id).await;
}

fn legal<T>(what: &str, parsed: Option<T>) -> T {
    match parsed {
        Some(value) => value,
        None => panic!("the {what} of the suite is legal"),
    }
}
