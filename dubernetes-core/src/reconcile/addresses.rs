//! The addresses that one pass gives to new containers: the only state that stages share.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use crate::app::AppName;
use crate::identity;
use crate::runtime::Network;
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
    held: BTreeSet<Ipv4Addr>,
    /// Also those that left the ingress a moment ago: given out only if no others are left.
    avoided: BTreeSet<Ipv4Addr>,
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

    /// Takes an address that no container has and that no ingress worker may still route to.
    pub(super) fn lease(
        &mut self,
        app: &AppName,
        ordinal: u32,
    ) -> Result<(&'a Network, Ipv4Addr), Obstacle> {
        let Some(network) = &self.observed.network else {
            let is_requested = std::mem::replace(&mut self.network_requested, true);
            return Err(Obstacle::NoNetwork { is_requested });
        };
        let taken = self.taken.get_or_insert_with(|| Taken::new(self.observed, network));
        let pick = |taken| identity::pick_address(network.subnet, app, ordinal, taken);
        let capacity = identity::capacity(network.subnet);
        let address = pick(&taken.avoided).or_else(|| pick(&taken.held));
        let address = address.ok_or(Obstacle::Exhausted { capacity })?;
        taken.held.insert(address);
        taken.avoided.insert(address);
        Ok((network, address))
    }
}

impl Taken {
    fn new(observed: &ObservedState, network: &Network) -> Self {
        let mut held: BTreeSet<_> = observed.replicas.iter().map(|r| r.labels.address).collect();
        let draining = observed.drains.iter().filter(|(_, drain)| !drain.done);
        held.extend(draining.map(|(address, _)| *address));
        if let Some(table) = observed.ingress.table() {
            held.extend(table.routes.iter().flat_map(|r| &r.endpoints).map(|e| e.address));
        }
        held.insert(identity::ingress_address(network.subnet));
        held.extend(observed.in_flight.values().filter_map(|call| call.address));
        held.extend(observed.pre_deploys.iter().map(|hook| hook.labels.address));
        let avoided = held.iter().chain(observed.drains.keys()).copied().collect();
        Self { held, avoided }
    }
}
