//! Manages the nginx container: finds it, starts it, and replaces it if its settings changed.
//!
//! Decides nothing about routes: a container starts with the files that the caller gives.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dubernetes_core::app::{self, ImageRef, InstanceName, PullPolicy};
use dubernetes_core::dial::{Dialer, Probe, ProbeAnswer};
use dubernetes_core::error::{chain, one_line};
use dubernetes_core::ingress::{IngressError, TrustedProxies};
use dubernetes_core::labels::{ADDRESS, Component};
use dubernetes_core::runtime::{
    Capability, Container, ContainerId, ContainerRuntime, ContainerState, Exit, FileEntry, ImageId,
    LogOptions, Network, RuntimeError, require,
};
use futures_util::StreamExt as _;
use tokio::time::Instant;

use crate::config::{Digest, GENERATION_PATH, Generation, PRIVATE_PORT};
use crate::error::{failure, parse_refusal};
use crate::request::{lacks_program, published_by, without_names};

/// Label with a hash of the settings that the container was created with. The container is
/// replaced if the hash differs.
pub(crate) const SETTINGS: &str = "dubernetes.settings";
/// Label with the host's addresses and ports that the container publishes, separated by commas.
pub(crate) const PUBLISHES: &str = "dubernetes.publishes";
/// Label with those that it publishes for HTTPS, if it does.
pub(crate) const PUBLISHES_HTTPS: &str = "dubernetes.publishes-https";
/// Each request is a new connection to a replica, and an app that does not close first leaves its
/// port in TIME-WAIT for a minute: the kernel's defaults allow 470 of them a second.
///
/// The kernel remembers for up to 45 s where it found an address, and sends into the void if the
/// container is gone. With these values it looks again after 0.1 s, and takes 0.05 s to find that
/// nothing answers: then a connection fails at once.
pub(crate) const SYSCTLS: [(&str, &str); 7] = [
    ("net.ipv4.ip_local_port_range", "10240 65535"),
    ("net.ipv4.tcp_tw_reuse", "1"),
    ("net.ipv4.neigh.IFNAME.base_reachable_time_ms", "100"),
    ("net.ipv4.neigh.IFNAME.delay_first_probe_time", "0"),
    ("net.ipv4.neigh.IFNAME.retrans_time_ms", "25"),
    ("net.ipv4.neigh.IFNAME.ucast_solicit", "2"),
    ("net.ipv4.neigh.IFNAME.mcast_solicit", "2"),
];
/// Ports inside the container that are published.
pub(crate) const HTTP_PORT: u16 = 80;
pub(crate) const HTTPS_PORT: u16 = 443;
/// Grace period for connections when the container is removed.
const GRACE: app::Duration = app::Duration::from_secs(5);
/// Grace period of a container that is replaced. nginx takes no new request meanwhile, so a long
/// one would interrupt every app for a few requests in progress.
pub(crate) const REPLACED_GRACE: app::Duration = app::Duration::from_secs(1);
/// Grace period of a paused container. It serves no client, so a quick restart serves them sooner.
const PAUSED_GRACE: app::Duration = app::Duration::from_secs(1);
/// Deadline for nginx to answer after a start or reload.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// Time between two queries of nginx.
pub(crate) const POLL: Duration = Duration::from_millis(20);
/// Number of unanswered queries after which the container is inspected, in case nginx exited.
const INSPECT_EVERY: u32 = 5;

