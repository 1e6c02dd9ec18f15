//! The world of a simulation: the controller on fakes, what the script does to it, and what is
//! seen of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dubernetes_controller::{Adapters, Controller, ControllerHandle, Options, Snapshot};
use dubernetes_core::app::{AppName, AppSpec, InstanceName};
use dubernetes_core::clock::Clock as _;
use dubernetes_core::error::chain;
use dubernetes_core::labels;
use dubernetes_core::runtime::{Container, ContainerId, ContainerState};
use dubernetes_core::store::{EventQuery, PutApp, Store as _, StoreError};
use dubernetes_testkit::{FakeIngress, FakeRuntime, MemoryStore, TokioClock};
use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::course::{Course, Entry};
use super::script::{Script, Step, Timed};
use crate::output;
use crate::report::{Failure, Outcome};

/// So long nothing is left to do before a simulation ends by itself.
const QUIET: Duration = Duration::from_secs(5);

/// Lives through the script.
pub(super) async fn live(script: Script, instance: InstanceName) -> Outcome<Course> {
    let mut world = World::new(&script, instance);
    let mut snapshots = world.controller.snapshots();
    let mut changes = world.store.watch();
    let mut steps = script.steps.iter().peekable();
    let mut quiet_since = None;
    loop {
        let now = world.start.elapsed();
        while let Some(timed) = steps.next_if(|timed| timed.time <= now) {
            world.take(timed).await?;
        }
        world.look(now).await?;
        let seen = world.controller.snapshot();
        let quiet = script.until_quiet && steps.peek().is_none() && is_steady(&seen);
        quiet_since = if quiet { quiet_since.or(Some(now)) } else { None };
        let ends = quiet_since.map_or(script.limit, |since| since + QUIET).min(script.limit);
        if now >= ends {
            world.course.converged = is_steady(&seen);
            break;
        }
        let next = steps.peek().map_or(ends, |timed| timed.time.min(ends));
        // Cancel-safe: an unseen change stays unseen, and time passes anyway.
        tokio::select! {
            biased;
            _ = snapshots.changed() => {}
            _ = changes.changed() => {}
            () = tokio::time::sleep_until(world.start + next) => {}
        }
    }
    world.stop.cancel();
    world.course.end(world.start.elapsed());
    Ok(world.course)
}

fn is_steady(seen: &Snapshot) -> bool {
    let (plan, observed) = (&seen.plan, &seen.observed);
    let routed = observed.ingress.table().map_or(plan.routes.is_empty(), |t| *t == plan.routes);
    seen.passes > 0
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
    controller: ControllerHandle,
    stop: CancellationToken,
    start: Instant,
    seen: u64,
    /// The containers that take no connections for some time, by pod.
    unready: BTreeMap<String, ContainerId>,
    course: Course,
}

impl World {
    fn new(script: &Script, instance: InstanceName) -> Self {
        let (clock, start) = (TokioClock::new(), Instant::now());
        let runtime = FakeRuntime::new(clock);
        for image in &script.images {
            runtime.add_image(image.as_str(), script.behaviour.clone());
        }
        for (app, behaviour) in &script.apps {
            runtime.set_behaviour(app, behaviour.clone());
        }
        let store = Arc::new(MemoryStore::without_merging());
        let adapters = Adapters {
            runtime: Arc::new(runtime.clone()),
            store: Arc::<MemoryStore>::clone(&store),
            ingress: Arc::new(FakeIngress::default()),
            clock: Arc::new(clock),
        };
        let (controller, handle) = Controller::new(Options::new(instance), adapters);
        let stop = CancellationToken::new();
        tokio::spawn(controller.run(stop.clone()));
        let (unready, course) = (BTreeMap::new(), Course::default());
        Self { runtime, store, clock, controller: handle, stop, start, seen: 0, unready, course }
    }

    /// Notes what has happened by now.
    async fn look(&mut self, now: Duration) -> Outcome {
        let query = EventQuery { after: self.seen, limit: u32::MAX, ..EventQuery::default() };
        let events = self.store.events(&query).await.map_err(|e| cannot(&e))?;
        let begin = self.clock.now().saturating_sub(now).unwrap_or(Timestamp::UNIX_EPOCH);
        for event in events {
            self.seen = event.id;
            let time = Duration::try_from(event.time.duration_since(begin)).unwrap_or_default();
            self.course.entries.push((time, Entry::Event(Box::new(event))));
        }
        let seen = self.controller.snapshot();
        if seen.passes > 0 {
            self.course.note(now, &seen);
        }
        Ok(())
    }

