//! A world in which every call succeeds at once.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use jiff::Timestamp;

use crate::app::{AppName, Check, ImageRef, Stop};
use crate::ingress::{ObservedIngress, RouteTable};
use crate::plan::{Action, Plan, Planned, Prediction, ReplicaPlan, Wait, Waiting};
use crate::reconcile::{conflicts, reconcile};
use crate::runtime::{ContainerId, ContainerState, ImageId, Network};
use crate::state::{
    DesiredState, Drain, EngineStatus, ObservedPreDeploy, ObservedReplica, ObservedState, Readiness,
};
use crate::store::{Outcome, RolloutUpdate};

/// The predicted_state state of everything.
pub(super) struct PredictedState<'a> {
    pub(super) app: &'a AppName,
    desired: DesiredState,
    observed: ObservedState,
    now: Timestamp,
}

impl<'a> PredictedState<'a> {
    pub(super) fn new(
        desired: &DesiredState,
        observed: &ObservedState,
        app: &'a AppName,
        now: Timestamp,
    ) -> Self {
        let (mut desired, mut observed) = (desired.clone(), observed.clone());
        observed.engine = EngineStatus::Reachable;
        observed.in_flight.clear();
        observed.failures.clear();
        leave_out_others(&mut desired, &mut observed, app, now);
        Self { app, desired, observed, now }
    }

    pub(super) fn plan(&self) -> Plan {
        reconcile(&self.desired, &self.observed, self.now)
    }

    /// Whether an action is for the app, or for what it needs.
    pub(super) fn concerns(&self, planned: &Planned) -> bool {
        planned.app.as_ref().is_none_or(|app| app == self.app)
            && !matches!(planned.action, Action::PurgeTombstone { .. })
    }

    /// Replicas of the app that take requests: those that are routed, if it is routed at all.
    pub(super) fn ready(&self) -> u32 {
        let routed = |r: &ObservedReplica| match self.observed.ingress.table() {
            Some(table) if self.is_routed() => table.holds(r.labels.address),
            Some(_) | None => !self.is_routed(),
        };
        let ready =
            |r: &ObservedReplica| r.is_running() && r.readiness.failure().is_none() && routed(r);
        count(self.own().filter(|r| ready(r)).count())
    }

    /// Replicas of the app that hold memory.
    pub(super) fn live(&self) -> u32 {
        let live = |r: &&ObservedReplica| {
            r.is_running() || matches!(r.state, ContainerState::Created | ContainerState::Paused)
        };
        count(self.own().filter(live).count())
    }

    /// Has an action succeed.
    pub(super) fn take(&mut self, action: &Action) {
        match action {
            Action::EnsureNetwork => {
                // Any subnet will do: addresses do not show in the steps.
                let subnet =
                    ipnet::Ipv4Net::new(Ipv4Addr::new(10, 0, 0, 0), 22).unwrap_or_default();
                self.observed.network = Some(Network { id: "predicted".to_owned(), subnet });
            }
            Action::EnsureImage { app, image, .. } => {
                if let Some(stored) = self.desired.apps.get_mut(app) {
                    stored.image_id = Some(imagined_id(image));
                }
            }
            Action::Create(replica) => self.create(replica),
            Action::Start { id, .. } => {
                let started_at = self.now;
                self.change_job(id, ContainerState::Running { started_at });
                self.change(id, |replica| {
                    replica.state = ContainerState::Running { started_at };
                    replica.readiness =
                        Readiness::NotReady { reason: "it has only just started".to_owned() };
                });
            }
            Action::Stop { id, .. } => {
                let at = self.now;
                let ended = ContainerState::Exited {
                    code: 0,
                    out_of_memory: false,
                    started_at: at,
                    finished_at: at,
                };
                self.change_job(id, ended);
                self.change(id, |replica| {
                    replica.state = ContainerState::Exited {
                        code: 0,
                        out_of_memory: false,
                        started_at: at,
                        finished_at: at,
                    };
                });
            }
            Action::Remove { id, .. } => {
                self.observed.replicas.retain(|r| r.id != *id);
                self.observed.pre_deploys.retain(|job| job.id != *id);
            }
            Action::CreatePreDeploy(job) => self.observed.pre_deploys.push(ObservedPreDeploy {
                id: ContainerId(format!("predicted:{}", job.request.name)),
                labels: job.labels.clone(),
                state: ContainerState::Created,
            }),
            Action::RecordRollout { app, update, .. } => self.conclude(app, update),
            Action::PurgeTombstone { .. } => {}
        }
    }

