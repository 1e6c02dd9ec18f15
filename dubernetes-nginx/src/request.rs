//! The request for the nginx container, and the hash of its settings.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use dubernetes_core::app::{Signal, Transport};
use dubernetes_core::identity::{ingress_address, ingress_addresses, ingress_name, name_range};
use dubernetes_core::labels::{ADDRESS, COMPONENT, INGRESS, INSTANCE, PORT};
use dubernetes_core::runtime::{
    Capability, Container, ContainerRequest, ContainerState, Network, NetworkAddress, PublishedPort,
};
use sha2::{Digest as _, Sha256};

use crate::config::{Digest, ROOT};
use crate::proxy::{
    HTTP_PORT, HTTPS_PORT, Nginx, NginxConfig, PUBLISHES, PUBLISHES_HTTPS, SETTINGS, SYSCTLS,
};

/// Ports inside the container that are published where nginx listens on them at any address: hardly
/// an app has one of them at its name. Those of connections, see [`SYSCTLS`], are above.
const ANY_HTTP_PORT: u16 = 10_180;
const ANY_HTTPS_PORT: u16 = 10_143;

/// A host that is cut off answers nothing, also to requests over connections that it has. The
/// kernel gives them up after 13 s then, not 15 min, and another replica answers those that may be
/// repeated.
const LOST_HOST: (&str, &str) = ("net.ipv4.tcp_retries2", "5");

/// Returns the ports inside the container that are published, for HTTP and HTTPS.
pub(crate) fn outside_ports(any_address: bool) -> (u16, u16) {
    if any_address { (ANY_HTTP_PORT, ANY_HTTPS_PORT) } else { (HTTP_PORT, HTTPS_PORT) }
}

impl Nginx {
    pub(crate) fn request(&self, network: &Network, image: String) -> ContainerRequest {
        let instance = &self.config.instance;
        let address = self.planned_address(network);
        let labels = [
            (INSTANCE, instance.to_string()),
            (COMPONENT, INGRESS.to_owned()),
            (PORT, HTTP_PORT.to_string()),
            (ADDRESS, address.to_string()),
            (SETTINGS, self.settings_hash(network)),
            (PUBLISHES, join(self.config.listens())),
        ];
        let https = join(self.config.listens_for_https());
        let https = self.config.https_port.map(|_| (PUBLISHES_HTTPS, https));
        let names = name_range(network.subnet);
        let (http_port, https_port) = outside_ports(self.any_address());
        // Makes all addresses of names the container's own, whatever nginx listens on.
        let take =
            names.map_or_else(String::new, |n| format!("ip route replace local {n} dev lo; "));
        let start = format!("{take}exec nginx \"$@\"");
        let current = format!("{ROOT}/current/nginx.conf");
        let args = ["-c", &start, "nginx", "-c", &current, "-g", "daemon off;"];
        ContainerRequest {
            hostname: "ingress".to_owned(),
            labels: { labels.into_iter().chain(https) }
                .map(|(key, value)| (key.to_owned(), value))
                .collect(),
            command: vec!["sh".to_owned()],
            args: args.map(str::to_owned).to_vec(),
            port: HTTP_PORT,
            network: Some(NetworkAddress {
                network: network.id.clone(),
                address: Some(address.into()),
            }),
            more_addresses: names,
            ports: { self.config.listens().map(|address| publish(address, http_port)) }
                .chain(self.config.listens_for_https().map(|address| publish(address, https_port)))
                .collect(),
            // nginx answers requests in flight before it exits.
            stop_signal: Some(Signal::SigQuit),
            sysctls: { SYSCTLS.into_iter() }
                .chain(self.any_address().then_some(LOST_HOST))
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
            ..ContainerRequest::new(ingress_name(instance), image)
        }
    }

    /// Returns the address that a new container gets: the usual one, unless it is held for the
    /// container of a host that was lost.
    pub(crate) fn planned_address(&self, network: &Network) -> Ipv4Addr {
        let networks = self.runtime.networks();
        let held = networks.map(|networks| networks.held_addresses(&self.config.instance));
        let held = held.unwrap_or_default();
        let mut free =
            ingress_addresses(network.subnet).filter(|ip| !held.contains(&IpAddr::V4(*ip)));
        free.next().unwrap_or_else(|| ingress_address(network.subnet))
    }

    /// Returns whether requests from outside arrive at any address of the container: what publishes
    /// its ports is another network than that of the instance, if that spans hosts.
    pub(crate) fn any_address(&self) -> bool {
        self.runtime.capabilities().contains(&Capability::SeveralHosts)
    }

    /// Returns a hash of everything that the container is created with. It includes the network's
    /// id, because a container cannot start again once its network was re-created.
    pub(crate) fn settings_hash(&self, network: &Network) -> String {
        let NginxConfig { image, https_port, .. } = &self.config;
        let listens = join(self.config.listens());
        let mut text = format!("5 {image} {listens} {} {}", network.id, network.subnet);
        if let Some(port) = https_port {
            text.push_str(&format!(" https {port}"));
        }
        Digest::from_hash(&Sha256::digest(text)).to_string()
    }
}

fn join(addresses: impl Iterator<Item = SocketAddr>) -> String {
    addresses.map(|address| address.to_string()).collect::<Vec<_>>().join(",")
}

fn publish(address: SocketAddr, container_port: u16) -> PublishedPort {
    PublishedPort {
        host_ip: address.ip(),
        host_port: address.port(),
        container_port,
        transport: Transport::Tcp,
    }
}

/// Returns where a container publishes nginx on the host, as a label of it says. Its ports cannot
/// change afterwards.
pub(crate) fn published_by(container: &Container, label: &str) -> Vec<SocketAddr> {
    let label = container.labels.get(label).map_or("", String::as_str);
    label.split(',').filter_map(|address| address.parse().ok()).collect()
}

/// Returns the request for an image that has nginx alone. Then apps have no names.
pub(crate) fn without_names(request: ContainerRequest) -> ContainerRequest {
    ContainerRequest {
        command: vec!["nginx".to_owned()],
        args: request.args.into_iter().skip(3).collect(),
        more_addresses: None,
        ..request
    }
}

/// Returns true if a start failed because the image lacks the program.
pub(crate) fn lacks_program(container: &Container) -> bool {
    matches!(container.state, ContainerState::StartFailed { code: 126 | 127, .. })
}
