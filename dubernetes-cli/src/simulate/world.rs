//! Runs a script against the controller on fakes, and records the timeline.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dubernetes_controller::{Handle, Orchestrator, Snapshot};
use dubernetes_core::app::{AppName, AppSpec, InstanceName, PodName, RevisionId, Secret};
use dubernetes_core::clock::Clock as _;
use dubernetes_core::error::chain;
use dubernetes_core::labels;
use dubernetes_core::plan::RouteStep;
use dubernetes_core::runtime::{Container, ContainerId, ContainerState};
use dubernetes_core::store::{EventQuery, PutApp, SetSecret, Store as _, StoreError};
use dubernetes_testkit::{FakeIngress, FakeIssuer, FakeRuntime, MemoryStore, TokioClock};
use dubernetes_web::simulation::{Injection, Simulation, SimulationLine};
use futures_util::StreamExt as _;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::script::{SIGKILL_CODE, Script, ScriptStep, TimedStep};
use super::timeline::Recorder;
use crate::output;
use crate::report::{CliError, Result};

/// How long a simulation stays converged before it ends.
const CONVERGED_FOR: Duration = Duration::from_secs(5);

/// Runs the script.
pub(super) async fn run(script: Script, instance: InstanceName) -> Result<Simulation> {
    let mut world = World::new(&script, instance);
    let mut snapshots = world.controller.snapshots();
    let mut changes = world.store.changes();
    let mut steps = script.steps.iter().peekable();
    let mut converged_since = None;
    loop {
        let now = world.start.elapsed();
        while let Some(timed) = steps.next_if(|timed| timed.time <= now) {
            world.execute(timed).await?;
        }
        world.record(now).await?;
        let snapshot = world.controller.snapshot();
        let done = script.until_converged && steps.peek().is_none() && is_steady(&snapshot);
        converged_since = if done { converged_since.or(Some(now)) } else { None };
        let end = converged_since.map_or(script.limit, |since| since + CONVERGED_FOR);
        let end = end.min(script.limit);
        if now >= end {
            break;
        }
        let next = steps.peek().map_or(end, |timed| timed.time.min(end));
        // Cancel-safe: an unseen change stays unseen, and timers keep their deadline.
        tokio::select! {
            biased;
            _ = snapshots.changed() => {}
            _ = changes.next() => {}
            () = tokio::time::sleep_until(world.start + next) => {}
        }
    }
    let converged = is_steady(&world.controller.snapshot());
    world.stop.cancel();
    Ok(world.recorder.end(world.start.elapsed(), converged))
}

fn is_steady(snapshot: &Snapshot) -> bool {
    let Snapshot { plan, observed, passes, .. } = snapshot;
    let routed = plan.routes.step == RouteStep::InSync;
    *passes > 0
        && routed
        && plan.actions.is_empty()
        && plan.waiting.iter().all(|waiting| waiting.wait.is_steady())
        && observed.in_flight.is_empty()
}

#[derive(Debug)]
struct World {
    runtime: FakeRuntime,
    store: Arc<MemoryStore>,
    clock: TokioClock,
    controller: Handle,
    stop: CancellationToken,
    start: Instant,
    /// Id of the newest recorded event.
    last_event: u64,
    /// Containers that refuse connections for some time, by pod.
    unready: BTreeMap<PodName, ContainerId>,
    recorder: Recorder,
}

impl World {
    fn new(script: &Script, instance: InstanceName) -> Self {
        let start = Instant::now();
        let clock = TokioClock::new();
        let runtime = FakeRuntime::new(clock);
        for artifact in &script.artifacts {
            runtime.add_artifact(artifact.clone(), script.behaviour.clone());
        }
        for (app, behaviour) in &script.apps {
            runtime.set_behaviour(app, behaviour.clone());
        }
        let ingress = FakeIngress::default();
        ingress.set_port_support(script.port_support.clone());
        ingress.set_https_port(Some(443));
        let issuer = FakeIssuer::new(clock);
        issuer.ask(&ingress);
        let store = Arc::new(MemoryStore::without_merging());
        let orchestrator = Orchestrator::builder(instance)
            .runtime(Arc::new(runtime.clone()))
            .store(Arc::<MemoryStore>::clone(&store))
            .ingress(Arc::new(ingress))
            .dialer(Arc::new(runtime.clone()))
            .certificates(Arc::new(issuer))
            .clock(Arc::new(clock))
            .build();
        let controller = orchestrator.handle();
        let stop = CancellationToken::new();
        tokio::spawn(orchestrator.run(stop.clone()));
        Self {
            runtime,
            store,
            clock,
            controller,
            stop,
            start,
            last_event: 0,
            unready: BTreeMap::new(),
            recorder: Recorder::new(clock.now()),
        }
    }

    /// Records new events and the state of all apps.
    async fn record(&mut self, now: Duration) -> Result {
        let query = EventQuery { after: self.last_event, limit: u32::MAX, ..EventQuery::default() };
        let events = self.store.events(&query).await.map_err(|error| store_error(&error))?;
        for event in events {
            self.last_event = event.id;
            self.recorder.push(SimulationLine::Added(Box::new(event)));
        }
        let snapshot = self.controller.snapshot();
        if snapshot.passes > 0 {
            self.recorder.record(now, &snapshot);
        }
        Ok(())
    }

