//! What the checks share: a network, an image, requests with defaults, and waiting with a limit.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration as StdDuration;

use dubernetes_core::app::{Duration, InstanceName, PullPolicy, Resources};
use dubernetes_core::error::chain;
use dubernetes_core::identity;
use dubernetes_core::labels;
use dubernetes_core::runtime::{
    Capability, Container, ContainerId, ContainerRequest, ContainerRuntime, ContainerState, Exec,
    Files, ImageId, Logs, Network, Networks, RuntimeError, StatsReader, require,
};

use super::Facts;

/// How long an engine may take to show something: a start takes 0.4 s on a busy machine.
const PATIENCE: StdDuration = StdDuration::from_secs(30);

/// A runtime with a network and an image, on which single promises are checked.
pub(super) struct ContractHarness<'a> {
    pub(super) runtime: &'a dyn ContainerRuntime,
    pub(super) facts: &'a Facts,
    pub(super) network: Network,
    pub(super) image: ImageId,
    next: AtomicU32,
}

impl<'a> ContractHarness<'a> {
    pub(super) async fn new(runtime: &'a dyn ContainerRuntime, facts: &'a Facts) -> Self {
        let network = must("ensure a network", networks_of(runtime).ensure(&facts.instance).await);
        let image = runtime.resolve(&facts.image, PullPolicy::Missing).await;
        let image = must("find an image that is there", image);
        Self { runtime, facts, network, image, next: AtomicU32::new(0) }
    }

    /// A request with a name and an address of its own.
    pub(super) fn request(&self, name: &str) -> ContainerRequest {
        let address = self.next_address();
        self.request_of(&self.facts.instance, name, address)
    }

    /// The same for any instance.
    pub(super) fn request_of(
        &self,
        instance: &InstanceName,
        name: &str,
        address: Ipv4Addr,
    ) -> ContainerRequest {
        let labels = [
            (labels::INSTANCE.to_owned(), instance.to_string()),
            ("test.contract".to_owned(), name.to_owned()),
        ];
        ContainerRequest {
            name: format!("dubernetes.{instance}.{name}"),
            hostname: name.to_owned(),
            image: self.image.to_string(),
            labels: BTreeMap::from(labels),
            command: self.lasting_command(),
            args: Vec::new(),
            env: BTreeMap::new(),
            secret_env: BTreeMap::new(),
            files: Vec::new(),
            network: self.network.id.clone(),
            address,
            resources: Resources::default(),
            volumes: Vec::new(),
            ports: Vec::new(),
            stop_signal: None,
        }
    }

    /// What runs until a signal ends it; a fake's containers do so without a command.
    fn lasting_command(&self) -> Vec<String> {
        let words: &[&str] = if self.facts.real_commands { &["sleep", "86400"] } else { &[] };
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    /// An address that no other container of this bench has.
    pub(super) fn next_address(&self) -> Ipv4Addr {
        // The first 16 addresses are not for replicas, see `identity`.
        let offset = 16 + self.next.fetch_add(1, Ordering::Relaxed);
        Ipv4Addr::from(u32::from(self.network.subnet.network()) + offset)
    }

    pub(super) fn exec(&self) -> &'a dyn Exec {
        must("run commands", require(self.runtime.exec(), Capability::Exec))
    }

    pub(super) fn files(&self) -> &'a dyn Files {
        must("put files", require(self.runtime.files(), Capability::Files))
    }

    pub(super) fn logs(&self) -> &'a dyn Logs {
        must("read logs", require(self.runtime.logs(), Capability::Logs))
    }

    pub(super) fn stats(&self) -> &'a dyn StatsReader {
        must("read statistics", require(self.runtime.stats(), Capability::Stats))
    }

    pub(super) async fn create(&self, request: &ContainerRequest) -> ContainerId {
        must("create a container", self.runtime.create(request).await)
    }

    /// Creates and starts a container, and waits until it runs.
    pub(super) async fn running(&self, request: &ContainerRequest) -> ContainerId {
        let id = self.create(request).await;
        must("start a container", self.runtime.start(&id).await);
        self.wait_for(&id, "it runs", is_running).await;
        id
    }

    pub(super) async fn inspect(&self, id: &ContainerId) -> Container {
        must("inspect a container", self.runtime.inspect(id).await)
    }

    /// Inspects until `holds`, and fails after [`PATIENCE`].
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
                "waited in vain for a container until {what}; it is {:?}",
                container.state
            );
            tokio::time::sleep(StdDuration::from_millis(50)).await;
        }
    }

    /// Whether the instance's list has a container of this id.
    pub(super) async fn lists(&self, instance: &InstanceName, id: &ContainerId) -> bool {
        let listed = must("list containers", self.runtime.list(instance).await);
        listed.iter().any(|container| container.id == *id)
    }

    pub(super) async fn remove(&self, id: &ContainerId) {
        must("remove a container", self.runtime.remove(id).await);
    }
}

/// The longest that a stop in this suite may need: the image ends on SIGTERM.
pub(super) const GRACE: Duration = Duration::from_secs(5);

pub(super) fn is_running(state: &ContainerState) -> bool {
    matches!(state, ContainerState::Running { .. })
}

pub(super) fn is_exited(state: &ContainerState) -> bool {
    matches!(state, ContainerState::Exited { .. })
}

/// The part of the runtime that has networks.
pub(super) fn networks_of(runtime: &dyn ContainerRuntime) -> &dyn Networks {
    must("have networks", require(runtime.networks(), Capability::PlannedAddresses))
}

/// The value, or a panic that names the promise and the whole error.
#[track_caller]
pub(super) fn must<T>(promise: &str, result: Result<T, RuntimeError>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("could not {promise}: {}", chain(&error)),
    }
}

/// The error, which must be of the class that `matches` knows.
#[track_caller]
pub(super) fn must_fail<T>(
    promise: &str,
    result: Result<T, RuntimeError>,
    matches: fn(&RuntimeError) -> bool,
) {
    match result {
        Ok(_) => panic!("{promise}, but it succeeded"),
        Err(error) => assert!(matches(&error), "{promise}, but it gave {error:?}"),
    }
}

pub(super) fn is_not_found(error: &RuntimeError) -> bool {
    matches!(error, RuntimeError::NotFound { .. })
}

pub(super) fn is_rejected(error: &RuntimeError) -> bool {
    matches!(error, RuntimeError::Rejected { .. })
}

/// What `future` gives, if it does so in time.
pub(super) async fn in_time<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("waited in vain for {what}"),
    }
}

/// Removes all that the suite's instances own. What fails here fails in a check as well, with its reason.
pub(super) async fn sweep(runtime: &dyn ContainerRuntime, facts: &Facts) {
    for instance in [&facts.instance, &facts.other_instance] {
        for container in runtime.list(instance).await.unwrap_or_default() {
            let _ = runtime.remove(&container.id).await;
        }
        if let Some(networks) = runtime.networks() {
            let _ = networks.remove(instance).await;
        }
    }
}

/// Names that nothing has.
pub(super) fn missing() -> ContainerId {
    ContainerId("0123456789abcdef".repeat(4))
}

/// Whether an address of the network can be the planner's.
pub(super) fn has_room(network: &Network) -> bool {
    identity::capacity(network.subnet) >= 64
}
