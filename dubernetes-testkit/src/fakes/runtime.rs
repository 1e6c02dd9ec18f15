//! A container engine in memory, on the time of tokio.
//!
//! With `tokio::time::pause` the time is virtual, so an hour of back-off takes no time. The fake
//! keeps every promise of [`dubernetes_core::runtime::ContainerRuntime`], and is deterministic.

mod operation;
mod port;
mod world;

pub use operation::Operation;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::broadcast;

use super::faults::{Fault, Faults};
use dubernetes_core::app::{AppName, Artifact, ImageRef, InstanceName};
use dubernetes_core::clock::Clock;
use dubernetes_core::runtime::{
    Container, ContainerId, ContainerRequest, ContainerState, LogLine, Network, Owner, RuntimeEvent,
};

/// The behaviour of the containers of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behaviour {
    /// When a container accepts connections, after its start; `None`: never.
    pub ready_after: Option<Duration>,
    /// When a container exits, after its start, and the exit code; `None`: never.
    pub exit: Option<(Duration, i64)>,
    /// The message of a failing start; `None`: the start succeeds.
    pub start_error: Option<String>,
    /// The health check that the image declares.
    pub health_check: Option<Vec<String>>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            ready_after: Some(Duration::from_millis(100)),
            exit: None,
            start_error: None,
            health_check: None,
        }
    }
}

impl Behaviour {
    /// Creates the behaviour of a process that exits with `code` after a time.
    pub fn exits(after: Duration, code: i64) -> Self {
        Self { exit: Some((after, code)), ..Self::default() }
    }

    /// Creates the behaviour of a process that runs and never accepts a connection.
    pub fn never_ready() -> Self {
        Self { ready_after: None, ..Self::default() }
    }
}

/// The time of tokio as a clock: virtual while that time is paused.
#[derive(Debug, Clone, Copy)]
pub struct TokioClock {
    base: Timestamp,
    start: tokio::time::Instant,
}

impl TokioClock {
    /// Creates a clock that starts at 2026-01-01 00:00 UTC. Call this inside a tokio runtime.
    #[expect(clippy::new_without_default, reason = "a default must not need a tokio runtime")]
    pub fn new() -> Self {
        Self::starting_at(Timestamp::from_second(1_767_225_600).unwrap_or(Timestamp::UNIX_EPOCH))
    }

    /// Creates a clock that starts at `base`. Call this inside a tokio runtime.
    pub fn starting_at(base: Timestamp) -> Self {
        Self { base, start: tokio::time::Instant::now() }
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        self.base.saturating_add(self.start.elapsed()).unwrap_or(Timestamp::MAX)
    }
}

/// A container engine in memory. Clones share the state.
#[derive(Debug, Clone)]
pub struct FakeRuntime {
    clock: TokioClock,
    world: Arc<Mutex<World>>,
    faults: Faults<Operation>,
    /// `None` ends the streams.
    events: broadcast::Sender<Option<(InstanceName, RuntimeEvent)>>,
}

#[derive(Debug, Default)]
struct World {
    commands: BTreeMap<String, Behaviour>,
    images: BTreeMap<Artifact, Behaviour>,
    /// Tags that were moved to another image.
    tags: BTreeMap<Artifact, Artifact>,
    apps: BTreeMap<String, Behaviour>,
    networks: BTreeMap<InstanceName, Network>,
    containers: BTreeMap<ContainerId, FakeContainer>,
    created: u64,
    away: bool,
    journal: Vec<String>,
    /// Whether containers get a port of their own on 127.0.0.1 instead of a planned address.
    unplanned: bool,
    /// Lists omit containers younger than this.
    list_lag: Duration,
    owners: BTreeMap<InstanceName, Owner>,
    names: BTreeMap<AppName, Ipv4Addr>,
    not_ready: BTreeSet<ContainerId>,
    logs: BTreeMap<ContainerId, Vec<LogLine>>,
    /// Contents of the files that were put, by absolute path.
    files: BTreeMap<ContainerId, BTreeMap<String, Bytes>>,
}

#[derive(Debug, Clone)]
struct FakeContainer {
    container: Container,
    request: ContainerRequest,
    behaviour: Behaviour,
}

impl FakeRuntime {
    /// Creates an engine without images, networks and containers.
    pub fn new(clock: TokioClock) -> Self {
        let (events, _) = broadcast::channel(1024);
        Self { clock, world: Arc::default(), faults: Faults::default(), events }
    }

    /// Creates an engine without networks: each running container has a port of its own on
    /// 127.0.0.1, as a runtime of local processes has.
    pub fn without_networks(clock: TokioClock) -> Self {
        let runtime = Self::new(clock);
        runtime.world().unplanned = true;
        runtime
    }

    /// Returns the names that were published last.
    pub fn names(&self) -> BTreeMap<AppName, Ipv4Addr> {
        self.world().names.clone()
    }

    /// Adds an image, or changes the behaviour of its later containers.
    ///
    /// # Panics
    ///
    /// If `image` is not an image reference.
    pub fn add_image(&self, image: &str, behaviour: Behaviour) {
        self.add_artifact(reference(image), behaviour);
    }

    /// Adds an image or a program, or changes the behaviour of its later containers.
    pub fn add_artifact(&self, artifact: Artifact, behaviour: Behaviour) {
        self.world().images.insert(artifact, behaviour);
    }

    /// Sets the behaviour of later containers with this command, for any image.
    pub fn set_command(&self, command: &str, behaviour: Behaviour) {
        self.world().commands.insert(command.to_owned(), behaviour);
    }

