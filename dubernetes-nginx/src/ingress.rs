//! Applies a route table: render the files, put and check them, switch the link, reload, wait for
//! the acknowledgement.
//!
//! The cache only saves queries: nginx itself is the source of truth about what is being served.

mod upkeep;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use dubernetes_core::app::{AppName, PortMapping, Signal};
use dubernetes_core::dial::Dialer;
use dubernetes_core::ingress::{
    AccessLog, AccessLogQuery, AnswerProblem, ApplyOutcome, Drained, Ingress, IngressError,
    ObservedIngress, Pace, PortSupport, RequestCounts, RouteTable,
};
use dubernetes_core::runtime::{
    Capability, Container, ContainerId, ContainerRuntime, FileEntry, Network, RuntimeError, require,
};
use tokio::time::Instant;

use crate::cache::{Cache, LastApply, Served};
use crate::config::{self, Digest, Generation, RenderContext};
use crate::error::failure;
use crate::features::Features;
use crate::ports;
use crate::proxy::{ANSWER_LIMIT, Ensured, Nginx, NginxConfig, POLL, PUBLISHES, RunningNginx};
use crate::quarantine::Candidate;
use crate::request::published_by;
use crate::version::{Build, Version};
use crate::workers::{WorkerSnapshot, drain_window};

/// Number of consecutive new connections, [`POLL`] apart, that the new generation has to answer.
/// Old workers accept connections beside the new ones for 100 ms, and longer on a busy machine.
/// This number spans more time than that, so an old worker would have answered one of them.
const REQUIRED_ANSWERS: u32 = 8;
/// Maximum age of a snapshot of nginx's processes.
const SNAPSHOT_MAX_AGE: Duration = Duration::from_millis(200);
/// Limit of reloads. Each reload leaves old workers for a while, so a series of changes must not
/// become a series of reloads. A replaced replica makes two changes, one for the new replica and a
/// moment later one for the old one, hence a burst of two.
const PACE: Pace = Pace { burst: 2, period: Duration::from_secs(1) };

/// An nginx container as an [`Ingress`].
///
/// ```
/// # use std::net::{Ipv4Addr, SocketAddr};
/// # use std::sync::Arc;
/// # use dubernetes_core::app::{ImageRef, InstanceName, PullPolicy};
/// # use dubernetes_core::dial::Dialer;
/// # use dubernetes_core::ingress::{Ingress, IngressError, RouteTable, TrustedProxies};
/// # use dubernetes_core::runtime::ContainerRuntime;
/// # use dubernetes_nginx::{NginxConfig, NginxIngress};
/// async fn serve(
///     runtime: Arc<dyn ContainerRuntime>,
///     dialer: Arc<dyn Dialer>,
///     table: &RouteTable,
/// ) -> Result<(), IngressError> {
///     let config = NginxConfig {
///         instance: InstanceName::default(),
///         image: ImageRef::parse("nginx:stable-alpine").expect("a valid reference"),
///         pull: PullPolicy::Missing,
///         http_bind: vec![Ipv4Addr::LOCALHOST.into()],
///         http_port: 8080,
///         https_port: None,
///         keepalive_window: NginxConfig::KEEPALIVE_WINDOW,
///         trusted_proxies: TrustedProxies::default(),
///         proxy_protocol: false,
///         access_log: true,
///         count_requests: false,
///     };
///     let ingress = NginxIngress::new(runtime, dialer, config);
///     let outcome = ingress.apply(table).await?;
///     for (app, reason) in outcome.quarantined {
///         eprintln!("{app}: {reason}");
///     }
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct NginxIngress {
    pub(crate) nginx: Nginx,
    /// Held during a change, so that changes happen one at a time.
    apply_lock: tokio::sync::Mutex<()>,
    cache: Mutex<Cache>,
    /// The last snapshot of nginx's processes: addresses that drain at the same time share it.
    last_snapshot: tokio::sync::Mutex<Option<(RunningNginx, Instant, WorkerSnapshot)>>,
}

