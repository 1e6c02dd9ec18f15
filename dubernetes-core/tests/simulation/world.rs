//! A simulated engine, store and ingress that apply plans, inject faults, and check each plan.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::choices::{CallFault, Choices, Fault};
use crate::limits;
use dubernetes_core::app::{AppName, Artifact, Generation, RevisionId, Stop};
use dubernetes_core::call::{CallFailure, FailureKind, OperationKey};
use dubernetes_core::ingress::ObservedIngress;
use dubernetes_core::plan::{Action, Phase, Plan, PreDeployPlan, ReplicaPlan, RouteStep, Wait};
use dubernetes_core::replay::Decision;
use dubernetes_core::runtime::{ContainerId, ContainerState, Exit, ImageId, Network};
use dubernetes_core::state::{
    DesiredState, Drain, ObservedPreDeploy, ObservedReplica, ObservedState, Readiness,
};
use dubernetes_core::store::{Outcome, Revision, RolloutUpdate, apply_rollout_update};
use jiff::{SignedDuration, Timestamp};

#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) desired: DesiredState,
    pub(crate) observed: ObservedState,
    pub(crate) now: Timestamp,
    pub(crate) last_plan: Plan,
    /// Every decision, if they are recorded.
    pub(crate) decisions: Option<Vec<Decision>>,
    pub(crate) choices: Choices,
    pub(crate) last: BTreeMap<AppName, (Generation, RevisionId)>,
    made: u32,
}

impl World {
    pub(crate) fn new(choices: Choices) -> Self {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        Self {
            desired: DesiredState::default(),
            observed: ObservedState::default(),
            now,
            last_plan: Plan::default(),
            decisions: None,
            choices,
            last: BTreeMap::new(),
            made: 0,
        }
    }

    /// Ends a process, removes or pauses a container, makes a replica unready, or stops the
    /// ingress.
    pub(crate) fn break_something(&mut self) {
        let count = self.observed.replicas.len();
        if count == 0 || !self.choices.one_in(3) {
            return;
        }
        let victim = usize::from(self.choices.below(u8::try_from(count.min(200)).unwrap()));
        let fault = match self.choices.below(5) {
            0 | 1 => Fault::Exit,
            2 => Fault::Vanish,
            3 if self.choices.one_in(2) => Fault::Unhealthy,
            3 => Fault::NotReady,
            _ if self.observed.replicas[victim].is_running() => Fault::Pause,
            _ => return self.stop_ingress(),
        };
        self.break_replica(victim, fault);
    }

    pub(crate) fn break_replica(&mut self, victim: usize, fault: Fault) {
        let now = self.now;
        let replica = &mut self.observed.replicas[victim];
        match fault {
            Fault::Exit => end(replica, now),
            Fault::Vanish => drop(self.observed.replicas.remove(victim)),
            Fault::Unhealthy => {
                replica.readiness = Readiness::Unhealthy { reason: "status 500".into() };
            }
            Fault::NotReady => replica.readiness = not_ready(),
            Fault::Pause => replica.state = ContainerState::Paused,
        }
    }

    pub(crate) fn stop_ingress(&mut self) {
        self.observed.ingress = ObservedIngress::Down { reason: "killed".into() };
    }

    /// Sometimes replaces the orchestrator after a while, which clears all that it remembered.
    pub(crate) fn orchestrator_down(&mut self) {
        if !self.choices.one_in(12) {
            return;
        }
        let minutes = i64::from(self.choices.below(40));
        self.now = self.now.checked_add(SignedDuration::from_mins(minutes)).unwrap();
        self.replace_orchestrator();
    }

    /// Clears all that the orchestrator remembered.
    pub(crate) fn replace_orchestrator(&mut self) {
        self.observed.active_since = Some(self.now);
        self.observed.failures.clear();
        self.observed.drains.clear();
        self.observed.stop_reasons.clear();
        for replica in &mut self.observed.replicas {
            replica.readiness = Readiness::Unknown;
        }
    }

