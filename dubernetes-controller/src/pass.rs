//! One pass: observe, reconcile, hand out the calls, record, publish.

mod repair;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio::time::Instant;

use dubernetes_core::app::AppName;
use dubernetes_core::error;
use dubernetes_core::event::{EventKind, NewEvent};
use dubernetes_core::ingress::{ApplyOutcome, IngressError, ObservedIngress, RouteTable};
use dubernetes_core::plan::{Action, OperationKey, Plan, Planned, Reason, Wait};
use dubernetes_core::reconcile;
use dubernetes_core::replay::Decision;
use dubernetes_core::runtime::ContainerId;
use dubernetes_core::state::{
    DesiredState, Drain, EngineStatus, FailureKind, InFlight, ObservedReplica, ObservedState,
};

use super::approval::{ApprovalGate, GateDecision, NextStep, PendingStep};
use super::cache::ControllerCache;
use super::execute::ActionError;
use super::probe::ProbeHistory;
use super::rate_limit::ReloadLimiter;
use super::tasks::{TaskResult, Tasks};
use super::{Adapters, Command, Mode, Options, Snapshot, Trigger, events, observe, teardown};

/// The time between two questions whether an address is drained.
const DRAIN_INTERVAL: Duration = Duration::from_millis(250);
/// The wait before the store or the engine is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// A look comes so much later than it was due only where nobody could look: this process was stopped,
/// the machine slept, or its clock was put forward.
const SUSPEND_THRESHOLD: SignedDuration = SignedDuration::from_secs(5);

/// The state of the loop.
#[derive(Debug)]
pub(super) struct Pass {
    options: Options,
    adapters: Adapters,
    snapshots: watch::Sender<Arc<Snapshot>>,
    cache: ControllerCache,
    last: Arc<Snapshot>,
    steps: ApprovalGate,
    /// What the ingress served when the change that is under way began: a look in between may
    /// see its result before it is told.
    table_before_apply: Option<RouteTable>,
    /// The decision that was kept last.
    kept: Option<Decision>,
    /// Containers that are stopped or removed by us: their end is no news.
    expected_exits: BTreeSet<ContainerId>,
    drain_due: Instant,
    draining: BTreeSet<std::net::Ipv4Addr>,
    pace: ReloadLimiter,
    /// When the planned table may be handed out, where it has to wait.
    route_due: Option<Instant>,
    /// When the files of the ingress are looked at again.
    repair_due: Instant,
    pass_due: Instant,
    /// The same by the clock, which goes on while this process stands still.
    pass_due_at: Option<Timestamp>,
}

impl Pass {
    pub(super) fn new(
        options: Options,
        adapters: Adapters,
        snapshots: watch::Sender<Arc<Snapshot>>,
        probes: ProbeHistory,
    ) -> Self {
        let now = Instant::now();
        let mut cache = ControllerCache::default();
        cache.probes.history = probes;
        let (steps, resync) = (ApprovalGate::new(&options), options.resync.to_std());
        Self {
            options,
            adapters,
            snapshots,
            cache,
            last: Arc::default(),
            steps,
            table_before_apply: None,
            kept: None,
            expected_exits: BTreeSet::new(),
            drain_due: now,
            draining: BTreeSet::new(),
            pace: ReloadLimiter::default(),
            route_due: None,
            repair_due: now + resync,
            pass_due: now,
            pass_due_at: None,
        }
    }

    /// When to wake if nothing happens before.
    pub(super) fn next_wake(&self) -> Instant {
        let probe = self.cache.probes.next_due();
        let acts = self.options.mode == Mode::Act;
        let draining = acts && self.cache.drains.values().any(|d| !d.done);
        let drain = draining.then_some(self.drain_due);
        [probe, drain].into_iter().flatten().fold(self.pass_due, Instant::min)
    }