impl NginxIngress {
    /// Creates an ingress with these settings. Makes no call yet.
    ///
    /// The `dialer` queries nginx's private port on the instance's network.
    pub fn new(
        runtime: Arc<dyn ContainerRuntime>,
        dialer: Arc<dyn Dialer>,
        config: NginxConfig,
    ) -> Self {
        Self {
            nginx: Nginx { runtime, dialer, config },
            apply_lock: tokio::sync::Mutex::default(),
            cache: Mutex::default(),
            last_snapshot: tokio::sync::Mutex::default(),
        }
    }

    pub(crate) fn cache(&self) -> MutexGuard<'_, Cache> {
        // Each change of the cache is one assignment, so a panic elsewhere leaves it consistent.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Publishes the ports of a served table, from the image that nginx runs.
    async fn publish_ports(
        &self,
        nginx: &RunningNginx,
        table: &RouteTable,
        containers: &[Container],
        network: &Network,
        features: Features,
    ) -> Result<(bool, BTreeMap<AppName, String>), IngressError> {
        let image = match self.nginx.pick(containers) {
            Some(found) if found.id == nginx.id => found.image_id,
            Some(_) | None => self.nginx.runtime.inspect(&nginx.id).await?.image_id,
        };
        Ok(self.nginx.publish_ports(table, containers, &image, network, features).await?)
    }

    pub(crate) async fn network(&self) -> Result<Network, RuntimeError> {
        let instance = &self.nginx.config.instance;
        let networks = require(self.nginx.runtime.networks(), Capability::PlannedAddresses)?;
        match networks.find(instance).await? {
            Some(network) => Ok(network),
            None => networks.ensure(instance).await,
        }
    }

    /// Returns the files of a container that serves nothing.
    fn empty_generation(&self, network: &Network) -> Result<Generation, IngressError> {
        let address = self.nginx.planned_address(network).into();
        let context = self.basic_context(network, address, None);
        let written = config::write(&RouteTable::default(), &context);
        written.map_err(|illegal| failure(illegal.to_string()))
    }

    /// Ensures that nginx runs. A container that has to be created gets the last good files.
    async fn ensure_running(
        &self,
        found: Option<Container>,
        network: &Network,
        requested: &RouteTable,
    ) -> Result<(Ensured, RenderContext), IngressError> {
        let empty = self.empty_generation(network)?;
        let last = self.cache().last_apply.as_ref().map(|last| last.candidate.generation.clone());
        let ensured = self.nginx.ensure_running(found, network, last.as_ref(), &empty).await?;
        let context = self.render_context(&ensured.nginx, network, requested).await?;
        Ok((ensured, context))
    }

    /// Returns what nginx in a container says about itself.
    pub(crate) async fn build(&self, id: &ContainerId) -> Result<Build, IngressError> {
        if let Some((known, build)) = &self.cache().build
            && known == id
        {
            return Ok(*build);
        }
        let result = self.nginx.run_command(id, &["nginx", "-V"], None).await?;
        let build = Build::parse(&String::from_utf8_lossy(&result.stderr))
            .ok_or_else(|| failure("`nginx -V` in the image does not print a version"))?;
        self.cache().build = Some((id.clone(), build));
        Ok(build)
    }

    /// Returns the table that nginx serves under `digest`, from the cache or its directory.
    async fn served_table(
        &self,
        nginx: &RunningNginx,
        digest: &Digest,
    ) -> Result<RouteTable, IngressError> {
        let known = self.cache().served.clone();
        if let Some(served) = &known
            && (&served.nginx, &served.digest) == (nginx, digest)
        {
            return Ok(served.table.clone());
        }
        let folder = Generation::folder(digest);
        let files = self.nginx.read_files(&nginx.id, &folder).await?;
        let table = files.get("table.json").and_then(|text| serde_json::from_slice(text).ok());
        let mut table: RouteTable =
            table.ok_or_else(|| failure(format!("`{folder}/table.json` is missing or damaged")))?;
        config::restore_certificates(&mut table, &files);
        // A change that was acknowledged in the meantime is newer than what was read.
        if self.cache().served == known {
            self.acknowledge(nginx, digest, &table);
        }
        Ok(table)
    }