    /// Sets the behaviour of later containers of an app, for any image.
    pub fn set_behaviour(&self, app: &AppName, behaviour: Behaviour) {
        self.world().apps.insert(app.to_string(), behaviour);
    }

    /// Moves a tag to the image `other`.
    ///
    /// # Panics
    ///
    /// If either is not an image reference.
    pub fn move_tag(&self, image: &str, other: &str) {
        self.world().tags.insert(reference(image), reference(other));
    }

    /// Removes an image. Its containers keep running.
    ///
    /// # Panics
    ///
    /// If `image` is not an image reference.
    pub fn remove_image(&self, image: &str) {
        self.world().images.remove(&reference(image));
    }

    /// Removes all other images and programs.
    pub fn retain_artifacts(&self, keep: impl Fn(&Artifact) -> bool) {
        self.world().images.retain(|artifact, _| keep(artifact));
    }

    /// Returns every container, ordered by name.
    pub fn containers(&self) -> Vec<Container> {
        let world = self.world();
        let mut all: Vec<_> = world.containers.values().map(|c| c.container.clone()).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// Returns the request that created a container.
    pub fn request(&self, id: &ContainerId) -> Option<ContainerRequest> {
        self.world().containers.get(id).map(|c| c.request.clone())
    }

    /// Returns the container with this name.
    ///
    /// # Panics
    ///
    /// If there is no such container.
    pub fn named(&self, name: &str) -> Container {
        let found = self.containers().into_iter().find(|c| c.name == name);
        let Some(found) = found else {
            let names: Vec<_> = self.containers().into_iter().map(|c| c.name).collect();
            panic!("no container `{name}`; seen: {names:?}")
        };
        found
    }

    /// Takes a running container off its network, as `docker network disconnect` does.
    ///
    /// # Panics
    ///
    /// If there is no such container.
    pub fn disconnect(&self, name: &str) {
        let id = self.named(name).id;
        if let Some(found) = self.world().containers.get_mut(&id) {
            found.container.endpoint = None;
        }
    }

    /// Removes the network of an instance, as a user can after its last container left it.
    pub fn remove_network(&self, instance: &InstanceName) {
        self.world().networks.remove(instance);
    }

    /// Creates and starts a copy of a container: the same labels under another name, as `docker
    /// commit` and `docker run` make one.
    ///
    /// # Panics
    ///
    /// If there is no such container.
    pub fn copy(&self, name: &str, copy: &str) {
        let mut container = self.named(name);
        let Some(request) = self.request(&container.id) else { return };
        let mut world = self.world();
        world.created += 1;
        container.id = ContainerId(format!("{:012x}", world.created).into());
        container.name = copy.to_owned();
        container.state = ContainerState::Running { started_at: self.clock.now() };
        container.endpoint = None;
        let behaviour = Behaviour::never_ready();
        let id = container.id.clone();
        world.containers.insert(id, FakeContainer { container, request, behaviour });
    }

    /// Ends a container's process, as a signal or a crash does.
    ///
    /// # Panics
    ///
    /// If there is no such container.
    pub fn kill(&self, name: &str, code: i64) {
        let id = self.named(name).id;
        self.end(&id, code);
    }

    /// Removes a container, as a removal outside the orchestrator does.
    ///
    /// # Panics
    ///
    /// If there is no such container.
    pub fn vanish(&self, name: &str) {
        let id = self.named(name).id;
        self.delete(&id);
    }

    /// Sets whether a running container accepts connections.
    ///
    /// # Panics
    ///
    /// If there is no such container.
    pub fn set_ready(&self, name: &str, ready: bool) {
        let id = self.named(name).id;
        let mut world = self.world();
        if ready {
            world.not_ready.remove(&id)
        } else {
            world.not_ready.insert(id)
        };
    }

    /// Sets whether the engine is unreachable. Streams of events end when the engine goes away.
    pub fn set_away(&self, away: bool) {
        self.world().away = away;
        if away {
            // Without receivers the message is dropped.
            let _ = self.events.send(None);
        }
    }

    /// Returns the faults of this engine.
    pub fn faults(&self) -> &Faults<Operation> {
        &self.faults
    }

    /// Makes the next `times` calls of an operation fail without an effect.
    pub fn fail(&self, operation: Operation, times: u32) {
        self.faults.inject(operation, Fault::Error, times);
    }

    /// Makes the next call of an operation panic.
    pub fn panic(&self, operation: Operation) {
        self.faults.inject(operation, Fault::Panic, 1);
    }

    /// Makes lists omit containers for this time after their creation.
    pub fn set_list_lag(&self, lag: Duration) {
        self.world().list_lag = lag;
    }

    /// Adds a line to a container's output.
    ///
    /// # Panics
    ///
    /// If there is no such container.
    pub fn write_log(&self, name: &str, text: &str) {
        let id = self.named(name).id;
        let time = self.clock.now();
        let line = LogLine { time, stderr: false, text: text.to_owned() };
        self.world().logs.entry(id).or_default().push(line);
    }

    /// Returns the changing calls since the last use of this method, such as
    /// `create dubernetes.default.web-1.r1`.
    pub fn take_journal(&self) -> Vec<String> {
        std::mem::take(&mut self.world().journal)
    }

    fn world(&self) -> MutexGuard<'_, World> {
        // A test that panicked with the lock has failed already.
        self.world.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn reference(image: &str) -> Artifact {
    match ImageRef::parse(image) {
        Ok(image) => image.into(),
        Err(rule) => panic!("`{image}` is not an image reference: {rule}"),
    }
}
