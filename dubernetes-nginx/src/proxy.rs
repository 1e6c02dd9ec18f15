//! The nginx container: finds it, starts it, replaces it where its settings changed.
//!
//! Decides nothing about routes; a container is started with files that it is given.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use dubernetes_core::app::{self, ImageRef, InstanceName, PullPolicy, Resources, Signal};
use dubernetes_core::error::{chain, one_line};
use dubernetes_core::identity::{ingress_address, ingress_name};
use dubernetes_core::ingress::IngressError;
use dubernetes_core::labels::{ADDRESS, COMPONENT, INSTANCE, is_ingress};
use dubernetes_core::runtime::{
    Container, ContainerId, ContainerRequest, ContainerRuntime, ContainerState, LogOptions,
    Network, Probe, ProbeAnswer, ProbeTarget, PublishedPort, RuntimeError,
};
use futures_util::StreamExt as _;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use crate::config::{Digest, GENERATION_PATH, Generation, PRIVATE_PORT};
use crate::error::failed;

/// Which settings the container was made of; another value replaces it.
const SETTINGS: &str = "dubernetes.settings";
/// The port inside the container that is published.
pub(crate) const HTTP_PORT: u16 = 80;
/// How long connections may go on when the container is taken away.
const GRACE: app::Duration = app::Duration::from_secs(5);
/// The same for one that is paused: it serves nobody, so whoever waits is served sooner by a new start.
const PAUSED_GRACE: app::Duration = app::Duration::from_secs(1);
/// How long nginx may take to answer after its start or a reload.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// The pause between two questions to nginx.
pub(crate) const POLL: Duration = Duration::from_millis(20);
/// After so many unanswered questions it is looked whether nginx still runs.
const LOOK_EVERY: u32 = 5;

/// The settings of the nginx container. A changed one replaces the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NginxConfig {
    /// The instance whose requests it routes.
    pub instance: InstanceName,
    /// The image; nginx 1.27.4 or later, with `cat`, `ls`, `rm` and `sh`.
    pub image: ImageRef,
    /// When the image is pulled.
    pub pull: PullPolicy,
    /// The host's address on which it listens.
    pub http_bind: IpAddr,
    /// The host's port on which it listens.
    pub http_port: u16,
}

/// The engine and the settings: all that a step needs.
#[derive(Debug, Clone)]
pub(crate) struct Nginx {
    pub(crate) runtime: Arc<dyn ContainerRuntime>,
    pub(crate) config: NginxConfig,
}

/// One run of the nginx container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    /// The container.
    pub(crate) id: ContainerId,
    /// Its address.
    pub(crate) address: Ipv4Addr,
    /// Since when it runs, in the engine's words: another time is another run.
    pub(crate) since: String,
}

impl Run {
    /// The run that a container is in, or why it is in none.
    pub(crate) fn of(container: &Container) -> Result<Self, String> {
        let since = match &container.state {
            ContainerState::Running { started_at } => started_at.to_string(),
            ContainerState::Created => return Err("its container was never started".into()),
            ContainerState::StartFailed { error, .. } => {
                return Err(format!("its container did not start: {}", one_line(error)));
            }
            ContainerState::Paused => return Err("its container is paused".into()),
            ContainerState::Exited { code, out_of_memory, .. } => {
                let why = if *out_of_memory { " for lack of memory" } else { "" };
                return Err(format!("its container ended with code {code}{why}"));
            }
            ContainerState::Removing => return Err("its container is being removed".into()),
        };
        let address = container.labels.get(ADDRESS).and_then(|text| text.parse().ok());
        let address = address.ok_or_else(|| "its container has no address label".to_owned())?;
        Ok(Self { id: container.id.clone(), address, since })
    }
}

/// What came of a start.
enum Started {
    /// It runs and answers.
    Answers(Run),
    /// It ended at once, for this reason.
    Ended(String),
}

