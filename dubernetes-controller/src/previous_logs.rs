//! The last output of crashed replicas, kept in memory because their containers are removed as
//! soon as their successors exist.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dubernetes_core::app::PodName;
use dubernetes_core::error;
use dubernetes_core::plan::Plan;
use dubernetes_core::runtime::{ContainerId, ContainerRuntime, LogLine, LogOptions};
use futures_util::StreamExt as _;

/// Lines kept of each container.
const LINES: u32 = 200;
/// Bytes kept of each container.
const BYTES: usize = 256 << 10;
/// How long a removal waits for the output.
const LIMIT: Duration = Duration::from_secs(2);

/// The last output of the container that each pod had before its present one. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct PreviousLogs(Arc<Mutex<BTreeMap<PodName, Arc<[LogLine]>>>>);

impl PreviousLogs {
    /// Keeps the output of a container that is about to be removed. Output that cannot be read
    /// does not delay the removal.
    pub(super) async fn keep(
        &self,
        runtime: &dyn ContainerRuntime,
        pod: &PodName,
        id: &ContainerId,
    ) {
        match tokio::time::timeout(LIMIT, read(runtime, id)).await {
            Ok(Some(lines)) => {
                self.lock().insert(pod.clone(), lines.into());
            }
            Ok(None) => {}
            Err(_) => tracing::debug!(%pod, "the output of a crashed replica is too slow to read"),
        }
    }

    /// Returns the kept lines of a pod, oldest first.
    pub(super) fn lines(&self, pod: &str) -> Option<Arc<[LogLine]>> {
        self.lock().get(pod).map(Arc::clone)
    }

    /// Drops the output of pods that are gone.
    pub(super) fn retain_pods_of(&self, plan: &Plan) {
        let mut kept = self.lock();
        if kept.is_empty() {
            return;
        }
        let pods = plan.statuses.values().flat_map(|status| &status.pods);
        let pods: BTreeSet<_> = pods.map(|pod| &pod.name).collect();
        kept.retain(|pod, _| pods.contains(pod));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PodName, Arc<[LogLine]>>> {
        // A panic cannot leave the map half changed: each change is one call on it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read(runtime: &dyn ContainerRuntime, id: &ContainerId) -> Option<Vec<LogLine>> {
    let options = LogOptions { tail: Some(LINES), ..LogOptions::default() };
    let unreadable = |error| {
        tracing::debug!(container = %id, error = %error::chain(&error), "output not readable");
    };
    let mut stream = runtime.logs()?.read(id, &options).await.map_err(unreadable).ok()?;
    let mut lines = Vec::new();
    while let Some(line) = stream.next().await {
        lines.push(line.map_err(unreadable).ok()?);
    }
    let mut size = 0_usize;
    let fits = lines.iter().rev().take_while(|line: &&LogLine| {
        size = size.saturating_add(line.text.len());
        size <= BYTES
    });
    let dropped = lines.len() - fits.count();
    lines.drain(..dropped);
    Some(lines)
}
