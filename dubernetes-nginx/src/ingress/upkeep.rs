//! Upkeep of the nginx container beside its routes: settings, old workers, and old files.

use dubernetes_core::error::chain;
use dubernetes_core::ingress::IngressError;
use dubernetes_core::runtime::{Container, RuntimeError};
use tokio::time::Instant;

use super::{NginxIngress, empty_generation};
use crate::config::{Digest, Generation, ROOT, WORKERS};
use crate::proxy::RunningNginx;
use crate::workers::MAX_OLD_WORKERS;

/// Number of changes between two removals of old generations. A few small directories do no harm.
const GC_EVERY: u32 = 8;

impl NginxIngress {
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
        let empty = empty_generation(&network)?;
        let starts: Vec<_> = generation.into_iter().chain([&empty]).collect();
        let start = Instant::now();
        self.nginx.replace(&container.id, image, &network, &starts).await?;
        let what = if has_settings { "its tag has another image" } else { "its settings changed" };
        let took = start.elapsed().as_secs_f64();
        Ok(Some(format!(
            "its container was replaced, because {what}: no request was answered for {took:.1} s"
        )))
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
}
