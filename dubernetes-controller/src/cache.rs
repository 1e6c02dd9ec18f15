//! What the controller remembers between two passes: of its own calls, never of what should run.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use jiff::{SignedDuration, Timestamp};

use dubernetes_core::app::AppName;
use dubernetes_core::ingress::RouteTable;
use dubernetes_core::plan::OperationKey;
use dubernetes_core::runtime::{ContainerId, ContainerState, EngineVersion, Network};
use dubernetes_core::state::{
    CallFailure, Drain, EngineStatus, FailureKind, InFlight, ObservedPreDeploy, ObservedReplica,
};

use super::probe::Probes;

/// An address that left the table is not given to another replica for so long, as far as there are others:
/// an old worker of the proxy that a slow request keeps alive may route one more request to it.
const ADDRESS_COOLDOWN: SignedDuration = SignedDuration::from_mins(5);

/// Everything that is remembered. All of it may be lost: the next pass sees what runs.
#[derive(Debug, Default)]
pub(super) struct ControllerCache {
    pub(super) in_flight: BTreeMap<OperationKey, InFlight>,
    pub(super) failures: BTreeMap<OperationKey, CallFailure>,
    pub(super) evicted: BTreeSet<ContainerId>,
    pub(super) drains: BTreeMap<Ipv4Addr, Drain>,
    pub(super) probes: Probes,
    pub(super) engine: EngineStatus,
    /// Who the engine said that it is, at contact.
    pub(super) version: Option<EngineVersion>,
    pub(super) network: Option<Network>,
    pub(super) replicas: Vec<ObservedReplica>,
    pub(super) pre_deploys: Vec<ObservedPreDeploy>,
    pub(super) unreadable: BTreeMap<ContainerId, String>,
    pub(super) active_since: Option<Timestamp>,
    /// Why the ingress refused the routes of apps, each of which keeps its last good ones.
    pub(super) quarantined: BTreeMap<AppName, String>,
    /// Why replicas were stopped that are to come back.
    pub(super) stop_reasons: BTreeMap<ContainerId, String>,
    pub(super) ends: FirstSeenExits,
    /// The table that the ingress served when it was last looked at.
    pub(super) served: Option<RouteTable>,
    /// The table that was last tried and failed.
    pub(super) refused: Option<RouteTable>,
}

/// When the end of a process was first seen. An engine whose clock is ahead of ours would
/// else move the back-off that follows with every look.
#[derive(Debug, Default)]
pub(super) struct FirstSeenExits {
    seen: BTreeMap<ContainerId, Timestamp>,
}

impl FirstSeenExits {
    /// Moves an end that lies in the future to the time when it was first seen.
    pub(super) fn clamp(&mut self, replica: &mut ObservedReplica, now: Timestamp) {
        if let ContainerState::Exited { finished_at, .. } = &mut replica.state
            && *finished_at > now
        {
            *finished_at = *self.seen.entry(replica.id.clone()).or_insert(now);
        }
    }

    /// Forgets containers that are gone.
    pub(super) fn follow(&mut self, replicas: &[ObservedReplica]) {
        self.seen.retain(|id, _| replicas.iter().any(|replica| replica.id == *id));
    }
}

impl ControllerCache {
    /// A call succeeded: whatever failed before it is forgotten.
    pub(super) fn succeeded(&mut self, key: &OperationKey) {
        self.in_flight.remove(key);
        self.failures.remove(key);
    }

    /// A call failed once more.
    pub(super) fn failed(
        &mut self,
        key: OperationKey,
        kind: FailureKind,
        message: String,
        at: Timestamp,
    ) {
        self.in_flight.remove(&key);
        let count = self.failures.get(&key).map_or(1, |failure| failure.count.saturating_add(1));
        self.failures.insert(key, CallFailure { count, at, message, kind });
    }

    /// Forgets what is about containers that are gone and apps that are not desired any more.
    pub(super) fn prune(&mut self, desired: &dubernetes_core::state::DesiredState) {
        let pre_deploys = self.pre_deploys.iter().map(|job| &job.id);
        let ids: BTreeSet<_> =
            self.replicas.iter().map(|replica| &replica.id).chain(pre_deploys).collect();
        self.evicted.retain(|id| ids.contains(id));
        self.stop_reasons.retain(|id, _| ids.contains(id));
        self.quarantined.retain(|app, _| desired.apps.contains_key(app));
        self.failures.retain(|key, _| match key {
            OperationKey::Container(id) => ids.contains(id),
            OperationKey::Create { app, revision, .. }
            | OperationKey::CreatePreDeploy { app, revision, .. }
            | OperationKey::RecordRollout { app, revision }
            | OperationKey::Image { app, revision } => {
                let runs = self
                    .replicas
                    .iter()
                    .any(|r| r.labels.app == *app && r.labels.revision == *revision);
                desired.apps.get(app).is_some_and(|stored| runs || stored.revision == *revision)
            }
            OperationKey::PurgeTombstone(app) => desired.tombstones.contains_key(app),
            OperationKey::Network | OperationKey::Routes => true,
        });
    }

    /// Notes which addresses have left the table that the ingress serves, and forgets those that
    /// came back or that nothing has any more.
    pub(super) fn follow_table(&mut self, table: Option<&RouteTable>, now: Timestamp) {
        let before = std::mem::take(&mut self.served).unwrap_or_default();
        let endpoints = before.routes.iter().flat_map(|route| &route.endpoints);
        for address in endpoints.map(|endpoint| endpoint.address) {
            if table.is_some_and(|table| !table.holds(address)) {
                self.drains.entry(address).or_insert(Drain { since: now, done: false });
            }
        }
        let held: BTreeSet<_> = self.replicas.iter().map(|r| r.labels.address).collect();
        self.drains.retain(|address, drain| {
            let back = table.is_some_and(|table| table.holds(*address));
            !back && (held.contains(address) || now.duration_since(drain.since) <= ADDRESS_COOLDOWN)
        });
        self.served = table.cloned();
    }
}
