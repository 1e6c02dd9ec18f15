//! The state of the loop: takes triggers in, starts observations, and carries out plans.

mod pulls;
mod record;
mod routes;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dubernetes_core::call::{InFlight, OperationKey};
use dubernetes_core::clock::Clock;
use dubernetes_core::error;
use dubernetes_core::ingress::{ObservedIngress, RouteTable};
use dubernetes_core::plan::{Action, Plan, Planned, Reason, RouteStep};
use dubernetes_core::reconcile;
use dubernetes_core::replay::Decision;
use dubernetes_core::runtime::{Capability, ContainerId, ContainerRuntime, missing_capabilities};
use dubernetes_core::state::{DesiredState, Drain, EngineStatus, ObservedReplica, ObservedState};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::adapters::Adapters;
use crate::approval::{ApprovalGate, GateDecision, NextStep, PendingStep};
use crate::cache::ControllerCache;
use crate::event_writer::EventWriter;
use crate::events;
use crate::observe::{EngineView, HostPorts, LastSeen, Observation, ingress_or};
use crate::one_off::OneOffs;
use crate::orchestrator::{Options, Trigger};
use crate::probe::ProbeHistory;
use crate::probe_spec::ProbeSpec;
use crate::rate_limit::ReloadLimiter;
use crate::snapshot::{Mode, Snapshot, phases_since};
use crate::tasks::{TaskResult, Tasks};

/// Time before the store or the engine is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// Shortest time between two passes without another trigger.
const MIN_REQUEUE: Duration = Duration::from_millis(5);
/// A pass this late means that the process was suspended, the host slept, or the clock jumped.
const SUSPEND_THRESHOLD: SignedDuration = SignedDuration::from_secs(5);

/// The state of the loop.
#[derive(Debug)]
pub(crate) struct Pass {
    options: Options,
    clock: Arc<dyn Clock>,
    runtime: Arc<dyn ContainerRuntime>,
    /// Capabilities that the runtime does not have.
    lacks: BTreeSet<Capability>,
    /// The host's port for HTTPS.
    https_port: Option<u16>,
    snapshots: watch::Sender<Arc<Snapshot>>,
    events: EventWriter,
    one_offs: OneOffs,
    cache: ControllerCache,
    last: Arc<Snapshot>,
    gate: ApprovalGate,
    /// Whether a pass is due.
    is_due: bool,
    /// When the observation in flight began.
    observing_since: Option<Timestamp>,
    /// The same, for its duration.
    observing_from: Instant,
    /// Results that came while an observation was in flight. It may not show their effect, so
    /// they count only from the next one on.
    deferred: Vec<TaskResult>,
    /// The table that the ingress served before the apply in flight: an observation in between may
    /// show the new table already.
    table_before_apply: Option<RouteTable>,
    /// Containers that are being stopped or removed by an action: their exit is no event.
    expected_exits: BTreeSet<ContainerId>,
    reload_limiter: ReloadLimiter,
    /// When the files and settings of the ingress are checked again.
    repair_due: Instant,
    pass_due: Instant,
    /// The same on the clock, which goes on while the process is suspended.
    pass_due_at: Option<Timestamp>,
}

impl Pass {
    pub(crate) fn new(
        options: Options,
        adapters: &Adapters,
        snapshots: watch::Sender<Arc<Snapshot>>,
        probes: ProbeHistory,
        events: EventWriter,
        one_offs: OneOffs,
    ) -> Self {
        let now = Instant::now();
        let mut cache = ControllerCache::default();
        cache.probes.history = probes;
        let gate = ApprovalGate::new(options.approver.clone());
        Self {
            options,
            clock: Arc::clone(&adapters.clock),
            runtime: Arc::clone(&adapters.runtime),
            lacks: missing_capabilities(&*adapters.runtime),
            https_port: adapters.ingress.https_port(),
            snapshots,
            events,
            one_offs,
            cache,
            last: Arc::default(),
            gate,
            is_due: true,
            observing_since: None,
            observing_from: now,
            deferred: Vec::new(),
            table_before_apply: None,
            expected_exits: BTreeSet::new(),
            reload_limiter: ReloadLimiter::new(adapters.ingress.pace()),
            repair_due: now,
            pass_due: now,
            pass_due_at: None,
        }
    }

    /// Records the last events.
    pub(crate) async fn close(self) {
        self.events.close().await;
    }

    /// Returns when to wake up without a trigger.
    pub(crate) fn next_wake(&self) -> Instant {
        let probe = self.cache.probes.next_due();
        // While an observation is in flight, its result is the next reason to do anything.
        let pass = self.observing_since.is_none().then_some(self.pass_due);
        let far = Instant::now() + self.options.resync.to_std();
        [probe, pass].into_iter().flatten().fold(far, Instant::min)
    }

