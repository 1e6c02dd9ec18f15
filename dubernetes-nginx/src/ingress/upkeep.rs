//! Upkeep of the nginx container beside its routes: settings, workers, and files.

use std::collections::BTreeMap;
use std::time::Duration;

use dubernetes_core::app::Signal;
use dubernetes_core::error::chain;
use dubernetes_core::ingress::{IngressError, RouteTable};
use dubernetes_core::runtime::{Container, Network, RuntimeError};
use tokio::time::Instant;

use super::NginxIngress;
use crate::config::{self, Digest, Generation, ROOT, WORKERS};
use crate::error::failure;
use crate::proxy::RunningNginx;
use crate::workers::MAX_OLD_WORKERS;

/// Time between two comparisons of the served files with what they should be.
const VERIFY_INTERVAL: Duration = Duration::from_secs(15);
/// Number of changes between two removals of old generations. A few small directories do no harm.
const GC_EVERY: u32 = 8;

impl NginxIngress {
    /// Takes in that nginx was just started: it has no old worker, few files, and a bounded log.
    /// If it waits for its first routes, asks it what the next table depends on.
    pub(super) async fn after_start(
        &self,
        nginx: &RunningNginx,
        network: &Network,
        requested: &RouteTable,
    ) {
        self.cache().old_workers = Some(0);
        self.cache().changes = 1;
        self.cache().rotating = Some(nginx.clone());
        if requested.is_empty() {
            self.cache().verified_at = Some(Instant::now());
            // An error is reported by the next table, which asks again.
            let _ = tokio::join!(self.build(&nginx.id), self.features(nginx, network));
        }
    }

    /// Ensures once for each run of nginx that its access log is bounded.
    pub(super) async fn rotate_access_log(&self, nginx: &RunningNginx) {
        if self.cache().rotating.as_ref() != Some(nginx) {
            self.nginx.rotate_access_log(&nginx.id).await;
            self.cache().rotating = Some(nginx.clone());
        }
    }

    /// Replaces a running container that has other settings than the present ones, or, once for
    /// each orchestrator, another image than the tag has now. Returns what was done.
    pub(super) async fn replace_if_outdated(
        &self,
        container: &Container,
        generation: Option<&Generation>,
    ) -> Result<Option<String>, IngressError> {
        let network = self.network().await?;
        let has_settings = self.nginx.has_settings(container, &network);
        let is_checked = std::mem::replace(&mut self.cache().image_checked, true);
        if has_settings && is_checked {
            return Ok(None);
        }
        let image = match self.nginx.prepare_replacement(container).await {
            Ok(image) => image,
            // The image that runs is the only one there is.
            Err(IngressError::Runtime(RuntimeError::Image { .. })) if has_settings => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        if has_settings && image == container.image_id {
            return Ok(None);
        }
        let empty = self.empty_generation(&network)?;
        let starts: Vec<_> = generation.into_iter().chain([&empty]).collect();
        let start = Instant::now();
        self.nginx.replace(&container.id, image, &network, &starts).await?;
        let what = if has_settings { "its tag has another image" } else { "its settings changed" };
        let took = start.elapsed().as_secs_f64();
        Ok(Some(format!(
            "its container was replaced, because {what}: no request was answered for {took:.1} s"
        )))
    }

    /// Switches nginx to files for the table that it serves, if another program or other settings
    /// have rendered those that it has. Returns what was done.
    pub(super) async fn render_again(
        &self,
        nginx: &RunningNginx,
        digest: &Digest,
    ) -> Result<Option<String>, IngressError> {
        let table = self.served_table(nginx, digest).await?;
        if config::lacks_certificate(&table) {
            // nginx still has in memory what was changed in its files. The next table has it.
            return Ok(None);
        }
        let context = self.render_context(nginx, &self.network().await?, &table).await?;
        let candidate = self.nginx.find_candidate(nginx, &context, &table, &table).await?;
        let generation = &candidate.generation;
        if generation.digest == *digest {
            return Ok(None);
        }
        self.activate(nginx, generation, &generation.switch()).await?;
        self.acknowledge(nginx, &generation.digest, &generation.table);
        self.limit_old_workers(nginx).await;
        Ok(Some("its configuration was that of other settings, and is rendered again".to_owned()))
    }

    /// Bounds the number of old workers, after a reload. A failure is harmless: the next change
    /// tries again.
    pub(super) async fn limit_old_workers(&self, nginx: &RunningNginx) {
        // Each reload leaves a known number, so most need no count.
        let most = self.cache().old_workers.map(|most| most + WORKERS);
        self.cache().old_workers = most;
        if most.is_some_and(|most| most <= MAX_OLD_WORKERS) {
            return;
        }
        match self.nginx.terminate_excess(nginx).await {
            Ok((kept, terminated)) => {
                self.cache().old_workers = Some(kept);
                if terminated > 0 {
                    tracing::warn!(
                        terminated,
                        "more than {MAX_OLD_WORKERS} old nginx workers have open connections: \
                         terminating those with the fewest"
                    );
                }
            }
            Err(error) => tracing::debug!(error = chain(&error), "old workers not counted"),
        }
    }

    /// Removes generations other than the served and the former one, every [`GC_EVERY`] changes.
    /// A failure is harmless: a later change tries again.
    pub(super) async fn gc_generations(&self, nginx: &RunningNginx, keep: &[Option<&Digest>]) {
        let is_due = self.cache().changes.is_multiple_of(GC_EVERY);
        self.cache().changes += 1;
        if !is_due {
            return;
        }
        let listed = self.nginx.run_command(&nginx.id, &["ls", ROOT], None).await;
        let Ok(listed) = listed else { return };
        let listed = String::from_utf8_lossy(&listed.stdout);
        let old = listed.lines().filter_map(|name| {
            let digest = Digest::parse(name.strip_prefix("gen-")?)?;
            (!keep.contains(&Some(&digest))).then(|| Generation::folder(&digest))
        });
        let command: Vec<_> = ["rm", "-rf"].map(str::to_owned).into_iter().chain(old).collect();
        if command.len() > 2 {
            let _ = self.nginx.run_command(&nginx.id, &command, None).await;
        }
    }

    /// Calls [`NginxIngress::restore_files`], unless the files were verified recently.
    pub(super) async fn restore_files_if_due(
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
    pub(super) async fn restore_files(
        &self,
        nginx: &RunningNginx,
        generation: &Generation,
    ) -> Result<bool, IngressError> {
        let matches = self.files_match(nginx, generation).await?;
        if !matches {
            self.nginx.put_files(&nginx.id, &generation.files_and_switch()).await?;
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
}
