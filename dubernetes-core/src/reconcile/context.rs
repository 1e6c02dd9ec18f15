//! The input, classified and grouped for the decisions.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use jiff::Timestamp;

use crate::app::{AppName, OnFailure};
use crate::identity;
use crate::ingress::Route;
use crate::plan::OperationKey;
use crate::runtime::{ContainerId, ContainerState};
use crate::state::{
    CallFailure, DesiredState, InFlight, ObservedReplica, ObservedState, Readiness,
};
use crate::store::{Revision, StoredApp};

/// The whole input of one pass, with the addresses that are in use.
pub(super) struct Context<'a> {
    pub(super) desired: &'a DesiredState,
    pub(super) observed: &'a ObservedState,
    pub(super) now: Timestamp,
    /// Replicas by app, each list in the order of ordinal, revision, restarts and id.
    pub(super) replicas: BTreeMap<&'a AppName, Vec<&'a ObservedReplica>>,
    /// The containers of which a call is under way.
    busy: BTreeSet<&'a ContainerId>,
    /// Ordinal and revision of each app's creates that are under way and whose container is not
    /// seen yet.
    creating: BTreeMap<&'a AppName, Vec<(u32, u64)>>,
    /// The apps for which a create of the command before a revision is under way.
    creating_pre_deploys: BTreeSet<&'a AppName>,
    /// The failures of each app's calls.
    failures: BTreeMap<&'a AppName, Vec<(&'a OperationKey, &'a CallFailure)>>,
    /// The acknowledged routes of each app.
    served: BTreeMap<&'a AppName, Vec<&'a Route>>,
    /// The addresses in them, once somebody asks.
    routed: OnceCell<BTreeSet<Ipv4Addr>>,
    /// Whether this pass makes the network already.
    pub(super) network_planned: bool,
    /// The addresses in use, once one is to be picked.
    addresses: Option<Addresses>,
}

/// Which addresses a new container does not get.
struct Addresses {
    /// Those that a container has, or that the ingress may route to.
    held: BTreeSet<Ipv4Addr>,
    /// And all that have left the ingress not long ago: only where no others are left.
    avoided: BTreeSet<Ipv4Addr>,
}

impl<'a> Context<'a> {
    pub(super) fn new(
        desired: &'a DesiredState,
        observed: &'a ObservedState,
        now: Timestamp,
    ) -> Self {
        let mut replicas: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for run in observed.replicas.chunk_by(|a, b| a.labels.app == b.labels.app) {
            let Some(first) = run.first() else { continue };
            replicas.entry(&first.labels.app).or_default().extend(run);
        }
        for list in replicas.values_mut() {
            list.sort_by_key(|r| (r.labels.ordinal, r.labels.revision, r.labels.restarts, &r.id));
        }
        let mut failures: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (key, failure) in &observed.failures {
            if let Some(app) = key.app() {
                failures.entry(app).or_default().push((key, failure));
            }
        }
        let mut served: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for route in observed.ingress.table().iter().flat_map(|table| &table.routes) {
            served.entry(&route.app).or_default().push(route);
        }
        let mut context = Self {
            desired,
            observed,
            now,
            replicas,
            busy: BTreeSet::new(),
            creating: BTreeMap::new(),
            creating_pre_deploys: BTreeSet::new(),
            failures,
            served,
            routed: OnceCell::new(),
            network_planned: false,
            addresses: None,
        };
        observed.in_flight.iter().for_each(|(key, call)| context.note_in_flight(key, *call));
        context
    }

    fn note_in_flight(&mut self, key: &'a OperationKey, call: InFlight) {
        match key {
            OperationKey::Container(id) => _ = self.busy.insert(id),
            OperationKey::CreatePreDeploy { app, .. } => _ = self.creating_pre_deploys.insert(app),
            OperationKey::Create { app, ordinal, revision } => {
                if self.of(app).iter().all(|r| Some(r.labels.address) != call.address) {
                    self.creating.entry(app).or_default().push((*ordinal, *revision));
                }
            }
            OperationKey::Network
            | OperationKey::Image { .. }
            | OperationKey::PurgeTombstone(_)
            | OperationKey::RecordRollout { .. }
            | OperationKey::Routes => {}
        }
    }

    /// An address that nothing has and that no ingress worker may still route to.
    pub(super) fn pick_address(&mut self, app: &AppName, ordinal: u32) -> Option<Ipv4Addr> {
        let subnet = self.observed.network.as_ref()?.subnet;
        let taken = self.addresses.get_or_insert_with(|| Addresses::of(self.observed));
        let address = identity::pick_address(subnet, app, ordinal, &taken.avoided)
            .or_else(|| identity::pick_address(subnet, app, ordinal, &taken.held))?;
        taken.held.insert(address);
        taken.avoided.insert(address);
        Some(address)
    }

    /// The replicas of one app.
    pub(super) fn of(&self, app: &AppName) -> &[&'a ObservedReplica] {
        self.replicas.get(app).map_or(&[], Vec::as_slice)
    }