    /// Returns the table that was acknowledged last while a change of this run is in progress.
    /// During a change, a single answer proves nothing, since old and new workers take turns.
    fn table_before_change(&self, nginx: &RunningNginx) -> Option<RouteTable> {
        if self.apply_lock.try_lock().is_ok() {
            return None;
        }
        let cache = self.cache();
        let served = cache.served.as_ref().filter(|served| served.nginx == *nginx)?;
        Some(served.table.clone())
    }

    /// Records that new connections are served by `table`.
    fn acknowledge(&self, nginx: &RunningNginx, digest: &Digest, table: &RouteTable) {
        let served = Served { nginx: nginx.clone(), digest: digest.clone(), table: table.clone() };
        self.cache().acknowledge(served, Instant::now());
    }

    /// Returns files for `requested`, and what has to be put into the container so that nginx
    /// serves them: nothing if it does.
    async fn find_candidate(
        &self,
        nginx: &RunningNginx,
        context: &RenderContext,
        requested: &RouteTable,
        serving: Option<&Digest>,
    ) -> Result<(Candidate, Vec<FileEntry>), IngressError> {
        if let Some(last) = &self.cache().last_apply
            && (&last.requested, &last.context) == (requested, context)
            && serving == Some(&last.candidate.generation.digest)
        {
            return Ok((last.candidate.clone(), Vec::new()));
        }
        let written = config::write(requested, context).ok();
        // A previous orchestrator checked these files before it activated them.
        if let Some(generation) = &written
            && serving == Some(&generation.digest)
        {
            return Ok((Candidate::accepted(generation.clone()), Vec::new()));
        }
        let served = match serving {
            // Without its table, a served generation provides no last good routes.
            Some(digest) => self.served_table(nginx, digest).await.unwrap_or_default(),
            None => RouteTable::default(),
        };
        // Of files that another program or other settings rendered, no directive is known.
        let is_own =
            || config::write(&served, context).is_ok_and(|own| serving == Some(&own.digest));
        let is_new_try = self.cache().unacknowledged.as_ref() == Some(requested);
        if let Some(generation) = written
            && !is_new_try
            && config::differs_in_addresses_alone(requested, &served)
            && is_own()
        {
            let put = generation.files_and_switch();
            return Ok((Candidate::accepted(generation), put));
        }
        let candidate = self.nginx.find_candidate(nginx, context, requested, &served).await?;
        let put = if serving == Some(&candidate.generation.digest) {
            Vec::new()
        } else {
            candidate.generation.switch()
        };
        Ok((candidate, put))
    }

    /// Returns the files of the served generation, or `None` if this program would render them
    /// differently.
    async fn served_generation(
        &self,
        nginx: &RunningNginx,
        digest: &Digest,
    ) -> Result<Option<Generation>, IngressError> {
        if let Some(last) = &self.cache().last_apply
            && last.candidate.generation.digest == *digest
        {
            return Ok(Some(last.candidate.generation.clone()));
        }
        let table = self.served_table(nginx, digest).await?;
        let context = self.render_context(nginx, &self.network().await?, &table).await?;
        let rendered = config::write(&table, &context).ok();
        Ok(rendered.filter(|generation| generation.digest == *digest))
    }

    /// Switches nginx to a generation that it accepts, and waits until new connections are served
    /// by it.
    async fn activate(
        &self,
        nginx: &RunningNginx,
        generation: &Generation,
        put: &[FileEntry],
    ) -> Result<(), IngressError> {
        self.nginx.put_files(&nginx.id, put).await?;
        self.nginx.runtime.signal(&nginx.id, Signal::SigHup).await?;
        self.rotate_access_log(nginx).await;
        let deadline = Instant::now() + ANSWER_LIMIT;
        let mut answers = 0;
        while answers < REQUIRED_ANSWERS {
            let answer = self.nginx.query_generation(nginx).await;
            let is_new = answer.as_ref() == Ok(&generation.digest);
            answers = if is_new { answers + 1 } else { 0 };
            if !is_new && Instant::now() >= deadline {
                return Err(IngressError::NotAcknowledged);
            }
            if answers < REQUIRED_ANSWERS {
                tokio::time::sleep(POLL).await;
            }
        }
        Ok(())
    }

