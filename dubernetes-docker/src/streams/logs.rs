//! A container's output as lines with their times.

use std::collections::VecDeque;
use std::sync::Arc;

use bollard::container::LogOutput;
use bollard::query_parameters::{LogsOptions, LogsOptionsBuilder};
use dubernetes_core::runtime::{ContainerId, LogLine, LogOptions, RuntimeError};
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};

use crate::engine::{Engine, READ};
use crate::error::Failure;
use crate::to_docker::path_part;

use super::lines::Lines;

type Pieces = BoxStream<'static, Result<LogOutput, bollard::errors::Error>>;

/// The container's output, oldest first.
pub(crate) async fn logs(
    engine: &Arc<Engine>,
    id: &ContainerId,
    options: &LogOptions,
) -> Result<BoxStream<'static, Result<LogLine, RuntimeError>>, RuntimeError> {
    let name = path_part(id)?;
    let docker = engine.docker()?;
    // The stream below calls nobody until it is read; this tells whether there is a container.
    let found = docker.inspect_container(name, None);
    let found = engine.call(READ, &format!("read the logs of container `{id}`"), found).await;
    found.map_err(|failure| failure.of("container", name))?;
    let reader = Reader {
        engine: Arc::clone(engine),
        pieces: Some(docker.logs(name, Some(query(options))).boxed()),
        lines: Lines::default(),
        ready: VecDeque::new(),
        id: id.clone(),
    };
    let since = options.since;
    let lines = stream::unfold(reader, Reader::next).filter(move |line| {
        // The engine is asked in whole seconds.
        let wanted = match (line, since) {
            (Ok(line), Some(since)) => line.time >= since,
            (Ok(_), None) | (Err(_), _) => true,
        };
        std::future::ready(wanted)
    });
    Ok(lines.boxed())
}

fn query(options: &LogOptions) -> LogsOptions {
    let since = options.since.map_or(0, |since| since.as_second().max(0));
    LogsOptionsBuilder::default()
        .stdout(true)
        .stderr(true)
        .timestamps(true)
        .follow(options.follow)
        .tail(&options.tail.map_or_else(|| "all".to_owned(), |tail| tail.to_string()))
        // Past what the client can write, everything is asked for, and filtered here.
        .since(i32::try_from(since).unwrap_or_default())
        .build()
}

struct Reader {
    engine: Arc<Engine>,
    /// `None` once nothing follows.
    pieces: Option<Pieces>,
    lines: Lines,
    ready: VecDeque<LogLine>,
    id: ContainerId,
}

impl Reader {
    async fn next(mut self) -> Option<(Result<LogLine, RuntimeError>, Self)> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Some((Ok(line), self));
            }
            match self.pieces.as_mut()?.next().await {
                Some(Ok(piece)) => self.take(&piece),
                Some(Err(error)) => {
                    self.pieces = None;
                    let operation = format!("read the logs of container `{}`", self.id);
                    let failure = Failure::new(&self.engine, &operation, error);
                    let error = failure.of("container", &self.id.0);
                    return Some((Err(error), self));
                }
                None => {
                    self.pieces = None;
                    self.ready = self.lines.rest().into();
                    // The last turn: `pieces` is gone, so the next one without a line ends it.
                    if self.ready.is_empty() {
                        return None;
                    }
                }
            }
        }
    }

    fn take(&mut self, piece: &LogOutput) {
        let stderr = match piece {
            LogOutput::StdErr { .. } => true,
            LogOutput::StdOut { .. } | LogOutput::Console { .. } | LogOutput::StdIn { .. } => false,
        };
        self.ready.extend(self.lines.push(stderr, piece.as_ref()));
    }
}
