//! What the checks share: a network, an image, requests with defaults, and bounded waits.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration as StdDuration;

use dubernetes_core::app::{Duration, InstanceName, PullPolicy};
use dubernetes_core::error::chain;
use dubernetes_core::labels;
use dubernetes_core::runtime::{
    Capability, Container, ContainerId, ContainerRequest, ContainerRuntime, ContainerState, Exec,
    Files, ImageId, Logs, Network, NetworkAddress, Networks, RuntimeError, StatsReader, require,
};

use super::Facts;

/// How long an engine may take to show a change: a start takes 0.4 s on a busy machine.
pub(super) const PATIENCE: StdDuration = StdDuration::from_secs(30);

/// How often a wait asks again.
pub(super) const POLL_INTERVAL: StdDuration = StdDuration::from_millis(50);

/// The grace period of a stop: the suite's processes end on SIGTERM.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// A runtime with a network and an image, on which one promise is checked.
pub(super) struct ContractHarness<'a> {
    pub(super) runtime: &'a dyn ContainerRuntime,
    pub(super) facts: &'a Facts,
    pub(super) image: ImageId,
    network: Option<Network>,
    next: AtomicU32,
}

impl<'a> ContractHarness<'a> {
    pub(super) async fn new(runtime: &'a dyn ContainerRuntime, facts: &'a Facts) -> Self {
        let network = match runtime.networks() {
            Some(networks) => {
                Some(must("ensure a network", networks.ensure(&facts.instance).await))
            }
            None => None,
        };
        let image = runtime.resolve(&facts.image, PullPolicy::Missing).await;
        let image = must("resolve the image of the suite", image);
        Self { runtime, facts, network, image, next: AtomicU32::new(0) }
    }

    /// Returns a request with a name and an address of its own.
    pub(super) fn request(&self, name: &str) -> ContainerRequest {
        self.request_for(&self.facts.instance, name)
    }

    /// Returns a request for a container of `instance`.
    pub(super) fn request_for(&self, instance: &InstanceName, name: &str) -> ContainerRequest {
        let labels = [
            (labels::INSTANCE.to_owned(), instance.to_string()),
            ("test.contract".to_owned(), name.to_owned()),
        ];
        ContainerRequest {
            hostname: name.to_owned(),
            labels: BTreeMap::from(labels),
            command: self.idle_command(),
            port: PORT,
            network: self.next_address(),
            ..ContainerRequest::new(format!("dubernetes.{instance}.{name}"), self.image.to_string())
        }
    }

    /// Returns a command that runs until a signal. Containers of a fake run so without one.
    fn idle_command(&self) -> Vec<String> {
        if self.facts.real_commands { words(&["sleep", "86400"]) } else { Vec::new() }
    }

    fn next_address(&self) -> Option<NetworkAddress> {
        let network = self.network.as_ref()?;
        // The first 16 addresses are not for replicas, see `identity`.
        let offset = 16 + self.next.fetch_add(1, Ordering::Relaxed);
        let address = Ipv4Addr::from(u32::from(network.subnet.network()) + offset).into();
        Some(NetworkAddress { network: network.id.clone(), address: Some(address) })
    }

