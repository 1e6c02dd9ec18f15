//! Services: the name of an app for other apps, and the ports that are reached from outside.

use dubernetes_core::app::{AppSpec, PortMapping, RouteProtocol, Transport};

use super::names::{self, Names, metadata};
use super::notes::Notes;
use super::object::Object;

/// The port at which other apps reach an app with `access`, too.
const HTTP: u16 = 80;

/// Returns the Services of an app.
pub(super) fn export(spec: &AppSpec, names: &Names, notes: &mut Notes) -> Vec<Object> {
    let name = names::service(&spec.name);
    let ports = inner_ports(spec);
    if !ports.is_empty() && name != spec.name.as_str() {
        notes.add(
            "name",
            format!("the Service is called `{name}`, since its name must start with a letter"),
            format!("write `{name}` where other apps name `{}`", spec.name),
        );
    }
    let inner = (!ports.is_empty()).then(|| service(&name, spec, None, ports));
    inner.into_iter().chain(outer(spec, names, notes)).collect()
}

/// Returns the Service that gives the pods of a StatefulSet their names.
pub(super) fn headless(name: &str, spec: &AppSpec) -> Object {
    let body =
        Object::new().with("clusterIP", "None").with("selector", names::selector(&spec.name));
    Object::of_kind("v1", "Service", metadata(name, &spec.name)).with("spec", body)
}

fn service(name: &str, spec: &AppSpec, kind: Option<&str>, ports: Vec<Object>) -> Object {
    let body = Object::new()
        .with_some("type", kind)
        .with("selector", names::selector(&spec.name))
        .with("ports", ports);
    Object::of_kind("v1", "Service", metadata(name, &spec.name)).with("spec", body)
}

/// Returns the ports at which other apps reach this one: its own, 80 with `access`, those of other
/// routes, and those for datagrams.
fn inner_ports(spec: &AppSpec) -> Vec<Object> {
    let mut ports = Vec::new();
    if spec.is_reachable() {
        ports.push(inner_port(spec, spec.port(), spec.port()));
    }
    if !spec.access.is_empty() && spec.port() != HTTP {
        ports.push(inner_port(spec, HTTP, spec.port()));
    }
    let mut known = vec![spec.port(), HTTP];
    for port in spec.access.iter().filter_map(|access| spec.other_port(access)) {
        if !known.contains(&port) {
            known.push(port);
            ports.push(inner_port(spec, port, port));
        }
    }
    let mut datagrams: Vec<u16> = spec
        .ports
        .iter()
        .filter(|mapping| mapping.transport == Transport::Udp)
        .map(|mapping| mapping.port)
        .collect();
    datagrams.sort_unstable();
    datagrams.dedup();
    ports.extend(datagrams.into_iter().map(|number| port(Transport::Udp, number, number)));
    ports
}

/// Returns a port for connections, with the protocol of the routes that lead there.
fn inner_port(spec: &AppSpec, number: u16, target: u16) -> Object {
    let leads_there =
        |access: &&dubernetes_core::app::Access| access.port.unwrap_or(spec.port()) == target;
    let is_h2c =
        spec.access.iter().filter(leads_there).any(|access| access.protocol == RouteProtocol::H2c);
    let protocol = is_h2c.then_some("kubernetes.io/h2c");
    port(Transport::Tcp, number, target).with_some("appProtocol", protocol)
}

fn port(transport: Transport, number: u16, target: u16) -> Object {
    let (prefix, protocol) = match transport {
        Transport::Tcp => ("tcp", "TCP"),
        Transport::Udp => ("udp", "UDP"),
    };
    Object::new()
        .with("name", format!("{prefix}-{number}"))
        .with("port", number)
        .with("targetPort", target)
        .with("protocol", protocol)
}

/// Returns the Service for `ports`.
fn outer(spec: &AppSpec, names: &Names, notes: &mut Notes) -> Option<Object> {
    let mut published: Vec<PortMapping> = Vec::new();
    for (index, mapping) in spec.ports.iter().enumerate() {
        let path = format!("ports.{index}");
        let is_same = |other: &PortMapping| {
            (other.host_port, other.transport) == (mapping.host_port, mapping.transport)
        };
        match mapping.host_ip {
            Some(address) if address.is_loopback() => notes.add(
                path,
                format!("not exported: `{mapping}` is for programs of the host only"),
                format!(
                    "`kubectl port-forward service/{} {}:{}`",
                    names::service(&spec.name),
                    mapping.host_port,
                    mapping.port
                ),
            ),
            Some(_) | None if published.iter().any(is_same) => {
                notes.say(path, "a Service has each port once: it is the one above");
            }
            Some(address) if !address.is_unspecified() => {
                notes.say(path, format!("the address {address} is not exported"));
                published.push(*mapping);
            }
            Some(_) | None => published.push(*mapping),
        }
    }
    if published.is_empty() {
        return None;
    }
    let name = names.part(&spec.name, "ports");
    notes.add(
        "ports",
        format!("the Service `{name}` needs a cluster that offers load balancers"),
        "without one, use `type: NodePort`, whose ports are from 30000 to 32767",
    );
    let ports =
        published.iter().map(|mapping| port(mapping.transport, mapping.host_port, mapping.port));
    Some(service(&name, spec, Some("LoadBalancer"), ports.collect()))
}
