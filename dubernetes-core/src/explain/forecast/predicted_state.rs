//! The simulated state of a forecast: every call succeeds at once.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use jiff::Timestamp;

use crate::app::{AppName, Check, PodName, Secret, Stop};
use crate::certificate::{IssuedCertificate, KeyPair, StoredCertificate};
use crate::ingress::{HostPort, HostTls, ObservedIngress, PortSupport, RouteTable};
use crate::plan::{Action, Plan, Planned, Prediction, ReplicaPlan, Wait, Waiting};
use crate::reconcile::{conflicts, is_ready, reconcile, start_cycle};
use crate::runtime::{ContainerId, ContainerState, Exit, ImageId, Network};
use crate::state::{
    DesiredState, Drain, EngineStatus, ObservedPreDeploy, ObservedReplica, ObservedState, Readiness,
};
use crate::store::{Outcome, RolloutUpdate};

/// Desired and observed state as they will be.
pub(super) struct PredictedState<'a> {
    pub(super) app: &'a AppName,
    desired: DesiredState,
    observed: ObservedState,
    now: Timestamp,
    /// Whether the app starts after itself, by way of others.
    is_in_start_cycle: bool,
    /// Replicas started without a planned address; each gets an endpoint of its own.
    started: u16,
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
        observed.pulls.clear();
        observed.failures.clear();
        desired.certificates.values_mut().for_each(|stored| stored.failure = None);
        let is_unknown = matches!(observed.ingress, ObservedIngress::Unknown { .. });
        if is_unknown && !desired.apps.contains_key(app) {
            // The next table, which replaces the unknown one, has no route of a deleted app.
            observed.ingress = ObservedIngress::Serving { table: RouteTable::default() };
        }
        let is_in_start_cycle = start_cycle(&desired, app).is_some();
        let after = desired.apps.get(app).map(|stored| stored.spec.after.clone());
        let mut after = after.unwrap_or_default();
        after.retain(|name| !is_ready(&desired, &observed, name));
        if let Some(stored) = desired.apps.get_mut(app) {
            stored.spec.update(|spec| spec.after = after);
        }
        remove_others(&mut desired, &mut observed, app);
        Self { app, desired, observed, now, is_in_start_cycle, started: 0 }
    }

    pub(super) fn plan(&self) -> Plan {
        reconcile(&self.desired, &self.observed, self.now)
    }

    /// Whether an action is for the app, or for the network that it needs.
    pub(super) fn concerns(&self, planned: &Planned) -> bool {
        let is_own = planned.app.as_ref() == Some(self.app)
            && !matches!(planned.action, Action::PurgeTombstone { .. });
        is_own || planned.action == Action::EnsureNetwork
    }

    /// Replicas of the app that get requests: the routed ones, if the app has routes.
    pub(super) fn ready(&self) -> u32 {
        let is_routed = |r: &ObservedReplica| match self.observed.ingress.table() {
            Some(table) if self.has_routes() => r.is_in(table),
            Some(_) | None => !self.has_routes(),
        };
        let ready = self
            .replicas()
            .filter(|r| r.is_running() && r.readiness.failure().is_none() && is_routed(r));
        count(ready.count())
    }

    /// Created, running and paused replicas of the app.
    pub(super) fn live(&self) -> u32 {
        let live = self.replicas().filter(|r| {
            r.is_running() || matches!(r.state, ContainerState::Created | ContainerState::Paused)
        });
        count(live.count())
    }

    /// Applies an action.
    pub(super) fn apply(&mut self, action: &Action) {
        let now = self.now;
        match action {
            Action::EnsureNetwork => {
                // Any subnet will do: addresses do not show in the steps.
                let subnet =
                    ipnet::Ipv4Net::new(Ipv4Addr::new(10, 0, 0, 0), 22).unwrap_or_default();
                self.observed.network = Some(Network { id: "predicted".to_owned(), subnet });
            }
            Action::EnsureImage { app, artifact, .. } => {
                if let Some(stored) = self.desired.apps.get_mut(app) {
                    stored.image_id = Some(ImageId(format!("predicted:{artifact}")));
                }
            }
            Action::Create(replica) => self.create(replica),
            Action::CreatePreDeploy(hook) => self.observed.pre_deploys.push(ObservedPreDeploy {
                id: ContainerId(format!("predicted:{}", hook.request.name).into()),
                labels: hook.labels.clone(),
                state: ContainerState::Created,
            }),
            Action::Start { id } => {
                let readiness = Readiness::NotReady { reason: "just started".to_owned() };
                self.set_state(id, &ContainerState::Running { started_at: now }, &readiness);
            }
            Action::Stop { id, .. } => self.set_state(id, &exited(now), &Readiness::Unknown),
            Action::Remove { id } => {
                self.observed.replicas.retain(|r| r.id != *id);
                self.observed.pre_deploys.retain(|hook| hook.id != *id);
            }
            Action::RecordRollout { app, update, .. } => self.record_rollout(app, update),
            Action::ClearEviction { app, id } => {
                if let Some(stored) = self.desired.apps.get_mut(app) {
                    stored.evicted.remove(id);
                }
            }
            Action::IssueCertificate { host, authority } => {
                let pair = KeyPair::from_hash(Secret::new(host.to_string()).hash());
                let issued = IssuedCertificate {
                    authority: *authority,
                    pair,
                    not_before: now,
                    not_after: Timestamp::MAX,
                    renew_at: Timestamp::MAX,
                };
                let stored = StoredCertificate { issued: Some(issued), failure: None };
                self.desired.certificates.insert(host.clone(), stored);
            }
            // They end the story of other objects, or of the app itself; a forecast has no clients.
            Action::CreateOneOff(_)
            | Action::DropCertificate { .. }
            | Action::PurgeTombstone { .. }
            | Action::RemoveIngress
            | Action::RemoveNetwork
            | Action::FinishTeardown => {}
        }
    }

    /// Applies the routes; what changed for the app, if anything did.
    pub(super) fn apply_routes(&mut self, plan: &Plan) -> Option<String> {
        let before = self.observed.ingress.table().cloned().unwrap_or_default();
        let endpoints = |table: &RouteTable| -> BTreeSet<(PodName, SocketAddr)> {
            let routes = table.routes.iter().filter(|route| route.app == *self.app);
            let listeners = table.listeners.iter().filter(|listener| listener.app == *self.app);
            let routed = routes.flat_map(|route| &route.endpoints);
            let all = routed.chain(listeners.flat_map(|listener| &listener.endpoints));
            all.map(|endpoint| (endpoint.pod.clone(), endpoint.socket())).collect()
        };
        let has_route = |table: &RouteTable| {
            table.routes.iter().any(|route| route.app == *self.app)
                || table.listeners.iter().any(|listener| listener.app == *self.app)
        };
        let ports = |table: &RouteTable| -> Vec<HostPort> {
            table.ports.iter().filter(|port| port.app == *self.app).cloned().collect()
        };
        let old = endpoints(&before);
        let new = endpoints(&plan.routes.table);
        let published = ports(&plan.routes.table);
        let are_ports_same = ports(&before) == published;
        let is_route_same = has_route(&before) == has_route(&plan.routes.table);
        let secured = newly_secured(self.app, &before, &plan.routes.table);
        if old == new && is_route_same && are_ports_same && secured.is_none() {
            return None;
        }
        for (_, endpoint) in old.difference(&new) {
            self.observed.drains.insert(*endpoint, Drain::new(self.now));
        }
        self.observed.ingress = ObservedIngress::Serving { table: plan.routes.table.clone() };
        let names = |verb: &str, pods: Vec<&(PodName, SocketAddr)>| {
            let names: Vec<_> = pods.iter().map(|(pod, _)| pod.as_str()).collect();
            (!names.is_empty()).then(|| format!("{verb} {}", names.join(", ")))
        };
        let added = names("add", new.difference(&old).collect());
        let removed = names("remove", old.difference(&new).collect());
        let only_ports = old == new && is_route_same;
        let ports = (only_ports && !are_ports_same).then(|| published_text(&published));
        let changes: Vec<_> = [added, removed, ports, secured].into_iter().flatten().collect();
        Some(if changes.is_empty() {
            "no ready replica yet".to_owned()
        } else {
            changes.join("; ")
        })
    }

    /// Ends a wait that can end; what it was for.
    pub(super) fn end_wait(&mut self, waiting: &Waiting) -> Option<String> {
        match waiting.wait.row().prediction {
            Prediction::None => None,
            Prediction::BecomesReady => self.become_ready(waiting),
            Prediction::StaysReady => self.stay_ready(waiting),
            Prediction::Drains => self.drain(waiting),
            Prediction::IsRemoved => self.finish_removal(waiting),
            Prediction::HookSucceeds => self.finish_hook(),
            Prediction::OthersBecomeReady => self.start_after_others(),
            Prediction::PortsSupported => {
                self.observed.port_support = PortSupport::Supported;
                Some(waiting.wait.to_string())
            }
            Prediction::TimePasses => {
                self.now = waiting.until?.max(self.now);
                Some(waiting.wait.to_string())
            }
        }
    }

    fn become_ready(&mut self, waiting: &Waiting) -> Option<String> {
        let pod = waiting.pod.clone()?;
        let now = self.now;
        let reason = self.ready_condition()?;
        for replica in &mut self.observed.replicas {
            if replica.labels.app == *self.app && replica.pod() == pod && replica.is_running() {
                replica.readiness = Readiness::Ready { since: now };
            }
        }
        Some(reason)
    }

    /// What makes a replica ready.
    fn ready_condition(&self) -> Option<String> {
        let spec = &self.desired.apps.get(self.app)?.spec;
        let port = spec.health.as_ref().and_then(|health| health.port).unwrap_or(spec.port());
        Some(match spec.health.as_ref().map(|health| &health.check) {
            Some(Check::Http(path)) => format!("until GET :{port}{path} succeeds"),
            Some(Check::Exec(command)) => {
                format!("until `{}` succeeds", crate::error::one_line(&command.join(" ")))
            }
            Some(Check::Tcp) => format!("until port {port} accepts connections"),
            None if self.has_routes() => format!("until port {port} accepts connections"),
            None => "until it has run for 2s".to_owned(),
        })
    }

    fn stay_ready(&mut self, waiting: &Waiting) -> Option<String> {
        let min_ready = self.desired.apps.get(self.app)?.spec.rollout.min_ready;
        self.now = waiting.until?.max(self.now);
        Some(format!("until it has been ready for {min_ready}"))
    }

    fn drain(&mut self, waiting: &Waiting) -> Option<String> {
        let Wait::Drained { endpoint, .. } = &waiting.wait else { return None };
        self.observed.drains.insert(*endpoint, Drain { done: true, ..Drain::new(self.now) });
        let limit = self.desired.apps.get(self.app).map(|stored| stored.spec.stop.drain);
        Some(format!("{}, at most {}", waiting.wait, limit.unwrap_or(Stop::default().drain)))
    }

    /// Finishes a removal by the engine that is in progress.
    fn finish_removal(&mut self, waiting: &Waiting) -> Option<String> {
        let before = self.observed.replicas.len();
        self.observed.replicas.retain(|replica| {
            replica.state != ContainerState::Removing || Some(replica.pod()) != waiting.pod
        });
        let is_removed = self.observed.replicas.len() < before;
        is_removed.then(|| "until the engine has removed it".to_owned())
    }

    fn finish_hook(&mut self) -> Option<String> {
        let mut hooks = self.observed.pre_deploys.iter_mut();
        hooks.rfind(|hook| hook.labels.app == *self.app)?.state = exited(self.now);
        Some("until the pre-deploy hook succeeds".to_owned())
    }

    /// Assumes that the apps before this one become ready. Other apps are not simulated.
    fn start_after_others(&mut self) -> Option<String> {
        if self.is_in_start_cycle {
            return None;
        }
        let mut after = Vec::new();
        let spec = &mut self.desired.apps.get_mut(self.app)?.spec;
        spec.update(|spec| after = std::mem::take(&mut spec.after));
        let verb = if after.len() == 1 { "is" } else { "are" };
        (!after.is_empty()).then(|| format!("until {} {verb} ready", crate::format::join(&after)))
    }

    fn record_rollout(&mut self, app: &AppName, update: &RolloutUpdate) {
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
            id: ContainerId(format!("predicted:{}", plan.request.name).into()),
            name: plan.request.name.clone(),
            labels: plan.labels.clone(),
            state: ContainerState::Created,
            created_at: self.now,
            image_id: ImageId(plan.request.image.clone()),
            endpoint: None,
            readiness: Readiness::Unknown,
            limits: None,
        });
    }

    /// Sets the state of a container of a replica or a pre-deploy hook.
    fn set_state(&mut self, id: &ContainerId, state: &ContainerState, readiness: &Readiness) {
        for replica in self.observed.replicas.iter_mut().filter(|r| r.id == *id) {
            replica.state = state.clone();
            replica.endpoint = match replica.labels.address {
                _ if !replica.is_running() => None,
                Some(address) => Some(SocketAddr::new(address, replica.labels.port)),
                None => {
                    self.started = self.started.saturating_add(1);
                    Some(SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), self.started))
                }
            };
            replica.readiness = readiness.clone();
        }
        for hook in self.observed.pre_deploys.iter_mut().filter(|hook| hook.id == *id) {
            hook.state = state.clone();
        }
    }

    fn replicas(&self) -> impl Iterator<Item = &ObservedReplica> {
        self.observed.replicas.iter().filter(|r| r.labels.app == *self.app)
    }

    fn has_routes(&self) -> bool {
        self.desired.apps.get(self.app).is_some_and(|stored| stored.spec.has_name())
    }
}

