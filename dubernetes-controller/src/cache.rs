//! What the controller keeps between two passes: about its own calls, never about what should run.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use dubernetes_core::app::{AppName, PodName};
use dubernetes_core::call::{CallFailure, FailureKind, InFlight, OperationKey};
use dubernetes_core::error::{chain, one_line};
use dubernetes_core::ingress::{Drained, IngressError, RouteTable};
use dubernetes_core::plan::Action;
use dubernetes_core::runtime::{ContainerId, ContainerState, Network, RuntimeInfo};
use dubernetes_core::state::{
    DesiredState, Drain, EngineStatus, ObservedOneOff, ObservedPreDeploy, ObservedReplica,
};
use jiff::{SignedDuration, Timestamp};

use super::future_times::FutureTimes;
use super::observe::Containers;
use super::probe::Probes;

/// How long an address that left the route table is not given to another replica, as long as there
/// are others: an old worker of the proxy, kept alive by a slow request, may send it one more.
const ADDRESS_COOLDOWN: SignedDuration = SignedDuration::from_mins(5);

/// How long a created container may be missing in the list before the create counts as failed.
const LISTING_GRACE: SignedDuration = SignedDuration::from_secs(10);

/// Everything that is kept. All of it may be lost: the next pass observes what runs.
#[derive(Debug, Default)]
pub(super) struct ControllerCache {
    pub(super) in_flight: BTreeMap<OperationKey, InFlight>,
    pub(super) failures: BTreeMap<OperationKey, CallFailure>,
    /// Containers that were created, and that no list has shown yet.
    unlisted: BTreeMap<ContainerId, (OperationKey, Timestamp)>,
    pub(super) drains: BTreeMap<SocketAddr, Drain>,
    pub(super) probes: Probes,
    pub(super) engine: EngineStatus,
    /// The engine, as it described itself on first contact.
    pub(super) info: Option<RuntimeInfo>,
    pub(super) network: Option<Network>,
    pub(super) replicas: Vec<ObservedReplica>,
    pub(super) pre_deploys: Vec<ObservedPreDeploy>,
    pub(super) one_offs: Vec<ObservedOneOff>,
    pub(super) unreadable: BTreeMap<ContainerId, String>,
    pub(super) foreign_addresses: BTreeSet<IpAddr>,
    pub(super) active_since: Option<Timestamp>,
    /// Why the ingress does not serve apps as planned. Each keeps its last good routes.
    pub(super) quarantined: BTreeMap<AppName, String>,
    /// Why replicas were stopped that are to be restarted.
    pub(super) stop_reasons: BTreeMap<ContainerId, String>,
    /// Replicas that ended while the engine was away.
    pub(super) lost_with_engine: BTreeSet<ContainerId>,
    pub(super) future_times: FutureTimes,
    /// The table that the ingress served in the last observation.
    pub(super) served: Option<RouteTable>,
    /// The table that the ingress acknowledged last. It counts as served while the ingress cannot
    /// be observed.
    pub(super) acknowledged: Option<RouteTable>,
    /// The table that was last tried and failed.
    pub(super) refused: Option<RouteTable>,
}

impl ControllerCache {
    /// Records a success, and drops the failures of the same operation.
    pub(super) fn on_success(&mut self, key: &OperationKey) {
        self.in_flight.remove(key);
        self.failures.remove(key);
    }

    /// Records a create, which stays in flight until a list shows the container.
    pub(super) fn on_created(&mut self, key: OperationKey, id: ContainerId, now: Timestamp) {
        self.unlisted.insert(id, (key, now));
    }