    pub(crate) fn end_faults(&mut self) {
        self.observed.failures.clear();
        self.now = self.now.checked_add(SignedDuration::from_mins(20)).unwrap();
    }

    /// Plans and applies one pass, with faults if `storm`; true if there was nothing to do.
    pub(crate) fn pass(&mut self, storm: bool) -> bool {
        self.advance_time(storm);
        let plan = dubernetes_core::reconcile(&self.desired, &self.observed, self.now);
        self.last_plan = plan.clone();
        if let Some(decisions) = &mut self.decisions {
            decisions.push(Decision {
                at: self.now,
                desired: self.desired.clone(),
                observed: self.observed.clone(),
                plan: plan.to_string(),
            });
        }
        self.check(&plan);
        for planned in &plan.actions {
            let fault = if storm { self.choices.call() } else { CallFault::None };
            match fault {
                CallFault::Error => self.fail(planned.action.key()),
                CallFault::Crash => break,
                CallFault::LostAnswer => {
                    self.apply(&planned.action, storm);
                    self.fail(planned.action.key());
                }
                CallFault::None => {
                    self.observed.failures.remove(&planned.action.key());
                    self.apply(&planned.action, storm);
                }
            }
        }
        for waiting in &plan.waiting {
            if let Wait::Drained { endpoint, .. } = waiting.wait {
                let drain = Drain::new(self.now);
                self.observed.drains.entry(endpoint).or_insert(drain);
            }
        }
        let routes_differ = plan.routes.step != RouteStep::InSync;
        if routes_differ && !(storm && self.choices.one_in(4)) {
            self.serve(&plan);
        }
        plan.actions.is_empty() && !routes_differ && plan.waiting.is_empty()
    }

    fn advance_time(&mut self, storm: bool) {
        let seconds = if storm { self.choices.seconds() } else { 30 };
        self.now = self.now.checked_add(SignedDuration::from_secs(seconds)).unwrap();
        for i in 0..self.observed.replicas.len() {
            if !storm || self.choices.goes_on() {
                let replica = &mut self.observed.replicas[i];
                let is_ready = matches!(replica.readiness, Readiness::Ready { .. });
                if replica.is_running() && !is_ready {
                    replica.readiness = Readiness::Ready { since: self.now };
                }
            }
        }
        let drained = !storm || self.choices.goes_on();
        for drain in self.observed.drains.values_mut() {
            drain.done |= drained;
        }
        let held: Vec<_> = self.observed.replicas.iter().filter_map(|r| r.endpoint).collect();
        self.observed.drains.retain(|endpoint, drain| held.contains(endpoint) || !drain.done);
    }

    fn fail(&mut self, key: OperationKey) {
        let count = self.observed.failures.get(&key).map_or(1, |f| f.count + 1);
        let kind = match key {
            OperationKey::Image { .. } if self.choices.one_in(4) => FailureKind::ImageMissing,
            OperationKey::Create { .. } if self.choices.one_in(4) => FailureKind::ImageGone,
            _ if self.choices.one_in(4) => FailureKind::Permanent,
            _ => FailureKind::Transient,
        };
        let failure = CallFailure { count, at: self.now, message: "a fault".into(), kind };
        self.observed.failures.insert(key, failure);
    }

    fn serve(&mut self, plan: &Plan) {
        let before = self.observed.ingress.table().cloned().unwrap_or_default();
        for endpoint in before.endpoints() {
            if !plan.routes.table.holds(endpoint) {
                let drain = Drain::new(self.now);
                self.observed.drains.entry(endpoint).or_insert(drain);
            }
        }
        self.observed.drains.retain(|endpoint, _| !plan.routes.table.holds(*endpoint));
        self.observed.ingress = ObservedIngress::Serving { table: plan.routes.table.clone() };
    }