    /// Has the ingress acknowledge the app's routes; what changed, if anything did.
    pub(super) fn take_routes(&mut self, plan: &Plan) -> Option<String> {
        let before = self.observed.ingress.table().cloned().unwrap_or_default();
        let own = |table: &RouteTable| -> BTreeSet<(String, Ipv4Addr)> {
            let routes = table.routes.iter().filter(|route| route.app == *self.app);
            routes.flat_map(|r| &r.endpoints).map(|e| (e.pod.clone(), e.address)).collect()
        };
        let (old, new) = (own(&before), own(&plan.routes.table));
        let known = before.routes.iter().any(|route| route.app == *self.app);
        let wanted = plan.routes.table.routes.iter().any(|route| route.app == *self.app);
        if old == new && known == wanted {
            return None;
        }
        let names = |pods: BTreeSet<&(String, Ipv4Addr)>, what: &str| {
            let names: Vec<_> = pods.iter().map(|(pod, _)| pod.as_str()).collect();
            (!names.is_empty()).then(|| format!("{} {what}", names.join(", ")))
        };
        let parts = [
            names(new.difference(&old).collect(), "in"),
            names(old.difference(&new).collect(), "out"),
        ];
        for (_, address) in old.difference(&new) {
            self.observed.drains.insert(*address, Drain::new(self.now));
        }
        self.observed.ingress = ObservedIngress::Serving { table: plan.routes.table.clone() };
        let change: Vec<_> = parts.into_iter().flatten().collect();
        Some(if change.is_empty() {
            "no ready replica yet: 503".to_owned()
        } else {
            change.join(", ")
        })
    }

    /// Ends a wait as everything that succeeds would; what for, if it can end.
    pub(super) fn predict(&mut self, waiting: &Waiting) -> Option<String> {
        match waiting.wait.row().prediction {
            Prediction::None => None,
            Prediction::BecomesReady => self.becomes_ready(waiting),
            Prediction::StaysReady => self.stays_ready(waiting),
            Prediction::Drains => self.is_drained(waiting),
            Prediction::IsRemoved => self.is_removed(waiting),
            Prediction::HookSucceeds => self.passes(),
            Prediction::TimePasses => self.passes_until(waiting),
        }
    }

    /// Has a starting replica become ready.
    fn becomes_ready(&mut self, waiting: &Waiting) -> Option<String> {
        let (pod, now) = (waiting.pod.clone()?, self.now);
        let until = self.until_ready()?;
        for replica in &mut self.observed.replicas {
            if replica.labels.app == *self.app && replica.pod() == pod && replica.is_running() {
                replica.readiness = Readiness::Ready { since: now };
            }
        }
        Some(until)
    }

    /// What makes a replica ready.
    fn until_ready(&self) -> Option<String> {
        let spec = &self.desired.apps.get(self.app)?.spec;
        let port = spec.health.as_ref().and_then(|health| health.port).unwrap_or(spec.port);
        Some(match spec.health.as_ref().map(|health| &health.check) {
            Some(Check::Http(path)) => format!("until GET :{port}{path} is answered"),
            Some(Check::Exec(command)) => {
                format!("until `{}` succeeds", crate::error::one_line(&command.join(" ")))
            }
            Some(Check::Tcp) => format!("until port {port} takes connections"),
            None if self.is_routed() => format!("until port {port} takes connections"),
            None => "until it has run for 2s".to_owned(),
        })
    }

    /// Has the requests to an address end.
    fn is_drained(&mut self, waiting: &Waiting) -> Option<String> {
        let Wait::Drained { address } = waiting.wait else { return None };
        self.observed.drains.insert(address, Drain { done: true, ..Drain::new(self.now) });
        let limit = self.desired.apps.get(self.app).map(|stored| stored.spec.stop.drain);
        Some(format!("requests under way, at most {}", limit.unwrap_or(Stop::default().drain)))
    }

