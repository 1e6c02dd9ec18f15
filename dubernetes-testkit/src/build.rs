//! Constructors of common values, and a whole orchestrator on fakes.

mod converged;

pub use converged::converged;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use dubernetes_controller::{Builder, Handle, Orchestrator, Snapshot};
use dubernetes_core::app::{
    Access, AppName, AppSpec, Generation, HostName, ImageRef, InstanceName,
};
use dubernetes_core::plan::Phase;
use dubernetes_core::store::{Put, Store as _, StoreError};

use super::{Behaviour, Effects, FakeIngress, FakeIssuer, FakeRuntime, MemoryStore, TokioClock};

/// Returns an app's name.
///
/// # Panics
///
/// If `name` is not a legal name.
pub fn app_name(name: &str) -> AppName {
    AppName::parse(name).unwrap_or_else(|rule| panic!("`{name}` is not an app name: {rule}"))
}

/// Returns an app with this image and number of replicas, with the host `NAME.local`.
///
/// # Panics
///
/// If the name or image is not legal.
pub fn app(name: &str, image: &str, replicas: u16) -> AppSpec {
    let host = HostName::parse(&format!("{name}.local"));
    AppSpec { access: host.into_iter().map(route_to).collect(), ..worker(name, image, replicas) }
}

fn route_to(host: HostName) -> Access {
    Access { hosts: vec![host.into()], ..Access::default() }
}

/// Returns an app with this image and number of replicas, without a route.
///
/// # Panics
///
/// If the name or image is not legal.
pub fn worker(name: &str, image: &str, replicas: u16) -> AppSpec {
    let image = ImageRef::parse(image)
        .unwrap_or_else(|rule| panic!("`{image}` is not an image reference: {rule}"));
    AppSpec { replicas, ..AppSpec::new(app_name(name), image) }
}

/// A running orchestrator on fakes. The controller is real; engine, store and proxy are in memory.
/// The front page of the crate has an example.
#[derive(Debug)]
pub struct TestOrchestrator {
    /// The engine.
    pub runtime: FakeRuntime,
    /// The store.
    pub store: Arc<MemoryStore>,
    /// The proxy.
    pub ingress: FakeIngress,
    /// The authority, which issues certificates if the proxy has a port for HTTPS.
    pub issuer: FakeIssuer,
    /// The time.
    pub clock: TokioClock,
    /// The handle of the orchestrator.
    pub handle: Handle,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl TestOrchestrator {
    /// Starts an orchestrator on empty fakes. Call this inside a tokio runtime, best with paused
    /// time.
    pub fn start() -> Self {
        let clock = TokioClock::new();
        Self::start_on(FakeRuntime::new(clock), Arc::default(), FakeIngress::default(), clock)
    }

    /// Starts an orchestrator on the fakes of another one.
    pub fn start_on(
        runtime: FakeRuntime,
        store: Arc<MemoryStore>,
        ingress: FakeIngress,
        clock: TokioClock,
    ) -> Self {
        Self::start_with(runtime, store, ingress, clock, |builder| builder)
    }

    /// Starts an orchestrator on fakes, with other settings.
    pub fn start_with(
        runtime: FakeRuntime,
        store: Arc<MemoryStore>,
        ingress: FakeIngress,
        clock: TokioClock,
        settings: impl FnOnce(Builder) -> Builder,
    ) -> Self {
        let issuer = FakeIssuer::new(clock);
        issuer.ask(&ingress);
        Self::start_with_issuer(runtime, store, ingress, issuer, settings)
    }

    /// Starts an orchestrator on fakes, with an authority that others have used before, and with
    /// other settings.
    pub fn start_with_issuer(
        runtime: FakeRuntime,
        store: Arc<MemoryStore>,
        ingress: FakeIngress,
        issuer: FakeIssuer,
        settings: impl FnOnce(Builder) -> Builder,
    ) -> Self {
        let clock = issuer.clock();
        let builder = Orchestrator::builder(InstanceName::default())
            .runtime(Arc::new(runtime.clone()))
            .store(Arc::<MemoryStore>::clone(&store))
            .ingress(Arc::new(ingress.clone()))
            .dialer(Arc::new(runtime.clone()))
            .certificates(Arc::new(issuer.clone()))
            .clock(Arc::new(clock));
        let orchestrator = settings(builder).build();
        let handle = orchestrator.handle();
        let stop = CancellationToken::new();
        let running = tokio::spawn(orchestrator.run(stop.clone()));
        Self { runtime, store, ingress, issuer, clock, handle, stop, running }
    }

    /// Counts the changing calls on the fakes, of the orchestrator and of its handle, from now on.
    pub fn count_effects(&self) -> Effects {
        let effects = Effects::default();
        self.runtime.faults().count(&effects);
        self.store.faults().count(&effects);
        self.ingress.faults().count(&effects);
        effects
    }

    /// Ends the orchestrator as a crash does, at its present await point.
    pub fn kill(&self) {
        self.running.abort();
    }

    /// Ends the orchestrator as a crash does, and starts another one on the same fakes.
    pub fn restart(self) -> Self {
        self.kill();
        let Self { runtime, store, ingress, issuer, .. } = self;
        Self::start_with_issuer(runtime, store, ingress, issuer, |builder| builder)
    }

    /// Stops the orchestrator, and waits until it has ended.
    ///
    /// # Panics
    ///
    /// If that takes longer than a second of the runtime's time.
    pub async fn shut_down(self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(1), self.running).await;
        assert!(matches!(ended, Ok(Ok(()))), "the orchestrator did not end: {ended:?}");
    }