    /// Takes in why the loop woke; true if a pass is due.
    pub(super) async fn handle_trigger(&mut self, trigger: Trigger, tasks: &mut Tasks) -> bool {
        match trigger {
            Trigger::StoreChanged | Trigger::Command(Command::RunPass) => true,
            Trigger::Command(Command::Evict(id)) => self.cache.evicted.insert(id),
            Trigger::Command(Command::TearDown(answer)) => {
                // A create that ended after the list was made would be left behind.
                tasks.calls_ended().await;
                let result = teardown::teardown(&self.adapters, &self.options.instance).await;
                let probes = self.cache.probes.history.clone();
                self.cache = ControllerCache::default();
                self.cache.probes.history = probes;
                // A caller that went away does not want the answer.
                let _ = answer.send(result);
                true
            }
            Trigger::Time => {
                self.send_probes(tasks);
                self.check_drains(tasks);
                Instant::now() >= self.pass_due
            }
            Trigger::Result(result) => self.handle_result(*result).await,
        }
    }

    async fn handle_result(&mut self, result: TaskResult) -> bool {
        let now = self.adapters.clock.now();
        match result {
            TaskResult::Acted(planned, result) => self.on_action_done(&planned, result).await,
            TaskResult::Routed(table, result) => self.on_routes_applied(table, result).await,
            TaskResult::Repaired(result) => {
                self.on_repaired(result).await;
                return false;
            }
            TaskResult::Probed(asked, Ok(answer)) => {
                return self.cache.probes.answered(&asked, &answer, now, Instant::now());
            }
            TaskResult::Probed(asked, Err(error)) => {
                let error = error::chain(&error);
                tracing::debug!(container = %asked.id, error, "a probe could not be sent");
                self.cache.probes.unanswered(&asked.id, Instant::now());
                return false;
            }
            TaskResult::Drained(address, result) => {
                self.draining.remove(&address);
                let done = result.unwrap_or(false);
                if let Some(drain) = self.cache.drains.get_mut(&address) {
                    drain.done |= done;
                }
                return done;
            }
            TaskResult::Event(event) => {
                tracing::debug!(container = %event.id, action = event.action, "engine event");
            }
            // What answers after that may be another engine.
            TaskResult::EventsLost => self.cache.version = None,
            TaskResult::Answered(key, approval) => {
                self.steps.answered(key, approval);
                // The time in which somebody thought is none that a rollout has taken.
                self.cache.active_since = Some(now);
            }
        }
        true
    }

    async fn on_action_done(&mut self, planned: &Planned, result: Result<(), ActionError>) {
        let (key, now) = (planned.action.key(), self.adapters.clock.now());
        let event = match result {
            Ok(()) => {
                self.cache.succeeded(&key);
                if let Action::EnsureImage { app, .. } = &planned.action {
                    self.on_image_restored(app);
                }
                events::action_succeeded(planned, now)
            }
            Err(ActionError { kind, message }) => {
                if let Action::Stop { id, .. } = &planned.action {
                    self.cache.stop_reasons.remove(id);
                }
                let event = events::action_failed(planned, &message, now);
                self.cache.failed(key, kind, message, now);
                Some(event)
            }
        };
        self.record(event.into_iter().collect()).await;
    }

    /// Creates that failed for want of the image may be tried again: also of a replica that bears
    /// the number of an earlier revision of the same content.
    fn on_image_restored(&mut self, name: &AppName) {
        self.cache.failures.retain(|key, failure| {
            let same = matches!(key, OperationKey::Create { app, .. } if app == name);
            !(same && failure.kind == FailureKind::ImageGone)
        });
    }