    /// Starts an observation if one is due. `discard_changes` drops the notifications of changes
    /// that the observation will see.
    pub(crate) fn advance(&mut self, tasks: &mut Tasks, discard_changes: &mut dyn FnMut()) {
        if self.observing_since.is_none() && self.is_due {
            discard_changes();
            self.start_observation(tasks);
        }
    }

    fn start_observation(&mut self, tasks: &mut Tasks) {
        let now = self.clock.now();
        self.is_due = false;
        for result in std::mem::take(&mut self.deferred) {
            self.on_settled(result);
        }
        self.pass_due = Instant::now() + self.options.resync.to_std();
        if self.pass_due_at.take().is_some_and(|due| now.duration_since(due) > SUSPEND_THRESHOLD) {
            // Time without an active orchestrator does not count.
            self.cache.active_since = Some(now);
        }
        self.observing_since = Some(now);
        self.observing_from = Instant::now();
        let revisions = self.cache.replicas.iter();
        let revisions = revisions.map(|r| (r.labels.app.clone(), r.labels.revision)).collect();
        tasks.observe(LastSeen { info: self.cache.info.clone(), revisions });
    }

    /// Takes in why the loop woke up.
    pub(crate) fn handle_trigger(&mut self, trigger: Trigger, tasks: &mut Tasks) {
        match trigger {
            Trigger::StoreChanged | Trigger::RunPass => self.is_due = true,
            Trigger::Timer => {
                self.send_probes(tasks);
                self.is_due |= Instant::now() >= self.pass_due;
            }
            Trigger::Result(result) => self.handle_result(*result, tasks),
        }
    }

    fn handle_result(&mut self, result: TaskResult, tasks: &mut Tasks) {
        self.measure(&result);
        match result {
            TaskResult::Observed(observation) => {
                self.finish(*observation, tasks);
                self.measure_pass();
            }
            TaskResult::Acted(..) | TaskResult::Routed(..) => {
                self.record_result(&result);
                self.deferred.push(result);
                self.is_due = true;
            }
            TaskResult::Repaired(result) => self.record_repair(result),
            TaskResult::Probed(spec, Ok(answer)) => {
                let now = self.clock.now();
                self.is_due |= self.cache.probes.on_answer(&spec, &answer, now, Instant::now());
            }
            TaskResult::Probed(spec, Err(error)) => {
                let error = error::chain(&error);
                tracing::debug!(container = %spec.id, error, "a probe could not be sent");
                self.cache.probes.on_not_sent(&spec.id, Instant::now());
            }
            TaskResult::Drained(endpoint, result) => {
                self.cache.on_drain_checked(endpoint, result);
                self.is_due = true;
            }
            TaskResult::Event(event) => {
                tracing::debug!(container = %event.id, action = event.action, "engine event");
                self.is_due = true;
            }
            TaskResult::EventsLost => {
                // The next engine that answers may be another one.
                self.cache.info = None;
                self.is_due = true;
            }
            TaskResult::Approved(key, approval) => {
                self.gate.on_approval(key, approval);
                // Time without an approval does not count.
                self.cache.active_since = Some(self.clock.now());
                self.is_due = true;
            }
        }
    }

    /// Applies the result of a call to the cache, at the start of an observation that shows its
    /// effect.
    fn on_settled(&mut self, result: TaskResult) {
        let now = self.clock.now();
        match result {
            TaskResult::Acted(planned, Ok(Some(id))) => {
                self.cache.on_created(planned.action.key(), id, now);
            }
            TaskResult::Acted(planned, Ok(None)) => {
                self.cache.on_success(&planned.action.key());
                self.cache.on_action_done(&planned.action);
            }
            TaskResult::Acted(planned, Err(error)) => {
                if let Action::Stop { id, .. } = &planned.action {
                    self.cache.stop_reasons.remove(id);
                }
                self.cache.on_failure(planned.action.key(), error.kind, error.message, now);
            }
            TaskResult::Routed(table, result) => self.on_routed(table, result, now),
            TaskResult::Observed(_)
            | TaskResult::Repaired(_)
            | TaskResult::Probed(..)
            | TaskResult::Drained(..)
            | TaskResult::Event(_)
            | TaskResult::EventsLost
            | TaskResult::Approved(..) => {}
        }
    }

