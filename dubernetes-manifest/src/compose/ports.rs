//! `ports` and `expose`: the port of the app, and what is published.

use super::draft::Out;
use super::names::quoted;
use super::notes::At;
use super::service::Service;
use super::text;
use dubernetes_core::app::rules::MAX_LIST;

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

/// Ports in the container behind which there is no HTTP: SSH, mail, DNS, directories, message
/// brokers, databases.
const NOT_HTTP: [u16; 20] = [
    22, 25, 53, 110, 143, 389, 465, 587, 636, 993, 1433, 1883, 3306, 5432, 5672, 6379, 8883, 9092,
    11211, 27017,
];

/// The host's port that the ingress has by default.
const INGRESS_PORT: &str = "80";

/// A TCP port in the container.
struct Port {
    number: u16,
    at: At,
    reach: Reach,
}

/// From where a port is reached.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// From other apps only.
    Apps,
    /// The same, although it is to be published: a note says why.
    Unpublished,
    /// By `ports`.
    Host,
    /// By `access`.
    Ingress,
}

/// An item of `ports` or `expose`, with the variables of a manifest.
struct Item {
    host_ip: Option<String>,
    host_port: Option<String>,
    target: String,
    is_udp: bool,
}

/// Reads the keys, and sets `port`, `ports` and `access`.
pub(super) fn read(service: &mut Service<'_>, at: &At, keys: &[Entry]) {
    let mut ports = Vec::new();
    let is_own = |entry: &&Entry| matches!(entry.key.as_str(), "ports" | "expose");
    for entry in keys.iter().filter(is_own).filter(|entry| !entry.value.is_null()) {
        let at = at.below(entry);
        let Value::List(items) = &entry.value.value else {
            service.not_taken(&at, "a list was expected");
            continue;
        };
        let before = ports.len();
        for (index, item) in items.iter().enumerate() {
            let at = at.item(index, item.place.line);
            let Some(item) = read_item(service, &at, item) else { continue };
            ports.extend(take(service, &at, &item, entry.key == "ports"));
        }
        note_address(service, &at, &ports[before..]);
    }
    let Some(first) = ports.first() else { return guess(service, at, keys) };
    let used = service.names.ports_used(service.key);
    let preferred = ports.iter().find(|port| used.contains(&port.number)).unwrap_or(first);
    let port = preferred.number;
    let is_needed = |other: &&Port| other.reach == Reach::Apps || used.contains(&other.number);
    for other in ports.iter().filter(|other| other.number != port).filter(is_needed) {
        let number = other.number;
        let message = format!("other apps do not reach {number}: {port} is the port of this app");
        match other.reach {
            Reach::Host | Reach::Ingress => service.say(&other.at, &message),
            Reach::Apps | Reach::Unpublished => {
                service.note(&other.at, &message, "publish it with `ports`, if it is used");
            }
        }
    }
    service.set("port", Out::Whole(port.into()), &first.at);
    if let Some(target) = ports.iter().find(|port| port.reach == Reach::Ingress) {
        give_all_hosts(service, target, port);
    }
}

/// Publishes an item, and returns the TCP ports in the container that it names.
fn take(service: &mut Service<'_>, at: &At, item: &Item, publishes: bool) -> Vec<Port> {
    let Some(targets) = range(&item.target) else {
        let message = format!("not taken: `{}` is no port or range of ports", item.target);
        service.note(at, &message, "`dubernetes explain ports`");
        return Vec::new();
    };
    let reach = if publishes { publish(service, at, item, &targets) } else { Reach::Apps };
    let numbers = targets
        .iter()
        .filter(|_| !item.is_udp)
        .filter_map(|target| text::with_default(target)?.parse().ok());
    numbers.map(|number| Port { number, at: at.clone(), reach }).collect()
}

/// Writes `ports`, except for the port of the ingress.
fn publish(service: &mut Service<'_>, at: &At, item: &Item, targets: &[String]) -> Reach {
    let protocol = if item.is_udp { "/udp" } else { "" };
    let host_port = item.host_port.as_deref().unwrap_or_default();
    let host_ports = range(host_port).unwrap_or_else(|| vec![host_port.to_owned()]);
    let is_free_port = host_port.is_empty() || targets.len() == 1 && host_ports.len() > 1;
    if is_free_port || host_ports.len() != targets.len() {
        let message = match is_free_port {
            true => "not published: Compose takes any free port of the host here",
            false => "not published: the two ranges have different lengths",
        };
        let chosen = host_ports.iter().chain(targets).find(|port| !port.is_empty());
        let chosen = chosen.map_or("", String::as_str);
        let help = format!("choose one, such as `ports: [\"{chosen}:{}{protocol}\"]`", targets[0]);
        service.note(at, message, &help);
        return Reach::Unpublished;
    }
    let is_ingress = text::with_default(host_port).as_deref() == Some(INGRESS_PORT);
    if is_ingress && !item.is_udp && text::with_default(&targets[0]).is_some() {
        return Reach::Ingress;
    }
    if targets.len() > MAX_LIST {
        let message = format!("not published: an app has at most {MAX_LIST} ports of the host");
        service.note(at, &message, "name those that are used in `ports`");
        return Reach::Unpublished;
    }
    let address = match &item.host_ip {
        Some(address) if address.contains(':') && !address.contains(['[', '$']) => {
            format!("[{address}]:")
        }
        Some(address) => format!("{address}:"),
        None => String::new(),
    };
    for (host_port, target) in host_ports.iter().zip(targets) {
        let mapping = format!("{address}{host_port}:{target}{protocol}");
        service.push("ports", Out::Text(mapping), at);
    }
    Reach::Host
}

