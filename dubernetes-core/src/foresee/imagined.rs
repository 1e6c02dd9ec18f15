//! A world in which every call succeeds at once.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use jiff::Timestamp;

use crate::app::{AppName, ImageRef};
use crate::ingress::{ObservedIngress, RouteTable};
use crate::plan::{Action, Plan, Planned, ReplicaPlan, Waiting};
use crate::reconcile::{DRAIN_LIMIT, reconcile};
use crate::runtime::{ContainerId, ContainerState, ImageId, Network};
use crate::state::{DesiredState, Drain, Engine, ObservedReplica, ObservedState, Readiness};

/// The imagined state of everything.
pub(super) struct Imagined<'a> {
    pub(super) app: &'a AppName,
    desired: DesiredState,
    observed: ObservedState,
    now: Timestamp,
}

impl<'a> Imagined<'a> {
    pub(super) fn new(
        desired: &DesiredState,
        observed: &ObservedState,
        app: &'a AppName,
        now: Timestamp,
    ) -> Self {
        let mut observed = observed.clone();
        observed.engine = Engine::Answering;
        observed.under_way.clear();
        observed.failures.clear();
        Self { app, desired: desired.clone(), observed, now }
    }

    pub(super) fn plan(&self) -> Plan {
        reconcile(&self.desired, &self.observed, self.now)
    }

    /// Whether an action is for the app, or for what it needs.
    pub(super) fn concerns(&self, planned: &Planned) -> bool {
        planned.app.as_ref().is_none_or(|app| app == self.app)
            && !matches!(planned.action, Action::Forget { .. })
    }

    /// Replicas of the app that take requests: those that are routed, if it is routed at all.
    pub(super) fn ready(&self) -> u32 {
        let routed = |r: &ObservedReplica| match self.observed.ingress.table() {
            Some(table) if self.is_routed() => table.holds(r.labels.address),
            Some(_) | None => !self.is_routed(),
        };
        let ready = |r: &ObservedReplica| {
            r.is_running() && !matches!(r.readiness, Readiness::NotReady { .. }) && routed(r)
        };
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
                self.observed.network = Some(Network { id: "imagined".to_owned(), subnet });
            }
            Action::EnsureImage { app, image, .. } => {
                if let Some(stored) = self.desired.apps.get_mut(app) {
                    stored.image_id = Some(imagined_id(image));
                }
            }
            Action::Create(replica) => self.create(replica),
            Action::Start { id, .. } => {
                let started_at = self.now;
                self.change(id, |replica| {
                    replica.state = ContainerState::Running { started_at };
                    replica.readiness =
                        Readiness::NotReady { reason: "it has only just started".to_owned() };
                });
            }
            Action::Stop { id, .. } => {
                let at = self.now;
                self.change(id, |replica| {
                    replica.state = ContainerState::Exited {
                        code: 0,
                        out_of_memory: false,
                        started_at: at,
                        finished_at: at,
                    };
                });
            }
            Action::Remove { id, .. } => self.observed.replicas.retain(|r| r.id != *id),
            Action::Forget { .. } => {}
        }
    }

    /// Has the ingress acknowledge the app's routes; what changed, if anything did.
    pub(super) fn take_routes(&mut self, plan: &Plan) -> Option<String> {
        let before = self.observed.ingress.table().cloned().unwrap_or_default();
        let own = |table: &RouteTable| -> BTreeSet<(String, Ipv4Addr)> {
            let routes = table.routes.iter().filter(|route| route.app == *self.app);
            routes.flat_map(|r| &r.endpoints).map(|e| (e.pod.clone(), e.address)).collect()
        };
        let (old, new) = (own(&before), own(&plan.routes));
        let known = before.routes.iter().any(|route| route.app == *self.app);
        let wanted = plan.routes.routes.iter().any(|route| route.app == *self.app);
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
            self.observed.drains.insert(*address, Drain { since: self.now, done: false });
        }
        self.observed.ingress = ObservedIngress::Serving { table: plan.routes.clone() };
        let change: Vec<_> = parts.into_iter().flatten().collect();
        Some(if change.is_empty() {
            "no ready replica yet: 503".to_owned()
        } else {
            change.join(", ")
        })
    }

    /// Has a starting replica become ready.
    pub(super) fn becomes_ready(&mut self, waiting: &Waiting) -> Option<String> {
        let (pod, now) = (waiting.pod.clone()?, self.now);
        let port = self.desired.apps.get(self.app)?.spec.port;
        let routed = self.is_routed();
        for replica in &mut self.observed.replicas {
            if replica.labels.app == *self.app && replica.pod() == pod && replica.is_running() {
                replica.readiness = Readiness::Ready { since: now };
            }
        }
        Some(if routed {
            format!("until port {port} takes connections")
        } else {
            "until it has run for 2s".to_owned()
        })
    }

    /// Has the requests to an address end.
    pub(super) fn is_drained(&mut self, address: Ipv4Addr) -> Option<String> {
        self.observed.drains.insert(address, Drain { since: self.now, done: true });
        Some(format!("requests under way, at most {}s", DRAIN_LIMIT.as_secs()))
    }

    /// Has the engine finish a removal that is under way.
    pub(super) fn is_removed(&mut self, waiting: &Waiting) -> Option<String> {
        let before = self.observed.replicas.len();
        let goes = |r: &ObservedReplica| {
            r.state == ContainerState::Removing && Some(r.pod()) == waiting.pod
        };
        self.observed.replicas.retain(|r| !goes(r));
        let gone = self.observed.replicas.len() < before;
        gone.then(|| "until the engine has removed it".to_owned())
    }

    /// Lets the time pass.
    pub(super) fn passes_until(&mut self, waiting: &Waiting) -> Option<String> {
        self.now = waiting.until?.max(self.now);
        Some(waiting.wait.to_string())
    }

    #[cfg(test)]
    pub(super) fn into_observed(self) -> ObservedState {
        self.observed
    }

    fn create(&mut self, plan: &ReplicaPlan) {
        self.observed.replicas.push(ObservedReplica {
            id: ContainerId(format!("imagined:{}", plan.request.name)),
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

    fn own(&self) -> impl Iterator<Item = &ObservedReplica> {
        self.observed.replicas.iter().filter(|r| r.labels.app == *self.app)
    }

    fn is_routed(&self) -> bool {
        self.desired.apps.get(self.app).is_some_and(|stored| stored.spec.access.is_some())
    }
}

fn imagined_id(image: &ImageRef) -> ImageId {
    ImageId(format!("imagined:{image}"))
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
