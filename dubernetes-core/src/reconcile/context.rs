//! The input of one pass, grouped by app.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;

use jiff::Timestamp;

use crate::app::{AppName, HostPattern, RevisionId};
use crate::call::{CallFailure, InFlight, OperationKey};
use crate::ingress::{Endpoint, HostPort, HostTls, Listener, ObservedIngress, Route};
use crate::labels::ReplicaLabels;
use crate::runtime::ContainerId;
use crate::state::{
    DesiredState, Drain, EngineStatus, ObservedOneOff, ObservedPreDeploy, ObservedReplica,
    ObservedState, Readiness,
};
use crate::store::Revision;

use super::certificates;
use super::names::name_addresses;

/// The input of one pass. Read-only: the stages return what they decide.
pub(super) struct Context<'a> {
    pub(super) desired: &'a DesiredState,
    pub(super) observed: &'a ObservedState,
    pub(super) now: Timestamp,
    /// Apps that anything is observed of.
    pub(super) apps: BTreeMap<&'a AppName, Observed<'a>>,
    /// Containers with a call in flight.
    busy: BTreeSet<&'a ContainerId>,
    /// Endpoints in the acknowledged route table, sorted.
    routed: Vec<SocketAddr>,
    /// Addresses of the names of apps.
    pub(super) names: BTreeMap<AppName, Ipv4Addr>,
    /// The apps that bring the certificates of hosts.
    pub(super) tls_owners: BTreeMap<&'a HostPattern, &'a AppName>,
}

/// Everything that is observed of one app.
#[derive(Debug, Default)]
pub(super) struct Observed<'a> {
    /// In the order of ordinal, revision, readiness, restarts, creation and id: of those in one
    /// slot the last one is the one to keep.
    pub(super) replicas: Vec<&'a ObservedReplica>,
    /// In the order of revision and id.
    pub(super) pre_deploys: Vec<&'a ObservedPreDeploy>,
    /// In the order of their ids.
    pub(super) one_offs: Vec<&'a ObservedOneOff>,
    /// Calls in flight that name the app in their key.
    pub(super) in_flight: Vec<(&'a OperationKey, InFlight)>,
    /// Calls that failed and have not succeeded since.
    pub(super) failures: Vec<(&'a OperationKey, &'a CallFailure)>,
    /// Acknowledged routes.
    pub(super) served: Vec<&'a Route>,
    /// Acknowledged listeners for its name.
    pub(super) listeners: Vec<&'a Listener>,
    /// Ports of the host that lead to it.
    pub(super) ports: Vec<&'a HostPort>,
    /// Hosts that are served over HTTPS with its certificates.
    pub(super) tls: Vec<&'a HostTls>,
}

const NOTHING: &Observed<'static> = &Observed {
    replicas: Vec::new(),
    pre_deploys: Vec::new(),
    one_offs: Vec::new(),
    in_flight: Vec::new(),
    failures: Vec::new(),
    served: Vec::new(),
    listeners: Vec::new(),
    ports: Vec::new(),
    tls: Vec::new(),
};

impl<'a> Context<'a> {
    pub(super) fn new(
        desired: &'a DesiredState,
        observed: &'a ObservedState,
        now: Timestamp,
    ) -> Self {
        let mut apps: BTreeMap<_, Observed<'_>> = BTreeMap::new();
        for run in observed.replicas.chunk_by(|a, b| a.labels.app == b.labels.app) {
            let Some(first) = run.first() else { continue };
            apps.entry(&first.labels.app).or_default().replicas.extend(run);
        }
        for hook in &observed.pre_deploys {
            apps.entry(&hook.labels.app).or_default().pre_deploys.push(hook);
        }
        for one_off in &observed.one_offs {
            apps.entry(&one_off.labels.app).or_default().one_offs.push(one_off);
        }
        for app in apps.values_mut() {
            app.replicas.sort_by_key(|replica| {
                let labels = &replica.labels;
                let slot = (labels.ordinal, labels.revision);
                // A replica of a host that was lost may come back beside its successor.
                let was_ready = matches!(replica.readiness, Readiness::Ready { .. });
                let is_ready = was_ready && replica.is_running();
                (slot, is_ready, labels.restarts, replica.created_at, &replica.id)
            });
            app.pre_deploys.sort_by_key(|hook| (hook.labels.revision, &hook.id));
            app.one_offs.sort_by_key(|one_off| &one_off.labels.id);
        }
        for (key, call) in &observed.in_flight {
            let Some(app) = key.app() else { continue };
            apps.entry(app).or_default().in_flight.push((key, *call));
        }
        for (key, failure) in &observed.failures {
            let Some(app) = key.app() else { continue };
            apps.entry(app).or_default().failures.push((key, failure));
        }
        let mut routed = Vec::new();
        let mut add_routed = |endpoints: &[Endpoint]| {
            routed.extend(endpoints.iter().map(Endpoint::socket));
        };
        let table = observed.ingress.table();
        for route in table.iter().flat_map(|table| &table.routes) {
            add_routed(&route.endpoints);
            apps.entry(&route.app).or_default().served.push(route);
        }
        for listener in table.iter().flat_map(|table| &table.listeners) {
            add_routed(&listener.endpoints);
            apps.entry(&listener.app).or_default().listeners.push(listener);
        }
        for port in table.iter().flat_map(|table| &table.ports) {
            apps.entry(&port.app).or_default().ports.push(port);
        }
        for tls in table.iter().flat_map(|table| &table.tls) {
            apps.entry(&tls.app).or_default().tls.push(tls);
        }
        routed.sort_unstable();
        let busy = observed.in_flight.keys().filter_map(OperationKey::container).collect();
        let names = name_addresses(desired, observed);
        let tls_owners = certificates::owners(desired);
        Self { desired, observed, now, apps, busy, routed, names, tls_owners }
    }