    /// Turns an observation into a plan, and carries it out.
    fn finish(&mut self, observation: Observation, tasks: &mut Tasks) {
        let Some(now) = self.observing_since.take() else { return };
        let mut desired = match observation.desired {
            Ok(desired) => DesiredState { one_offs: self.one_offs.wanted(), ..desired },
            Err(error) => {
                let problem = error::chain(&error);
                tracing::error!(error = problem, "the store cannot be read");
                self.pass_due = Instant::now() + RETRY;
                let last = Snapshot::clone(&self.last);
                self.publish(Arc::new(Snapshot { store_problem: Some(problem), ..last }));
                return;
            }
        };
        let engine = observation.engine.map_err(|error| error::chain(&error));
        self.on_engine_observed(engine, now);
        let mut observed =
            self.observed_state(&desired, observation.ingress, observation.host_ports, now);
        self.cache.future_times.settle(&mut desired, &mut observed, now);
        let plan = reconcile(&desired, &observed, now);
        self.record_diff(&desired, &observed, now);
        self.expected_exits.retain(|id| observed.replicas.iter().any(|r| r.id == *id));
        self.keep_decision(&desired, &observed, now, &plan);
        let phases_since = phases_since(&self.last, &desired, &plan, now);
        let mut snapshot = Arc::new(Snapshot {
            passes: self.last.passes + 1,
            at: Some(now),
            requeue_at: None,
            desired,
            observed,
            plan,
            engine: self.cache.info.clone(),
            phases_since,
            store_problem: None,
            events_problem: self.events.problem(),
            ingress_listens: observation.ingress_listens,
        });
        if self.options.mode == Mode::Act && snapshot.observed.engine == EngineStatus::Reachable {
            self.dispatch(&snapshot, tasks);
        }
        let requeue_at = self.schedule_next_pass(&snapshot.plan, &snapshot.observed, now);
        Arc::make_mut(&mut snapshot).requeue_at = requeue_at;
        self.publish(snapshot);
        self.send_probes(tasks);
    }

    fn on_engine_observed(&mut self, engine: Result<EngineView, String>, now: Timestamp) {
        let cache = &mut self.cache;
        match engine {
            Ok(view) => {
                cache.info = Some(view.info);
                cache.network = view.network;
                cache.on_listed(view.containers, now);
            }
            Err(reason) => {
                let since = match &cache.engine {
                    EngineStatus::Unreachable { since, .. } => *since,
                    EngineStatus::Reachable => now,
                };
                cache.engine = EngineStatus::Unreachable { since, reason };
                cache.info = None;
            }
        }
    }

    fn observed_state(
        &mut self,
        desired: &DesiredState,
        ingress: Option<Result<ObservedIngress, dubernetes_core::ingress::IngressError>>,
        host_ports: HostPorts,
        now: Timestamp,
    ) -> ObservedState {
        let routes_paced_until = self.routes_paced_until(now);
        let pulls = self.pulls(desired);
        let cache = &mut self.cache;
        cache.prune(desired);
        let probe = |replica: &ObservedReplica| ProbeSpec::of(desired, replica);
        cache.probes.follow(&cache.replicas, probe, Instant::now());
        if let Some(Ok(ObservedIngress::Serving { table })) = &ingress
            && self.last.passes == 0
        {
            cache.probes.adopt(&cache.replicas, table);
        }
        for replica in &mut cache.replicas {
            replica.readiness = cache.probes.readiness(&replica.id, now);
        }
        let ingress = ingress_or(ingress, cache.acknowledged.clone());
        cache.follow_table(ingress.table(), now);
        ObservedState {
            engine: cache.engine.clone(),
            lacks: self.lacks.clone(),
            network: cache.network.clone(),
            replicas: cache.replicas.clone(),
            pre_deploys: cache.pre_deploys.clone(),
            one_offs: cache.one_offs.clone(),
            unreadable: cache.unreadable.clone(),
            foreign_addresses: cache.foreign_addresses.clone(),
            ingress,
            https_port: self.https_port,
            port_support: host_ports.support,
            taken_ports: host_ports.taken,
            drains: cache.drains.clone(),
            in_flight: cache.in_flight.clone(),
            pulls,
            failures: cache.failures.clone(),
            refused_routes: cache.refused.clone(),
            routes_paced_until,
            quarantined: cache.quarantined.clone(),
            stop_reasons: cache.stop_reasons.clone(),
            lost_with_engine: cache.lost_with_engine.clone(),
            last_ready_at: cache.probes.last_ready_at(),
            active_since: cache.active_since,
        }
    }

