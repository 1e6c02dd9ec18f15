//! Logs up to now: the output of several containers, ordered by time.

use std::sync::Arc;

use dubernetes_core::app::PodName;
use dubernetes_core::error::chain;
use dubernetes_core::runtime::{
    Capability, ContainerId, ContainerRuntime, LogOptions, RuntimeError, RuntimeStream, require,
};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;

use super::Source;
use crate::problem::ApiError;
use crate::server::stream::{self, Items};
use crate::wire::{LogItem, LogLine};

struct Merge {
    notes: Vec<String>,
    open: Vec<OpenLog>,
}

struct OpenLog {
    pod: PodName,
    lines: BoxStream<'static, Result<dubernetes_core::runtime::LogLine, RuntimeError>>,
    head: Option<dubernetes_core::runtime::LogLine>,
}

/// Yields the lines of all `sources`, oldest first. An unreadable container becomes a note, so that
/// it does not hide the others; an unreachable engine is an error.
pub(super) async fn merge(
    runtime: Arc<dyn ContainerRuntime>,
    sources: Vec<Source>,
    options: &LogOptions,
) -> Result<Items<LogItem>, ApiError> {
    let mut merge = Merge { notes: Vec::new(), open: Vec::new() };
    for source in sources {
        match read_logs(&*runtime, &source.id, options).await {
            Ok(lines) => merge.open.push(OpenLog { pod: source.pod, lines, head: None }),
            Err(error) if error.is_unreachable() => return Err(error.into()),
            Err(error) => merge.notes.push(unreadable_note(&source.pod, &error)),
        }
    }
    merge.notes.reverse();
    Ok(stream::from_fn(merge, |mut merge| async move {
        let item = merge.next().await.transpose()?;
        Some((item, merge))
    }))
}

pub(super) async fn read_logs(
    runtime: &dyn ContainerRuntime,
    id: &ContainerId,
    options: &LogOptions,
) -> Result<RuntimeStream<dubernetes_core::runtime::LogLine>, RuntimeError> {
    require(runtime.logs(), Capability::Logs)?.read(id, options).await
}

pub(super) fn unreadable_note(pod: &PodName, error: &RuntimeError) -> String {
    format!("cannot read the logs of {pod}: {}", chain(error))
}

impl Merge {
    async fn next(&mut self) -> Result<Option<LogItem>, ApiError> {
        self.fill().await?;
        if let Some(note) = self.notes.pop() {
            return Ok(Some(LogItem::Note(note)));
        }
        let heads = self.open.iter_mut().filter(|open| open.head.is_some());
        let oldest = heads.min_by_key(|open| open.head.as_ref().map(|line| line.time));
        Ok(oldest.and_then(|open| {
            let line = open.head.take()?;
            Some(LogItem::Line(LogLine::new(open.pod.clone(), line)))
        }))
    }

    /// Reads the next line of each container, and drops those that have none.
    async fn fill(&mut self) -> Result<(), ApiError> {
        for open in &mut self.open {
            if open.head.is_some() {
                continue;
            }
            match open.lines.next().await {
                Some(Ok(line)) => open.head = Some(line),
                Some(Err(error)) if error.is_unreachable() => return Err(error.into()),
                Some(Err(error)) => self.notes.push(unreadable_note(&open.pod, &error)),
                None => {}
            }
        }
        self.open.retain(|open| open.head.is_some());
        Ok(())
    }
}
