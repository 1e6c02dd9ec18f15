//! A container engine in memory, on the time of the runtime that it runs in.
//!
//! With `tokio::time::pause` that time is virtual, so an hour of back-off takes no time at all. The
//! fake keeps every promise of [`dubernetes_core::runtime::ContainerRuntime`], and nothing in it is random.

mod operation;
mod port;
mod world;

pub use operation::Operation;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::broadcast;

use super::faults::{Fault, Faults};
use dubernetes_core::app::{AppName, ImageRef, InstanceName};
use dubernetes_core::clock::Clock;
use dubernetes_core::runtime::{
    Container, ContainerId, ContainerRequest, LogLine, Network, RuntimeEvent,
};

/// What the containers of an image do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behaviour {
    /// So long after its start a container takes connections; `None`: never.
    pub ready_after: Option<Duration>,
    /// So long after its start a container ends with this code; `None`: it runs on.
    pub exit: Option<(Duration, i64)>,
    /// The start fails with this text.
    pub start_error: Option<String>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self { ready_after: Some(Duration::from_millis(100)), exit: None, start_error: None }
    }
}

impl Behaviour {
    /// A program that ends with `code` so long after its start.
    pub fn exits(after: Duration, code: i64) -> Self {
        Self { exit: Some((after, code)), ..Self::default() }
    }

    /// A program that runs and never takes a connection.
    pub fn never_ready() -> Self {
        Self { ready_after: None, ..Self::default() }
    }
}

/// The time of the tokio runtime as a clock: virtual where that is paused.
#[derive(Debug, Clone, Copy)]
pub struct TokioClock {
    base: Timestamp,
    start: tokio::time::Instant,
}

impl TokioClock {
    /// Begins at 2026-01-01 00:00 UTC. Call it inside a tokio runtime.
    #[expect(
        clippy::new_without_default,
        reason = "a default that needs a tokio runtime surprises"
    )]
    pub fn new() -> Self {
        Self::starting_at(Timestamp::from_second(1_767_225_600).unwrap_or(Timestamp::UNIX_EPOCH))
    }

    /// Begins at `base`. Call it inside a tokio runtime.
    pub fn starting_at(base: Timestamp) -> Self {
        Self { base, start: tokio::time::Instant::now() }
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        self.base.saturating_add(self.start.elapsed()).unwrap_or(Timestamp::MAX)
    }
}

/// The engine. Clones are the same one.
#[derive(Debug, Clone)]
pub struct FakeRuntime {
    clock: TokioClock,
    world: Arc<Mutex<World>>,
    faults: Faults<Operation>,
    /// None: the streams end.
    events: broadcast::Sender<Option<(InstanceName, RuntimeEvent)>>,
}

#[derive(Debug, Default)]
struct World {
    commands: BTreeMap<String, Behaviour>,
    images: BTreeMap<ImageRef, Behaviour>,
    /// Tags that mean another image than the one of their name.
    tags: BTreeMap<ImageRef, ImageRef>,
    apps: BTreeMap<String, Behaviour>,
    networks: BTreeMap<InstanceName, Network>,
    containers: BTreeMap<ContainerId, FakeContainer>,
    made: u64,
    away: bool,
    journal: Vec<String>,
    /// Containers younger than this are missing in lists.
    list_lag: Duration,
    owners: BTreeMap<InstanceName, String>,
    not_ready: BTreeSet<ContainerId>,
    logs: BTreeMap<ContainerId, Vec<LogLine>>,
}

#[derive(Debug, Clone)]
struct FakeContainer {
    container: Container,
    request: ContainerRequest,
    behaviour: Behaviour,
}

impl FakeRuntime {
    /// An engine without images, networks and containers.
    pub fn new(clock: TokioClock) -> Self {
        let (events, _) = broadcast::channel(1024);
        Self { clock, world: Arc::default(), faults: Faults::default(), events }
    }