/// Settings of the nginx container. Most changed settings replace the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NginxConfig {
    /// The instance whose requests are routed.
    pub instance: InstanceName,
    /// The image: nginx 1.27.4 or later. With `sh` and `ip`, apps have names; those without
    /// `access`, and published ports, also need the stream module. With `cat`, `ls` and `sh`, an
    /// address is drained while an old worker still has other connections; with `rm`, old files are
    /// removed.
    pub image: ImageRef,
    /// When the image is pulled.
    pub pull: PullPolicy,
    /// The host's addresses on which nginx listens, at least one.
    pub http_bind: Vec<IpAddr>,
    /// The host's port on which nginx listens.
    pub http_port: u16,
    /// The host's port on which nginx listens for HTTPS, at the same addresses; by default none.
    pub https_port: Option<u16>,
    /// How long a reload keeps idle connections of clients open. Each step of an update waits for
    /// that. A change replaces no container.
    pub keepalive_window: app::Duration,
    /// The proxies in front that are believed about clients. A change replaces no container.
    pub trusted_proxies: TrustedProxies,
    /// Whether connections start with the PROXY protocol, whose addresses are believed if a trusted
    /// proxy sends them. A change replaces no container.
    pub proxy_protocol: bool,
    /// Whether requests to apps are logged. The log needs `sh`, `cat`, `head`, `tail` and `stat` in
    /// the image. A change replaces no container.
    pub access_log: bool,
    /// Whether requests to apps are counted, if the image can. A change replaces no container.
    pub count_requests: bool,
}

impl NginxConfig {
    /// The default of `keepalive_window`.
    pub const KEEPALIVE_WINDOW: app::Duration = app::Duration::from_secs(1);

    /// Returns the addresses and ports that are published.
    pub(crate) fn listens(&self) -> impl Iterator<Item = SocketAddr> {
        self.listens_on(self.http_port)
    }

    /// Returns the addresses and ports that are published for HTTPS.
    pub(crate) fn listens_for_https(&self) -> impl Iterator<Item = SocketAddr> {
        self.https_port.into_iter().flat_map(|port| self.listens_on(port))
    }

    fn listens_on(&self, port: u16) -> impl Iterator<Item = SocketAddr> {
        self.http_bind.iter().map(move |address| SocketAddr::new(*address, port))
    }
}

/// The nginx container of one instance: its settings, and the means to reach it.
#[derive(Debug, Clone)]
pub(crate) struct Nginx {
    pub(crate) runtime: Arc<dyn ContainerRuntime>,
    /// Queries the private listener.
    pub(crate) dialer: Arc<dyn Dialer>,
    pub(crate) config: NginxConfig,
}

/// One run of the nginx container, from a start to the next exit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunningNginx {
    /// The container.
    pub(crate) id: ContainerId,
    /// The container's address, as observed.
    pub(crate) address: IpAddr,
    /// The start time as the engine reports it. Another time means another run.
    pub(crate) started_at: String,
}

impl RunningNginx {
    /// Returns the current run of a container, or why it does not run.
    pub(crate) fn from_container(container: &Container) -> Result<Self, String> {
        let started_at = match &container.state {
            ContainerState::Running { started_at } => started_at.to_string(),
            ContainerState::Created => return Err("its container was never started".into()),
            ContainerState::StartFailed { error, .. } => {
                return Err(format!("its container did not start: {}", one_line(error)));
            }
            ContainerState::Paused => return Err("its container is paused".into()),
            ContainerState::Exited(Exit { code, out_of_memory, .. }) => {
                let why = if *out_of_memory { " (out of memory)" } else { "" };
                return Err(format!("its container exited with code {code}{why}"));
            }
            ContainerState::Removing => return Err("its container is being removed".into()),
        };
        // nginx listens on its planned address, so it has to be there.
        let planned = container.labels.get(ADDRESS).and_then(|text| text.parse::<IpAddr>().ok());
        match container.endpoint.map(|endpoint| endpoint.ip()) {
            Some(address) if Some(address) == planned => {
                Ok(Self { id: container.id.clone(), address, started_at })
            }
            Some(_) | None => Err("its container is not on the instance's network".to_owned()),
        }
    }
}

/// A container that runs nginx.
#[derive(Debug)]
pub(crate) struct Ensured {
    pub(crate) nginx: RunningNginx,
    /// Something had to be done.
    pub(crate) changed: bool,
    /// Why the container was not replaced although it has other settings.
    pub(crate) warning: Option<String>,
}