    fn apply(&mut self, action: &Action, storm: bool) {
        let now = self.now;
        match action {
            Action::EnsureNetwork => {
                self.observed.network = Some(network());
            }
            Action::EnsureImage { app, revision, artifact, .. } => {
                let id = image_id(artifact);
                if let Some(stored) = self.desired.apps.get_mut(app)
                    && stored.revision == *revision
                {
                    stored.image_id = Some(id.clone());
                }
                let kept = self.desired.revisions.entry(app.clone()).or_default();
                pin(kept, *revision, &id);
            }
            Action::Create(replica) => self.create(replica),
            Action::CreatePreDeploy(hook) => self.create_hook(hook),
            Action::CreateOneOff(one_off) => panic!("{} has no client", one_off.request.name),
            Action::RecordRollout { app, revision, update, .. } => {
                self.record_rollout(app, *revision, update);
            }
            Action::Start { id } | Action::Stop { id, .. } | Action::Remove { id }
                if self.observed.pre_deploys.iter().any(|hook| hook.id == *id) =>
            {
                self.apply_to_hook(action, id, storm);
            }
            Action::Start { id } => {
                let fails = storm && self.choices.one_in(5);
                let replica = self.find(id);
                assert_eq!(replica.state, ContainerState::Created, "only created ones are started");
                replica.state = if fails {
                    ContainerState::StartFailed { error: "no such file".into(), code: 127 }
                } else {
                    ContainerState::Running { started_at: now }
                };
                let port = replica.labels.port;
                let endpoint = replica.labels.address.map(|address| (address, port).into());
                replica.endpoint = endpoint.filter(|_| !fails);
                replica.readiness = not_ready();
            }
            Action::Stop { id, .. } => self.stop(id),
            Action::Remove { id } => {
                assert!(!self.find(id).is_running(), "{id} is removed while it runs");
                self.observed.replicas.retain(|r| r.id != *id);
            }
            Action::PurgeTombstone { app } => {
                assert!(self.observed.replicas.iter().all(|r| r.labels.app != *app));
                self.desired.tombstones.remove(app);
                self.desired.revisions.remove(app);
            }
            Action::ClearEviction { app, id } => {
                assert!(self.observed.replicas.iter().all(|r| r.id != *id), "{id} is not gone");
                self.desired.apps.get_mut(app).unwrap().evicted.remove(id);
            }
            Action::IssueCertificate { host, authority } => self.issue(host, *authority),
            Action::DropCertificate { host } => drop(self.desired.certificates.remove(host)),
            Action::RemoveIngress => self.observed.ingress = ObservedIngress::Absent,
            Action::RemoveNetwork => {
                assert!(self.observed.replicas.is_empty() && self.observed.pre_deploys.is_empty());
                assert_eq!(self.observed.ingress, ObservedIngress::Absent);
                self.observed.network = None;
            }
            Action::FinishTeardown => {
                assert_eq!(self.observed.network, None);
                self.desired.teardown = None;
            }
        }
    }

    fn stop(&mut self, id: &ContainerId) {
        if let Readiness::Unhealthy { reason } = &self.find(id).readiness {
            let reason = reason.clone();
            self.observed.stop_reasons.insert(id.clone(), reason);
        }
        let endpoint = self.find(id).endpoint;
        let table = self.observed.ingress.table();
        assert!(
            table.zip(endpoint).is_none_or(|(table, endpoint)| !table.holds(endpoint)),
            "{id} is stopped while it may get requests\n{}",
            self.last_plan
        );
        self.check_drained(id);
        let now = self.now;
        end(self.find(id), now);
    }

    /// Checks that no request of a route can be in flight, or the limit for that has passed.
    fn check_drained(&mut self, id: &ContainerId) {
        let ObservedReplica { endpoint, labels, .. } = self.find(id).clone();
        let stored = self.desired.apps.get(&labels.app);
        let has_route = stored.is_none_or(|stored| !stored.spec.access.is_empty());
        let Some(endpoint) = endpoint.filter(|_| has_route) else { return };
        if self.observed.ingress.table().is_none() {
            return;
        }
        let drained = self.observed.drains.get(&endpoint).is_some_and(|drain| {
            let limit = Stop::default().drain.to_signed();
            drain.done || drain.since.checked_add(limit).unwrap() <= self.now
        });
        assert!(drained, "{id} is stopped before it is drained\n{}", self.last_plan);
    }

