//! What the names of apps and published ports lead to.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::{Endpoint, on_port};
use crate::app::{Access, AppName, AppSpec, PortMapping, RouteProtocol, Transport, is_default};

/// A port of an app at the address of its name, for other apps of the instance.
///
/// The address belongs to the proxy and never changes. So a client that has resolved the name once
/// reaches the replicas that are ready at any later time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// The app, and its name.
    pub app: AppName,
    /// The address of the name, which no other app and no container has.
    pub address: Ipv4Addr,
    /// The port that clients connect to.
    pub port: u16,
    /// What is passed on.
    pub protocol: Protocol,
    /// The app's ready replicas, sorted by name. Empty: 503, or refused connections.
    pub endpoints: Vec<Endpoint>,
    /// Whether connections to the endpoints are kept, and used for several requests.
    #[serde(default, skip_serializing_if = "is_default")]
    pub keepalive: bool,
    /// Whether the whole body of a request is read before the request is passed on.
    #[serde(default, skip_serializing_if = "is_default")]
    pub buffer_requests: bool,
}

/// What a [`Listener`] passes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Requests, each to one of the endpoints.
    Http,
    /// Requests, each to one of the endpoints, which speak HTTP/2 without TLS.
    H2c,
    /// Connections, each to one of the endpoints.
    Tcp,
    /// Datagrams, those of one client to one of the endpoints.
    Udp,
}

impl Listener {
    /// Returns the listeners for the name of an app. An app with `access` gets requests on each of
    /// its ports, and also on the usual port, so that `http://NAME/` is right for each of them. At
    /// any other port it gets connections, or datagrams.
    pub fn of_app(spec: &AppSpec, address: Ipv4Addr, endpoints: &[Endpoint]) -> Vec<Self> {
        let mut ports = match (&spec.access[..], spec.port) {
            ([_, ..], _) => request_ports(spec),
            ([], Some(port)) => BTreeMap::from([(port, (None, Protocol::Tcp))]),
            ([], None) => BTreeMap::new(),
        };
        let mut datagrams = BTreeMap::new();
        for PortMapping { port, transport, .. } in spec.ports.iter().copied() {
            let other = (spec.own_port() != Some(port)).then_some(port);
            match transport {
                Transport::Tcp => drop(ports.entry(port).or_insert((other, Protocol::Tcp))),
                Transport::Udp => drop(datagrams.insert(port, (other, Protocol::Udp))),
            }
        }
        let any = |protocol, other, is_set: fn(&Access) -> bool| {
            let mut entries = spec.access.iter().filter(|entry| spec.other_port(entry) == other);
            protocol == Protocol::Http && entries.any(is_set)
        };
        let listener = |(port, (other, protocol))| Self {
            app: spec.name.clone(),
            address,
            port,
            protocol,
            endpoints: on_port(endpoints, other),
            keepalive: any(protocol, other, |entry| entry.keepalive),
            buffer_requests: any(protocol, other, |entry| entry.buffer_requests),
        };
        ports.into_iter().chain(datagrams).map(listener).collect()
    }
}

/// A port of the host that leads to the [`Listener`] at the same port of an app's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostPort {
    /// The app.
    pub app: AppName,
    /// The port of the host, and that of the listener.
    pub mapping: PortMapping,
    /// The address of the app's name.
    pub address: Ipv4Addr,
}

impl HostPort {
    /// Returns the published ports of an app.
    pub fn of_app(spec: &AppSpec, address: Ipv4Addr) -> Vec<Self> {
        let port =
            |mapping: &PortMapping| Self { app: spec.name.clone(), mapping: *mapping, address };
        spec.ports.iter().map(port).collect()
    }
}

/// Returns the ports at which the name of an app with `access` takes requests: each with the port
/// of its replicas, unless that is the app's own, and with what they speak there.
fn request_ports(spec: &AppSpec) -> BTreeMap<u16, (Option<u16>, Protocol)> {
    let speaks = |other: Option<u16>| {
        let mut entries = spec.access.iter().filter(|access| spec.other_port(access) == other);
        let is_h2c = entries.any(|access| access.protocol == RouteProtocol::H2c);
        if is_h2c { Protocol::H2c } else { Protocol::Http }
    };
    let others = spec.access.iter().filter_map(|access| spec.other_port(access));
    let mut ports: BTreeMap<_, _> =
        others.map(|port| (port, (Some(port), speaks(Some(port))))).collect();
    let own = (None, speaks(None));
    ports.entry(AppSpec::USUAL_PORT).or_insert(own);
    ports.insert(spec.port(), own);
    ports
}