    /// Puts an image on the engine, or changes what its later containers do.
    ///
    /// # Panics
    ///
    /// If `image` is no image reference.
    pub fn add_image(&self, image: &str, behaviour: Behaviour) {
        self.world().images.insert(reference(image), behaviour);
    }

    /// What later containers with this command do, whatever their image.
    pub fn set_command(&self, command: &str, behaviour: Behaviour) {
        self.world().commands.insert(command.to_owned(), behaviour);
    }

    /// What the later containers of an app do, whatever their image says.
    pub fn set_behaviour(&self, app: &AppName, behaviour: Behaviour) {
        self.world().apps.insert(app.to_string(), behaviour);
    }

    /// Has a tag mean what `other` is.
    ///
    /// # Panics
    ///
    /// If one of them is no image reference.
    pub fn move_tag(&self, image: &str, other: &str) {
        self.world().tags.insert(reference(image), reference(other));
    }

    /// Takes an image off the engine. Its containers go on.
    ///
    /// # Panics
    ///
    /// If `image` is no image reference.
    pub fn remove_image(&self, image: &str) {
        self.world().images.remove(&reference(image));
    }

    /// Takes all other images off the engine.
    pub fn retain_images(&self, keep: impl Fn(&ImageRef) -> bool) {
        self.world().images.retain(|image, _| keep(image));
    }

    /// Every container, in the order of their names.
    pub fn containers(&self) -> Vec<Container> {
        let world = self.world();
        let mut all: Vec<_> = world.containers.values().map(|c| c.container.clone()).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// The request that a container was made by.
    pub fn request(&self, id: &ContainerId) -> Option<ContainerRequest> {
        self.world().containers.get(id).map(|c| c.request.clone())
    }

    /// The container with this name.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn named(&self, name: &str) -> Container {
        let found = self.containers().into_iter().find(|c| c.name == name);
        let Some(found) = found else {
            let names: Vec<_> = self.containers().into_iter().map(|c| c.name).collect();
            panic!("no container is named `{name}`, but {names:?}")
        };
        found
    }

    /// Ends a container's process, as a signal or a crash would.
    ///
    /// # Panics
    ///
    /// If there is no such container.
    pub fn kill(&self, name: &str, code: i64) {
        let id = self.named(name).id;
        self.end(&id, code);
    }

    /// Removes a container behind the controller's back.
    ///
    /// # Panics
    ///
    /// If there is no such container.
    pub fn vanish(&self, name: &str) {
        let id = self.named(name).id;
        self.take_away(&id);
    }

    /// Whether connections to a running container are taken, from now on.
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

    /// Whether the engine is away, from now on. Its streams of events end when it goes.
    pub fn set_away(&self, away: bool) {
        self.world().away = away;
        if away {
            // Nobody has to listen.
            let _ = self.events.send(None);
        }
    }

    /// Returns the faults of this engine.
    pub fn faults(&self) -> &Faults<Operation> {
        &self.faults
    }

    /// Lets the next `times` calls of an operation fail without an effect.
    pub fn fail(&self, operation: Operation, times: u32) {
        self.faults.inject(operation, Fault::Error, times);
    }

    /// Lets the next call of an operation panic.
    pub fn panic(&self, operation: Operation) {
        self.faults.inject(operation, Fault::Panic, 1);
    }

    /// Lets lists show new containers only this long after their creation.
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

    /// Every call that changed something, such as `create dubernetes.default.web-1.r1`; and forgets them.
    pub fn take_journal(&self) -> Vec<String> {
        std::mem::take(&mut self.world().journal)
    }

    fn world(&self) -> MutexGuard<'_, World> {
        // A test that panicked while it held the lock has failed already.
        self.world.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn reference(image: &str) -> ImageRef {
    match ImageRef::parse(image) {
        Ok(image) => image,
        Err(rule) => panic!("`{image}` is no image reference: {rule}"),
    }
}
