//! Fixture of these tests: an instance of its own on the engine, and its cleanup.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::process::{self, Command};
use std::time::Duration;

use dubernetes_core::app::InstanceName;
use dubernetes_core::labels;
use dubernetes_core::runtime::{
    ContainerId, ContainerRequest, ContainerRuntime, ExecResult, Network, NetworkAddress, Networks,
    run_command,
};
use dubernetes_docker::DockerRuntime;
use dubernetes_testkit::gate::engine_or_skip;

use super::image;

/// An instance with a network. Nothing of it is left after the test.
pub(crate) struct EngineFixture {
    pub(crate) runtime: DockerRuntime,
    pub(crate) instance: InstanceName,
    pub(crate) network: Network,
    is_clean: bool,
}

/// Returns an engine with the test image, or prints what is missing and returns `None`.
pub(crate) async fn engine() -> Option<DockerRuntime> {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    let runtime = engine_or_skip(test, DockerRuntime::connect(None).await)?;
    engine_or_skip(test, image::ensure().map_err(std::io::Error::other))?;
    Some(runtime)
}

/// Returns the name of an instance that nothing else uses.
pub(crate) fn instance(name: &str) -> InstanceName {
    InstanceName::parse(&format!("t-docker-{}-{name}", std::process::id())).unwrap()
}

/// Runs the engine's own client, and returns whether it succeeded.
pub(crate) fn docker(words: &[&str]) -> bool {
    let mut docker = Command::new("docker");
    docker.args(words).stdout(process::Stdio::null()).stderr(process::Stdio::null());
    docker.status().is_ok_and(|status| status.success())
}

impl EngineFixture {
    pub(crate) async fn new(name: &str) -> Option<Self> {
        let runtime = engine().await?;
        let instance = instance(name);
        let network = Networks::ensure(&runtime, &instance).await.unwrap();
        Some(Self { runtime, instance, network, is_clean: false })
    }

    pub(crate) fn networks(&self) -> &dyn Networks {
        &self.runtime
    }

    /// Returns a request with the address at `offset` in the network.
    pub(crate) fn request(&self, name: &str, offset: u32) -> ContainerRequest {
        let owner = (labels::INSTANCE.to_owned(), self.instance.to_string());
        ContainerRequest {
            hostname: name.to_owned(),
            labels: BTreeMap::from([owner]),
            command: ["sleep", "86400"].map(str::to_owned).into(),
            network: Some(NetworkAddress {
                network: self.network.id.clone(),
                address: Some(
                    Ipv4Addr::from(u32::from(self.network.subnet.network()) + offset).into(),
                ),
            }),
            ..ContainerRequest::new(format!("dubernetes.{}.{name}", self.instance), image::NAME)
        }
    }

    pub(crate) async fn create(&self, request: &ContainerRequest) -> ContainerId {
        self.runtime.create(request).await.unwrap()
    }

    /// Runs a command to its end, within 30 s.
    pub(crate) async fn run(&self, id: &ContainerId, command: &[&str]) -> ExecResult {
        let ran = run_command(&self.runtime, id, command, None);
        tokio::time::timeout(Duration::from_secs(30), ran).await.unwrap().unwrap()
    }

    /// Waits until `holds` returns true, for 30 s at most.
    pub(crate) async fn eventually(&self, what: &str, holds: impl AsyncFn() -> bool) {
        let limit = tokio::time::Instant::now() + Duration::from_secs(30);
        while !holds().await {
            assert!(tokio::time::Instant::now() < limit, "timed out waiting until {what}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Removes everything that the instance owns, and checks that nothing is left.
    pub(crate) async fn clean(mut self) {
        for container in self.runtime.list(&self.instance).await.unwrap() {
            ContainerRuntime::remove(&self.runtime, &container.id).await.unwrap();
        }
        self.networks().remove(&self.instance).await.unwrap();
        assert_eq!(self.runtime.list(&self.instance).await.unwrap(), []);
        self.is_clean = true;
    }
}

impl Drop for EngineFixture {
    /// Cleans up after a failed test. Uses the engine's own client, since `drop` cannot await.
    fn drop(&mut self) {
        if self.is_clean {
            return;
        }
        let label = format!("label={}={}", labels::INSTANCE, self.instance);
        remove_all(&["ps", "-aq", "--filter", &label], &["rm", "-fv"]);
        remove_all(&["volume", "ls", "-q", "--filter", &label], &["volume", "rm"]);
        remove_all(&["network", "ls", "-q", "--filter", &label], &["network", "rm"]);
    }
}

fn remove_all(list: &[&str], remove: &[&str]) {
    let Ok(listed) = Command::new("docker").args(list).output() else { return };
    for id in String::from_utf8_lossy(&listed.stdout).lines() {
        docker(&[remove, &[id]].concat());
    }
}
