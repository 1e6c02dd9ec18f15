//! What crashed replicas said last: kept in memory, because their containers go as soon as their
//! successors exist.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;

use dubernetes_core::error;
use dubernetes_core::plan::Plan;
use dubernetes_core::runtime::{ContainerId, ContainerRuntime, LogLine, LogOptions};

/// So many of the last lines are kept.
const LINES: u32 = 200;
/// So many bytes of them at most.
const BYTES: usize = 256 << 10;
/// A removal waits no longer than this for them.
const LIMIT: Duration = Duration::from_secs(2);

/// The last words of the container that each pod had before its present one. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct PreviousLogs(Arc<Mutex<BTreeMap<String, Arc<[LogLine]>>>>);

impl PreviousLogs {
    /// Keeps what a container that is about to go has said. What cannot be read is no reason to
    /// keep the container.
    pub(super) async fn keep(&self, runtime: &dyn ContainerRuntime, pod: &str, id: &ContainerId) {
        match tokio::time::timeout(LIMIT, read(runtime, id)).await {
            Ok(Some(lines)) => {
                self.lock().insert(pod.to_owned(), lines.into());
            }
            Ok(None) => {}
            Err(_) => tracing::debug!(pod, "the output of a crashed replica comes too slowly"),
        }
    }

    /// The last lines, oldest first; none if the pod has had no other container.
    pub(super) fn of(&self, pod: &str) -> Option<Arc<[LogLine]>> {
        self.lock().get(pod).map(Arc::clone)
    }

    /// Forgets the pods that are gone.
    pub(super) fn forget_all_but(&self, plan: &Plan) {
        let mut kept = self.lock();
        if kept.is_empty() {
            return;
        }
        let pods = plan.statuses.values().flat_map(|status| &status.pods);
        let pods: BTreeSet<_> = pods.map(|pod| pod.name.as_str()).collect();
        kept.retain(|pod, _| pods.contains(pod.as_str()));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<[LogLine]>>> {
        // Nothing is ever left half done in it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read(runtime: &dyn ContainerRuntime, id: &ContainerId) -> Option<Vec<LogLine>> {
    let options = LogOptions { tail: Some(LINES), ..LogOptions::default() };
    let unreadable = |error| {
        tracing::debug!(container = %id, error = %error::chain(&error), "no last words");
    };
    let mut stream = runtime.logs(id, &options).await.map_err(unreadable).ok()?;
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