    async fn on_routes_applied(
        &mut self,
        table: RouteTable,
        result: Result<ApplyOutcome, IngressError>,
    ) {
        let now = self.adapters.clock.now();
        match result {
            Ok(applied) => {
                let before = self.table_before_apply.take();
                let mut events =
                    events::routes_changed(before.as_ref(), &table, self.options.http_port, now);
                for warning in applied.warnings {
                    events.push(events::event(
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
                    IngressError::Refused { .. } => FailureKind::Permanent,
                    IngressError::Runtime(inner) => ActionError::classify(inner),
                    IngressError::NotAcknowledged | IngressError::Failed(_) => {
                        FailureKind::Transient
                    }
                };
                let message = error::chain(&error);
                let event = events::event(
                    now,
                    EventKind::Warning,
                    None,
                    None,
                    "IngressFailed",
                    message.clone(),
                );
                self.cache.failed(OperationKey::Routes, kind, message, now);
                self.cache.refused = Some(table);
                self.cache.quarantined.clear();
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
        let now = self.adapters.clock.now();
        events.retain(|e| e.app.as_ref().is_none_or(|app| !quarantined.contains_key(app)));
        self.cache.quarantined.clear();
        for (app, text) in quarantined {
            let message = format!("its routes are quarantined: {text}");
            let (kind, text) = (EventKind::Warning, message.clone());
            events.push(events::event(now, kind, Some(&app), None, "Quarantined", text));
            self.cache.quarantined.insert(app, message);
        }
        let apps: Vec<_> = self.cache.quarantined.keys().map(|app| app.as_str()).collect();
        if apps.is_empty() {
            self.cache.succeeded(&OperationKey::Routes);
            self.cache.refused = None;
        } else {
            let message = format!("routes are quarantined: {}", apps.join(", "));
            self.cache.failed(OperationKey::Routes, FailureKind::Permanent, message, now);
            self.cache.refused = Some(table);
        }
    }

    /// Observes, plans and acts.
    pub(super) async fn run(&mut self, tasks: &mut Tasks) {
        let now = self.adapters.clock.now();
        self.pass_due = Instant::now() + self.options.resync.to_std();
        if self.pass_due_at.take().is_some_and(|due| now.duration_since(due) > SUSPEND_THRESHOLD) {
            // The time in which nobody on_action_done is none that a rollout has taken.
            self.cache.active_since = Some(now);
        }
        observe::engine(&self.adapters, &self.options, &mut self.cache, now).await;
        let desired = match observe::desired(&self.adapters, &self.options, &self.cache).await {
            Ok(desired) => desired,
            Err(error) => {
                let problem = error::chain(&error);
                tracing::error!(error = problem, "the store cannot be read");
                self.pass_due = Instant::now() + RETRY;
                let last = Snapshot::clone(&self.last);
                self.publish(Arc::new(Snapshot { store_problem: Some(problem), ..last }));
                return;
            }
        };
        let observed = observe::observed(&self.adapters, &mut self.cache, &desired, now).await;
        let plan = reconcile::reconcile(&desired, &observed, now);
        let is_expected_exit = |id: &ContainerId| self.expected_exits.contains(id);
        let probe_spec = |replica: &ObservedReplica| observe::probe_spec(&desired, replica);
        let news = events::diff(&self.last.observed, &observed, is_expected_exit, probe_spec, now);
        self.record(news).await;
        self.prune(&observed);
        self.keep_decision(&desired, &observed, now, &plan);
        self.route_due = None;
        let (passes, at) = (self.last.passes + 1, Some(now));
        let (requeue_at, store_problem) = (None, None);
        let engine = self.cache.version.clone();
        let seen =
            Snapshot { passes, at, requeue_at, desired, observed, plan, engine, store_problem };
        let mut seen = Arc::new(seen);
        if self.options.mode == Mode::Act && seen.observed.engine == EngineStatus::Reachable {
            self.dispatch(&seen, tasks);
        }
        let requeue_at = self.schedule_next_pass(&seen.plan, &seen.observed, now);
        Arc::make_mut(&mut seen).requeue_at = requeue_at;
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

    fn dispatch(&mut self, seen: &Arc<Snapshot>, tasks: &mut Tasks) {
        let plan = &seen.plan;
        let route = self.wants_route(plan, &seen.observed);
        if self.steps.is_interactive() {
            self.dispatch_next_step(seen, route, tasks);
        } else {
            plan.actions.iter().for_each(|planned| self.act(planned, tasks));
            if route && self.may_route(&seen.observed) {
                self.route(&plan.routes, tasks);
            }
            self.repair(&seen.observed, tasks);
        }
        let now = self.adapters.clock.now();
        for waiting in &plan.waiting {
            if let Wait::Drained { address } = waiting.wait {
                self.cache.drains.entry(address).or_insert(Drain { since: now, done: false });
            }
        }
        self.check_drains(tasks);
    }

    /// Does the one step that was agreed to, or is_interactive for one.
    fn dispatch_next_step(&mut self, seen: &Arc<Snapshot>, route: bool, tasks: &mut Tasks) {
        let busy = !self.cache.in_flight.is_empty();
        match self.steps.next_step(&seen.plan, route, busy) {
            GateDecision::Do(NextStep::Act(planned)) => self.act(&planned, tasks),
            GateDecision::Do(NextStep::Route(table)) => self.route(&table, tasks),
            GateDecision::ProbeMethod(next, approver) => {
                tasks.ask(approver, PendingStep { seen: Arc::clone(seen), next })
            }
            GateDecision::Wait => {}
        }
    }

    fn act(&mut self, planned: &Planned, tasks: &mut Tasks) {
        let (key, call) = (planned.action.key(), planned.action.in_flight());
        if self.cache.in_flight.contains_key(&key) {
            return;
        }
        self.cache.in_flight.insert(key, call);
        tracing::info!(app = planned.app.as_ref().map(|a| a.as_str()), "{planned}");
        if let Action::Stop { id, .. } | Action::Remove { id } = &planned.action {
            self.expected_exits.insert(id.clone());
        }
        if let (Action::Stop { id, .. }, Reason::Unhealthy { .. } | Reason::Paused) =
            (&planned.action, &planned.reason)
        {
            self.cache.stop_reasons.insert(id.clone(), planned.reason.to_string());
        }
        tasks.act(planned.clone());
    }

    fn route(&mut self, table: &RouteTable, tasks: &mut Tasks) {
        self.cache.in_flight.insert(OperationKey::Routes, InFlight::default());
        self.table_before_apply.clone_from(&self.cache.served);
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
        let refused = self.cache.refused.as_ref() == Some(&plan.routes);
        wanted
            && !self.cache.in_flight.contains_key(&OperationKey::Routes)
            && !(refused && self.routes_retry().is_some())
    }

    /// When the table that failed is tried again, if that is still to come.
    fn routes_retry(&self) -> Option<Duration> {
        let failure = self.cache.failures.get(&OperationKey::Routes)?;
        let wait = reconcile::back_off(failure.count.min(6));
        let left = wait - self.adapters.clock.now().duration_since(failure.at);
        Duration::try_from(left).ok().filter(|left| !left.is_zero())
    }

    fn schedule_next_pass(
        &mut self,
        plan: &Plan,
        observed: &ObservedState,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let mut wait = self.options.resync.to_std();
        if observed.engine != EngineStatus::Reachable {
            wait = wait.min(RETRY);
        }
        if let Some(at) = plan.requeue_at() {
            wait = wait.min(Duration::try_from(at.duration_since(now)).unwrap_or_default());
        }
        if let Some(left) = self.routes_retry() {
            wait = wait.min(left);
        }
        if let Some(due) = self.route_due {
            wait = wait.min(due.saturating_duration_since(Instant::now()));
        }
        self.pass_due = Instant::now() + wait.max(Duration::from_millis(5));
        self.pass_due_at = self.adapters.clock.now().checked_add(wait).ok();
        now.checked_add(wait).ok()
    }

    fn send_probes(&mut self, tasks: &mut Tasks) {
        for probe_spec in self.cache.probes.take_due(Instant::now()) {
            tasks.probe(probe_spec);
        }
    }

    fn check_drains(&mut self, tasks: &mut Tasks) {
        let now = Instant::now();
        if self.options.mode == Mode::Observe || now < self.drain_due {
            return;
        }
        self.drain_due = now + DRAIN_INTERVAL;
        for (address, drain) in &self.cache.drains {
            if !drain.done && self.draining.insert(*address) {
                tasks.check_drain(*address);
            }
        }
    }

    fn prune(&mut self, observed: &ObservedState) {
        let there: BTreeSet<_> = observed.replicas.iter().map(|r| &r.id).collect();
        self.expected_exits.retain(|id| there.contains(id));
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
        if let Err(error) = self.adapters.store.append(&events).await {
            tracing::error!(error = %error::chain(&error), "events could not be kept");
        }
    }
}
