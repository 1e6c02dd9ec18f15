//! The addresses of the names of apps.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use crate::app::AppName;
use crate::identity::{name_capacity, name_range, pick_name_address};
use crate::plan::Block;
use crate::state::{DesiredState, ObservedState};
use crate::store::StoredApp;

use super::app::App;
use super::context::Context;
use super::step::Step;

/// Returns the address of the name of each app that has one; of none while there is no
/// network, and not of those that find all addresses taken.
///
/// A name keeps the address that the ingress serves, since clients remember it. Without an ingress
/// the apps choose in the order of their creation, so that a later app does not displace another.
pub fn name_addresses(
    desired: &DesiredState,
    observed: &ObservedState,
) -> BTreeMap<AppName, Ipv4Addr> {
    let subnet = observed.network.as_ref().map(|network| network.subnet);
    let Some((subnet, range)) = subnet.and_then(|subnet| Some((subnet, name_range(subnet)?)))
    else {
        return BTreeMap::new();
    };
    let mut addresses = observed.ingress.table().map(|table| table.names()).unwrap_or_default();
    let mut taken = BTreeSet::new();
    addresses.retain(|app, address| {
        let is_named = desired.apps.get(app).is_some_and(|stored| stored.spec.has_name());
        is_named && range.contains(&*address) && taken.insert(*address)
    });
    // A former version gave these addresses to replicas.
    let replicas = observed.replicas.iter().filter_map(|replica| replica.labels.address);
    taken.extend(replicas.filter_map(|address| match address {
        IpAddr::V4(address) => range.contains(&address).then_some(address),
        IpAddr::V6(_) => None,
    }));
    let named = desired.apps.values().filter(|stored| stored.spec.has_name());
    let unserved = named.filter(|stored| !addresses.contains_key(&stored.spec.name));
    let mut unserved: Vec<&StoredApp> = unserved.collect();
    unserved.sort_by_key(|stored| (stored.created_at, &stored.spec.name));
    for StoredApp { spec, .. } in unserved {
        if let Some(address) = pick_name_address(subnet, &spec.name, &taken) {
            taken.insert(address);
            addresses.insert(spec.name.clone(), address);
        }
    }
    addresses
}

/// Blocks the name of an app that finds all addresses taken; its replicas run all the same.
pub(super) fn missing(context: &Context<'_>, app: &App<'_>) -> Option<Step> {
    let spec = &app.stored.spec;
    let network = context.observed.network.as_ref()?;
    let capacity = name_capacity(network.subnet).filter(|_| spec.has_name())?;
    let block = Block::NoNameAddress { capacity, has_ports: !spec.ports.is_empty() };
    app.address.is_none().then(|| Step::block(Some(&spec.name), block))
}