    /// Has the engine finish a removal that is under way.
    fn is_removed(&mut self, waiting: &Waiting) -> Option<String> {
        let before = self.observed.replicas.len();
        let goes = |r: &ObservedReplica| {
            r.state == ContainerState::Removing && Some(r.pod()) == waiting.pod
        };
        self.observed.replicas.retain(|r| !goes(r));
        let gone = self.observed.replicas.len() < before;
        gone.then(|| "until the engine has removed it".to_owned())
    }

    /// Has a replica stay ready until it counts.
    fn stays_ready(&mut self, waiting: &Waiting) -> Option<String> {
        let min_ready = self.desired.apps.get(self.app)?.spec.rollout.min_ready;
        self.now = waiting.until?.max(self.now);
        Some(format!("until it has been ready for {min_ready}"))
    }

    /// Lets the time pass.
    fn passes_until(&mut self, waiting: &Waiting) -> Option<String> {
        self.now = waiting.until?.max(self.now);
        Some(waiting.wait.to_string())
    }

    /// Has the command before the revision succeed.
    fn passes(&mut self) -> Option<String> {
        let now = self.now;
        let own = |job: &&mut ObservedPreDeploy| job.labels.app == *self.app;
        let job = self.observed.pre_deploys.iter_mut().rfind(own)?;
        job.state = ContainerState::Exited {
            code: 0,
            out_of_memory: false,
            started_at: now,
            finished_at: now,
        };
        Some("until its command has succeeded".to_owned())
    }

    /// What a result changes of what is desired. A revision that fails is as far as is told.
    fn conclude(&mut self, app: &AppName, update: &RolloutUpdate) {
        let now = self.now;
        let Some(stored) = self.desired.apps.get_mut(app) else { return };
        match update {
            RolloutUpdate::PreDeployed { .. } => stored.rollout.pre_deployed = true,
            RolloutUpdate::Complete => stored.rollout.outcome = Outcome::Complete { at: now },
            RolloutUpdate::Stable => stored.rollout.outcome = Outcome::Stable,
            RolloutUpdate::Failed { failure, .. } => {
                stored.rollout.outcome = Outcome::Failed(Box::new(failure.clone()));
            }
        }
    }

    fn create(&mut self, plan: &ReplicaPlan) {
        self.observed.replicas.push(ObservedReplica {
            id: ContainerId(format!("predicted:{}", plan.request.name)),
            name: plan.request.name.clone(),
            labels: plan.labels.clone(),
            state: ContainerState::Created,
            created_at: self.now,
            image_id: ImageId(plan.request.image.clone()),
            readiness: Readiness::Unknown,
        });
    }

    fn change(&mut self, id: &ContainerId, change: impl Fn(&mut ObservedReplica)) {
        self.observed.replicas.iter_mut().filter(|r| r.id == *id).for_each(change);
    }

    fn change_job(&mut self, id: &ContainerId, state: ContainerState) {
        if let Some(job) = self.observed.pre_deploys.iter_mut().find(|job| job.id == *id) {
            job.state = state;
        }
    }

    fn own(&self) -> impl Iterator<Item = &ObservedReplica> {
        self.observed.replicas.iter().filter(|r| r.labels.app == *self.app)
    }

    fn is_routed(&self) -> bool {
        self.desired.apps.get(self.app).is_some_and(|stored| stored.spec.access.is_some())
    }
}

/// Nothing is done for other apps, so that they need not be planned in each step: all that counts
/// of them is who has the app's route, and that their addresses are taken.
fn leave_out_others(
    desired: &mut DesiredState,
    observed: &mut ObservedState,
    app: &AppName,
    now: Timestamp,
) {
    let conflict = conflicts(desired).remove(app);
    let counts =
        |name: &AppName| name == app || conflict.as_ref().is_some_and(|c| c.owner == *name);
    desired.apps.retain(|name, _| counts(name));
    desired.tombstones.retain(|name, _| counts(name));
    desired.revisions.retain(|name, _| counts(name));
    let taken = observed.replicas.extract_if(.., |r| !counts(&r.labels.app));
    let mut taken: Vec<_> = taken.map(|replica| replica.labels.address).collect();
    let pre_deploys = observed.pre_deploys.extract_if(.., |job| !counts(&job.labels.app));
    taken.extend(pre_deploys.map(|job| job.labels.address));
    observed.drains.extend(taken.into_iter().map(|address| (address, Drain::new(now))));
}

fn imagined_id(image: &ImageRef) -> ImageId {
    ImageId(format!("predicted:{image}"))
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