/// Routes all hosts to the app, since the ingress has the port of the host.
fn give_all_hosts(service: &mut Service<'_>, target: &Port, port: u16) {
    service.note(
        &target.at,
        "the ingress has port 80 of the host: it routes all hosts of no other app to this one",
        "name its hosts, such as `access: { host: web.example.org }`",
    );
    let other = (target.number != port).then_some(target.number);
    let other = other.map(|port| ("port".to_owned(), Out::Whole(port.into())));
    service.set("access", Out::Map(other.into_iter().collect()), &target.at);
}

/// An ingress that passes on connections hides the client, which matters to web servers.
fn note_address(service: &mut Service<'_>, at: &At, ports: &[Port]) {
    let is_http = |port: &Port| port.reach == Reach::Host && !NOT_HTTP.contains(&port.number);
    let has_access = ports.iter().any(|port| port.reach == Reach::Ingress);
    if has_access || !ports.iter().any(is_http) {
        return;
    }
    let help = format!(
        "for HTTP, write `access: {{ host: {}.localhost }}` instead of `ports`",
        service.draft.name()
    );
    service.note(at, "connections come from the address of nginx, not from the client's", &help);
}

/// Reads the short form, `ADDRESS:HOST_PORT:PORT/PROTOCOL`, or the long one.
fn read_item(service: &mut Service<'_>, at: &At, node: &Node) -> Option<Item> {
    let Value::Map(options) = &node.value else {
        let text = service.convert(at, node.text().unwrap_or_default());
        let (ports, protocol) = match text.rsplit_once('/') {
            Some((ports, protocol)) => (ports, protocol),
            None => (text.as_str(), "tcp"),
        };
        let mut parts = text::split_parts(ports);
        let target = parts.pop().unwrap_or_default().to_owned();
        let host_port = parts.pop().filter(|port| !port.is_empty()).map(str::to_owned);
        let host_ip = (!parts.is_empty()).then(|| parts.join(":"));
        let is_udp = is_udp(service, at, protocol)?;
        return Some(Item { host_ip, host_port, target, is_udp });
    };
    let mut find = |name: &str| {
        let option = options.iter().find(|option| option.key == name)?;
        Some(service.convert(at, option.value.text()?))
    };
    let target = find("target").unwrap_or_default();
    let (host_ip, host_port) = (find("host_ip"), find("published"));
    let protocol = find("protocol").unwrap_or_else(|| "tcp".to_owned());
    for option in options {
        match option.key.as_str() {
            // Two of them only describe the port.
            "target" | "host_ip" | "published" | "protocol" | "name" | "app_protocol" => {}
            "mode" => service.not_taken(&at.below(option), "there is one machine, and no swarm"),
            _ => service.not_taken(&at.below(option), "a port has no such option"),
        }
    }
    let is_udp = is_udp(service, at, &protocol)?;
    Some(Item { host_ip, host_port, target, is_udp })
}

fn is_udp(service: &mut Service<'_>, at: &At, protocol: &str) -> Option<bool> {
    match protocol.to_ascii_lowercase().as_str() {
        "tcp" => Some(false),
        "udp" => Some(true),
        _ => {
            service.not_taken(at, &format!("`ports` has `tcp` and `udp`, not `{protocol}`"));
            None
        }
    }
}

/// Returns the ports of `8000` or `8000-8010`. A variable stays as it is.
fn range(text: &str) -> Option<Vec<String>> {
    let parse = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    match (text::with_default(text), text.split_once('-')) {
        (None, _) => Some(vec![text.to_owned()]),
        (Some(known), Some((first, last))) if known == text => {
            let ports = parse(first)?..=parse(last)?;
            (!ports.is_empty()).then(|| ports.map(|port| port.to_string()).collect())
        }
        (Some(known), _) => parse(&known).map(|_| vec![text.to_owned()]),
    }
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
            true => format!("the port of the image `{name}`"),
            false => "which other services use".to_owned(),
        };
        service.say(
            at,
            &format!("`port: {port}` is set, {source}: without a port an app has no name"),
        );
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
