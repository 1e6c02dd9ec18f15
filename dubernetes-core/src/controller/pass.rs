//! One pass: observe, reconcile, hand out the calls, record, publish.

mod mend;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::app::AppName;
use crate::error;
use crate::event::{EventKind, NewEvent};
use crate::ingress::{Applied, IngressError, ObservedIngress, RouteTable};
use crate::plan::{Action, CallKey, Plan, Planned, Reason, Wait};
use crate::reconcile;
use crate::replay::Decision;
use crate::runtime::ContainerId;
use crate::state::{DesiredState, Drain, Engine, FailureKind, ObservedReplica, ObservedState};

use super::execute::Failed;
use super::memory::Memory;
use super::pace::Pace;
use super::probe::ProbeHistory;
use super::step::{Next, Step, Steps, Turn};
use super::tasks::{TaskResult, Tasks};
use super::{Command, Mode, Options, Ports, Snapshot, Wake, observe, record, tear_down};

/// The time between two questions whether an address is drained.
const DRAIN_INTERVAL: Duration = Duration::from_millis(250);
/// The wait before the store or the engine is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// A look comes so much later than it was due only where nobody could look: this process was stopped,
/// the machine slept, or its clock was put forward.
const STOOD_STILL: SignedDuration = SignedDuration::from_secs(5);

/// The state of the loop.
#[derive(Debug)]
pub(super) struct Pass {
    options: Options,
    ports: Ports,
    snapshots: watch::Sender<Arc<Snapshot>>,
    memory: Memory,
    last: Arc<Snapshot>,
    steps: Steps,
    /// What the ingress served when the change that is under way began: a look in between may
    /// see its result before it is told.
    routing_from: Option<RouteTable>,
    /// The decision that was kept last.
    kept: Option<Decision>,
    /// Containers that are stopped or removed by us: their end is no news.
    leaving: BTreeSet<ContainerId>,
    drain_due: Instant,
    draining: BTreeSet<std::net::Ipv4Addr>,
    pace: Pace,
    /// When the planned table may be handed out, where it has to wait.
    route_due: Option<Instant>,
    /// When the files of the ingress are looked at again.
    mend_due: Instant,
    look_due: Instant,
    /// The same by the clock, which goes on while this process stands still.
    look_due_at: Option<Timestamp>,
}

impl Pass {
    pub(super) fn new(
        options: Options,
        ports: Ports,
        snapshots: watch::Sender<Arc<Snapshot>>,
        probes: ProbeHistory,
    ) -> Self {
        let now = Instant::now();
        let mut memory = Memory::default();
        memory.probes.history = probes;
        let (steps, resync) = (Steps::new(&options), options.resync.to_std());
        Self {
            options,
            ports,
            snapshots,
            memory,
            last: Arc::default(),
            steps,
            routing_from: None,
            kept: None,
            leaving: BTreeSet::new(),
            drain_due: now,
            draining: BTreeSet::new(),
            pace: Pace::default(),
            route_due: None,
            mend_due: now + resync,
            look_due: now,
            look_due_at: None,
        }
    }

    /// When to wake if nothing happens before.
    pub(super) fn next_wake(&self) -> Instant {
        let probe = self.memory.probes.next_due();
        let acts = self.options.mode == Mode::Act;
        let draining = acts && self.memory.drains.values().any(|d| !d.done);
        let drain = draining.then_some(self.drain_due);
        [probe, drain].into_iter().flatten().fold(self.look_due, Instant::min)
    }

    /// Takes in why the loop woke; true if a pass is due.
    pub(super) async fn absorb(&mut self, wake: Wake, tasks: &mut Tasks) -> bool {
        match wake {
            Wake::StoreChanged | Wake::Command(Command::Wake) => true,
            Wake::Command(Command::Evict(id)) => self.memory.evicted.insert(id),
            Wake::Command(Command::TearDown(answer)) => {
                // A create that ended after the list was made would be left behind.
                tasks.calls_ended().await;
                let result = tear_down::tear_down(&self.ports, &self.options.instance).await;
                let probes = self.memory.probes.history.clone();
                self.memory = Memory::default();
                self.memory.probes.history = probes;
                // A caller that went away does not want the answer.
                let _ = answer.send(result);
                true
            }
            Wake::Time => {
                self.send_probes(tasks);
                self.check_drains(tasks);
                Instant::now() >= self.look_due
            }
            Wake::Result(result) => self.take_result(*result).await,
        }
    }

