//! What a decision says about one app.

use std::collections::BTreeSet;
use std::mem;

use jiff::Timestamp;

use crate::app::{Access, AppName, HostName};
use crate::call::OperationKey;
use crate::ingress::{ObservedIngress, PortSupport, RouteTable};
use crate::state::ObservedState;
use crate::store::StoredApp;

use super::Decision;

/// What a decision says about one app and the instance, as lines of text. No line contains a value
/// of an environment or the content of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppDecision {
    /// Its time.
    pub at: Timestamp,
    /// The desired state, in the notation of the scenario files.
    pub desired: Vec<String>,
    /// The observed state, in the same notation.
    pub observed: Vec<String>,
    /// The plan: actions, what is waited for, and routes.
    pub plan: Vec<String>,
    /// Whether the function of this version decides the same. Otherwise `plan` is the recorded one
    /// of all apps.
    pub is_reproduced: bool,
    /// What the lines are about, without ages.
    input: (Option<StoredApp>, Box<ObservedState>),
}

impl AppDecision {
    /// Returns whether a later decision about the app differs only in ages.
    pub fn is_repeated_by(&self, later: &Self) -> bool {
        self.plan == later.plan && self.input == later.input
    }
}

impl Decision {
    /// Returns what it says about an app; `None` if neither the app nor a replica of it existed.
    pub fn about(mut self, app: &AppName) -> Option<AppDecision> {
        let desired = &self.desired;
        let is_desired = desired.apps.contains_key(app) || desired.tombstones.contains_key(app);
        if !is_desired && self.observed.replicas.iter().all(|r| r.labels.app != *app) {
            return None;
        }
        let replayed = self.replay();
        let is_reproduced = replayed.to_string() == self.plan;
        let plan = match is_reproduced {
            true => replayed.of_app(app).to_string(),
            false => mem::take(&mut self.plan),
        };
        self.retain(app);
        let observed = self.surroundings().into_iter().chain(self.containers());
        Some(AppDecision {
            at: self.at,
            desired: self.wanted(),
            observed: observed.collect(),
            plan: plan.lines().map(str::to_owned).collect(),
            is_reproduced,
            input: (self.desired.apps.remove(app), Box::new(without_ages(self.observed))),
        })
    }

    /// Drops what is about other apps.
    fn retain(&mut self, app: &AppName) {
        let Self { desired, observed, .. } = self;
        desired.apps.retain(|name, _| name == app);
        desired.tombstones.retain(|name, _| name == app);
        desired.one_offs.retain(|_, one_off| one_off.app == *app);
        let spec = desired.apps.get(app).map(|stored| &stored.spec);
        let hosts = spec.into_iter().flat_map(|spec| &spec.access).flat_map(Access::patterns);
        let hosts: Vec<_> = hosts.collect();
        let has_host = |host: &HostName| hosts.iter().any(|pattern| pattern.name() == Some(host));
        desired.certificates.retain(|host, _| has_host(host));
        // What the runtime lacks is in the plan if it matters.
        observed.lacks.clear();
        if spec.is_none_or(|spec| spec.ports.is_empty()) {
            observed.port_support = PortSupport::default();
        }
        observed.taken_ports.retain(|port, _| spec.is_some_and(|spec| spec.ports.contains(port)));
        observed.replicas.retain(|replica| replica.labels.app == *app);
        observed.pre_deploys.retain(|hook| hook.labels.app == *app);
        observed.one_offs.retain(|one_off| one_off.labels.app == *app);
        observed.unreadable.clear();
        observed.quarantined.retain(|name, _| name == app);
        observed.pulls.retain(|name, _| name == app);
        let replicas = observed.replicas.iter().map(|replica| &replica.id);
        let hooks = observed.pre_deploys.iter().map(|hook| &hook.id);
        let one_offs = observed.one_offs.iter().map(|one_off| &one_off.id);
        let own: BTreeSet<_> = replicas.chain(hooks).chain(one_offs).collect();
        let is_own = |key: &OperationKey| match key {
            OperationKey::Network | OperationKey::Teardown | OperationKey::Routes => true,
            OperationKey::DrainCheck(_) => false,
            OperationKey::Container(id) => own.contains(id),
            OperationKey::Certificate(host) => has_host(host),
            OperationKey::CreateOneOff { app: of, .. }
            | OperationKey::Image { app: of, .. }
            | OperationKey::Create { app: of, .. }
            | OperationKey::CreatePreDeploy { app: of, .. }
            | OperationKey::RecordRollout { app: of, .. }
            | OperationKey::PurgeTombstone(of)
            | OperationKey::ClearEviction { app: of, .. } => of == app,
        };
        observed.in_flight.retain(|key, _| is_own(key));
        observed.failures.retain(|key, _| is_own(key));
    }
}

/// Keeps what a person would call different.
fn without_ages(observed: ObservedState) -> ObservedState {
    let ObservedState { engine, ingress, replicas, failures, quarantined, .. } = observed;
    let ingress = match ingress {
        // The plan has the routes of the app.
        ObservedIngress::Serving { .. } => {
            ObservedIngress::Serving { table: RouteTable::default() }
        }
        ObservedIngress::Absent
        | ObservedIngress::Down { .. }
        | ObservedIngress::Unknown { .. } => ingress,
    };
    ObservedState { engine, ingress, replicas, failures, quarantined, ..ObservedState::default() }
}
