//! Publishes the ports of apps on the host: one container for each app, which passes connections
//! and datagrams on to the address of the app's name.
//!
//! An engine publishes ports when it creates a container. In a container of their own, a change
//! interrupts the ports of one app; in that of the ingress, it would interrupt every app. What the
//! name leads to changes without this container.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use bytes::Bytes;
use dubernetes_core::app::{self, AppName, PortMapping, Transport};
use dubernetes_core::error::{chain, one_line};
use dubernetes_core::identity::ports_name;
use dubernetes_core::ingress::{HostPort, RouteTable};
use dubernetes_core::labels::{APP, COMPONENT, Component, INSTANCE, PORT, PORTS};
use dubernetes_core::runtime::{
    Container, ContainerRequest, ContainerState, FileEntry, ImageId, Network, NetworkAddress,
    PublishedPort, RuntimeError,
};
use sha2::{Digest as _, Sha256};

use crate::config::{Digest, ROOT};
use crate::directive::Token::{Number, Socket, Word};
use crate::directive::{Conf, IllegalToken};
use crate::features::{Features, STREAM_MODULE, Stream};
use crate::proxy::{Nginx, PUBLISHES, SETTINGS};
use crate::{config, port_owner};

/// Grace period of a container whose ports are given up, or replaced.
const GRACE: app::Duration = app::Duration::from_secs(1);
/// Port inside the container for the first published port; the others follow.
const FIRST_PORT: u16 = 10_000;

/// The ports of one app, all of which lead to one address.
type PortsOfApp<'a> = Vec<&'a HostPort>;

/// Returns the ports that running containers publish, by app.
pub(crate) fn published(containers: &[Container], nginx: &Nginx) -> Vec<HostPort> {
    let ports = |container: &Container| {
        let app = app_of(container, nginx)?;
        let is_running = matches!(container.state, ContainerState::Running { .. });
        let is_used = is_running && !nginx.is_leaving(container);
        (is_used && container.endpoint.is_some()).then(|| read_label(container, &app))?
    };
    let mut all: Vec<_> = containers.iter().filter_map(ports).collect();
    all.sort_by(|a, b| a.first().map(|port| &port.app).cmp(&b.first().map(|port| &port.app)));
    all.into_iter().flatten().collect()
}

/// Returns the app whose ports a container publishes, if it does.
fn app_of(container: &Container, nginx: &Nginx) -> Option<AppName> {
    // Each pass looks at all containers, and few publish ports.
    container.labels.get(COMPONENT).filter(|component| *component == PORTS)?;
    match Component::identify(container, &nginx.config.instance) {
        Ok(Component::Ports(app)) => Some(app),
        Ok(_) | Err(_) => None,
    }
}

/// Returns the label with the ports of an app: the address of its name, and each mapping.
fn write_label(ports: &PortsOfApp<'_>) -> String {
    let address = ports.first().map(|port| port.address.to_string());
    let mappings = ports.iter().map(|port| port.mapping.to_string());
    Vec::from_iter(address.into_iter().chain(mappings)).join(" ")
}

fn read_label(container: &Container, app: &AppName) -> Option<Vec<HostPort>> {
    let mut words = container.labels.get(PUBLISHES)?.split(' ');
    let address = words.next()?.parse().ok()?;
    let port = |word: &str| {
        let mapping = PortMapping::parse(word).ok()?;
        Some(HostPort { app: app.clone(), mapping, address })
    };
    words.map(port).collect()
}

impl Nginx {
    /// Publishes the ports of `table` with containers of `image`, and removes containers that
    /// publish others. Returns whether anything was done, and why the ports of apps are not
    /// published.
    pub(crate) async fn publish_ports(
        &self,
        table: &RouteTable,
        containers: &[Container],
        image: &ImageId,
        network: &Network,
        features: Features,
    ) -> Result<(bool, BTreeMap<AppName, String>), RuntimeError> {
        let mut wanted: BTreeMap<&AppName, PortsOfApp<'_>> = BTreeMap::new();
        for port in &table.ports {
            wanted.entry(&port.app).or_default().push(port);
        }
        let mut changed = false;
        let mut existing = BTreeMap::new();
        for container in containers {
            let Some(app) = app_of(container, self) else { continue };
            if wanted.contains_key(&app) && !self.is_leaving(container) {
                existing.insert(app, container);
            } else {
                self.remove_ports(container).await?;
                changed = true;
            }
        }
        let mut failed = BTreeMap::new();
        for (app, ports) in wanted {
            let request = PortsRequest { ports, image, network, features };
            match self.ensure_ports(app, &request, existing.get(app).copied()).await {
                Ok(started) => changed |= started,
                Err(reason) => drop(failed.insert(app.clone(), reason)),
            }
        }
        Ok((changed, failed))
    }

    /// Removes the containers of all published ports.
    pub(crate) async fn remove_all_ports(&self) -> Result<(), RuntimeError> {
        let all = self.runtime.list(&self.config.instance).await?;
        for container in all.iter().filter(|container| app_of(container, self).is_some()) {
            self.remove_ports(container).await?;
        }
        Ok(())
    }

    async fn remove_ports(&self, container: &Container) -> Result<(), RuntimeError> {
        self.runtime.stop(&container.id, None, GRACE).await?;
        self.runtime.remove(&container.id).await
    }