    async fn take_result(&mut self, result: TaskResult) -> bool {
        let now = self.ports.clock.now();
        match result {
            TaskResult::Acted(planned, result) => self.acted(&planned, result).await,
            TaskResult::Routed(table, result) => self.routed(table, result).await,
            TaskResult::Mended(result) => {
                self.mended(result).await;
                return false;
            }
            TaskResult::Probed(asked, Ok(answer)) => {
                return self.memory.probes.answered(&asked, &answer, now, Instant::now());
            }
            TaskResult::Probed(asked, Err(error)) => {
                let error = error::chain(&error);
                tracing::debug!(container = %asked.id, error, "a probe could not be sent");
                self.memory.probes.unanswered(&asked.id, Instant::now());
                return false;
            }
            TaskResult::Drained(address, result) => {
                self.draining.remove(&address);
                let done = result.unwrap_or(false);
                if let Some(drain) = self.memory.drains.get_mut(&address) {
                    drain.done |= done;
                }
                return done;
            }
            TaskResult::Event(event) => {
                tracing::debug!(container = %event.id, action = event.action, "engine event");
            }
            // What answers after that may be another engine.
            TaskResult::EventsLost => self.memory.version = None,
            TaskResult::Answered(key, approval) => {
                self.steps.answered(key, approval);
                // The time in which somebody thought is none that a rollout has taken.
                self.memory.acting_since = Some(now);
            }
        }
        true
    }

    async fn acted(&mut self, planned: &Planned, result: Result<(), Failed>) {
        let (key, now) = (planned.action.key(), self.ports.clock.now());
        let event = match result {
            Ok(()) => {
                self.memory.succeeded(&key);
                if let Action::EnsureImage { app, .. } = &planned.action {
                    self.image_is_back(app);
                }
                record::done(planned, now)
            }
            Err(Failed { kind, message }) => {
                if let Action::Stop { id, .. } = &planned.action {
                    self.memory.stopped_for.remove(id);
                }
                let event = record::failed(planned, &message, now);
                self.memory.failed(key, kind, message, now);
                Some(event)
            }
        };
        let revision = record::revision(&planned.action, &self.memory.replicas);
        let event = event.map(|event| NewEvent { revision, ..event });
        self.record(event.into_iter().collect()).await;
    }

    /// Creates that failed for want of the image may be tried again: also of a replica that bears
    /// the number of an earlier revision of the same content.
    fn image_is_back(&mut self, name: &AppName) {
        self.memory.failures.retain(|key, failure| {
            let same = matches!(key, CallKey::Create { app, .. } if app == name);
            !(same && failure.kind == FailureKind::ImageGone)
        });
    }

    async fn routed(&mut self, table: RouteTable, result: Result<Applied, IngressError>) {
        let now = self.ports.clock.now();
        match result {
            Ok(applied) => {
                let before = self.routing_from.take();
                let mut events =
                    record::routed(before.as_ref(), &table, self.options.http_port, now);
                for warning in applied.warnings {
                    events.push(record::event(
                        now,
                        EventKind::Warning,
                        None,
                        None,
                        "Ingress",
                        warning,
                    ));
                }
                self.quarantine(applied.quarantined, table, &mut events);
                self.record(events).await;
            }
            Err(error) => {
                let kind = match &error {
                    IngressError::PortTaken { .. } => FailureKind::PortTaken,
                    IngressError::Refused { .. } => FailureKind::Lasting,
                    IngressError::Runtime(inner) => Failed::class(inner),
                    IngressError::NotAcknowledged | IngressError::Failed(_) => FailureKind::Passing,
                };
                let message = error::chain(&error);
                let event = record::event(
                    now,
                    EventKind::Warning,
                    None,
                    None,
                    "IngressFailed",
                    message.clone(),
                );
                self.memory.failed(CallKey::Routes, kind, message, now);
                self.memory.refused = Some(table);
                self.memory.quarantined.clear();
                self.record(vec![event]).await;
            }
        }
    }

    /// Takes in which apps' routes were refused: such a table is tried again as one that failed.
    fn quarantine(
        &mut self,
        quarantined: BTreeMap<AppName, String>,
        table: RouteTable,
        events: &mut Vec<NewEvent>,
    ) {
        let now = self.ports.clock.now();
        events.retain(|e| e.app.as_ref().is_none_or(|app| !quarantined.contains_key(app)));
        self.memory.quarantined.clear();
        for (app, text) in quarantined {
            let message = format!("its routes are quarantined: {text}");
            let (kind, text) = (EventKind::Warning, message.clone());
            events.push(record::event(now, kind, Some(&app), None, "Quarantined", text));
            self.memory.quarantined.insert(app, message);
        }
        let apps: Vec<_> = self.memory.quarantined.keys().map(|app| app.as_str()).collect();
        if apps.is_empty() {
            self.memory.succeeded(&CallKey::Routes);
            self.memory.refused = None;
        } else {
            let message = format!("routes are quarantined: {}", apps.join(", "));
            self.memory.failed(CallKey::Routes, FailureKind::Lasting, message, now);
            self.memory.refused = Some(table);
        }
    }