    /// A kept revision of an app.
    pub(super) fn revision(&self, app: &AppName, revision: u64) -> Option<&'a Revision> {
        self.desired.revisions.get(app)?.iter().find(|kept| kept.revision == revision)
    }

    /// Creates of `app` that are under way and whose container is not seen yet.
    pub(super) fn creating(&self, app: &AppName) -> &[(u32, u64)] {
        self.creating.get(app).map_or(&[], Vec::as_slice)
    }

    /// Whether a create of the command before a revision of `app` is under way.
    pub(super) fn is_creating_pre_deploy(&self, app: &AppName) -> bool {
        self.creating_pre_deploys.contains(app)
    }

    /// The calls for `app` that failed and have not succeeded since.
    pub(super) fn failures_of(&self, app: &AppName) -> &[(&'a OperationKey, &'a CallFailure)] {
        self.failures.get(app).map_or(&[], Vec::as_slice)
    }

    /// Whether the ingress may send new requests to the replica.
    pub(super) fn is_routed(&self, replica: &ObservedReplica) -> bool {
        let routed = || {
            let endpoints = self.served.values().flatten().flat_map(|route| &route.endpoints);
            endpoints.map(|endpoint| endpoint.address).collect()
        };
        self.routed.get_or_init(routed).contains(&replica.labels.address)
    }

    /// Whether the ingress serves just these routes for the app, and no other.
    pub(super) fn serves(&self, app: &AppName, routes: &[Route]) -> bool {
        let served = self.served.get(app).map_or(&[][..], Vec::as_slice);
        served.len() == routes.len() && routes.iter().all(|route| served.contains(&route))
    }

    /// Whether a call for the container is under way.
    pub(super) fn is_busy(&self, id: &ContainerId) -> bool {
        self.busy.contains(id)
    }

    /// Whether the replica takes requests. One that is being stopped does not, and one that no probe has come back from yet, and that is
    /// routed already, was ready when the last orchestrator saw it.
    pub(super) fn is_ready(&self, replica: &ObservedReplica) -> bool {
        replica.is_running()
            && !self.is_busy(&replica.id)
            && match replica.readiness {
                Readiness::Ready { since } => since <= self.now,
                Readiness::Unknown => self.is_routed(replica),
                Readiness::NotReady { .. } | Readiness::Unhealthy { .. } => false,
            }
    }

    /// Whether a new replica counts: it has been ready for `min_ready` without a break, and gets
    /// its requests if its app is routed.
    pub(super) fn is_available(&self, stored: &StoredApp, replica: &ObservedReplica) -> bool {
        let counts = self.counts_from(stored, replica).is_some_and(|from| from <= self.now);
        counts
            && self.is_ready(replica)
            && (stored.spec.access.is_none() || self.is_routed(replica))
    }

    /// From when on a ready replica counts, if it stays ready.
    pub(super) fn counts_from(
        &self,
        stored: &StoredApp,
        replica: &ObservedReplica,
    ) -> Option<Timestamp> {
        let Readiness::Ready { since } = replica.readiness else { return None };
        let ContainerState::Running { started_at } = replica.state else { return None };
        let min_ready = stored.spec.rollout.min_ready.to_signed();
        // Where nothing can be asked, running for a moment is all that readiness means.
        let is_asked = stored.spec.access.is_some() || stored.spec.health.is_some();
        let begin = if is_asked { since } else { started_at };
        Some(begin.saturating_add(min_ready).ok()?.max(since))
    }
}

/// Whether the app's rollout stands still: no replica is replaced by a newer revision. A revision
/// that failed and that none was there to go back to goes on trying.
pub(super) fn is_paused(stored: &StoredApp) -> bool {
    let pauses = stored.spec.rollout.on_failure == OnFailure::Pause;
    stored.paused || (pauses && stored.rollout.outcome.failure().is_some())
}

/// Whether the container may run or be started: it holds memory, volumes and its address.
pub(super) fn is_live(replica: &ObservedReplica) -> bool {
    match replica.state {
        ContainerState::Created | ContainerState::Running { .. } | ContainerState::Paused => true,
        ContainerState::StartFailed { .. }
        | ContainerState::Exited { .. }
        | ContainerState::Removing => false,
    }
}

impl Addresses {
    fn of(observed: &ObservedState) -> Self {
        let mut held: BTreeSet<_> = observed.replicas.iter().map(|r| r.labels.address).collect();
        let draining = observed.drains.iter().filter(|(_, drain)| !drain.done);
        held.extend(draining.map(|(address, _)| *address));
        if let Some(table) = observed.ingress.table() {
            held.extend(table.routes.iter().flat_map(|r| &r.endpoints).map(|e| e.address));
        }
        if let Some(network) = &observed.network {
            held.insert(identity::ingress_address(network.subnet));
        }
        held.extend(observed.in_flight.values().filter_map(|call| call.address));
        held.extend(observed.pre_deploys.iter().map(|hook| hook.labels.address));
        let avoided = held.iter().chain(observed.drains.keys()).copied().collect();
        Self { held, avoided }
    }
}