impl Nginx {
    /// The ingress container, in any state.
    pub(crate) async fn find(&self) -> Result<Option<Container>, RuntimeError> {
        let all = self.runtime.list(&self.config.instance).await?;
        Ok(all.into_iter().find(|container| is_ingress(&container.labels)))
    }

    /// Makes nginx run on `network`, and says whether anything had to be done. A container that has
    /// to be made starts with the first of `starts` with which nginx stays up.
    pub(crate) async fn ensure_running(
        &self,
        network: &Network,
        starts: &[&Generation],
    ) -> Result<(Run, bool), IngressError> {
        let Some(found) = self.find().await? else {
            return Ok((self.make(network, starts, None).await?, true));
        };
        if found.labels.get(SETTINGS) != Some(&self.settings(network)) {
            return Ok((self.make(network, starts, Some(&found.id)).await?, true));
        }
        match found.state {
            ContainerState::Running { .. } => {
                if let Ok(run) = Run::of(&found) {
                    return Ok((run, false));
                }
            }
            ContainerState::Paused => {
                self.runtime.stop(&found.id, None, PAUSED_GRACE).await?;
                if let Started::Answers(run) = self.start(&found.id).await? {
                    return Ok((run, true));
                }
            }
            ContainerState::Exited { .. } => {
                if let Started::Answers(run) = self.start(&found.id).await? {
                    return Ok((run, true));
                }
            }
            // What never ran may lack its files.
            ContainerState::Created
            | ContainerState::StartFailed { .. }
            | ContainerState::Removing => {}
        }
        Ok((self.make(network, starts, Some(&found.id)).await?, true))
    }

    /// Takes the container away.
    pub(crate) async fn remove(&self) -> Result<(), IngressError> {
        if let Some(found) = self.find().await? {
            self.discard(&found.id).await?;
        }
        Ok(())
    }

    /// Asks nginx which generation it serves; `Err` is the reason why it did not say.
    pub(crate) async fn ask(&self, run: &Run) -> Result<Result<Digest, String>, RuntimeError> {
        let target = ProbeTarget {
            id: run.id.clone(),
            address: run.address,
            probe: Probe::Http { port: PRIVATE_PORT, path: GENERATION_PATH.to_owned() },
            timeout: app::Duration::from_secs(1),
        };
        Ok(match self.runtime.probe(&target).await? {
            ProbeAnswer::Http { status: 200, body } => Digest::parse(&body)
                .ok_or_else(|| "its private listener does not name a generation".to_owned()),
            ProbeAnswer::Http { status, .. } => {
                Err(format!("its private listener answers with status {status}"))
            }
            ProbeAnswer::Connected | ProbeAnswer::Exited { .. } => {
                Err("its private listener does not speak HTTP".to_owned())
            }
            ProbeAnswer::Refused { port, .. } => {
                Err(format!("nothing listens on its private port {port}"))
            }
            ProbeAnswer::Failed { reason } => {
                Err(format!("its private listener does not answer: {}", one_line(&reason)))
            }
        })
    }

    async fn discard(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        self.runtime.stop(id, None, GRACE).await?;
        self.runtime.remove(id).await
    }

    /// Makes a new container, in the place of `old`.
    async fn make(
        &self,
        network: &Network,
        starts: &[&Generation],
        old: Option<&ContainerId>,
    ) -> Result<Run, IngressError> {
        // First what can fail, so that an image that cannot be had does not end what serves.
        let image = self.runtime.ensure_image(&self.config.image, self.config.pull).await?;
        if let Some(old) = old {
            self.discard(old).await?;
        }
        let mut reason = "there are no files to start it with".to_owned();
        for files in starts {
            let id = self.runtime.create(&self.request(network, image.0.clone())).await?;
            let mut entries = files.entries();
            entries.push(files.link());
            if let Err(error) = self.runtime.put_files(&id, &entries).await {
                self.drop_half_made(&id).await;
                return Err(error.into());
            }
            match self.start(&id).await? {
                Started::Answers(run) => return Ok(run),
                Started::Ended(why) => reason = why,
            }
            self.drop_half_made(&id).await;
        }
        Err(failed(format!("nginx does not stay up: {reason}")))
    }