    /// Ensures that a container publishes these ports. Returns whether one was started.
    ///
    /// # Errors
    ///
    /// Why the ports are not published, as a sentence fragment.
    async fn ensure_ports(
        &self,
        app: &AppName,
        request: &PortsRequest<'_>,
        found: Option<&Container>,
    ) -> Result<bool, String> {
        let failed = |error: RuntimeError| one_line(&chain(&error));
        let stream = request.features.stream.filter(|_| request.features.names);
        let stream = stream.ok_or(
            "the image of the ingress needs the stream module of nginx, \
             and the program `ip`; use `nginx:stable-alpine`",
        )?;
        let container_request =
            request.to_container(self, app, stream).map_err(|illegal| illegal.to_string())?;
        if let Some(found) = found {
            let is_same = found.labels.get(SETTINGS) == container_request.labels.get(SETTINGS);
            if is_same && matches!(found.state, ContainerState::Running { .. }) {
                return Ok(false);
            }
            // What runs goes on to run if the new ports are taken.
            let published = read_label(found, app).unwrap_or_default();
            let is_own =
                |port: &&&HostPort| published.iter().any(|own| own.mapping.overlaps(&port.mapping));
            let others = request.ports.iter().filter(|port| !is_own(port));
            if let Some(reason) = { others }.find_map(|port| taken(&port.mapping)) {
                return Err(reason);
            }
            self.remove_ports(found).await.map_err(failed)?;
        }
        let id = self.runtime.create(&container_request).await.map_err(failed)?;
        let conf = request.conf(stream).map_err(|illegal| illegal.to_string())?;
        let files = [
            FileEntry::Directory { path: ROOT.to_owned() },
            FileEntry::File { path: conf_path(), contents: Bytes::from(conf) },
        ];
        let started = match self.put_files(&id, &files).await {
            Ok(()) => self.runtime.start(&id).await,
            Err(error) => Err(error),
        };
        if let Err(error) = started {
            self.remove_incomplete(&id).await;
            let reason = request.ports.iter().find_map(|port| taken(&port.mapping));
            return Err(reason.unwrap_or_else(|| failed(error)));
        }
        Ok(true)
    }
}

/// What a container for published ports is created from.
struct PortsRequest<'a> {
    ports: PortsOfApp<'a>,
    image: &'a ImageId,
    network: &'a Network,
    features: Features,
}

impl PortsRequest<'_> {
    /// Returns the ports, each with its port inside the container.
    fn numbered(&self) -> impl Iterator<Item = (u16, &HostPort)> {
        (FIRST_PORT..).zip(self.ports.iter().copied())
    }

    fn to_container(
        &self,
        nginx: &Nginx,
        app: &AppName,
        stream: Stream,
    ) -> Result<ContainerRequest, IllegalToken> {
        let instance = &nginx.config.instance;
        let publishes = write_label(&self.ports);
        let conf = self.conf(stream)?;
        let settings = format!("1 {} {} {publishes}\n{conf}", self.image, self.network.id);
        let settings = Digest::from_hash(&Sha256::digest(settings)).to_string();
        let labels = [
            (INSTANCE, instance.to_string()),
            (COMPONENT, PORTS.to_owned()),
            (APP, app.to_string()),
            (PORT, FIRST_PORT.to_string()),
            (SETTINGS, settings),
            (PUBLISHES, publishes),
        ];
        let publish = |(container_port, port): (u16, &HostPort)| PublishedPort {
            host_ip: port.mapping.host().ip(),
            host_port: port.mapping.host_port,
            container_port,
            transport: port.mapping.transport,
        };
        let conf = conf_path();
        Ok(ContainerRequest {
            name: ports_name(instance, app),
            hostname: format!("{app}-ports"),
            labels: labels.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
            command: vec!["nginx".to_owned()],
            args: ["-c", &conf, "-g", "daemon off;"].map(str::to_owned).to_vec(),
            port: FIRST_PORT,
            network: Some(NetworkAddress { network: self.network.id.clone(), address: None }),
            more_addresses: None,
            ports: self.numbered().map(publish).collect(),
            ..nginx.request(self.network, self.image.0.clone())
        })
    }

    fn conf(&self, stream: Stream) -> Result<String, IllegalToken> {
        let mut conf = Conf::new();
        if stream == Stream::Module {
            conf.words("load_module", &[STREAM_MODULE])?;
        }
        conf.line("worker_processes", &[Number(1)])?;
        conf.words("pid", &["/etc/nginx/dubernetes/nginx.pid"])?;
        config::write_limits(&mut conf)?;
        conf.block("stream", &[], |conf| {
            config::names::write_stream_settings(conf)?;
            for (container_port, HostPort { mapping, address, .. }) in self.numbered() {
                let listen = Socket(SocketAddr::from(([0, 0, 0, 0], container_port)));
                conf.block("server", &[], |conf| {
                    match mapping.transport {
                        Transport::Tcp => {
                            conf.line("listen", &[listen, Word("so_keepalive=on")])?;
                        }
                        Transport::Udp => config::names::write_udp_listener(conf, listen)?,
                    }
                    conf.line("proxy_pass", &[Socket((*address, mapping.port).into())])
                })?;
            }
            Ok(())
        })?;
        Ok(conf.finish())
    }
}

fn conf_path() -> String {
    format!("{ROOT}/ports.conf")
}

/// Returns that another process has a port, if this process can see that.
pub(crate) fn taken(mapping: &PortMapping) -> Option<String> {
    let host = mapping.host();
    let error = match mapping.transport {
        Transport::Tcp => TcpListener::bind(host).err()?,
        Transport::Udp => UdpSocket::bind(host).err()?,
    };
    let transport = mapping.transport.as_str().to_uppercase();
    let (address, port) = (host.ip(), host.port());
    (error.kind() == std::io::ErrorKind::AddrInUse).then(|| {
        let owner = match mapping.transport {
            Transport::Tcp => port_owner::find(address, port),
            Transport::Udp => None,
        };
        let by = owner.map_or_else(String::new, |owner| format!(" by {owner}"));
        format!("{transport} port {port} on {address} is taken{by}")
    })
}