    pub(super) fn exec(&self) -> &'a dyn Exec {
        must("get the part for commands", require(self.runtime.exec(), Capability::Exec))
    }

    pub(super) fn files(&self) -> &'a dyn Files {
        must("get the part for files", require(self.runtime.files(), Capability::Files))
    }

    pub(super) fn logs(&self) -> &'a dyn Logs {
        must("get the part for logs", require(self.runtime.logs(), Capability::Logs))
    }

    pub(super) fn stats(&self) -> &'a dyn StatsReader {
        must("get the part for statistics", require(self.runtime.stats(), Capability::Stats))
    }

    pub(super) async fn create(&self, request: &ContainerRequest) -> ContainerId {
        must("create a container", self.runtime.create(request).await)
    }

    /// Creates and starts a container, and waits until it runs.
    pub(super) async fn start(&self, request: &ContainerRequest) -> ContainerId {
        let id = self.create(request).await;
        must("start a container", self.runtime.start(&id).await);
        self.wait_for(&id, "is running", is_running).await;
        id
    }

    pub(super) async fn inspect(&self, id: &ContainerId) -> Container {
        must("inspect a container", self.runtime.inspect(id).await)
    }

    pub(super) async fn list(&self) -> Vec<Container> {
        must("list containers", self.runtime.list(&self.facts.instance).await)
    }

    /// Inspects a container until `holds`, and fails after [`PATIENCE`].
    pub(super) async fn wait_for(
        &self,
        id: &ContainerId,
        what: &str,
        holds: fn(&ContainerState) -> bool,
    ) -> Container {
        let limit = tokio::time::Instant::now() + PATIENCE;
        loop {
            let container = self.inspect(id).await;
            if holds(&container.state) {
                return container;
            }
            assert!(
                tokio::time::Instant::now() < limit,
                "timed out after {PATIENCE:?} waiting until the container {what}; seen: {:?}",
                container.state
            );
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Returns whether the instance's list contains a container.
    pub(super) async fn lists(&self, instance: &InstanceName, id: &ContainerId) -> bool {
        let listed = must("list containers", self.runtime.list(instance).await);
        listed.iter().any(|container| container.id == *id)
    }

    pub(super) async fn remove(&self, id: &ContainerId) {
        must("remove a container", self.runtime.remove(id).await);
    }
}

/// The port of every request of the suite.
pub(super) const PORT: u16 = 80;

pub(super) fn is_running(state: &ContainerState) -> bool {
    matches!(state, ContainerState::Running { .. })
}

pub(super) fn is_exited(state: &ContainerState) -> bool {
    matches!(state, ContainerState::Exited(_))
}

/// Returns the part of the runtime that has networks.
pub(super) fn networks_of(runtime: &dyn ContainerRuntime) -> &dyn Networks {
    must("get the part for networks", require(runtime.networks(), Capability::PlannedAddresses))
}

/// Returns the value, or panics with the operation and the whole error.
#[track_caller]
pub(super) fn must<T>(operation: &str, result: Result<T, RuntimeError>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("could not {operation}: {}", chain(&error)),
    }
}

/// Panics unless the result is an error of the class that `matches` selects.
#[track_caller]
pub(super) fn must_fail<T>(
    promise: &str,
    result: Result<T, RuntimeError>,
    matches: fn(&RuntimeError) -> bool,
) {
    match result {
        Ok(_) => panic!("{promise}, but the call succeeded"),
        Err(error) => assert!(matches(&error), "{promise}, but the error was {error:?}"),
    }
}

pub(super) fn is_not_found(error: &RuntimeError) -> bool {
    matches!(error, RuntimeError::NotFound { .. })
}

pub(super) fn is_rejected(error: &RuntimeError) -> bool {
    matches!(error, RuntimeError::Rejected { .. })
}

pub(super) fn is_not_running(error: &RuntimeError) -> bool {
    matches!(error, RuntimeError::NotRunning { .. })
}

pub(super) fn is_name_taken(error: &RuntimeError) -> bool {
    matches!(error, RuntimeError::NameTaken { .. })
}

pub(super) fn is_image_error(error: &RuntimeError) -> bool {
    matches!(error, RuntimeError::Image { .. })
}

/// Waits for `future`, and fails after [`PATIENCE`]. `seen` describes what was seen so far.
pub(super) async fn within_patience<F: Future>(
    what: &str,
    future: F,
    seen: impl FnOnce() -> String,
) -> F::Output {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("timed out after {PATIENCE:?} waiting for {what}; seen: {}", seen()),
    }
}

/// Removes everything that the suite's instances own. An error here shows in a check as well.
pub(super) async fn remove_all(runtime: &dyn ContainerRuntime, facts: &Facts) {
    for instance in [&facts.instance, &facts.other_instance] {
        for container in runtime.list(instance).await.unwrap_or_default() {
            let _ = runtime.remove(&container.id).await;
        }
        if let Some(networks) = runtime.networks() {
            let _ = networks.remove(instance).await;
        }
    }
}

/// Returns an id that no container has.
pub(super) fn missing() -> ContainerId {
    ContainerId("0123456789abcdef".repeat(4).into())
}

pub(super) fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