    /// Starts a container and waits until nginx answers in it.
    async fn start(&self, id: &ContainerId) -> Result<Started, IngressError> {
        if let Err(error) = self.runtime.start(id).await {
            if !matches!(error, RuntimeError::Rejected { .. }) {
                return Err(error.into());
            }
            self.drop_half_made(id).await;
            return Err(self.classify_start(error));
        }
        let deadline = Instant::now() + ANSWER_LIMIT;
        loop {
            let Ok(run) = Run::of(&self.runtime.inspect(id).await?) else {
                return Ok(Started::Ended(self.last_words(id).await));
            };
            for _ in 0..LOOK_EVERY {
                if self.ask(&run).await?.is_ok() {
                    return Ok(Started::Answers(run));
                }
                tokio::time::sleep(POLL).await;
            }
            if Instant::now() >= deadline {
                return Err(IngressError::NotAcknowledged);
            }
        }
    }

    /// A refused start of a container with a published port is most often a taken port. The
    /// engine's text does not tell for sure, so the port itself is tried.
    fn classify_start(&self, error: RuntimeError) -> IngressError {
        let wanted = (self.config.http_bind, self.config.http_port);
        match TcpListener::bind(wanted) {
            Err(bind) if bind.kind() == ErrorKind::AddrInUse => IngressError::PortTaken {
                port: self.config.http_port,
                address: self.config.http_bind.to_string(),
                holder: crate::holder::of(self.config.http_bind, self.config.http_port),
            },
            Ok(_) | Err(_) => error.into(),
        }
    }

    /// Leaves nothing half-made. Where that fails, the next round finds it and tries again.
    async fn drop_half_made(&self, id: &ContainerId) {
        if let Err(error) = self.runtime.remove(id).await {
            tracing::debug!(container = %id, error = chain(&error), "half-made ingress stays");
        }
    }

    /// The last line that a container wrote.
    async fn last_words(&self, id: &ContainerId) -> String {
        let options = LogOptions { tail: Some(1), ..LogOptions::default() };
        let mut last = None;
        if let Ok(mut lines) = self.runtime.logs(id, &options).await {
            while let Some(Ok(line)) = lines.next().await {
                last = Some(crate::error::refusal(&line.text));
            }
        }
        last.unwrap_or_else(|| "it ended without a word".to_owned())
    }

    fn request(&self, network: &Network, image: String) -> ContainerRequest {
        let NginxConfig { instance, http_bind, http_port, .. } = &self.config;
        let address = ingress_address(network.subnet);
        let labels = [
            (INSTANCE, instance.to_string()),
            (COMPONENT, "ingress".to_owned()),
            (ADDRESS, address.to_string()),
            (SETTINGS, self.settings(network)),
        ];
        let words = ["-c", "/etc/nginx/dubernetes/current/nginx.conf", "-g", "daemon off;"];
        ContainerRequest {
            name: ingress_name(instance),
            hostname: "ingress".to_owned(),
            image,
            labels: labels.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
            command: vec!["nginx".to_owned()],
            args: words.map(str::to_owned).to_vec(),
            env: BTreeMap::new(),
            secret_env: BTreeMap::new(),
            files: Vec::new(),
            network: network.id.clone(),
            address,
            resources: Resources::default(),
            volumes: Vec::new(),
            ports: vec![PublishedPort {
                host_ip: *http_bind,
                host_port: *http_port,
                container_port: HTTP_PORT,
            }],
            // Requests under way are answered before it ends.
            stop_signal: Some(Signal::SigQuit),
        }
    }

    /// A hash of all that a container is made of. The network's id is in it since a container
    /// can never start again once its network was made anew.
    fn settings(&self, network: &Network) -> String {
        let NginxConfig { instance: _, image, pull: _, http_bind, http_port } = &self.config;
        let text = format!("1 {image} {http_bind} {http_port} {} {}", network.id, network.subnet);
        Digest::of(&Sha256::digest(text)).to_string()
    }
}