    /// Records a failure.
    pub(super) fn on_failure(
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

    /// Takes in what an action changed besides its object.
    pub(super) fn on_action_done(&mut self, action: &Action) {
        if let Action::EnsureImage { app: name, .. } = action {
            // Allows another try of creates that failed because the image was missing, also for
            // replicas that carry the number of an earlier revision with the same content.
            self.failures.retain(|key, failure| {
                let same = matches!(
                    key,
                    OperationKey::Create { app, .. } | OperationKey::CreateOneOff { app, .. }
                        if app == name
                );
                !(same && failure.kind == FailureKind::ImageGone)
            });
        } else if let Action::RemoveIngress = action {
            self.acknowledged = None;
        } else if let Action::RemoveNetwork = action {
            // The claim of the instance ends with its network. The next contact claims again.
            self.info = None;
        }
    }

    /// Replaces the observed containers by those of a list, taken at `now`.
    pub(super) fn on_listed(&mut self, listed: Containers, now: Timestamp) {
        let Containers { replicas, pre_deploys, one_offs, unreadable, foreign_addresses } = listed;
        let ran = self.with_state(|state| matches!(state, ContainerState::Running { .. }));
        self.replicas = replicas;
        self.pre_deploys = pre_deploys;
        self.one_offs = one_offs;
        if let EngineStatus::Unreachable { .. } = std::mem::take(&mut self.engine) {
            self.active_since = None;
            let ended = self.with_state(|state| matches!(state, ContainerState::Exited(_)));
            self.lost_with_engine.extend(ended.intersection(&ran).cloned());
        }
        self.active_since.get_or_insert(now);
        self.unreadable = unreadable;
        self.foreign_addresses = foreign_addresses;
        self.settle_unlisted(now);
    }

    /// Returns the replicas and hooks of the last list whose state is one of these.
    fn with_state(&self, is_one: impl Fn(&ContainerState) -> bool) -> BTreeSet<ContainerId> {
        let replicas = self.replicas.iter().map(|replica| (&replica.id, &replica.state));
        let hooks = self.pre_deploys.iter().map(|hook| (&hook.id, &hook.state));
        let found = replicas.chain(hooks).filter(|(_, state)| is_one(state));
        found.map(|(id, _)| id.clone()).collect()
    }

    /// Ends the creates whose container is in the list, and fails those whose container is still
    /// missing after a while: without that, an engine with a lagging list would get one create
    /// after the other.
    fn settle_unlisted(&mut self, now: Timestamp) {
        let listed: BTreeSet<_> = self.listed().cloned().collect();
        let mut done = Vec::new();
        let mut missing = Vec::new();
        self.unlisted.retain(|id, (key, created_at)| {
            if listed.contains(id) {
                done.push(key.clone());
                return false;
            }
            if now.duration_since(*created_at) >= LISTING_GRACE {
                missing.push(key.clone());
                return false;
            }
            true
        });
        for key in &done {
            self.on_success(key);
        }
        for key in missing {
            let message = "the container was created, but the engine does not list it";
            self.on_failure(key, FailureKind::Transient, message.to_owned(), now);
        }
    }

    /// Returns the containers of the last list, without those that are not the instance's own.
    fn listed(&self) -> impl Iterator<Item = &ContainerId> {
        let replicas = self.replicas.iter().map(|replica| &replica.id);
        let hooks = self.pre_deploys.iter().map(|hook| &hook.id);
        replicas.chain(hooks).chain(self.one_offs.iter().map(|one_off| &one_off.id))
    }

    /// Returns when the wait for an unlisted container ends.
    pub(super) fn unlisted_until(&self) -> Option<Timestamp> {
        let ends = self.unlisted.values().filter_map(|(_, at)| at.checked_add(LISTING_GRACE).ok());
        ends.min()
    }

    /// Drops what is about containers that are gone and apps that are not desired any more.
    pub(super) fn prune(&mut self, desired: &DesiredState) {
        let ids: BTreeSet<_> = self.listed().cloned().collect();
        self.stop_reasons.retain(|id, _| ids.contains(id));
        self.lost_with_engine.retain(|id| ids.contains(id));
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
            OperationKey::CreateOneOff { app, id } => {
                desired.one_offs.contains_key(&PodName::one_off(app, id))
            }
            OperationKey::ClearEviction { app, id } => {
                desired.apps.get(app).is_some_and(|stored| stored.evicted.contains(id))
            }
            OperationKey::Teardown => desired.teardown.is_some(),
            // A failed order that the store has is its to remember: a renewal on request drops it
            // there. Without an app that wants the host, the failed call was a removal.
            OperationKey::Certificate(host) => {
                let default = desired.default_tls.as_ref();
                let is_wanted = desired.apps.values().any(|stored| {
                    stored.spec.tls_hosts(default).any(|(own, _)| own.name() == Some(host))
                });
                match desired.certificates.get(host) {
                    Some(stored) => !(is_wanted && stored.failure.is_some()),
                    None => is_wanted,
                }
            }
            OperationKey::PurgeTombstone(app) => desired.tombstones.contains_key(app),
            OperationKey::Network | OperationKey::Routes | OperationKey::DrainCheck(_) => true,
        });
    }

    /// Records the result of a drain check. A check that failed shows nothing.
    pub(super) fn on_drain_checked(
        &mut self,
        endpoint: SocketAddr,
        result: Result<Drained, IngressError>,
    ) {
        self.in_flight.remove(&OperationKey::DrainCheck(endpoint));
        let Some(drain) = self.drains.get_mut(&endpoint) else { return };
        match result {
            Ok(Drained::Yes) => (drain.done, drain.held_by) = (true, None),
            Ok(Drained::No { held_by }) => drain.held_by = held_by,
            Err(error) => drain.held_by = Some(one_line(&chain(&error))),
        }
    }

    /// Starts to drain the endpoints that have left the served table, and drops those that came
    /// back or that no replica has any more.
    pub(super) fn follow_table(&mut self, table: Option<&RouteTable>, now: Timestamp) {
        let before = std::mem::take(&mut self.served).unwrap_or_default();
        if let Some(table) = table.filter(|table| **table != before) {
            let held: BTreeSet<_> = table.endpoints().collect();
            for endpoint in before.endpoints().filter(|endpoint| !held.contains(endpoint)) {
                self.drains.entry(endpoint).or_insert(Drain::new(now));
            }
        }
        let is_held = |endpoint: SocketAddr| self.replicas.iter().any(|r| r.has_socket(endpoint));
        self.drains.retain(|endpoint, drain| {
            let is_back = table.is_some_and(|table| table.holds(*endpoint));
            let cools = now.duration_since(drain.since) <= ADDRESS_COOLDOWN;
            !is_back && (cools || is_held(*endpoint))
        });
        self.served = table.cloned();
        self.acknowledged = table.cloned();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drain_check_says_what_is_waited_for() {
        let now = Timestamp::UNIX_EPOCH;
        let endpoint = SocketAddr::from(([10, 0, 0, 5], 80));
        let mut cache = ControllerCache::default();
        cache.drains.insert(endpoint, Drain::new(now));
        let mut check = |result| {
            cache.on_drain_checked(endpoint, result);
            let Drain { done, held_by, .. } = cache.drains[&endpoint].clone();
            (done, held_by)
        };
        let held_by = Some("nginx worker 7 has not ended: it is stopped".to_owned());
        assert_eq!(check(Ok(Drained::No { held_by: held_by.clone() })), (false, held_by));
        assert_eq!(check(Ok(Drained::IN_PROGRESS)), (false, None));
        let failed = IngressError::NotAcknowledged;
        let text = failed.to_string();
        assert_eq!(check(Err(failed)), (false, Some(text)));
        assert_eq!(check(Ok(Drained::Yes)), (true, None));
        assert!(check(Ok(Drained::IN_PROGRESS)).0, "it stays drained");
    }
}
