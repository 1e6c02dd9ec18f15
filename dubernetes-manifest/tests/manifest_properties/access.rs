//! Strategies for `access` and `ports`.

use std::collections::BTreeSet;

use dubernetes_core::app::{
    Access, HostPattern, IssuedTls, PortMapping, RoutePath, RouteProtocol, Tls,
};
use proptest::prelude::*;

use crate::parsed;

fn entry() -> impl Strategy<Value = Access> {
    let host = "(|\\*\\.)[a-z0-9]([a-z0-9-]{0,5}[a-z0-9])?(\\.[a-z]{1,4}){0,2}\\.[a-z]{2}"
        .prop_map(|text| parsed(HostPattern::parse, &text));
    let path = "(/[A-Za-z0-9_~-]{1,5}){0,3}"
        .prop_map(|text| parsed(RoutePath::parse, if text.is_empty() { "/" } else { &text }));
    let port = prop::option::of(1..=u16::MAX);
    let protocol = prop::sample::select(RouteProtocol::ALL.to_vec());
    let hosts = prop::collection::btree_set(host, 0..4);
    (hosts, path, port, any::<[bool; 3]>(), protocol).prop_map(
        |(hosts, path, port, [strips, keepalive, buffers], protocol)| Access {
            hosts: hosts.into_iter().collect(),
            strip_prefix: strips && !path.is_root(),
            path,
            port,
            protocol,
            keepalive: keepalive && protocol == RouteProtocol::default(),
            buffer_requests: buffers && protocol == RouteProtocol::default(),
            tls: None,
        },
    )
}

/// Generates entries that claim different places.
pub(crate) fn list() -> impl Strategy<Value = Vec<Access>> {
    let tls = prop::option::of(prop::sample::select(IssuedTls::ALL.to_vec()));
    (prop::collection::vec(entry(), 0..4), tls).prop_map(|(mut list, tls)| {
        for access in &mut list {
            let is_named = access.hosts.iter().all(|host| host.name().is_some());
            let has_certificate = is_named && !access.hosts.is_empty();
            access.tls = tls.filter(|_| has_certificate).map(Tls::Issued);
        }
        let mut seen = BTreeSet::new();
        list.retain(|access| {
            let mut places = access.patterns().into_iter().map(|host| (host, access.path.clone()));
            places.all(|place| seen.insert(place))
        });
        list
    })
}

/// Generates a published port.
pub(crate) fn port_mapping() -> impl Strategy<Value = PortMapping> {
    let address = "(127\\.0\\.0\\.1:|\\[::1\\]:)?";
    let ports = (address, 1..=u16::MAX, 1..=u16::MAX, "(/udp)?");
    ports.prop_map(|(address, host, port, transport)| {
        parsed(PortMapping::parse, &format!("{address}{host}:{port}{transport}"))
    })
}