    /// Observes, plans and acts.
    pub(super) async fn run(&mut self, tasks: &mut Tasks) {
        let now = self.ports.clock.now();
        self.look_due = Instant::now() + self.options.resync.to_std();
        if self.look_due_at.take().is_some_and(|due| now.duration_since(due) > STOOD_STILL) {
            // The time in which nobody acted is none that a rollout has taken.
            self.memory.acting_since = Some(now);
        }
        observe::engine(&self.ports, &self.options, &mut self.memory, now).await;
        let desired = match observe::desired(&self.ports, &self.options, &self.memory).await {
            Ok(desired) => desired,
            Err(error) => {
                let problem = error::chain(&error);
                tracing::error!(error = problem, "the store cannot be read");
                self.look_due = Instant::now() + RETRY;
                let last = Snapshot::clone(&self.last);
                self.publish(Arc::new(Snapshot { store_problem: Some(problem), ..last }));
                return;
            }
        };
        let observed = observe::observed(&self.ports, &mut self.memory, &desired, now).await;
        let plan = reconcile::reconcile(&desired, &observed, now);
        let is_leaving = |id: &ContainerId| self.leaving.contains(id);
        let question = |replica: &ObservedReplica| observe::question(&desired, replica);
        let news = record::changes(&self.last.observed, &observed, is_leaving, question, now);
        self.record(news).await;
        self.forget_gone(&observed);
        self.keep_decision(&desired, &observed, now, &plan);
        self.route_due = None;
        let (rounds, at) = (self.last.rounds + 1, Some(now));
        let (next_look, store_problem) = (None, None);
        let engine = self.memory.version.clone();
        let seen =
            Snapshot { rounds, at, next_look, desired, observed, plan, engine, store_problem };
        let mut seen = Arc::new(seen);
        if self.options.mode == Mode::Act && seen.observed.engine == Engine::Answering {
            self.hand_out(&seen, tasks);
        }
        let next_look = self.plan_next_look(&seen.plan, &seen.observed, now);
        Arc::make_mut(&mut seen).next_look = next_look;
        self.publish(seen);
        self.send_probes(tasks);
    }

    /// Has the decision kept if its input or its plan is new: a quiet system keeps nothing.
    fn keep_decision(
        &mut self,
        desired: &DesiredState,
        observed: &ObservedState,
        at: Timestamp,
        plan: &Plan,
    ) {
        let Some(recorder) = &self.options.recorder else { return };
        let (desired, observed) = (desired.clone(), observed.clone());
        let decision = Decision { at, desired, observed, plan: plan.to_string() };
        if self.kept.as_ref().is_none_or(|kept| !kept.is_repeated_by(&decision)) {
            recorder.record(&decision);
            self.kept = Some(decision);
        }
    }

    fn hand_out(&mut self, seen: &Arc<Snapshot>, tasks: &mut Tasks) {
        let plan = &seen.plan;
        let route = self.wants_route(plan, &seen.observed);
        if self.steps.asks() {
            self.take_turn(seen, route, tasks);
        } else {
            plan.actions.iter().for_each(|planned| self.act(planned, tasks));
            if route && self.may_route(&seen.observed) {
                self.route(&plan.routes, tasks);
            }
            self.mend(&seen.observed, tasks);
        }
        let now = self.ports.clock.now();
        for waiting in &plan.waiting {
            if let Wait::Drained { address } = waiting.wait {
                self.memory.drains.entry(address).or_insert(Drain { since: now, done: false });
            }
        }
        self.check_drains(tasks);
    }

    /// Does the one step that was agreed to, or asks for one.
    fn take_turn(&mut self, seen: &Arc<Snapshot>, route: bool, tasks: &mut Tasks) {
        let busy = !self.memory.under_way.is_empty();
        match self.steps.turn(&seen.plan, route, busy) {
            Turn::Do(Next::Act(planned)) => self.act(&planned, tasks),
            Turn::Do(Next::Route(table)) => self.route(&table, tasks),
            Turn::Ask(next, approve) => tasks.ask(approve, Step { seen: Arc::clone(seen), next }),
            Turn::Wait => {}
        }
    }