    /// Returns what a snapshot of nginx, taken at `since` or later, shows of `endpoint`.
    async fn look_at(
        &self,
        nginx: &RunningNginx,
        endpoint: SocketAddr,
        since: Instant,
    ) -> Result<Drained, IngressError> {
        let mut last = self.last_snapshot.lock().await;
        if let Some((known, taken_at, snapshot)) = &*last
            && known == nginx
            && *taken_at >= since
            && taken_at.elapsed() < SNAPSHOT_MAX_AGE
        {
            return Ok(snapshot.drained(endpoint));
        }
        let taken_at = Instant::now();
        let snapshot = self.nginx.snapshot(nginx).await?;
        let drained = snapshot.drained(endpoint);
        *last = Some((nginx.clone(), taken_at, snapshot));
        Ok(drained)
    }
}

#[async_trait]
impl Ingress for NginxIngress {
    async fn apply(&self, requested: &RouteTable) -> Result<ApplyOutcome, IngressError> {
        let _lock = self.apply_lock.lock().await;
        let list = self.nginx.runtime.list(&self.nginx.config.instance);
        let (network, containers) = tokio::try_join!(self.network(), list)?;
        let found = self.nginx.pick(&containers);
        self.nginx.remove_strays(&containers, found.as_ref()).await;
        let (ensured, context) = self.ensure_running(found, &network, requested).await?;
        let Ensured { nginx, changed: started, warning } = ensured;
        let serving = self.nginx.query_generation(&nginx).await.ok();
        let (candidate, put) =
            self.find_candidate(&nginx, &context, requested, serving.as_ref()).await?;
        let generation = &candidate.generation;
        let mut changed = started;
        if started {
            self.after_start(&nginx, &network, requested).await;
        }
        if put.is_empty() {
            changed |= self.restore_files_if_due(&nginx, generation).await?;
            self.acknowledge(&nginx, &generation.digest, &generation.table);
        } else {
            self.cache().unacknowledged = Some(requested.clone());
            self.activate(&nginx, generation, &put).await?;
            self.cache().unacknowledged = None;
            changed = true;
            self.acknowledge(&nginx, &generation.digest, &generation.table);
            self.cache().verified_at = Some(Instant::now());
            let kept = [Some(&generation.digest), serving.as_ref()];
            tokio::join!(self.gc_generations(&nginx, &kept), self.limit_old_workers(&nginx));
        }
        let mut warnings = Vec::from_iter(context.version.and_then(Version::warning));
        warnings.extend(warning);
        warnings.extend(candidate.warnings.iter().cloned());
        warnings.extend(context.features.warning(&requested.listeners));
        if !requested.routes.is_empty() {
            warnings.extend(context.proxies.warning());
        }
        let (table, features) = (candidate.generation.table.clone(), context.features);
        let quarantined = candidate.quarantined.clone();
        self.cache().last_apply =
            Some(LastApply { requested: requested.clone(), context, candidate });
        let (published, unpublished) =
            self.publish_ports(&nginx, &table, &containers, &network, features).await?;
        changed |= published;
        Ok(ApplyOutcome { changed, quarantined, unpublished, warnings })
    }

