//! What the checks share: a network, an image, requests with defaults, and bounded waits.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::net::Ipv4Addr;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration as StdDuration;

use futures_util::StreamExt as _;

use dubernetes_core::app::{Duration, InstanceName, PullPolicy, Signal};
use dubernetes_core::error::chain;
use dubernetes_core::labels;
use dubernetes_core::runtime::{
    Capability, Container, ContainerId, ContainerRequest, ContainerRuntime, ContainerState, Exec,
    Files, ImageId, LogOptions, Logs, Network, NetworkAddress, Networks, RuntimeError, StatsReader,
    require,
};

use super::{Facts, RuntimeSubject};

/// How long an engine may take to show a change: a start takes 0.4 s on a busy machine.
pub(super) const PATIENCE: StdDuration = StdDuration::from_secs(30);

/// How often a wait asks again.
pub(super) const POLL_INTERVAL: StdDuration = StdDuration::from_millis(50);

/// The grace period of a stop: the suite's processes end on SIGTERM.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// A runtime with a network and an image, on which one promise is checked.
pub(super) struct ContractHarness<'a> {
    pub(super) subject: &'a RuntimeSubject,
    pub(super) runtime: &'a dyn ContainerRuntime,
    pub(super) facts: &'a Facts,
    pub(super) image: ImageId,
    pub(super) network: Option<Network>,
    next: AtomicU32,
}

impl<'a> ContractHarness<'a> {
    pub(super) async fn new(subject: &'a RuntimeSubject) -> Self {
        let RuntimeSubject { runtime, facts, .. } = subject;
        let network = match runtime.networks() {
            Some(networks) => {
                Some(must("ensure a network", networks.ensure(&facts.instance).await))
            }
            None => None,
        };
        let image = runtime.resolve(&facts.image, PullPolicy::Missing).await;
        let image = must("resolve the image of the suite", image);
        let runtime = &**runtime;
        Self { subject, runtime, facts, image, network, next: AtomicU32::new(0) }
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

    /// Returns a request whose process is a shell script.
    pub(super) fn script(&self, name: &str, script: &str) -> ContainerRequest {
        let request = self.request(name);
        let prelude = match self.runtime.logs() {
            Some(_) => String::new(),
            None => format!("mkdir -p {0}; exec >{0}/{name}.out 2>&1; ", self.facts.folder),
        };
        let (command, args) = (words(&["sh", "-c"]), vec![format!("{prelude}{script}")]);
        ContainerRequest { command, args, ..request }
    }

    /// Returns a path for the files of a check.
    pub(super) fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.facts.folder)
    }

    /// Returns what a script has printed so far.
    pub(super) async fn printed(&self, request: &ContainerRequest, id: &ContainerId) -> String {
        let Some(logs) = self.runtime.logs() else {
            // The file is missing before the script begins.
            let output = format!("{}/{}.out", self.facts.folder, request.hostname);
            return tokio::fs::read_to_string(output).await.unwrap_or_default();
        };
        let read = must("read the logs", logs.read(id, &LogOptions::default()).await);
        let lines = within_patience("the end of the logs", read.collect::<Vec<_>>(), String::new);
        let texts = lines.await.into_iter().map(|line| must("read a line", line).text + "\n");
        texts.collect()
    }

    /// Waits until a script has printed a line.
    pub(super) async fn wait_for_line(
        &self,
        request: &ContainerRequest,
        id: &ContainerId,
        line: &str,
    ) {
        let limit = tokio::time::Instant::now() + PATIENCE;
        loop {
            let printed = self.printed(request, id).await;
            if printed.lines().any(|found| found == line) {
                return;
            }
            let is_over = tokio::time::Instant::now() >= limit;
            assert!(!is_over, "a script prints {line:?} within {PATIENCE:?}; seen: {printed:?}");
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Creates and starts a container without waiting: its process may end at once.
    pub(super) async fn launch(&self, request: &ContainerRequest) -> ContainerId {
        let id = self.create(request).await;
        must("start a container", self.runtime.start(&id).await);
        id
    }

    /// Runs a script to its end, and removes its container. Returns exit code and output.
    pub(super) async fn run_script(&self, request: &ContainerRequest) -> (i64, String) {
        let id = self.launch(request).await;
        let code = self.exit_code(&id).await;
        let printed = self.printed(request, &id).await;
        self.remove(&id).await;
        (code, printed)
    }

    /// Waits until a container has exited.
    pub(super) async fn exit_code(&self, id: &ContainerId) -> i64 {
        match self.wait_for(id, "has exited", is_exited).await.state {
            ContainerState::Exited(exit) => exit.code,
            other => panic!("the container has exited; seen: {other:?}"),
        }
    }

    /// Stops a container, within [`PATIENCE`].
    pub(super) async fn stop(&self, id: &ContainerId, signal: Option<Signal>, grace: Duration) {
        let stopped = self.runtime.stop(id, signal, grace);
        let stopped = within_patience("the end of a stop", stopped, String::new).await;
        must("stop a container", stopped);
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
pub(super) async fn remove_all(RuntimeSubject { runtime, facts, .. }: &RuntimeSubject) {
    for instance in [&facts.instance, &facts.other_instance] {
        let removed = async {
            for container in runtime.list(instance).await.unwrap_or_default() {
                let _ = runtime.remove(&container.id).await;
            }
            if let Some(networks) = runtime.networks() {
                let _ = networks.remove(instance).await;
            }
        };
        // A runtime that hangs shows in a check.
        let _ = tokio::time::timeout(PATIENCE, removed).await;
    }
}

/// Polls a call some times, and drops it.
pub(super) async fn poll<T>(times: u32, call: impl Future<Output = T>) {
    let mut call = pin!(call);
    for _ in 0..times {
        if poll_fn(|context| Poll::Ready(call.as_mut().poll(context).is_ready())).await {
            return;
        }
        tokio::time::sleep(StdDuration::from_millis(5)).await;
    }
}

/// Returns an id that no container has.
pub(super) fn missing() -> ContainerId {
    ContainerId("0123456789abcdef".repeat(4).into())
}

pub(super) fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
