//! Rules over the routes and published ports of one app.

use std::collections::BTreeMap;

use super::{MAX_LIST, Violation, check_len, port_out_of_range};
use crate::app::{Access, HostPattern, PortMapping, RouteProtocol};

/// Returns the violation of `access` or a list of hosts without an entry, at `path`.
pub fn no_entries(path: &str) -> Violation {
    let message = format!("`{path}` must have 1 to {MAX_LIST} entries, not 0");
    Violation::new(path, message)
}

/// Checks the routes of one app. `is_list` says whether they are written as a list.
pub fn check_access(list: &[Access], is_list: bool) -> Vec<Violation> {
    if list.len() > MAX_LIST {
        let message = format!("`access` may have at most {MAX_LIST} entries, not {}", list.len());
        return vec![Violation::new("access", message)];
    }
    let mut found = Vec::new();
    let mut seen = BTreeMap::new();
    for (index, access) in list.iter().enumerate() {
        let above = if is_list { format!("access.{index}") } else { "access".to_owned() };
        found.extend(check_entry(access, &above));
        for (position, host) in access.patterns().into_iter().enumerate() {
            let is_named = !access.hosts.is_empty();
            let path = if is_named { format!("{above}.host.{position}") } else { above.clone() };
            match seen.get(&(host.clone(), &access.path)) {
                None => drop(seen.insert((host, &access.path), path)),
                Some(first) => found.push(listed_twice(&host, path, first)),
            }
        }
    }
    found.extend(list.iter().enumerate().filter_map(|(index, access)| {
        let above = if is_list { format!("access.{index}") } else { "access".to_owned() };
        check_tls(access, &list[..index], &above)
    }));
    found
}

/// Checks the certificate of an entry, and that an earlier entry of the same host has the same.
fn check_tls(access: &Access, earlier: &[Access], above: &str) -> Option<Violation> {
    let is_same_host = |host: &HostPattern| access.hosts.contains(host);
    let other = earlier.iter().find(|other| {
        other.hosts.iter().any(is_same_host) && other.tls.is_some() && other.tls != access.tls
    });
    if let (Some(_), Some(_)) = (other, &access.tls) {
        let path = format!("{above}.tls");
        let message = "one host has one certificate: `tls` differs from that of an earlier entry";
        return Some(Violation::new(path, message).with_hint("write the same `tls`, or none"));
    }
    let tls = access.tls.as_ref().filter(|tls| tls.is_on())?;
    let path = format!("{above}.tls");
    if access.hosts.is_empty() {
        let violation = Violation::new(path, "`tls` needs a `host`: a certificate is for names");
        return Some(violation.with_hint("add the `host`, or delete `tls`"));
    }
    tls.authority()?;
    let wildcard = access.hosts.iter().find(|host| host.name().is_none())?;
    let message = format!("no certificate is issued for `{wildcard}`: it has a wildcard");
    let hint = "list the hosts one by one, or write the `cert` and `key` that you have";
    Some(Violation::new(path, message).with_hint(hint))
}

/// Checks the published ports of one app.
pub fn check_ports(ports: &[PortMapping]) -> Vec<Violation> {
    if let Some(too_long) = check_len("ports", ports.len(), MAX_LIST) {
        return vec![too_long];
    }
    let violation = |(index, mapping): (usize, &PortMapping)| {
        let first = ports[..index].iter().position(|earlier| earlier.overlaps(mapping))?;
        let message = format!("the port {} of the host is listed twice", mapping.host_port);
        let violation = Violation::new(format!("ports.{index}"), message);
        Some(violation.with_first(format!("ports.{first}")))
    };
    ports.iter().enumerate().filter_map(violation).collect()
}

fn check_entry(access: &Access, above: &str) -> Vec<Violation> {
    let mut found = Vec::new();
    if access.hosts.len() > MAX_LIST {
        let (path, len) = (format!("{above}.host"), access.hosts.len());
        let message = format!("`{path}` must have 1 to {MAX_LIST} entries, not {len}");
        found.push(Violation::new(path, message));
    }
    if access.port == Some(0) {
        found.push(port_out_of_range(&format!("{above}.port"), "0"));
    }
    if access.strip_prefix && access.path.is_root() {
        let path = format!("{above}.strip_prefix");
        found.push(
            Violation::new(path, "`strip_prefix` removes the `path`, and there is none")
                .with_hint("add the `path`, or delete `strip_prefix`"),
        );
    }
    for (key, is_set) in
        [("keepalive", access.keepalive), ("buffer_requests", access.buffer_requests)]
    {
        if is_set && access.protocol == RouteProtocol::H2c {
            let message = format!("`{key}` is for `protocol: http`");
            let violation = Violation::new(format!("{above}.{key}"), message);
            found.push(violation.with_hint(format!("delete `{key}`")));
        }
    }
    found
}

fn listed_twice(host: &HostPattern, path: String, first: &str) -> Violation {
    let (message, hint) = match host {
        HostPattern::Any => (
            "two entries without `host` have the same `path`".to_owned(),
            "give one of them a `host` or another `path`",
        ),
        HostPattern::Exact(_) | HostPattern::AnyLabel(_) => {
            (format!("the host `{host}` is listed twice"), "list each host once")
        }
    };
    Violation::new(path, message).with_hint(hint).with_first(first)
}
