//! The steps of one change: find the files → put and check them → switch the link → reload →
//! acknowledge; and what is remembered between changes.
//!
//! What is remembered only spares questions: the truth about what is served is asked of nginx.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use dubernetes_core::app::Signal;
use dubernetes_core::error::chain;
use dubernetes_core::ingress::{ApplyOutcome, Ingress, IngressError, ObservedIngress, RouteTable};
use dubernetes_core::runtime::{ContainerId, ContainerRuntime, Network, exec_to_end};
use tokio::time::Instant;

use crate::config::{self, Digest, Generation, ROOT, Site};
use crate::error::failed;
use crate::proxy::{ANSWER_LIMIT, Nginx, NginxConfig, POLL, Run};
use crate::quarantine::Candidate;
use crate::version::Version;
use crate::workers::{Look, OLD_WORKERS, WINDOW};

/// So many fresh connections in a row, [`POLL`] apart, must be answered by the new generation.
/// Older workers take new connections for 100 ms beside the new ones, and longer on a busy
/// machine; this spans more than that, and as long as they do, they would have answered one of these.
const ANSWERS: u32 = 8;
/// How often the files of the served generation are compared with what they should be.
const VERIFY_EVERY: Duration = Duration::from_secs(15);
/// A look at nginx's processes may be so old.
const LOOK_AGE: Duration = Duration::from_millis(200);
/// Old generations are removed once in so many changes: a few small folders harm nobody.
const SWEEP_EVERY: u32 = 8;

/// An nginx container as an [`Ingress`].
#[derive(Debug)]
pub struct NginxIngress {
    nginx: Nginx,
    /// One change at a time.
    turn: tokio::sync::Mutex<()>,
    memory: Mutex<Memory>,
    /// What nginx's processes held at a time: many addresses that drain are one question.
    last_look: tokio::sync::Mutex<Option<(Run, Instant, Look)>>,
}

#[derive(Debug, Default)]
struct Memory {
    /// The table that a run of nginx serves under a digest.
    served: Option<(Run, Digest, RouteTable)>,
    /// The last table that was asked for, and what became of it.
    outcome: Option<(RouteTable, Site, Candidate)>,
    /// Which nginx is in a container.
    version: Option<(ContainerId, Version)>,
    /// When the files of the served generation were last seen to be whole.
    verified: Option<Instant>,
    /// When addresses left the acknowledged table.
    unrouted: BTreeMap<Ipv4Addr, Instant>,
    /// When nginx was first seen by this value: nothing is known of what left before.
    first_seen: Option<Instant>,
    /// How many changes were made.
    changes: u32,
}