    fn create_hook(&mut self, plan: &PreDeployPlan) {
        // An earlier call whose answer was lost may have created it.
        if self.observed.pre_deploys.iter().all(|hook| hook.labels != plan.labels) {
            self.made += 1;
            self.observed.pre_deploys.push(ObservedPreDeploy {
                id: ContainerId(format!("c{}", self.made).into()),
                labels: plan.labels.clone(),
                state: ContainerState::Created,
            });
        }
    }

    /// Ends a pre-deploy hook as soon as it is started, usually with success.
    fn apply_to_hook(&mut self, action: &Action, id: &ContainerId, storm: bool) {
        let (now, code) = (self.now, i64::from(storm && self.choices.one_in(3)));
        let hook = self.observed.pre_deploys.iter_mut().find(|hook| hook.id == *id).unwrap();
        hook.state = ContainerState::Exited(Exit {
            code,
            out_of_memory: false,
            started_at: now,
            finished_at: now,
        });
        if matches!(action, Action::Remove { .. }) {
            self.observed.pre_deploys.retain(|hook| hook.id != *id);
        }
    }

    fn record_rollout(&mut self, name: &AppName, revision: RevisionId, update: &RolloutUpdate) {
        let (app, kept) = (&self.desired.apps[name], &self.desired.revisions[name]);
        if let Some(decided) = apply_rollout_update(app, kept, revision, update, self.now).unwrap()
        {
            self.store(decided);
        }
    }

    fn create(&mut self, plan: &ReplicaPlan) {
        let name = &plan.request.name;
        // Created by an earlier call whose answer was lost.
        if self.observed.replicas.iter().any(|r| r.name == *name) {
            return;
        }
        let address = plan.labels.address;
        assert!(
            self.observed.replicas.iter().all(|r| r.labels.address != address),
            "{name} gets the address {address:?} of another replica"
        );
        let app = &plan.labels.app;
        let spec = &self.desired.apps[app].spec;
        let extra = limits::surge(spec) + limits::terminating(spec);
        let live =
            self.observed.replicas.iter().filter(|r| r.labels.app == *app && is_live(r)).count();
        assert!(
            live < usize::from(spec.replicas) + extra,
            "{name} is above the limit beside {live}\n{}",
            self.last_plan
        );
        self.made += 1;
        self.observed.replicas.push(ObservedReplica {
            id: ContainerId(format!("c{}", self.made).into()),
            name: name.clone(),
            labels: plan.labels.clone(),
            state: ContainerState::Created,
            created_at: self.now,
            image_id: ImageId(plan.request.image.clone()),
            endpoint: None,
            readiness: Readiness::Unknown,
            limits: None,
        });
    }

    /// Checks what holds of every plan.
    fn check(&self, plan: &Plan) {
        let mut keys = std::collections::BTreeSet::new();
        for planned in &plan.actions {
            assert!(keys.insert(planned.action.key()), "one call, twice\n{plan}");
            if let Action::Stop { id, .. } | Action::Remove { id } | Action::Start { id } =
                &planned.action
            {
                let replicas = self.observed.replicas.iter().map(|r| &r.id);
                let mut seen =
                    replicas.chain(self.observed.pre_deploys.iter().map(|hook| &hook.id));
                assert!(seen.any(|seen| seen == id), "{id} was not seen");
            }
        }
        for route in &plan.routes.table.routes {
            for endpoint in &route.endpoints {
                self.check_endpoint(&route.app, endpoint.socket());
            }
            self.check_min_available(plan, &route.app, route.endpoints.len());
        }
    }

    fn check_endpoint(&self, app: &AppName, endpoint: SocketAddr) {
        let replica = self.observed.replicas.iter().find(|r| r.endpoint == Some(endpoint));
        let replica =
            replica.unwrap_or_else(|| panic!("{endpoint} is routed, but no replica has it"));
        assert_eq!(replica.labels.app, *app, "{endpoint} is another app's");
        assert!(replica.is_running(), "{endpoint} is routed and does not run");
    }

