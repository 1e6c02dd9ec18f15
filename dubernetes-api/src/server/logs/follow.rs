//! Followed logs: containers join as they start, and notes announce those that join and stop.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use dubernetes_controller::Snapshot;
use dubernetes_core::app::PodName;
use dubernetes_core::runtime::{
    ContainerId, ContainerRuntime, LogLine as RuntimeLine, LogOptions, RuntimeError,
};
use futures_util::StreamExt as _;
use futures_util::stream::{BoxStream, SelectAll};
use tokio::sync::watch;

use super::merge::{read_logs, unreadable_note};
use super::{Source, Target};
use crate::problem::ApiError;
use crate::server::ApiState;
use crate::server::stream::{self, Items};
use crate::wire::{LogItem, LogLine};

struct Follow {
    runtime: Arc<dyn ContainerRuntime>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    target: Target,
    open: SelectAll<BoxStream<'static, PodOutput>>,
    known: BTreeSet<ContainerId>,
    queue: VecDeque<LogItem>,
    /// Whether the target existed in a snapshot. Before that, its absence means nothing.
    seen: bool,
}

enum PodOutput {
    Line(LogLine),
    Failed { pod: PodName, error: RuntimeError },
    End { pod: PodName, id: ContainerId },
}

/// Yields the output of `target` until nothing of the target is left.
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
    for source in follow.new_sources() {
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
            // Both arms are cancel-safe: an unread line stays in its stream, and an unseen change
            // stays unseen.
            tokio::select! {
                Some(output) = self.open.next() => self.handle(output)?,
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

    /// Returns the containers that are not followed yet.
    fn new_sources(&mut self) -> Vec<Source> {
        let snapshot = Arc::clone(&self.snapshots.borrow_and_update());
        self.seen |= !self.target.is_gone(&snapshot);
        let mut sources = self.target.sources(&snapshot);
        sources.retain(|source| !self.known.contains(&source.id));
        sources
    }

    /// Follows new containers from their first line on.
    async fn join_new(&mut self) -> Result<(), ApiError> {
        let options = LogOptions { follow: true, tail: None, since: None };
        for source in self.new_sources() {
            let note = format!("following {} (revision {})", source.pod, source.revision);
            self.queue.push_back(LogItem::Note(note));
            self.join(source, &options).await?;
        }
        Ok(())
    }

    async fn join(&mut self, source: Source, options: &LogOptions) -> Result<(), ApiError> {
        let Source { pod, id, .. } = source;
        self.known.insert(id.clone());
        let lines = match read_logs(&*self.runtime, &id, options).await {
            Ok(lines) => lines,
            Err(error) if error.is_unreachable() => return Err(error.into()),
            Err(error) => {
                self.queue.push_back(LogItem::Note(unreadable_note(&pod, &error)));
                return Ok(());
            }
        };
        let end = PodOutput::End { pod: pod.clone(), id };
        let items = lines.map(move |line| pod_output(&pod, line));
        let end = futures_util::stream::once(std::future::ready(end));
        self.open.push(items.chain(end).boxed());
        Ok(())
    }

    fn handle(&mut self, output: PodOutput) -> Result<(), ApiError> {
        let item = match output {
            PodOutput::Line(line) => LogItem::Line(line),
            PodOutput::Failed { error, .. } if error.is_unreachable() => return Err(error.into()),
            PodOutput::Failed { pod, error } => LogItem::Note(unreadable_note(&pod, &error)),
            PodOutput::End { pod, id } => LogItem::Note(self.stop_note(&pod, &id)),
        };
        self.queue.push_back(item);
        Ok(())
    }

    fn stop_note(&self, pod: &PodName, id: &ContainerId) -> String {
        let snapshot = self.snapshots.borrow();
        let last = self.target.pods(&snapshot).find(|pod| pod.container_id.as_ref() == Some(id));
        match last {
            Some(last) if !last.message.is_empty() => format!("{pod} stopped: {}", last.message),
            Some(_) | None => format!("{pod} stopped"),
        }
    }
}

fn pod_output(pod: &PodName, line: Result<RuntimeLine, RuntimeError>) -> PodOutput {
    match line {
        Ok(line) => PodOutput::Line(LogLine::new(pod.clone(), line)),
        Err(error) => PodOutput::Failed { pod: pod.clone(), error },
    }
}