impl NginxIngress {
    /// An ingress with these settings. Calls nothing yet.
    pub fn new(runtime: Arc<dyn ContainerRuntime>, config: NginxConfig) -> Self {
        Self {
            nginx: Nginx { runtime, config },
            turn: tokio::sync::Mutex::default(),
            memory: Mutex::default(),
            last_look: tokio::sync::Mutex::default(),
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        // Each change of the memory is one assignment, so a panic elsewhere leaves it whole.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn network(&self) -> Result<Network, IngressError> {
        let instance = &self.nginx.config.instance;
        Ok(match self.nginx.runtime.find_network(instance).await? {
            Some(network) => network,
            None => self.nginx.runtime.ensure_network(instance).await?,
        })
    }

    /// Makes nginx run, with the last good files where it has to be made anew.
    async fn run(&self, network: &Network) -> Result<(Run, Site, bool), IngressError> {
        let unknown = site(network);
        let base = config::write(&RouteTable::default(), &unknown)
            .map_err(|illegal| failed(illegal.to_string()))?;
        let last = self.memory().outcome.as_ref().map(|(_, _, last)| last.generation.clone());
        let starts: Vec<_> = last.iter().chain([&base]).collect();
        let (run, changed) = self.nginx.ensure_running(network, &starts).await?;
        let version = self.version(&run.id).await?;
        Ok((run, Site { version: Some(version), ..unknown }, changed))
    }

    async fn version(&self, id: &ContainerId) -> Result<Version, IngressError> {
        if let Some((known, version)) = &self.memory().version
            && known == id
        {
            return Ok(*version);
        }
        let result = exec_to_end(&*self.nginx.runtime, id, &["nginx", "-v"]).await?;
        let said = String::from_utf8_lossy(&result.stderr);
        let version = Version::parse(&said)
            .ok_or_else(|| failed("the image has no nginx that tells its version"))?;
        self.memory().version = Some((id.clone(), version));
        Ok(version)
    }

    /// The table that a run serves under `digest`, from memory or from its folder.
    async fn table(&self, run: &Run, digest: &Digest) -> Result<RouteTable, IngressError> {
        let known = self.memory().served.clone();
        if let Some((of, under, table)) = &known
            && (of, under) == (run, digest)
        {
            return Ok(table.clone());
        }
        let path = format!("{}/table.json", Generation::folder(digest));
        let result = exec_to_end(&*self.nginx.runtime, &run.id, &["cat", &path]).await?;
        let table: RouteTable = serde_json::from_slice(&result.stdout)
            .map_err(|_| failed(format!("`{path}` in nginx is missing or damaged")))?;
        // A change that was acknowledged meanwhile is newer than what was read.
        if self.memory().served == known {
            self.acknowledge(run, digest, &table);
        }
        Ok(table)
    }

    /// The table that was acknowledged last, while a change of this run is under way: then one
    /// answer says nothing, since older and newer workers take turns.
    fn before_the_change(&self, run: &Run) -> Option<RouteTable> {
        if self.turn.try_lock().is_ok() {
            return None;
        }
        let memory = self.memory();
        let (_, _, table) = memory.served.as_ref().filter(|(of, _, _)| of == run)?;
        Some(table.clone())
    }

    /// Notes that new connections are served by `table`.
    fn acknowledge(&self, run: &Run, digest: &Digest, table: &RouteTable) {
        let now = Instant::now();
        let mut memory = self.memory();
        memory.first_seen.get_or_insert(now);
        if let Some((_, _, former)) = &memory.served {
            let former: Vec<_> = former.routes.iter().flat_map(|r| &r.endpoints).cloned().collect();
            for endpoint in former {
                memory.unrouted.entry(endpoint.address).or_insert(now);
            }
        }
        memory.unrouted.retain(|address, _| !table.holds(*address));
        memory.served = Some((run.clone(), digest.clone(), table.clone()));
    }

    /// The files for `wanted`: known already, or found and checked now. The flag says which.
    async fn candidate(
        &self,
        run: &Run,
        site: &Site,
        wanted: &RouteTable,
        serving: Option<&Digest>,
    ) -> Result<(Candidate, bool), IngressError> {
        if let Some((asked, at, candidate)) = &self.memory().outcome
            && (asked, at) == (wanted, site)
            && serving == Some(&candidate.generation.digest)
        {
            return Ok((candidate.clone(), false));
        }
        if let Ok(generation) = config::write(wanted, site)
            && serving == Some(&generation.digest)
        {
            // Served by a former life of this program: it was checked then.
            let (quarantined, warnings) = (BTreeMap::new(), Vec::new());
            return Ok((Candidate { generation, quarantined, warnings }, false));
        }
        let served = match serving {
            // Without its table, a served generation gives no last good routes.
            Some(digest) => self.table(run, digest).await.unwrap_or_default(),
            None => RouteTable::default(),
        };
        Ok((self.nginx.candidate(run, site, wanted, &served).await?, true))
    }

    /// The files of the generation that a run serves, where it is one that this program writes.
    async fn served(&self, run: &Run, digest: &Digest) -> Result<Option<Generation>, IngressError> {
        if let Some((_, _, last)) = &self.memory().outcome
            && last.generation.digest == *digest
        {
            return Ok(Some(last.generation.clone()));
        }
        let table = self.table(run, digest).await?;
        let version = Some(self.version(&run.id).await?);
        let site = Site { version, ..site(&self.network().await?) };
        let written = config::write(&table, &site).ok();
        Ok(written.filter(|generation| generation.digest == *digest))
    }

    /// The same as [`NginxIngress::put_back`], unless the files were looked at lately.
    async fn put_back_sometimes(
        &self,
        run: &Run,
        generation: &Generation,
    ) -> Result<bool, IngressError> {
        let due = |at: Instant| at.elapsed() >= VERIFY_EVERY;
        if !self.memory().verified.is_none_or(due) {
            return Ok(false);
        }
        self.put_back(run, generation).await
    }

    /// Puts back files of the served generation that somebody changed; whether there were any. nginx
    /// may have read them, so it reads those that are put back.
    async fn put_back(&self, run: &Run, generation: &Generation) -> Result<bool, IngressError> {
        let whole = self.is_whole(run, generation).await?;
        if !whole {
            self.nginx.runtime.put_files(&run.id, &generation.entries()).await?;
            self.nginx.runtime.put_files(&run.id, &[generation.link()]).await?;
            if !self.is_whole(run, generation).await? {
                return Err(failed("the files of the ingress do not stay as they are put"));
            }
            self.nginx.runtime.signal(&run.id, Signal::SigHup).await?;
        }
        self.memory().verified = Some(Instant::now());
        Ok(!whole)
    }

    async fn is_whole(&self, run: &Run, generation: &Generation) -> Result<bool, IngressError> {
        let paths = generation.files.keys().map(|path| format!("{ROOT}/current/{path}"));
        let paths: Vec<_> = std::iter::once("cat".to_owned()).chain(paths).collect();
        let command: Vec<_> = paths.iter().map(String::as_str).collect();
        let result = exec_to_end(&*self.nginx.runtime, &run.id, &command).await?;
        let expected: Vec<u8> = generation.files.values().flatten().copied().collect();
        Ok(result.code == 0 && result.stdout == expected)
    }

    /// Makes nginx take over a checked generation.
    async fn activate(&self, run: &Run, generation: &Generation) -> Result<(), IngressError> {
        self.nginx.runtime.put_files(&run.id, &[generation.link()]).await?;
        self.nginx.runtime.signal(&run.id, Signal::SigHup).await?;
        let deadline = Instant::now() + ANSWER_LIMIT;
        let mut answers = 0;
        while answers < ANSWERS {
            let answer = self.nginx.ask(run).await?;
            let is_new = answer.as_ref() == Ok(&generation.digest);
            answers = if is_new { answers + 1 } else { 0 };
            if !is_new && Instant::now() >= deadline {
                return Err(IngressError::NotAcknowledged);
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Whether a look at nginx, made at `since` or later, shows that no request can reach `address`.
    async fn is_free(
        &self,
        run: &Run,
        address: Ipv4Addr,
        since: Instant,
    ) -> Result<bool, IngressError> {
        let mut last = self.last_look.lock().await;
        if let Some((of, at, look)) = &*last
            && of == run
            && *at >= since
            && at.elapsed() < LOOK_AGE
        {
            return Ok(!look.may_reach(address));
        }
        let at = Instant::now();
        let look = self.nginx.look(run).await?;
        let is_free = !look.may_reach(address);
        *last = Some((run.clone(), at, look));
        Ok(is_free)
    }

    /// Keeps the number of older workers bounded. A failure harms nothing: the next change tries it again.
    async fn bound(&self, run: &Run) {
        match self.nginx.end_excess(run).await {
            Ok(0) => {}
            Ok(ended) => tracing::warn!(
                ended,
                "more than {OLD_WORKERS} older nginx workers have connections: those with the fewest end"
            ),
            Err(error) => tracing::debug!(error = chain(&error), "older workers were not counted"),
        }
    }

    /// Removes generations that neither serve nor did so last. A failure harms nothing.
    async fn sweep(&self, run: &Run, keep: &[Option<&Digest>]) {
        let turn = self.memory().changes % SWEEP_EVERY;
        self.memory().changes += 1;
        if turn != 0 {
            return;
        }
        let runtime = &*self.nginx.runtime;
        let Ok(listed) = exec_to_end(runtime, &run.id, &["ls", ROOT]).await else { return };
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        let old = listed.lines().filter_map(|name| {
            let digest = Digest::parse(name.strip_prefix("gen-")?)?;
            (!keep.contains(&Some(&digest))).then(|| Generation::folder(&digest))
        });
        let command: Vec<_> = ["rm", "-rf"].map(str::to_owned).into_iter().chain(old).collect();
        if command.len() > 2 {
            let command: Vec<_> = command.iter().map(String::as_str).collect();
            let _ = exec_to_end(runtime, &run.id, &command).await;
        }
    }
}

#[async_trait]
impl Ingress for NginxIngress {
    async fn apply(&self, wanted: &RouteTable) -> Result<ApplyOutcome, IngressError> {
        let _turn = self.turn.lock().await;
        let network = self.network().await?;
        let (run, site, started) = self.run(&network).await?;
        let serving = self.nginx.ask(&run).await?.ok();
        let (candidate, new) = self.candidate(&run, &site, wanted, serving.as_ref()).await?;
        let generation = &candidate.generation;
        let mut changed = started;
        if !new || serving.as_ref() == Some(&generation.digest) {
            changed |= self.put_back_sometimes(&run, generation).await?;
            self.acknowledge(&run, &generation.digest, &generation.table);
        } else {
            self.activate(&run, generation).await?;
            changed = true;
            self.acknowledge(&run, &generation.digest, &generation.table);
            self.memory().verified = Some(Instant::now());
            self.sweep(&run, &[Some(&generation.digest), serving.as_ref()]).await;
            self.bound(&run).await;
        }
        let mut warnings: Vec<_> = site.version.and_then(Version::warning).into_iter().collect();
        warnings.extend(candidate.warnings.iter().cloned());
        let quarantined = candidate.quarantined.clone();
        self.memory().outcome = Some((wanted.clone(), site, candidate));
        Ok(ApplyOutcome { changed, quarantined, warnings })
    }

    async fn observe(&self) -> Result<ObservedIngress, IngressError> {
        let Some(container) = self.nginx.find().await? else {
            return Ok(ObservedIngress::Absent);
        };
        let run = match Run::of(&container) {
            Ok(run) => run,
            Err(reason) => return Ok(ObservedIngress::Down { reason }),
        };
        let digest = match self.nginx.ask(&run).await? {
            Ok(digest) => digest,
            Err(reason) => return Ok(ObservedIngress::Down { reason }),
        };
        if let Some(table) = self.before_the_change(&run) {
            return Ok(ObservedIngress::Serving { table });
        }
        match self.table(&run, &digest).await {
            Ok(table) => Ok(ObservedIngress::Serving { table }),
            Err(IngressError::Failed(cause)) => {
                Ok(ObservedIngress::Down { reason: cause.to_string() })
            }
            Err(error) => Err(error),
        }
    }

    async fn drained(&self, address: Ipv4Addr) -> Result<bool, IngressError> {
        let Some(container) = self.nginx.find().await? else { return Ok(true) };
        let Ok(run) = Run::of(&container) else { return Ok(true) };
        let since = {
            let mut memory = self.memory();
            if memory.served.as_ref().is_some_and(|(_, _, table)| table.holds(address)) {
                return Ok(false);
            }
            let first_seen = *memory.first_seen.get_or_insert_with(Instant::now);
            memory.unrouted.get(&address).copied().unwrap_or(first_seen)
        };
        if since.elapsed() < WINDOW {
            return Ok(false);
        }
        self.is_free(&run, address, since + WINDOW).await
    }

    async fn repair(&self) -> Result<bool, IngressError> {
        let _turn = self.turn.lock().await;
        let Some(container) = self.nginx.find().await? else { return Ok(false) };
        let Ok(run) = Run::of(&container) else { return Ok(false) };
        let Ok(digest) = self.nginx.ask(&run).await? else { return Ok(false) };
        match self.served(&run, &digest).await? {
            Some(generation) => self.put_back(&run, &generation).await,
            None => Ok(false),
        }
    }

    async fn remove(&self) -> Result<(), IngressError> {
        let _turn = self.turn.lock().await;
        self.nginx.remove().await?;
        *self.memory() = Memory::default();
        Ok(())
    }
}

/// Where the files on a network will be served, by an nginx that is not known yet.
fn site(network: &Network) -> Site {
    let gateway = Ipv4Addr::from(u32::from(network.subnet.network()) + 1);
    let address = dubernetes_core::identity::ingress_address(network.subnet);
    Site { address, gateway, version: None }
}
