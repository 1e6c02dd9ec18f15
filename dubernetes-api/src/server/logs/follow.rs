//! Output from now on: containers join as they start, and a note tells who comes and goes.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use dubernetes_controller::Snapshot;
use dubernetes_core::runtime::{
    ContainerId, ContainerRuntime, LogLine as RuntimeLine, LogOptions, RuntimeError,
};
use futures_util::StreamExt as _;
use futures_util::stream::{BoxStream, SelectAll};
use tokio::sync::watch;

use super::merge::{read, unreadable};
use super::{Source, Target};
use crate::problem::ApiError;
use crate::server::ApiState;
use crate::server::stream::{self, Items};
use crate::wire::{LogItem, LogLine};

struct Follow {
    runtime: Arc<dyn ContainerRuntime>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    target: Target,
    open: SelectAll<BoxStream<'static, FromPod>>,
    known: BTreeSet<ContainerId>,
    queue: VecDeque<LogItem>,
    /// The target was there in some look: before that, its absence means nothing.
    seen: bool,
}

enum FromPod {
    Line(LogLine),
    Failed { pod: String, error: RuntimeError },
    End { pod: String, id: ContainerId },
}

/// The output of `target` until nothing of it is there any more.
pub(super) async fn follow(
    state: &ApiState,
    target: Target,
    options: &LogOptions,
) -> Result<Items<LogItem>, ApiError> {
    let mut follow = Follow {
        runtime: Arc::clone(&state.runtime),
        snapshots: state.controller.snapshots(),
        target,
        open: SelectAll::new(),
        known: BTreeSet::new(),
        queue: VecDeque::new(),
        seen: false,
    };
    for source in follow.look() {
        follow.join(source, options).await?;
    }
    Ok(stream::from_fn(follow, |mut follow| async move {
        let item = follow.next().await.transpose()?;
        Some((item, follow))
    }))
}

impl Follow {
    async fn next(&mut self) -> Result<Option<LogItem>, ApiError> {
        loop {
            if let Some(item) = self.queue.pop_front() {
                return Ok(Some(item));
            }
            if self.open.is_empty() && self.is_over() {
                return Ok(None);
            }
            // Both arms are cancel-safe: a line that was not taken stays in its stream, and an
            // unseen change stays unseen.
            tokio::select! {
                Some(from) = self.open.next() => self.take(from)?,
                changed = self.snapshots.changed() => {
                    changed.map_err(|_| ApiError::stopping())?;
                    self.join_new().await?;
                }
            }
        }
    }

    fn is_over(&self) -> bool {
        self.seen && self.target.is_gone(&self.snapshots.borrow())
    }

    /// The containers that are not followed yet.
    fn look(&mut self) -> Vec<Source> {
        let snapshot = Arc::clone(&self.snapshots.borrow_and_update());
        self.seen |= !self.target.is_gone(&snapshot);
        let mut sources = self.target.sources(&snapshot);
        sources.retain(|source| !self.known.contains(&source.id));
        sources
    }

    /// A container that comes later is followed from its first line on.
    async fn join_new(&mut self) -> Result<(), ApiError> {
        let options = LogOptions { follow: true, tail: None, since: None };
        for source in self.look() {
            let note = format!("following {} (revision {})", source.pod, source.revision);
            self.queue.push_back(LogItem::Note(note));
            self.join(source, &options).await?;
        }
        Ok(())
    }

    async fn join(&mut self, source: Source, options: &LogOptions) -> Result<(), ApiError> {
        let Source { pod, id, .. } = source;
        self.known.insert(id.clone());
        let lines = match read(&*self.runtime, &id, options).await {
            Ok(lines) => lines,
            Err(error) if error.is_unreachable() => return Err(error.into()),
            Err(error) => {
                self.queue.push_back(LogItem::Note(unreadable(&pod, &error)));
                return Ok(());
            }
        };
        let end = FromPod::End { pod: pod.clone(), id };
        let items = lines.map(move |line| from_pod(&pod, line));
        let end = futures_util::stream::once(std::future::ready(end));
        self.open.push(items.chain(end).boxed());
        Ok(())
    }

    fn take(&mut self, from: FromPod) -> Result<(), ApiError> {
        let item = match from {
            FromPod::Line(line) => LogItem::Line(line),
            FromPod::Failed { error, .. } if error.is_unreachable() => return Err(error.into()),
            FromPod::Failed { pod, error } => LogItem::Note(unreadable(&pod, &error)),
            FromPod::End { pod, id } => LogItem::Note(self.farewell(&pod, &id)),
        };
        self.queue.push_back(item);
        Ok(())
    }

    fn farewell(&self, pod: &str, id: &ContainerId) -> String {
        let snapshot = self.snapshots.borrow();
        let last = self.target.pods(&snapshot).find(|pod| pod.container_id.as_ref() == Some(id));
        match last {
            Some(last) if !last.message.is_empty() => format!("{pod} stopped: {}", last.message),
            Some(_) | None => format!("{pod} stopped"),
        }
    }
}

fn from_pod(pod: &str, line: Result<RuntimeLine, RuntimeError>) -> FromPod {
    match line {
        Ok(line) => FromPod::Line(LogLine::new(pod, line)),
        Err(error) => FromPod::Failed { pod: pod.to_owned(), error },
    }
}
