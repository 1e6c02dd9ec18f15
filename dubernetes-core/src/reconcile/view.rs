//! The input, sorted and grouped for the decisions.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use jiff::{SignedDuration, Timestamp};

use crate::app::{AppName, HostName, OnFailure, RoutePath};
use crate::identity;
use crate::ingress::Route;
use crate::plan::CallKey;
use crate::runtime::ContainerState;
use crate::state::{DesiredState, ObservedReplica, ObservedState, Readiness};
use crate::store::{Revision, StoredApp};

/// The whole input of one pass, with the addresses that are in use.
pub(super) struct World<'a> {
    pub(super) desired: &'a DesiredState,
    pub(super) observed: &'a ObservedState,
    pub(super) now: Timestamp,
    /// Replicas by app, each list in the order of ordinal, revision, restarts and id.
    pub(super) replicas: BTreeMap<&'a AppName, Vec<&'a ObservedReplica>>,
    /// The acknowledged routes, by host and path.
    served: BTreeMap<(&'a HostName, &'a RoutePath), &'a Route>,
    /// How many of them each app has.
    served_of: BTreeMap<&'a AppName, usize>,
    /// The addresses in them.
    routed: BTreeSet<Ipv4Addr>,
    /// Whether this pass makes the network already.
    pub(super) network_planned: bool,
    /// Addresses that a container has, or that the ingress may route to.
    held: BTreeSet<Ipv4Addr>,
    /// Those, and all that have left the ingress not long ago: only where no others are left.
    avoided: BTreeSet<Ipv4Addr>,
}

impl<'a> World<'a> {
    pub(super) fn new(
        desired: &'a DesiredState,
        observed: &'a ObservedState,
        now: Timestamp,
    ) -> Self {
        let mut replicas: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for replica in &observed.replicas {
            replicas.entry(&replica.labels.app).or_default().push(replica);
        }
        for list in replicas.values_mut() {
            list.sort_by_key(|r| (r.labels.ordinal, r.labels.revision, r.labels.restarts, &r.id));
        }
        let held = held(observed);
        let avoided = held.iter().chain(observed.drains.keys()).copied().collect();
        let routes = observed.ingress.table().map_or(&[][..], |table| &table.routes);
        let served = routes.iter().map(|route| ((&route.host, &route.path), route)).collect();
        let mut served_of = BTreeMap::new();
        for route in routes {
            *served_of.entry(&route.app).or_default() += 1;
        }
        let routed = routes.iter().flat_map(|r| &r.endpoints).map(|e| e.address).collect();
        let network_planned = false;
        Self {
            desired,
            observed,
            now,
            replicas,
            served,
            served_of,
            routed,
            network_planned,
            held,
            avoided,
        }
    }

    /// An address that nothing has and that no ingress worker may still route to.
    pub(super) fn pick_address(&mut self, app: &AppName, ordinal: u32) -> Option<Ipv4Addr> {
        let subnet = self.observed.network.as_ref()?.subnet;
        let address = identity::pick_address(subnet, app, ordinal, &self.avoided)
            .or_else(|| identity::pick_address(subnet, app, ordinal, &self.held))?;
        self.held.insert(address);
        self.avoided.insert(address);
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
    pub(super) fn creating(&self, app: &AppName) -> Vec<(u32, u64)> {
        let seen = |address: &Ipv4Addr| self.of(app).iter().any(|r| r.labels.address == *address);
        let under_way = self.observed.under_way.iter();
        under_way
            .filter_map(|key| match key {
                CallKey::Create { app: theirs, ordinal, revision, address }
                    if theirs == app && !seen(address) =>
                {
                    Some((*ordinal, *revision))
                }
                _ => None,
            })
            .collect()
    }

    /// Whether the ingress may send new requests to the replica.
    pub(super) fn is_routed(&self, replica: &ObservedReplica) -> bool {
        self.routed.contains(&replica.labels.address)
    }

    /// Whether the ingress serves just these routes for the app, and no other.
    pub(super) fn serves(&self, app: &AppName, routes: &[Route]) -> bool {
        let served = |route: &Route| self.served.get(&(&route.host, &route.path)) == Some(&route);
        let count = self.served_of.get(app).copied().unwrap_or(0);
        count == routes.len() && routes.iter().all(served)
    }

    /// Whether the replica takes requests. One that is being stopped does not, and one that no probe has come back from yet, and that is
    /// routed already, was ready when the last orchestrator saw it.
    pub(super) fn is_ready(&self, replica: &ObservedReplica) -> bool {
        replica.is_running()
            && !self.observed.under_way.contains(&CallKey::Container(replica.id.clone()))
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
        let min_ready = SignedDuration::try_from(stored.spec.rollout.min_ready.to_std()).ok()?;
        // Where nothing can be asked, running for a moment is all that readiness means.
        let is_asked = stored.spec.access.is_some() || stored.spec.health.is_some();
        let begin = if is_asked { since } else { started_at };
        Some(begin.saturating_add(min_ready).ok()?.max(since))
    }
}

/// Whether the app's rollout stands still: no replica is replaced by a newer revision. A revision
/// that failed and that none was there to go back to goes on trying.
pub(super) fn is_held(stored: &StoredApp) -> bool {
    let pauses = stored.spec.rollout.on_failure == OnFailure::Pause;
    stored.paused || (pauses && stored.course.outcome.failure().is_some())
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

fn held(observed: &ObservedState) -> BTreeSet<Ipv4Addr> {
    let mut taken: BTreeSet<_> = observed.replicas.iter().map(|r| r.labels.address).collect();
    let draining = observed.drains.iter().filter(|(_, drain)| !drain.done);
    taken.extend(draining.map(|(address, _)| *address));
    if let Some(table) = observed.ingress.table() {
        taken.extend(table.routes.iter().flat_map(|r| &r.endpoints).map(|e| e.address));
    }
    if let Some(network) = &observed.network {
        taken.insert(identity::ingress_address(network.subnet));
    }
    taken.extend(observed.under_way.iter().filter_map(|key| match key {
        CallKey::Create { address, .. } | CallKey::CreateJob { address, .. } => Some(*address),
        _ => None,
    }));
    taken.extend(observed.jobs.iter().map(|job| job.labels.address));
    taken
}