    /// Checks that a change of routes leaves enough ready replicas routed.
    fn check_min_available(&self, plan: &Plan, app: &AppName, routed: usize) {
        let stored = &self.desired.apps[app];
        let ready = self.observed.replicas.iter().filter(|r| {
            r.labels.app == *app
                && r.labels.revision > stored.deleted_through
                && r.is_running()
                && matches!(r.readiness, Readiness::Ready { .. })
        });
        let floor = usize::from(stored.spec.replicas) - limits::missing(&stored.spec);
        assert!(routed >= ready.count().min(floor), "too few are routed\n{plan}");
    }

    /// Checks what holds once the world has converged.
    pub(crate) fn check_converged(&self) {
        let plan = dubernetes_core::reconcile(&self.desired, &self.observed, self.now);
        for (name, stored) in &self.desired.apps {
            let status = &plan.statuses[name];
            assert_eq!(status.phase, Phase::Ready, "{name}\n{plan}\n{status:#?}");
            let own: Vec<_> =
                self.observed.replicas.iter().filter(|r| r.labels.app == *name).collect();
            assert_eq!(own.len(), usize::from(stored.spec.replicas), "{name}\n{plan}");
            let hash = stored.content_hash();
            assert!(own.iter().all(|r| r.is_running() && r.labels.spec_hash == hash));
        }
        let known = |r: &&ObservedReplica| self.desired.apps.contains_key(&r.labels.app);
        assert_eq!(self.observed.replicas.iter().filter(|r| !known(r)).count(), 0);
        assert!(self.desired.tombstones.is_empty());
        assert_eq!(self.desired.teardown, None, "a teardown ends");
        let apps = self.desired.apps.values();
        assert_eq!(apps.filter(|app| !app.evicted.is_empty()).count(), 0, "evictions end");
        assert_eq!(self.observed.pre_deploys, [], "hooks have ended");
    }

    /// Rollouts in progress: neither complete, nor failed, nor paused.
    pub(crate) fn open_rollouts(&self) -> Vec<&AppName> {
        let open = self.desired.apps.iter().filter(|(_, stored)| {
            let progressing = stored.rollout.outcome == Outcome::Progressing;
            progressing && !stored.paused && stored.spec.replicas > 0
        });
        open.map(|(name, _)| name).collect()
    }

    /// The actions for all apps but one, as text: without addresses, which all apps share.
    pub(crate) fn actions_of_others(&self, app: &str) -> Vec<String> {
        let plan = dubernetes_core::reconcile(&self.desired, &self.observed, self.now);
        let other = |planned: &&dubernetes_core::plan::Planned| {
            planned.app.as_ref().is_some_and(|name| name.as_str() != app)
        };
        plan.actions.iter().filter(other).map(ToString::to_string).collect()
    }

    fn find(&mut self, id: &ContainerId) -> &mut ObservedReplica {
        self.observed.replicas.iter_mut().find(|r| r.id == *id).unwrap()
    }
}

fn end(replica: &mut ObservedReplica, now: Timestamp) {
    let started_at = match replica.state {
        ContainerState::Running { started_at } => started_at,
        ContainerState::Paused => now,
        _ => return,
    };
    replica.endpoint = None;
    replica.state = ContainerState::Exited(Exit {
        code: 1,
        out_of_memory: false,
        started_at,
        finished_at: now,
    });
}

fn is_live(replica: &ObservedReplica) -> bool {
    replica.is_running()
        || matches!(replica.state, ContainerState::Created | ContainerState::Paused)
}

fn network() -> Network {
    Network { id: "net".into(), subnet: "10.9.0.0/22".parse().unwrap() }
}

fn not_ready() -> Readiness {
    Readiness::NotReady { reason: "connection refused".into() }
}

fn image_id(artifact: &Artifact) -> ImageId {
    ImageId(format!("sha256:{artifact}"))
}

fn pin(kept: &mut [Revision], revision: RevisionId, id: &ImageId) {
    for revision in kept.iter_mut().filter(|kept| kept.revision == revision) {
        revision.image_id = Some(id.clone());
    }
}
