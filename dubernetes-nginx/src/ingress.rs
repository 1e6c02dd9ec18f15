//! Applies a route table: render the files, put and check them, switch the link, reload, wait for
//! the acknowledgement.
//!
//! The cache only saves queries: nginx itself is the source of truth about what is being served.

mod upkeep;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use dubernetes_core::app::{AppName, Signal};
use dubernetes_core::dial::Dialer;
use dubernetes_core::ingress::{
    ApplyOutcome, Drained, Ingress, IngressError, ObservedIngress, Pace, RouteTable,
};
use dubernetes_core::runtime::{
    Capability, Container, ContainerId, ContainerRuntime, Network, RuntimeError, require,
};
use tokio::time::Instant;

use crate::cache::{Cache, LastApply, Served};
use crate::config::{self, Digest, Generation, ROOT, RenderContext};
use crate::error::failure;
use crate::features::Features;
use crate::ports;
use crate::proxy::{ANSWER_LIMIT, Ensured, Nginx, NginxConfig, POLL, RunningNginx, published_by};
use crate::quarantine::Candidate;
use crate::version::Version;
use crate::workers::{DRAIN_WINDOW, WorkerSnapshot};

/// Number of consecutive new connections, [`POLL`] apart, that the new generation has to answer.
/// Old workers accept connections beside the new ones for 100 ms, and longer on a busy machine.
/// This number spans more time than that, so an old worker would have answered one of them.
const REQUIRED_ANSWERS: u32 = 8;
/// Time between two comparisons of the served files with what they should be.
const VERIFY_INTERVAL: Duration = Duration::from_secs(15);
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
/// # use dubernetes_core::ingress::{Ingress, IngressError, RouteTable};
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

    async fn network(&self) -> Result<Network, RuntimeError> {
        let instance = &self.nginx.config.instance;
        let networks = require(self.nginx.runtime.networks(), Capability::PlannedAddresses)?;
        match networks.find(instance).await? {
            Some(network) => Ok(network),
            None => networks.ensure(instance).await,
        }
    }

    /// Ensures that nginx runs. A container that has to be created gets the last good files.
    async fn ensure_running(
        &self,
        found: Option<Container>,
        network: &Network,
        requested: &RouteTable,
    ) -> Result<(Ensured, RenderContext), IngressError> {
        let empty = empty_generation(network)?;
        let last = self.cache().last_apply.as_ref().map(|last| last.candidate.generation.clone());
        let starts: Vec<_> = last.iter().chain([&empty]).collect();
        let ensured = self.nginx.ensure_running(found, network, &starts).await?;
        let context = self.render_context(&ensured.nginx, network, requested).await?;
        Ok((ensured, context))
    }

    pub(crate) async fn version(&self, id: &ContainerId) -> Result<Version, IngressError> {
        if let Some((known, version)) = &self.cache().version
            && known == id
        {
            return Ok(*version);
        }
        let result = self.nginx.run_command(id, &["nginx", "-v"], None).await?;
        let version = Version::parse(&String::from_utf8_lossy(&result.stderr))
            .ok_or_else(|| failure("`nginx -v` in the image does not print a version"))?;
        self.cache().version = Some((id.clone(), version));
        Ok(version)
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
        let table: RouteTable =
            table.ok_or_else(|| failure(format!("`{folder}/table.json` is missing or damaged")))?;
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

    /// Returns files for `requested`: known ones, or files that are checked now. The flag is true
    /// for the latter.
    async fn find_candidate(
        &self,
        nginx: &RunningNginx,
        context: &RenderContext,
        requested: &RouteTable,
        serving: Option<&Digest>,
    ) -> Result<(Candidate, bool), IngressError> {
        if let Some(last) = &self.cache().last_apply
            && (&last.requested, &last.context) == (requested, context)
            && serving == Some(&last.candidate.generation.digest)
        {
            return Ok((last.candidate.clone(), false));
        }
        if let Ok(generation) = config::write(requested, context)
            && serving == Some(&generation.digest)
        {
            // A previous orchestrator checked these files before it activated them.
            let candidate =
                Candidate { generation, quarantined: BTreeMap::new(), warnings: Vec::new() };
            return Ok((candidate, false));
        }
        let served = match serving {
            // Without its table, a served generation provides no last good routes.
            Some(digest) => self.served_table(nginx, digest).await.unwrap_or_default(),
            None => RouteTable::default(),
        };
        let is_own = config::write(&served, context).is_ok_and(|own| serving == Some(&own.digest));
        if is_own
            && config::is_part_of(requested, &served)
            && let Ok(generation) = config::write(requested, context)
            && self.nginx.put_part(nginx, &generation).await?
        {
            let candidate =
                Candidate { generation, quarantined: BTreeMap::new(), warnings: Vec::new() };
            return Ok((candidate, true));
        }
        Ok((self.nginx.find_candidate(nginx, context, requested, &served).await?, true))
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

    /// Calls [`NginxIngress::restore_files`], unless the files were verified recently.
    async fn restore_files_if_due(
        &self,
        nginx: &RunningNginx,
        generation: &Generation,
    ) -> Result<bool, IngressError> {
        let is_due = |at: Instant| at.elapsed() >= VERIFY_INTERVAL;
        if !self.cache().verified_at.is_none_or(is_due) {
            return Ok(false);
        }
        self.restore_files(nginx, generation).await
    }

    /// Restores files of the served generation that were changed outside Dubernetes, and reloads
    /// nginx, which may have read them. Returns true if files had been changed.
    async fn restore_files(
        &self,
        nginx: &RunningNginx,
        generation: &Generation,
    ) -> Result<bool, IngressError> {
        let matches = self.files_match(nginx, generation).await?;
        if !matches {
            self.nginx.put_files(&nginx.id, &generation.entries_with_directories()).await?;
            self.nginx.put_link(&nginx.id, generation).await?;
            if !self.files_match(nginx, generation).await? {
                return Err(failure("the restored files of the ingress changed again"));
            }
            self.nginx.runtime.signal(&nginx.id, Signal::SigHup).await?;
        }
        self.cache().verified_at = Some(Instant::now());
        Ok(!matches)
    }

    async fn files_match(
        &self,
        nginx: &RunningNginx,
        generation: &Generation,
    ) -> Result<bool, IngressError> {
        let files = match self.nginx.read_files(&nginx.id, &format!("{ROOT}/current")).await {
            Ok(files) => files,
            Err(RuntimeError::NotFound { .. }) => BTreeMap::new(),
            Err(error) => return Err(error.into()),
        };
        Ok(generation.files.iter().all(|(path, expected)| files.get(path) == Some(expected)))
    }

    /// Switches nginx to a checked generation, and waits until new connections are served by it.
    async fn activate(
        &self,
        nginx: &RunningNginx,
        generation: &Generation,
    ) -> Result<(), IngressError> {
        self.nginx.put_link(&nginx.id, generation).await?;
        self.nginx.runtime.signal(&nginx.id, Signal::SigHup).await?;
        let deadline = Instant::now() + ANSWER_LIMIT;
        let mut answers = 0;
        while answers < REQUIRED_ANSWERS {
            let answer = self.nginx.query_generation(nginx).await;
            let is_new = answer.as_ref() == Ok(&generation.digest);
            answers = if is_new { answers + 1 } else { 0 };
            if !is_new && Instant::now() >= deadline {
                return Err(IngressError::NotAcknowledged);
            }
            tokio::time::sleep(POLL).await;
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
        let (ensured, context) = self.ensure_running(found, &network, requested).await?;
        let Ensured { nginx, changed: started, warning } = ensured;
        let serving = self.nginx.query_generation(&nginx).await.ok();
        let (candidate, is_new) =
            self.find_candidate(&nginx, &context, requested, serving.as_ref()).await?;
        let generation = &candidate.generation;
        let mut changed = started;
        if !is_new || serving.as_ref() == Some(&generation.digest) {
            changed |= self.restore_files_if_due(&nginx, generation).await?;
            self.acknowledge(&nginx, &generation.digest, &generation.table);
        } else {
            self.activate(&nginx, generation).await?;
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
        let Some(container) = self.nginx.pick(&containers) else {
            self.cache().listening = Vec::new();
            return Ok(ObservedIngress::Absent);
        };
        self.cache().listening = published_by(&container);
        let nginx = match RunningNginx::from_container(&container) {
            Ok(nginx) => nginx,
            Err(reason) => return Ok(ObservedIngress::Down { reason }),
        };
        let digest = match self.nginx.query_generation(&nginx).await {
            Ok(digest) => digest,
            Err(reason) => return Ok(ObservedIngress::Down { reason }),
        };
        let table = match self.table_before_change(&nginx) {
            Some(table) => table,
            // It answers, so it serves something: a table that cannot be read is not an empty one.
            None => self.served_table(&nginx, &digest).await?,
        };
        let ports = ports::published(&containers, &self.nginx);
        Ok(ObservedIngress::Serving { table: RouteTable { ports, ..table } })
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
        if unrouted_at.elapsed() < DRAIN_WINDOW {
            return Ok(Drained::IN_PROGRESS);
        }
        self.look_at(&nginx, endpoint, unrouted_at + DRAIN_WINDOW).await
    }

    async fn repair(&self) -> Result<Option<String>, IngressError> {
        let _lock = self.apply_lock.lock().await;
        let Some(container) = self.nginx.find().await? else { return Ok(None) };
        let Ok(nginx) = RunningNginx::from_container(&container) else { return Ok(None) };
        let Ok(digest) = self.nginx.query_generation(&nginx).await else { return Ok(None) };
        let generation = self.served_generation(&nginx, &digest).await?;
        if let Some(what) = self.replace_if_outdated(&container, generation.as_ref()).await? {
            return Ok(Some(what));
        }
        let Some(generation) = generation else { return Ok(None) };
        let is_restored = self.restore_files(&nginx, &generation).await?;
        let what = "its configuration was changed outside Dubernetes, and is restored";
        Ok(is_restored.then(|| what.to_owned()))
    }

    fn listening(&self) -> Vec<SocketAddr> {
        self.cache().listening.clone()
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

/// Returns the files of a container that serves nothing.
fn empty_generation(network: &Network) -> Result<Generation, IngressError> {
    let written = config::write(&RouteTable::default(), &render_context(network, None));
    written.map_err(|illegal| failure(illegal.to_string()))
}

pub(crate) fn render_context(network: &Network, version: Option<Version>) -> RenderContext {
    RenderContext {
        address: dubernetes_core::identity::ingress_address(network.subnet),
        gateway: Ipv4Addr::from(u32::from(network.subnet.network()) + 1),
        version,
        features: Features::default(),
    }
}