impl Ensured {
    fn new(nginx: RunningNginx, changed: bool) -> Self {
        Self { nginx, changed, warning: None }
    }
}

/// The result of starting a container.
enum StartResult {
    /// nginx runs and answers.
    Serving(RunningNginx),
    /// nginx exited at once, for this reason.
    Exited(String),
    /// The image lacks the program that the container starts with.
    NoProgram,
}

impl Nginx {
    /// Returns the ingress container, in any state.
    pub(crate) async fn find(&self) -> Result<Option<Container>, RuntimeError> {
        Ok(self.pick(&self.runtime.list(&self.config.instance).await?))
    }

    /// Returns the ingress container of a list.
    pub(crate) fn pick(&self, all: &[Container]) -> Option<Container> {
        let instance = &self.config.instance;
        let is_ingress = |container: &&Container| {
            matches!(Component::identify(container, instance), Ok(Component::Ingress))
        };
        // Of several, the one that may stay.
        all.iter().filter(is_ingress).min_by_key(|found| self.is_leaving(found)).cloned()
    }

    /// Ensures that nginx runs on `network`, in the container `found` if there is one. A container
    /// that has to be created starts with the files of `last`, the last good ones, if nginx stays
    /// up with them, and else of `empty`.
    pub(crate) async fn ensure_running(
        &self,
        found: Option<Container>,
        network: &Network,
        last: Option<&Generation>,
        empty: &Generation,
    ) -> Result<Ensured, IngressError> {
        let starts: Vec<_> = last.into_iter().chain([empty]).collect();
        let starts = &starts[..];
        let Some(found) = found else {
            let image = self.image().await?;
            return Ok(Ensured::new(self.create(image, network, starts).await?, true));
        };
        let running = RunningNginx::from_container(&found).ok();
        if !self.has_settings(&found, network) {
            return match (self.prepare_replacement(&found).await, running) {
                (Ok(image), _) => {
                    let nginx = self.replace(&found.id, image, network, starts).await?;
                    Ok(Ensured::new(nginx, true))
                }
                // What runs goes on to serve, and gets new routes.
                (Err(error), Some(nginx)) => {
                    let why = match &error {
                        // It says that the container failed, which serves.
                        IngressError::Runtime(error) => chain(error),
                        error => chain(error),
                    };
                    let why = one_line(&why);
                    let warning = format!("the ingress keeps its former settings: {why}");
                    Ok(Ensured { nginx, changed: false, warning: Some(warning) })
                }
                (Err(error), None) => Err(error),
            };
        }
        if let Some(nginx) = running {
            return Ok(Ensured::new(nginx, false));
        }
        match found.state {
            ContainerState::Paused => {
                self.runtime.stop(&found.id, None, PAUSED_GRACE).await?;
                if let StartResult::Serving(nginx) = self.start(&found.id).await? {
                    return Ok(Ensured::new(nginx, true));
                }
            }
            ContainerState::Exited(_) => {
                // They may have been changed while nginx ran, which reads them now.
                if let Some(last) = last
                    && let Err(error) = self.put_files(&found.id, &last.files_and_switch()).await
                {
                    tracing::debug!(error = chain(&error), "files of the ingress not put");
                }
                if let StartResult::Serving(nginx) = self.start(&found.id).await? {
                    return Ok(Ensured::new(nginx, true));
                }
            }
            // A container that never ran may lack its files.
            ContainerState::Running { .. }
            | ContainerState::Created
            | ContainerState::StartFailed { .. }
            | ContainerState::Removing => {}
        }
        let image = self.image().await?;
        Ok(Ensured::new(self.replace(&found.id, image, network, starts).await?, true))
    }

    /// Returns true if a container was created with the present settings, where it has to be.
    pub(crate) fn has_settings(&self, container: &Container, network: &Network) -> bool {
        container.labels.get(SETTINGS) == Some(&self.settings_hash(network))
            && !self.is_leaving(container)
    }

