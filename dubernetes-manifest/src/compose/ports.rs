//! `ports` and `expose`: the port of the app.

use super::draft::Out;
use super::names::quoted;
use super::notes::At;
use super::service::Service;
use super::text;
use crate::node::{Entry, Node, Value};

/// Ports on which well-known images listen.
const USUAL: [(&str, u16); 19] = [
    ("postgres", 5432),
    ("pgvecto-rs", 5432),
    ("pgvector", 5432),
    ("postgis", 5432),
    ("redis", 6379),
    ("valkey", 6379),
    ("mariadb", 3306),
    ("mysql", 3306),
    ("mongo", 27017),
    ("memcached", 11211),
    ("rabbitmq", 5672),
    ("clickhouse-server", 8123),
    ("elasticsearch", 9200),
    ("opensearch", 9200),
    ("meilisearch", 7700),
    ("minio", 9000),
    ("gotenberg", 3000),
    ("tika", 9998),
    ("nginx", 80),
];

/// A port in the container.
struct Port {
    number: u16,
    at: At,
    /// The host's port, as it is written.
    published: Option<String>,
}

/// Reads the keys, and sets `port`.
pub(super) fn read(service: &mut Service<'_>, at: &At, keys: &[Entry]) {
    let mut ports = Vec::new();
    for entry in keys.iter().filter(|entry| matches!(entry.key.as_str(), "ports" | "expose")) {
        let at = at.below(entry);
        let Value::List(items) = &entry.value.value else { continue };
        for (index, item) in items.iter().enumerate() {
            let at = at.item(index, item.place.line);
            ports.extend(read_item(service, at, item, entry.key == "ports"));
        }
    }
    note_published(service, &ports);
    let Some(first) = ports.first() else { return guess(service, at, keys) };
    let port = preferred(service, &ports).unwrap_or(first.number);
    for other in ports.iter().filter(|other| other.number != port) {
        service.note(
            &other.at,
            &format!("not taken: {port} is the port of this app"),
            &format!("publish it with `ports: [\"{0}:{0}\"]`, if it is used", other.number),
        );
    }
    service.set("port", Out::Whole(port.into()), &first.at);
}

/// The port that other services use, if it is one of several.
fn preferred(service: &Service<'_>, ports: &[Port]) -> Option<u16> {
    let used = service.names.ports_used(service.key);
    ports.iter().map(|port| port.number).find(|number| used.contains(number))
}

fn note_published(service: &mut Service<'_>, ports: &[Port]) {
    for port in ports {
        let Some(published) = &port.published else { continue };
        let name = service.draft.name();
        service.note(
            &port.at,
            &format!("the host port `{published}` is not published: the ingress routes by host"),
            &format!("write `access: {{ host: {name}.localhost }}` for HTTP, else `ports`"),
        );
    }
}

fn read_item(service: &mut Service<'_>, at: At, item: &Node, publishes: bool) -> Option<Port> {
    let (container, protocol, published) = match &item.value {
        Value::Map(options) => {
            let find = |name: &str| options.iter().find(|option| option.key == name);
            let find = |name: &str| find(name).and_then(|option| option.value.text());
            (find("target")?, find("protocol"), find("published"))
        }
        Value::Plain(_)
        | Value::Text(_)
        | Value::Number(_)
        | Value::Bool(_)
        | Value::Null
        | Value::List(_)
        | Value::Refused => {
            let (rest, protocol) = match item.text()?.split_once('/') {
                Some((rest, protocol)) => (rest, Some(protocol)),
                None => (item.text()?, None),
            };
            let split = rest.rfind(':').filter(|_| !rest.ends_with('}'));
            match split {
                Some(at) => (&rest[at + 1..], protocol, Some(&rest[..at])),
                None if rest.ends_with('}') => match rest.rfind(":${") {
                    Some(at) => (&rest[at + 1..], protocol, Some(&rest[..at])),
                    None => (rest, protocol, None),
                },
                None => (rest, protocol, None),
            }
        }
    };
    if protocol.is_some_and(|protocol| protocol.eq_ignore_ascii_case("udp")) {
        service.note(
            &at,
            "not taken: `port` is for TCP",
            &format!("publish it with `ports: [\"{container}:{container}/udp\"]`"),
        );
        return None;
    }
    let known = text::with_default(&service.convert(&at, container));
    let Some(number) = known.and_then(|known| known.parse().ok()).filter(|port| *port > 0) else {
        service.note(
            &at,
            &format!("not taken: `{container}` is no single port"),
            "write `port: 8080`, the port in the container",
        );
        return None;
    };
    let published = published.or(Some(container)).filter(|_| publishes).map(str::to_owned);
    Some(Port { number, at, published })
}

/// Finds the port of a service that names none: others may use it, or its image is known.
fn guess(service: &mut Service<'_>, at: &At, keys: &[Entry]) {
    let used = service.names.ports_used(service.key);
    let image = keys.iter().find(|entry| entry.key == "image");
    let image = image.and_then(|entry| entry.value.text()).unwrap_or_default();
    let name = image.rsplit('/').next().unwrap_or(image);
    let name = name.split([':', '@']).next().unwrap_or(name);
    let usual = USUAL.iter().find(|(known, _)| *known == name).map(|(_, port)| *port);
    if let Some(port) = used.first().copied().or(usual) {
        let source = match used.is_empty() {
            true => format!("that of the image `{name}`"),
            false => "that which other services use".to_owned(),
        };
        service.say(at, &format!("the port is {port}, {source}: an app has a name only with one"));
        return service.set("port", Out::Whole(port.into()), at);
    }
    let users = service.names.users_of(service.key);
    let users: Vec<_> = users.into_iter().filter(|user| *user != service.key).collect();
    if !users.is_empty() {
        service.note(
            at,
            &format!("without `port` its name does not resolve, and {} may use it", quoted(&users)),
            "write `port: 8080`, the port in the container",
        );
    }
}