    async fn execute(&mut self, timed: &TimedStep) -> Result {
        let at_time = |error: CliError| error.context(&format!("at {}", output::span(timed.time)));
        let result = match &timed.step {
            ScriptStep::Apply(specs) => self.apply(timed.time, specs).await,
            ScriptStep::Scale(app, replicas) => self.scale(timed.time, app, *replicas).await,
            ScriptStep::Delete(app) => self.delete(timed.time, app).await,
            ScriptStep::Exit(pod, code) => self.running_container(pod).map(|container| {
                let signal = if *code == SIGKILL_CODE { " (SIGKILL)" } else { "" };
                let text = format!("process exits with code {code}{signal}");
                self.push(timed.time, pod.as_str(), "exit", text);
                self.runtime.kill(&container.name, i64::from(*code));
            }),
            ScriptStep::Unready(pod) => self.running_container(pod).map(|container| {
                self.push(timed.time, pod.as_str(), "unready", "refuses connections".to_owned());
                self.runtime.set_ready(&container.name, false);
                self.unready.insert(pod.clone(), container.id);
            }),
            ScriptStep::ReadyAgain(pod) => {
                self.ready_again(timed.time, pod);
                Ok(())
            }
            ScriptStep::BadImages => self.remove_new_images(timed.time).await,
            ScriptStep::EngineUnreachable => {
                self.push(timed.time, "engine", "away", "does not answer".to_owned());
                self.runtime.set_away(true);
                Ok(())
            }
            ScriptStep::EngineReachable => {
                self.push(timed.time, "engine", "back", "answers again".to_owned());
                self.runtime.set_away(false);
                Ok(())
            }
        };
        result.map_err(at_time)
    }

    async fn apply(&mut self, time: Duration, specs: &[AppSpec]) -> Result {
        for spec in specs {
            let change = self.put(spec.clone()).await?;
            self.push(time, spec.name.as_str(), "apply", change.to_owned());
        }
        Ok(())
    }

    /// Makes the secrets that an app uses. Their values do not matter here.
    async fn make_secrets(&self, spec: &AppSpec) -> Result {
        for name in spec.secret_names() {
            let value = Secret::new("SIMULATED=1");
            let set = SetSecret::new(name.clone(), value, self.clock.now());
            let set = set.map_err(|error| CliError::new(error.to_string()))?;
            self.store.set_secret(set).await.map_err(|error| store_error(&error))?;
        }
        Ok(())
    }

    async fn put(&self, spec: AppSpec) -> Result<&'static str> {
        self.make_secrets(&spec).await?;
        let snapshot = self.controller.snapshot();
        let own = snapshot.observed.replicas.iter().filter(|r| r.labels.app == spec.name);
        let newest_seen = own.map(|r| r.labels.revision).max().unwrap_or(RevisionId::NONE);
        let spec = self.controller.validate(spec).map_err(|error| store_error(&error))?;
        let put = PutApp { newest_seen, ..PutApp::new(spec, self.clock.now()) };
        Ok(self.store.put(put).await.map_err(|error| store_error(&error))?.change.as_str())
    }

    async fn scale(&mut self, time: Duration, app: &AppName, replicas: u16) -> Result {
        let stored = self.store.get(app).await.map_err(|error| store_error(&error))?;
        self.push(time, app.as_str(), "scale", format!("{} -> {replicas}", stored.spec.replicas));
        self.put(AppSpec { replicas, ..stored.spec.into_inner() }).await?;
        Ok(())
    }

    async fn delete(&mut self, time: Duration, app: &AppName) -> Result {
        self.store.delete(app, self.clock.now()).await.map_err(|error| store_error(&error))?;
        self.push(time, app.as_str(), "delete", "with all its pods".to_owned());
        Ok(())
    }

    /// Makes a pod accept connections again, unless its container was replaced meanwhile.
    fn ready_again(&mut self, time: Duration, pod: &PodName) {
        let Some(id) = self.unready.remove(pod) else { return };
        let Ok(container) = self.running_container(pod) else { return };
        if container.id == id {
            self.push(time, pod.as_str(), "ready", "accepts connections again".to_owned());
            self.runtime.set_ready(&container.name, true);
        }
    }

    /// Removes every image that no app has resolved yet.
    async fn remove_new_images(&mut self, time: Duration) -> Result {
        self.push(time, "images", "missing", "new images are unavailable".to_owned());
        let stored = self.store.list().await.map_err(|error| store_error(&error))?;
        let used = stored.apps.into_values().filter(|app| app.image_id.is_some());
        let used: Vec<_> = used.map(|app| app.spec.artifact.clone()).collect();
        self.runtime.retain_artifacts(|artifact| used.contains(artifact));
        Ok(())
    }

    /// Returns the running container of a pod.
    fn running_container(&self, pod: &PodName) -> Result<Container> {
        let all = self.runtime.containers();
        let running = all.into_iter().filter_map(|container| {
            let is_running = matches!(container.state, ContainerState::Running { .. });
            let label = |key| container.labels.get(key).map(String::as_str).unwrap_or_default();
            let name = format!("{}-{}", label(labels::APP), label(labels::REPLICA));
            is_running.then_some((name, container))
        });
        let mut running: Vec<_> = running.collect();
        match running.iter().position(|(name, _)| pod == name.as_str()) {
            Some(index) => Ok(running.swap_remove(index).1),
            None => {
                let names: Vec<_> = running.iter().map(|(name, _)| name.as_str()).collect();
                let running = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
                Err(CliError::new(format!("pod `{pod}` is not running"))
                    .help(format!("running pods: {running}")))
            }
        }
    }

    fn push(&mut self, time: Duration, object: &str, word: &'static str, text: String) {
        let object = object.to_owned();
        let time = self.recorder.at(time);
        let injection = Injection { time, object, action: word.to_owned(), message: text };
        self.recorder.push(SimulationLine::Injected(injection));
    }
}

fn store_error(error: &StoreError) -> CliError {
    CliError::new(chain(error))
}