    fn act(&mut self, planned: &Planned, tasks: &mut Tasks) {
        if !self.memory.under_way.insert(planned.action.key()) {
            return;
        }
        tracing::info!(app = planned.app.as_ref().map(|a| a.as_str()), "{planned}");
        if let Action::Stop { id, .. } | Action::Remove { id, .. } = &planned.action {
            self.leaving.insert(id.clone());
        }
        if let (Action::Stop { id, .. }, Reason::Unhealthy { .. } | Reason::Paused) =
            (&planned.action, &planned.reason)
        {
            self.memory.stopped_for.insert(id.clone(), planned.reason.to_string());
        }
        tasks.act(planned.clone());
    }

    fn route(&mut self, table: &RouteTable, tasks: &mut Tasks) {
        self.memory.under_way.insert(CallKey::Routes);
        self.routing_from.clone_from(&self.memory.served);
        tasks.route(table.clone());
    }

    /// Whether the pace lets another table be handed out; a proxy that does not serve yet is started,
    /// not reloaded.
    fn may_route(&mut self, observed: &ObservedState) -> bool {
        let serves = matches!(observed.ingress, ObservedIngress::Serving { .. });
        self.route_due = if serves { self.pace.take(Instant::now()).err() } else { None };
        self.route_due.is_none()
    }

    /// Whether the ingress is to serve the planned table: where it serves another one. A table that
    /// failed is tried again after a back-off, another one as soon as the pace lets it.
    fn wants_route(&self, plan: &Plan, observed: &ObservedState) -> bool {
        let wanted = match &observed.ingress {
            ObservedIngress::Serving { table } => *table != plan.routes,
            ObservedIngress::Down { .. } => true,
            ObservedIngress::Absent => !plan.routes.is_empty(),
        };
        let refused = self.memory.refused.as_ref() == Some(&plan.routes);
        wanted
            && !self.memory.under_way.contains(&CallKey::Routes)
            && !(refused && self.routes_retry().is_some())
    }

    /// When the table that failed is tried again, if that is still to come.
    fn routes_retry(&self) -> Option<Duration> {
        let failure = self.memory.failures.get(&CallKey::Routes)?;
        let wait = reconcile::back_off(failure.count.min(6));
        let left = wait - self.ports.clock.now().duration_since(failure.at);
        Duration::try_from(left).ok().filter(|left| !left.is_zero())
    }

    fn plan_next_look(
        &mut self,
        plan: &Plan,
        observed: &ObservedState,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let mut wait = self.options.resync.to_std();
        if observed.engine != Engine::Answering {
            wait = wait.min(RETRY);
        }
        if let Some(at) = plan.next_look() {
            wait = wait.min(Duration::try_from(at.duration_since(now)).unwrap_or_default());
        }
        if let Some(left) = self.routes_retry() {
            wait = wait.min(left);
        }
        if let Some(due) = self.route_due {
            wait = wait.min(due.saturating_duration_since(Instant::now()));
        }
        self.look_due = Instant::now() + wait.max(Duration::from_millis(5));
        self.look_due_at = self.ports.clock.now().checked_add(wait).ok();
        now.checked_add(wait).ok()
    }

    fn send_probes(&mut self, tasks: &mut Tasks) {
        for question in self.memory.probes.take_due(Instant::now()) {
            tasks.probe(question);
        }
    }

    fn check_drains(&mut self, tasks: &mut Tasks) {
        let now = Instant::now();
        if self.options.mode == Mode::Observe || now < self.drain_due {
            return;
        }
        self.drain_due = now + DRAIN_INTERVAL;
        for (address, drain) in &self.memory.drains {
            if !drain.done && self.draining.insert(*address) {
                tasks.check_drain(*address);
            }
        }
    }

    fn forget_gone(&mut self, observed: &ObservedState) {
        let there: BTreeSet<_> = observed.replicas.iter().map(|r| &r.id).collect();
        self.leaving.retain(|id| there.contains(id));
    }

    fn publish(&mut self, snapshot: Arc<Snapshot>) {
        self.last = Arc::clone(&snapshot);
        self.snapshots.send_replace(snapshot);
    }

    /// Keeps events, and says each once in the log.
    async fn record(&mut self, events: Vec<NewEvent>) {
        if events.is_empty() || self.options.mode == Mode::Observe {
            return;
        }
        for event in &events {
            let app = event.app.as_ref().map(|app| app.as_str());
            let (pod, reason) = (event.pod.as_deref(), &event.reason);
            match event.kind {
                EventKind::Normal => tracing::info!(app, pod, reason, "{}", event.message),
                EventKind::Warning => tracing::warn!(app, pod, reason, "{}", event.message),
            }
        }
        if let Err(error) = self.ports.store.append(&events).await {
            tracing::error!(error = %error::chain(&error), "events could not be kept");
        }
    }
}