    async fn take(&mut self, timed: &Timed) -> Outcome {
        let at = |failure: Failure| failure.of(&format!("at {}", output::span(timed.time)));
        let result = match &timed.step {
            Step::Apply(specs) => self.apply(timed.time, specs).await,
            Step::Scale(app, replicas) => self.scale(timed.time, app, *replicas).await,
            Step::Delete(app) => self.delete(timed.time, app).await,
            Step::End(pod, code) => self.container(pod).map(|container| {
                self.say(timed.time, pod, "end", format!("its process ends with code {code}"));
                self.runtime.kill(&container.name, i64::from(*code));
            }),
            Step::Unready(pod) => self.container(pod).map(|container| {
                self.say(timed.time, pod, "unready", "it takes no connections".to_owned());
                self.runtime.set_ready(&container.name, false);
                self.unready.insert(pod.clone(), container.id);
            }),
            Step::ReadyAgain(pod) => {
                self.ready_again(timed.time, pod);
                Ok(())
            }
            Step::BadImages => self.withhold_images(timed.time).await,
            Step::EngineAway => {
                self.say(timed.time, "engine", "away", "it does not answer".to_owned());
                self.runtime.set_away(true);
                Ok(())
            }
            Step::EngineBack => {
                self.say(timed.time, "engine", "back", "it answers".to_owned());
                self.runtime.set_away(false);
                Ok(())
            }
        };
        result.map_err(at)
    }

    async fn apply(&mut self, time: Duration, specs: &[AppSpec]) -> Outcome {
        for spec in specs {
            let change = self.put(spec.clone()).await?;
            self.say(time, spec.name.as_str(), "apply", change.to_owned());
        }
        Ok(())
    }

    async fn put(&self, spec: AppSpec) -> Outcome<&'static str> {
        let seen = self.controller.snapshot();
        let own = seen.observed.replicas.iter().filter(|r| r.labels.app == spec.name);
        let newest_seen = own.map(|r| r.labels.revision).max().unwrap_or(0);
        let put = PutApp { newest_seen, ..PutApp::new(spec, self.clock.now()) };
        Ok(self.store.put(put).await.map_err(|e| cannot(&e))?.change.as_str())
    }

    async fn scale(&mut self, time: Duration, app: &AppName, replicas: u16) -> Outcome {
        let stored = self.store.get(app).await.map_err(|e| cannot(&e))?;
        self.say(time, app.as_str(), "scale", format!("{} -> {replicas}", stored.spec.replicas));
        self.put(AppSpec { replicas, ..stored.spec }).await?;
        Ok(())
    }

    async fn delete(&mut self, time: Duration, app: &AppName) -> Outcome {
        self.store.delete(app, self.clock.now()).await.map_err(|e| cannot(&e))?;
        self.say(time, app.as_str(), "delete", "with all its pods".to_owned());
        Ok(())
    }

    /// One that has been replaced since is forgotten.
    fn ready_again(&mut self, time: Duration, pod: &str) {
        let (Some(id), Ok(container)) = (self.unready.remove(pod), self.container(pod)) else {
            return;
        };
        if container.id == id {
            self.say(time, pod, "ready", "it takes connections again".to_owned());
            self.runtime.set_ready(&container.name, true);
        }
    }

    /// Takes away every image that no app was resolved to.
    async fn withhold_images(&mut self, time: Duration) -> Outcome {
        self.say(time, "images", "gone", "no new image can be had".to_owned());
        let stored = self.store.list().await.map_err(|e| cannot(&e))?;
        let used = stored.apps.into_values().filter(|app| app.image_id.is_some());
        let used: Vec<_> = used.map(|app| app.spec.image).collect();
        self.runtime.retain_images(|image| used.contains(image));
        Ok(())
    }

    /// The pod's container that runs.
    fn container(&self, pod: &str) -> Outcome<Container> {
        let all = self.runtime.containers();
        let running = all.into_iter().filter_map(|container| {
            let runs = matches!(container.state, ContainerState::Running { .. });
            let label = |key| container.labels.get(key).map(String::as_str).unwrap_or_default();
            let name = format!("{}-{}", label(labels::APP), label(labels::REPLICA));
            runs.then_some((name, container))
        });
        let mut running: Vec<_> = running.collect();
        match running.iter().position(|(name, _)| name == pod) {
            Some(at) => Ok(running.swap_remove(at).1),
            None => {
                let names: Vec<_> = running.iter().map(|(name, _)| name.as_str()).collect();
                let running = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
                Err(Failure::new(format!("the pod `{pod}` does not run"))
                    .help(format!("those that do: {running}")))
            }
        }
    }

    fn say(&mut self, time: Duration, object: &str, word: &'static str, text: String) {
        let entry = Entry::Step { object: object.to_owned(), word, text };
        self.course.entries.push((time, entry));
    }
}

fn cannot(error: &StoreError) -> Failure {
    Failure::new(chain(error))
}
