//! Logs of a container as lines with their times.

use std::collections::VecDeque;
use std::sync::Arc;

use bollard::container::LogOutput;
use bollard::query_parameters::{LogsOptions, LogsOptionsBuilder};
use dubernetes_core::runtime::{ContainerId, LogLine, LogOptions, RuntimeError, RuntimeStream};
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};

use crate::engine::{Engine, READ};
use crate::to_docker::path_segment;

use super::lines::LineAssembler;

/// Streams the container's output, oldest first.
pub(crate) async fn read_logs(
    engine: &Arc<Engine>,
    id: &ContainerId,
    options: &LogOptions,
) -> Result<RuntimeStream<LogLine>, RuntimeError> {
    let name = path_segment(id)?;
    let docker = engine.docker()?;
    // The client sends the request at the first poll only; this shows whether the container exists.
    let inspected = docker.inspect_container(name, None);
    let inspected = engine.call(READ, &describe_operation(id), inspected).await;
    inspected.map_err(|error| error.into_not_found("container", name))?;
    let reader = LogReader {
        engine: Arc::clone(engine),
        chunks: Some(docker.logs(name, Some(build_query(options))).boxed()),
        assembler: LineAssembler::default(),
        ready: VecDeque::new(),
        id: id.clone(),
    };
    let since = options.since;
    let lines = stream::unfold(reader, LogReader::next).filter(move |line| {
        // The query has whole seconds.
        let is_wanted = match (line, since) {
            (Ok(line), Some(since)) => line.time >= since,
            (Ok(_), None) | (Err(_), _) => true,
        };
        std::future::ready(is_wanted)
    });
    Ok(lines.boxed())
}

fn build_query(options: &LogOptions) -> LogsOptions {
    let since = options.since.map_or(0, |since| since.as_second().max(0));
    LogsOptionsBuilder::default()
        .stdout(true)
        .stderr(true)
        .timestamps(true)
        .follow(options.follow)
        .tail(&options.tail.map_or_else(|| "all".to_owned(), |tail| tail.to_string()))
        // A time that the client cannot express requests all lines, which are filtered here.
        .since(i32::try_from(since).unwrap_or_default())
        .build()
}

fn describe_operation(id: &ContainerId) -> String {
    format!("read the logs of container `{id}`")
}

struct LogReader {
    engine: Arc<Engine>,
    /// `None` after the end of the stream.
    chunks: Option<BoxStream<'static, Result<LogOutput, bollard::errors::Error>>>,
    assembler: LineAssembler,
    ready: VecDeque<LogLine>,
    id: ContainerId,
}

impl LogReader {
    async fn next(mut self) -> Option<(Result<LogLine, RuntimeError>, Self)> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Some((Ok(line), self));
            }
            match self.chunks.as_mut()?.next().await {
                Some(Ok(chunk)) => self.push(&chunk),
                Some(Err(error)) => {
                    self.chunks = None;
                    let error = self.engine.call_error(&describe_operation(&self.id), error);
                    return Some((Err(error.into_not_found("container", &self.id.0)), self));
                }
                None => {
                    self.chunks = None;
                    self.ready = self.assembler.finish().into();
                }
            }
        }
    }

    fn push(&mut self, chunk: &LogOutput) {
        let stderr = match chunk {
            LogOutput::StdErr { .. } => true,
            LogOutput::StdOut { .. } | LogOutput::Console { .. } | LogOutput::StdIn { .. } => false,
        };
        self.ready.extend(self.assembler.push(stderr, chunk.as_ref()));
    }
}