    /// Keeps the decision unless the last pass made it from the same input: a quiet system keeps
    /// nothing.
    fn keep_decision(
        &self,
        desired: &DesiredState,
        observed: &ObservedState,
        at: Timestamp,
        plan: &Plan,
    ) {
        let Some(recorder) = &self.options.recorder else { return };
        let last = &*self.last;
        let is_repeated = last.passes > 0
            && (&last.desired, &last.observed) == (desired, observed)
            && (last.plan == *plan || last.plan.to_string() == plan.to_string());
        if !is_repeated {
            let (desired, observed) = (desired.clone(), observed.clone());
            recorder.record(&Decision { at, desired, observed, plan: plan.to_string() });
        }
    }

    fn dispatch(&mut self, snapshot: &Arc<Snapshot>, tasks: &mut Tasks) {
        let plan = &snapshot.plan;
        if self.gate.is_interactive() {
            self.dispatch_next_step(snapshot, tasks);
        } else {
            plan.actions.iter().for_each(|planned| self.act(planned, tasks));
            match plan.routes.step {
                RouteStep::Apply => self.change_routes(&plan.routes.table, tasks),
                RouteStep::Start => self.apply_routes(&RouteTable::default(), tasks),
                RouteStep::InSync
                | RouteStep::InProgress
                | RouteStep::AwaitsEndpoints { .. }
                | RouteStep::Paced { .. }
                | RouteStep::Retry { .. }
                | RouteStep::Unknown => {}
            }
            self.repair_ingress(&snapshot.observed, tasks);
        }
        plan.drain_checks.iter().for_each(|endpoint| self.check_drain(*endpoint, tasks));
    }

    /// Carries out the step that was approved, or asks for an approval.
    fn dispatch_next_step(&mut self, snapshot: &Arc<Snapshot>, tasks: &mut Tasks) {
        let is_check = |key: &OperationKey| matches!(key, OperationKey::DrainCheck(_));
        let is_busy = !self.cache.in_flight.keys().all(is_check);
        match self.gate.decide(&snapshot.plan, is_busy) {
            GateDecision::Do(NextStep::Act(planned)) => self.act(&planned, tasks),
            GateDecision::Do(NextStep::Route(table)) => self.change_routes(&table, tasks),
            GateDecision::Ask(next, approver) => {
                tasks.ask(approver, PendingStep { seen: Arc::clone(snapshot), next });
            }
            GateDecision::Wait => {}
        }
    }

    fn act(&mut self, planned: &Planned, tasks: &mut Tasks) {
        let key = planned.action.key();
        if self.cache.in_flight.contains_key(&key) {
            return;
        }
        self.cache.in_flight.insert(key, planned.action.in_flight());
        tracing::info!(app = planned.app.as_ref().map(|a| a.as_str()), "{planned}");
        if let Action::Stop { id, .. } | Action::Remove { id } = &planned.action {
            self.expected_exits.insert(id.clone());
        }
        if let (
            Action::Stop { id, .. },
            Reason::Unhealthy { .. } | Reason::Paused | Reason::OffNetwork,
        ) = (&planned.action, &planned.reason)
        {
            self.cache.stop_reasons.insert(id.clone(), planned.reason.to_string());
        }
        tasks.act(planned.clone());
    }

    /// Returns when the next pass begins at the latest.
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
        if !observed.pulls.is_empty() {
            wait = wait.min(pulls::REFRESH);
        }
        for at in [plan.requeue_at(), self.cache.unlisted_until()].into_iter().flatten() {
            wait = wait.min(Duration::try_from(at.duration_since(now)).unwrap_or_default());
        }
        self.pass_due = Instant::now() + wait.max(MIN_REQUEUE);
        self.pass_due_at = self.clock.now().checked_add(wait).ok();
        now.checked_add(wait).ok()
    }

    fn send_probes(&mut self, tasks: &mut Tasks) {
        for spec in self.cache.probes.take_due(Instant::now()) {
            tasks.probe(spec);
        }
    }

    fn check_drain(&mut self, endpoint: SocketAddr, tasks: &mut Tasks) {
        let now = self.clock.now();
        self.cache.drains.entry(endpoint).or_insert(Drain::new(now)).checked_at = Some(now);
        self.cache.in_flight.insert(OperationKey::DrainCheck(endpoint), InFlight::default());
        tasks.check_drain(endpoint);
    }

    fn record_diff(&mut self, desired: &DesiredState, observed: &ObservedState, now: Timestamp) {
        let is_expected_exit = |id: &ContainerId| self.expected_exits.contains(id);
        let probe = |replica: &ObservedReplica| ProbeSpec::of(desired, replica);
        let news = events::diff(&self.last.observed, observed, is_expected_exit, probe, now);
        self.record(news);
    }

    fn publish(&mut self, snapshot: Arc<Snapshot>) {
        self.last = Arc::clone(&snapshot);
        self.snapshots.send_replace(snapshot);
    }
}