    async fn observe(&self) -> Result<ObservedIngress, IngressError> {
        let containers = self.nginx.runtime.list(&self.nginx.config.instance).await?;
        self.cache().running = None;
        let Some(container) = self.nginx.pick(&containers) else {
            self.cache().listening = Vec::new();
            return Ok(ObservedIngress::Absent);
        };
        self.cache().listening = published_by(&container, PUBLISHES);
        let nginx = match RunningNginx::from_container(&container) {
            Ok(nginx) => nginx,
            Err(reason) => return Ok(ObservedIngress::Down { reason }),
        };
        let digest = match self.nginx.query_generation(&nginx).await {
            Ok(digest) => digest,
            Err(reason) => return Ok(ObservedIngress::Down { reason }),
        };
        self.cache().running = Some(nginx.clone());
        let table = match self.table_before_change(&nginx) {
            Some(table) => table,
            // It answers, so it serves something: a table that cannot be read is not an empty one.
            None => self.served_table(&nginx, &digest).await?,
        };
        let ports = ports::published(&containers, &self.nginx);
        let table = RouteTable { ports, ..config::drop_lost_certificates(table) };
        Ok(ObservedIngress::Serving { table })
    }

    async fn drained(&self, endpoint: SocketAddr) -> Result<Drained, IngressError> {
        let Some(container) = self.nginx.find().await? else { return Ok(Drained::Yes) };
        let Ok(nginx) = RunningNginx::from_container(&container) else {
            return Ok(Drained::Yes);
        };
        let unrouted_at = {
            let mut cache = self.cache();
            if cache.served.as_ref().is_some_and(|served| served.table.holds(endpoint)) {
                return Ok(Drained::IN_PROGRESS);
            }
            let first_seen_at = *cache.first_seen_at.get_or_insert_with(Instant::now);
            cache.unrouted_at.get(&endpoint).copied().unwrap_or(first_seen_at)
        };
        let window = drain_window(&self.nginx.config);
        if unrouted_at.elapsed() < window {
            return Ok(Drained::IN_PROGRESS);
        }
        self.look_at(&nginx, endpoint, unrouted_at + window).await
    }

    async fn repair(&self) -> Result<Option<String>, IngressError> {
        let _lock = self.apply_lock.lock().await;
        let containers = self.nginx.runtime.list(&self.nginx.config.instance).await?;
        let Some(container) = self.nginx.pick(&containers) else { return Ok(None) };
        self.nginx.remove_strays(&containers, Some(&container)).await;
        let Ok(nginx) = RunningNginx::from_container(&container) else { return Ok(None) };
        let Ok(digest) = self.nginx.query_generation(&nginx).await else { return Ok(None) };
        let generation = self.served_generation(&nginx, &digest).await?;
        if let Some(what) = self.replace_if_outdated(&container, generation.as_ref()).await? {
            return Ok(Some(what));
        }
        let Some(generation) = generation else { return self.render_again(&nginx, &digest).await };
        let is_restored = self.restore_files(&nginx, &generation).await?;
        let what = "its configuration was changed outside Dubernetes, and is restored";
        Ok(is_restored.then(|| what.to_owned()))
    }

    fn https_port(&self) -> Option<u16> {
        self.nginx.config.https_port
    }

    fn listening(&self) -> Vec<SocketAddr> {
        self.cache().listening.clone()
    }

    async fn port_support(&self) -> Result<PortSupport, IngressError> {
        self.observed_port_support().await
    }

    async fn taken_port(&self, port: &PortMapping) -> Option<String> {
        ports::taken(port)
    }

    async fn answer_problems(&self) -> Result<Vec<AnswerProblem>, IngressError> {
        self.nginx.answer_problems().await
    }

    async fn access_log(&self, query: &AccessLogQuery) -> Result<Option<AccessLog>, IngressError> {
        self.nginx.access_log(query).await
    }

    async fn request_counts(
        &self,
    ) -> Result<Option<BTreeMap<AppName, RequestCounts>>, IngressError> {
        let running = self.cache().running.clone();
        match running.filter(|_| self.nginx.config.count_requests) {
            Some(nginx) => self.nginx.request_counts(&nginx).await,
            None => Ok(None),
        }
    }

    async fn remove(&self) -> Result<(), IngressError> {
        let _lock = self.apply_lock.lock().await;
        self.nginx.remove_all_ports().await?;
        self.nginx.remove().await?;
        *self.cache() = Cache::default();
        Ok(())
    }

    fn pace(&self) -> Pace {
        PACE
    }
}
