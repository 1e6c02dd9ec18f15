//! The addresses that one pass gives to new containers: the only state that stages share.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::app::AppName;
use crate::identity;
use crate::runtime::{Capability, Network, NetworkAddress};
use crate::state::ObservedState;

/// Free addresses of the instance's network.
///
/// The pool remembers what this pass has given out, so that no address is planned twice, and
/// whether this pass has asked for the network, so that the network is created once.
pub(super) struct AddressPool<'a> {
    observed: &'a ObservedState,
    /// Computed with the first lease: a converged pass needs no address.
    taken: Option<Taken>,
    network_requested: bool,
}

/// Addresses that a new container does not get.
struct Taken {
    /// Addresses of containers, and those that the ingress may route to.
    held: BTreeSet<IpAddr>,
    /// Also those that left the ingress a moment ago: given out only if no others are left.
    avoided: BTreeSet<IpAddr>,
}

/// Why a pass has no address for a container.
#[derive(Debug, Clone, Copy)]
pub(super) enum Obstacle {
    /// The network does not exist yet.
    NoNetwork {
        /// An earlier request of this pass has met this obstacle.
        is_requested: bool,
    },
    /// All addresses are taken.
    Exhausted {
        /// Number of addresses for replicas.
        capacity: u32,
    },
}

impl<'a> AddressPool<'a> {
    pub(super) fn new(observed: &'a ObservedState) -> Self {
        Self { observed, taken: None, network_requested: false }
    }

    /// Returns the network; `None` for a runtime without planned addresses.
    pub(super) fn network(&mut self) -> Result<Option<&'a Network>, Obstacle> {
        if self.observed.lacks.contains(&Capability::PlannedAddresses) {
            return Ok(None);
        }
        let network = self.observed.network.as_ref();
        let is_requested = self.network_requested;
        self.network_requested |= network.is_none();
        network.map(Some).ok_or(Obstacle::NoNetwork { is_requested })
    }

    /// Takes an address that no container has and that no ingress worker may still route to;
    /// `None` where the runtime chooses.
    pub(super) fn lease(
        &mut self,
        app: &AppName,
        ordinal: u32,
    ) -> Result<Option<NetworkAddress>, Obstacle> {
        let Some(network) = self.network()? else { return Ok(None) };
        let taken = self.taken.get_or_insert_with(|| Taken::new(self.observed));
        let pick = |taken| identity::pick_address(network.subnet, app, ordinal, taken);
        let capacity = identity::capacity(network.subnet);
        let address = pick(&taken.avoided).or_else(|| pick(&taken.held));
        let address = address.ok_or(Obstacle::Exhausted { capacity })?;
        taken.held.insert(address);
        taken.avoided.insert(address);
        Ok(Some(NetworkAddress { network: network.id.clone(), address: Some(address) }))
    }
}

impl Taken {
    fn new(observed: &ObservedState) -> Self {
        let replicas = observed.replicas.iter();
        let mut held: BTreeSet<_> = replicas.clone().filter_map(|r| r.labels.address).collect();
        held.extend(replicas.filter_map(|r| r.endpoint).map(|endpoint| endpoint.ip()));
        let draining = observed.drains.iter().filter(|(_, drain)| !drain.done);
        held.extend(draining.map(|(endpoint, _)| endpoint.ip()));
        let table = observed.ingress.table();
        held.extend(table.iter().flat_map(|table| table.endpoints()).map(|e| e.ip()));
        held.extend(observed.in_flight.values().filter_map(|call| call.address));
        held.extend(observed.pre_deploys.iter().filter_map(|hook| hook.labels.address));
        held.extend(observed.one_offs.iter().filter_map(|one_off| one_off.labels.address));
        held.extend(&observed.foreign_addresses);
        let left = observed.drains.keys().map(|endpoint| endpoint.ip());
        let avoided = held.iter().copied().chain(left).collect();
        Self { held, avoided }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{HostPattern, OneOffId, PodName, RevisionId, RoutePath};
    use crate::call::{InFlight, OperationKey};
    use crate::ingress::{Endpoint, ObservedIngress, Route, RouteTable};
    use crate::labels::{OneOffLabels, PreDeployLabels};
    use crate::runtime::{ContainerId, ContainerState};
    use crate::state::{Drain, ObservedOneOff, ObservedPreDeploy};
    use jiff::Timestamp;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 9, 0, last])
    }

    #[test]
    fn address_of_a_hook_or_a_one_off_is_not_given_away() {
        let (app, revision) = (AppName::parse("web").unwrap(), RevisionId(1));
        let (hook, one_off) = (Some(address(5)), Some(address(6)));
        let labels = PreDeployLabels { app: app.clone(), revision, attempts: 0, address: hook };
        let (id, state) = (ContainerId("c".into()), ContainerState::Created);
        let pre_deploys = vec![ObservedPreDeploy { id: id.clone(), labels, state: state.clone() }];
        let run = OneOffId::parse("qhzkt").unwrap();
        let labels = OneOffLabels { app, revision, id: run, address: one_off };
        let created_at = Timestamp::UNIX_EPOCH;
        let one_offs = vec![ObservedOneOff { id, labels, state, created_at }];
        let observed = ObservedState { pre_deploys, one_offs, ..ObservedState::default() };
        let held = Taken::new(&observed).held;
        assert_eq!(held, [address(5), address(6)].into());
    }

    #[test]
    fn pass_gives_each_address_to_one_container() {
        // Each address left the ingress a moment ago, so each is a last resort.
        let subnet = "10.9.0.0/25".parse().unwrap();
        let network = Some(Network { id: "net".into(), subnet });
        let left = Drain { done: true, ..Drain::new(Timestamp::UNIX_EPOCH) };
        let drains = (0..128).map(|last| ((address(last), 80).into(), left.clone())).collect();
        let observed = ObservedState { network, drains, ..ObservedState::default() };
        let mut pool = AddressPool::new(&observed);
        let app = AppName::parse("web").unwrap();
        let capacity = identity::capacity(subnet);
        let leases = (0..=capacity).map_while(|ordinal| pool.lease(&app, ordinal).ok().flatten());
        let addresses: Vec<_> = leases.map(|lease| lease.address).collect();
        assert_eq!(u32::try_from(addresses.len()), Ok(capacity));
        assert_eq!(addresses.iter().collect::<BTreeSet<_>>().len(), addresses.len());
    }

    #[test]
    fn address_that_may_get_requests_is_not_given_away() {
        let (served, draining, drained, creating) =
            (address(5), address(6), address(7), address(8));
        let app = AppName::parse("web").unwrap();
        let endpoint = Endpoint { pod: PodName::replica(&app, 1), address: served, port: 80 };
        let route = Route::new(HostPattern::Any, RoutePath::default(), app, vec![endpoint]);
        let table = RouteTable { routes: vec![route], ..RouteTable::default() };
        let drain = Drain::new(Timestamp::UNIX_EPOCH);
        let in_flight = InFlight { address: Some(creating), ..InFlight::default() };
        let observed = ObservedState {
            ingress: ObservedIngress::Serving { table },
            drains: [
                ((draining, 80).into(), drain.clone()),
                ((drained, 80).into(), Drain { done: true, ..drain }),
            ]
            .into(),
            in_flight: [(OperationKey::Network, in_flight)].into(),
            ..ObservedState::default()
        };
        let Taken { held, avoided } = Taken::new(&observed);
        for taken in [served, draining, creating] {
            assert!(held.contains(&taken), "{taken}: {held:?}");
        }
        assert!(!held.contains(&drained) && avoided.contains(&drained), "a last resort");
    }
}