    /// What is observed of an app.
    pub(super) fn observed_of(&self, app: &AppName) -> &Observed<'a> {
        self.apps.get(app).unwrap_or(NOTHING)
    }

    /// A revision of an app that the store still keeps.
    pub(super) fn revision(&self, app: &AppName, revision: RevisionId) -> Option<&'a Revision> {
        self.desired.revisions.get(app)?.iter().find(|kept| kept.revision == revision)
    }

    /// Whether a call on the container is in flight.
    pub(super) fn is_busy(&self, id: &ContainerId) -> bool {
        self.busy.contains(id)
    }

    /// Whether the ingress may send new requests to a replica with these endpoints.
    pub(super) fn is_routed(&self, sockets: Option<&RangeInclusive<SocketAddr>>) -> bool {
        if let ObservedIngress::Unknown { .. } = self.observed.ingress {
            return true;
        }
        let Some(sockets) = sockets else { return false };
        let next = self.routed.partition_point(|routed| routed < sockets.start());
        self.routed.get(next).is_some_and(|routed| routed <= sockets.end())
    }

    /// The endpoint of these that has left the route table last, of those that are not drained
    /// yet, if there are any.
    pub(super) fn draining(
        &self,
        sockets: RangeInclusive<SocketAddr>,
    ) -> Option<(SocketAddr, &'a Drain)> {
        let drains = self.observed.drains.range(sockets);
        let last = drains.max_by_key(|(_, drain)| (!drain.done, drain.since))?;
        Some((*last.0, last.1))
    }

    pub(super) fn is_engine_unreachable(&self) -> bool {
        matches!(self.observed.engine, EngineStatus::Unreachable { .. })
    }
}

impl Observed<'_> {
    /// Creates in flight whose container is not observed yet.
    pub(super) fn creating(&self) -> Vec<Slot> {
        let is_observed = |slot: Slot, call: &InFlight| {
            let mut labels = self.replicas.iter().map(|replica| &replica.labels);
            labels.any(|labels| Slot::of(labels) == slot && labels.restarts == call.restarts)
        };
        let creating = self.in_flight.iter().filter_map(|(key, call)| {
            let slot = Slot::of_create(key)?;
            (!is_observed(slot, call)).then_some(slot)
        });
        creating.collect()
    }

    /// Whether the container of a pre-deploy hook exists or is being created.
    pub(super) fn has_pre_deploy(&self) -> bool {
        let is_create = |key: &OperationKey| matches!(key, OperationKey::CreatePreDeploy { .. });
        !self.pre_deploys.is_empty() || self.in_flight.iter().any(|(key, _)| is_create(key))
    }

    /// Whether the result of a rollout is being recorded.
    pub(super) fn is_recording_rollout(&self) -> bool {
        let is_record = |key: &OperationKey| matches!(key, OperationKey::RecordRollout { .. });
        self.in_flight.iter().any(|(key, _)| is_record(key))
    }
}

/// The place of a replica in its app. A restart keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) ordinal: u32,
    pub(super) revision: RevisionId,
}

impl Slot {
    pub(super) fn of(labels: &ReplicaLabels) -> Self {
        Self { ordinal: labels.ordinal, revision: labels.revision }
    }

    fn of_create(key: &OperationKey) -> Option<Self> {
        let OperationKey::Create { ordinal, revision, .. } = key else { return None };
        Some(Self { ordinal: *ordinal, revision: *revision })
    }
}
