//! Output up to now: that of several containers in the order of time.

use std::sync::Arc;

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
    open: Vec<Open>,
}

struct Open {
    pod: String,
    lines: BoxStream<'static, Result<dubernetes_core::runtime::LogLine, RuntimeError>>,
    head: Option<dubernetes_core::runtime::LogLine>,
}

/// The lines of all `sources`, oldest first. What cannot be read is a note, so that one broken
/// container does not hide the others; an engine that does not answer is an error.
pub(super) async fn merge(
    runtime: Arc<dyn ContainerRuntime>,
    sources: Vec<Source>,
    options: &LogOptions,
) -> Result<Items<LogItem>, ApiError> {
    let mut merge = Merge { notes: Vec::new(), open: Vec::new() };
    for source in sources {
        match read(&*runtime, &source.id, options).await {
            Ok(lines) => merge.open.push(Open { pod: source.pod, lines, head: None }),
            Err(error) if error.is_unreachable() => return Err(error.into()),
            Err(error) => merge.notes.push(unreadable(&source.pod, &error)),
        }
    }
    merge.notes.reverse();
    Ok(stream::from_fn(merge, |mut merge| async move {
        let item = merge.next().await.transpose()?;
        Some((item, merge))
    }))
}

pub(super) async fn read(
    runtime: &dyn ContainerRuntime,
    id: &ContainerId,
    options: &LogOptions,
) -> Result<RuntimeStream<dubernetes_core::runtime::LogLine>, RuntimeError> {
    require(runtime.logs(), Capability::Logs)?.read(id, options).await
}

pub(super) fn unreadable(pod: &str, error: &RuntimeError) -> String {
    format!("the output of {pod} cannot be read: {}", chain(error))
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

    /// Reads the next line of each container, and lets go of those that have none.
    async fn fill(&mut self) -> Result<(), ApiError> {
        for open in &mut self.open {
            if open.head.is_some() {
                continue;
            }
            match open.lines.next().await {
                Some(Ok(line)) => open.head = Some(line),
                Some(Err(error)) if error.is_unreachable() => return Err(error.into()),
                Some(Err(error)) => self.notes.push(unreadable(&open.pod, &error)),
                None => {}
            }
        }
        self.open.retain(|open| open.head.is_some());
        Ok(())
    }
}