    /// Stops the orchestrator; the fakes keep their state.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Applies an app, as the API does.
    ///
    /// # Errors
    ///
    /// Those of [`dubernetes_core::store::Store::put`].
    pub async fn apply(&self, spec: &AppSpec) -> Result<Put, StoreError> {
        self.handle.apply(spec).await
    }

    /// Applies an app `web` with this image, which the runtime has from now on, and waits until it
    /// is ready.
    ///
    /// # Panics
    ///
    /// If it cannot be applied, or takes longer than a minute.
    pub async fn deploy_web(&self, image: &str, replicas: u16) {
        self.runtime.add_image(image, Behaviour::default());
        if let Err(error) = self.apply(&app("web", image, replicas)).await {
            panic!("web cannot be applied: {error}");
        }
        self.until_ready("web").await;
    }

    /// Waits until a snapshot fulfils `condition`, at most `limit` of the runtime's time.
    ///
    /// # Panics
    ///
    /// If that takes longer; the message contains the last plan.
    pub async fn until(
        &self,
        what: &str,
        limit: Duration,
        condition: impl Fn(&Snapshot) -> bool,
    ) -> Arc<Snapshot> {
        let mut snapshots = self.handle.snapshots();
        let found = tokio::time::timeout(limit, snapshots.wait_for(|seen| condition(seen))).await;
        match found {
            Ok(Ok(snapshot)) => Arc::clone(&snapshot),
            Ok(Err(_)) => panic!("the orchestrator ended before: {what}"),
            Err(_) => {
                let last = self.handle.snapshot();
                panic!(
                    "timed out after {limit:?} waiting until {what}\n{}\n{:#?}",
                    last.plan, last.plan.statuses
                )
            }
        }
    }

    /// Waits until the app is ready at its current generation.
    ///
    /// # Panics
    ///
    /// If that takes longer than a minute.
    pub async fn until_ready(&self, name: &str) -> Arc<Snapshot> {
        let name = app_name(name);
        let generation =
            self.store.get(&name).await.map_or(Generation::NONE, |stored| stored.generation);
        self.until(&format!("{name} is ready"), Duration::from_secs(60), |seen| {
            seen.plan.statuses.get(&name).is_some_and(|status| {
                status.phase == Phase::Ready && status.observed_generation == generation
            })
        })
        .await
    }
}