/// Removes the other apps, so that they are not planned in each step. Only their addresses count,
/// and an app that has a route of this one.
fn remove_others(desired: &mut DesiredState, observed: &mut ObservedState, app: &AppName) {
    let conflict = conflicts(desired).remove(app);
    let is_kept =
        |name: &AppName| name == app || conflict.as_ref().is_some_and(|c| c.owner == *name);
    desired.apps.retain(|name, _| is_kept(name));
    desired.tombstones.retain(|name, _| is_kept(name));
    desired.revisions.retain(|name, _| is_kept(name));
    let replicas = observed.replicas.extract_if(.., |r| !is_kept(&r.labels.app));
    let mut taken: Vec<_> = replicas.filter_map(|replica| replica.labels.address).collect();
    let hooks = observed.pre_deploys.extract_if(.., |hook| !is_kept(&hook.labels.app));
    taken.extend(hooks.filter_map(|hook| hook.labels.address));
    let one_offs = std::mem::take(&mut observed.one_offs);
    taken.extend(one_offs.into_iter().filter_map(|one_off| one_off.labels.address));
    desired.one_offs.clear();
    observed.foreign_addresses.extend(taken);
}

/// Describes which hosts of an app a table serves over HTTPS with another certificate, if any.
fn newly_secured(app: &AppName, before: &RouteTable, after: &RouteTable) -> Option<String> {
    let is_new = |tls: &&HostTls| {
        tls.app == *app && tls.certificate.is_some() && before.tls_of(&tls.host) != Some(tls)
    };
    let hosts: Vec<_> =
        { after.tls.iter() }.filter(is_new).map(|tls| tls.host.to_string()).collect();
    (!hosts.is_empty()).then(|| format!("serve {} over HTTPS", hosts.join(", ")))
}

/// Describes a table in which only the published ports of the app are new.
fn published_text(ports: &[HostPort]) -> String {
    let ports: Vec<_> = ports.iter().map(|port| port.mapping.to_string()).collect();
    if ports.is_empty() {
        "publish no port".to_owned()
    } else {
        format!("publish {}", ports.join(", "))
    }
}

fn exited(at: Timestamp) -> ContainerState {
    ContainerState::Exited(Exit { code: 0, out_of_memory: false, started_at: at, finished_at: at })
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