    /// Returns the image that the settings name, pulled if necessary.
    pub(crate) async fn image(&self) -> Result<ImageId, RuntimeError> {
        let image = self.config.image.clone().into();
        self.runtime.resolve(&image, self.config.pull).await
    }

    /// Checks what would keep a replacement from starting, before `old` is stopped: the image, and
    /// ports that `old` does not have. Returns the image.
    pub(crate) async fn prepare_replacement(
        &self,
        old: &Container,
    ) -> Result<ImageId, IngressError> {
        let image = self.image().await?;
        let own = [PUBLISHES, PUBLISHES_HTTPS].map(|label| published_by(old, label)).concat();
        let frees = |wanted: &SocketAddr| {
            own.iter().any(|own| own.port() == wanted.port() && overlap(own.ip(), wanted.ip()))
        };
        let mut wanted = self.config.listens().chain(self.config.listens_for_https());
        match wanted.by_ref().filter(|wanted| !frees(wanted)).find_map(taken) {
            Some(error) if !own.is_empty() => Err(error),
            Some(_) | None => Ok(image),
        }
    }

    /// Replaces a container. Requests are refused until the new one answers.
    pub(crate) async fn replace(
        &self,
        old: &ContainerId,
        image: ImageId,
        network: &Network,
        starts: &[&Generation],
    ) -> Result<RunningNginx, IngressError> {
        self.runtime.stop(old, None, REPLACED_GRACE).await?;
        self.runtime.remove(old).await?;
        self.create(image, network, starts).await
    }

    /// Removes the container. A missing one is success.
    pub(crate) async fn remove(&self) -> Result<(), IngressError> {
        if let Some(found) = self.find().await? {
            self.runtime.stop(&found.id, None, GRACE).await?;
            self.runtime.remove(&found.id).await?;
        }
        Ok(())
    }

    /// Returns the generation that nginx serves, as its private listener answers, or why there
    /// is no answer.
    pub(crate) async fn query_generation(&self, nginx: &RunningNginx) -> Result<Digest, String> {
        let endpoint = SocketAddr::from((nginx.address, PRIVATE_PORT));
        let probe = Probe::Http { host: None, path: GENERATION_PATH.to_owned() };
        match self.dialer.probe(endpoint, &probe, app::Duration::from_secs(1)).await {
            ProbeAnswer::Http { status: 200, body } => Digest::parse(&body)
                .ok_or_else(|| "its private listener does not name a generation".to_owned()),
            ProbeAnswer::Http { status, .. } => {
                Err(format!("its private listener answers with status {status}"))
            }
            ProbeAnswer::Connected | ProbeAnswer::Exited { .. } => {
                Err("its private listener does not speak HTTP".to_owned())
            }
            ProbeAnswer::Refused { port, .. } => {
                Err(format!("connection refused on its private port {port}"))
            }
            ProbeAnswer::Failed { reason } => {
                Err(format!("its private listener does not answer: {}", one_line(&reason)))
            }
        }
    }

    /// Returns the files in and below a directory of the container.
    pub(crate) async fn read_files(
        &self,
        id: &ContainerId,
        directory: &str,
    ) -> Result<BTreeMap<String, Bytes>, RuntimeError> {
        require(self.runtime.files(), Capability::Files)?.read(id, directory).await
    }

    /// Puts files and links into the container.
    pub(crate) async fn put_files(
        &self,
        id: &ContainerId,
        files: &[FileEntry],
    ) -> Result<(), RuntimeError> {
        require(self.runtime.files(), Capability::Files)?.put(id, files).await
    }

    /// Creates and starts a container.
    async fn create(
        &self,
        image: ImageId,
        network: &Network,
        starts: &[&Generation],
    ) -> Result<RunningNginx, IngressError> {
        let mut reason = "there are no files to start it with".to_owned();
        let mut request = self.request(network, image.0);
        let mut starts = starts.iter();
        let mut next = starts.next();
        while let Some(generation) = next {
            let id = self.runtime.create(&request).await?;
            let mut entries = generation.entries();
            entries.push(generation.link());
            if let Err(error) = self.put_files(&id, &entries).await {
                self.remove_incomplete(&id).await;
                return Err(error.into());
            }
            match self.start(&id).await? {
                StartResult::Serving(nginx) => return Ok(nginx),
                StartResult::Exited(why) => reason = why,
                StartResult::NoProgram if request.more_addresses.is_some() => {
                    request = without_names(request);
                    continue;
                }
                StartResult::NoProgram => reason = "the image has no `nginx`".to_owned(),
            }
            self.remove_incomplete(&id).await;
            next = starts.next();
        }
        Err(failure(format!("nginx does not stay up: {reason}")))
    }

    /// Starts a container and waits until nginx answers.
    async fn start(&self, id: &ContainerId) -> Result<StartResult, IngressError> {
        if let Err(error) = self.runtime.start(id).await {
            if !matches!(error, RuntimeError::Rejected { .. }) {
                return Err(error.into());
            }
            let container = self.runtime.inspect(id).await;
            self.remove_incomplete(id).await;
            if container.is_ok_and(|container| lacks_program(&container)) {
                return Ok(StartResult::NoProgram);
            }
            return Err(self.classify_rejected_start(error));
        }
        let deadline = Instant::now() + ANSWER_LIMIT;
        loop {
            let container = self.runtime.inspect(id).await?;
            let Ok(nginx) = RunningNginx::from_container(&container) else {
                return Ok(StartResult::Exited(self.last_log_line(id).await));
            };
            for _ in 0..INSPECT_EVERY {
                if self.query_generation(&nginx).await.is_ok() {
                    self.rotate_access_log(id).await;
                    return Ok(StartResult::Serving(nginx));
                }
                tokio::time::sleep(POLL).await;
            }
            if Instant::now() >= deadline {
                return Err(IngressError::NotAcknowledged);
            }
        }
    }

    /// Classifies a rejected start. The usual cause is that the published port is in use, but the
    /// engine's message does not say so reliably, so the port itself is tried.
    fn classify_rejected_start(&self, error: RuntimeError) -> IngressError {
        let mut listens = self.config.listens().chain(self.config.listens_for_https());
        listens.find_map(taken).unwrap_or_else(|| error.into())
    }

    /// Removes a container that did not start. If that fails, the next apply replaces it.
    pub(crate) async fn remove_incomplete(&self, id: &ContainerId) {
        if let Err(error) = self.runtime.remove(id).await {
            tracing::debug!(container = %id, error = chain(&error), "ingress not removed");
        }
    }

    /// Returns the last line that a container logged.
    async fn last_log_line(&self, id: &ContainerId) -> String {
        let options = LogOptions { tail: Some(1), ..LogOptions::default() };
        let mut last = None;
        if let Some(logs) = self.runtime.logs()
            && let Ok(mut lines) = logs.read(id, &options).await
        {
            while let Some(Ok(line)) = lines.next().await {
                last = Some(parse_refusal(&line.text));
            }
        }
        last.unwrap_or_else(|| "it exited without a message".to_owned())
    }
}

/// Returns the error for an address that another process listens on.
fn taken(address: SocketAddr) -> Option<IngressError> {
    let error = TcpListener::bind(address).err()?;
    (error.kind() == ErrorKind::AddrInUse).then(|| IngressError::PortTaken {
        port: address.port(),
        address: address.ip().to_string(),
        owner: crate::port_owner::find(address.ip(), address.port()),
    })
}

/// Returns true if listeners at these addresses exclude each other on one port.
fn overlap(a: IpAddr, b: IpAddr) -> bool {
    a == b || a.is_unspecified() || b.is_unspecified()
}
