//! Streams: logs, commands in a container, and its own process.

mod attach;
mod exec;
mod lines;
mod logs;
mod terminal;

pub(crate) use attach::attach;
pub(crate) use exec::exec;
pub(crate) use logs::read_logs;

use std::future::ready;
use std::sync::Arc;

use bollard::container::LogOutput;
use bollard::errors::Error;
use dubernetes_core::runtime::{ExecOutput, RuntimeError};
use futures_util::stream::{self, BoxStream, Stream, StreamExt as _};

use crate::engine::Engine;

/// Returns the output of a process, and last its exit code or the first error.
fn with_exit_code(
    engine: Arc<Engine>,
    operation: String,
    output: impl Stream<Item = Result<LogOutput, Error>> + Send + 'static,
    code: impl Future<Output = Result<i64, RuntimeError>> + Send + 'static,
) -> BoxStream<'static, Result<ExecOutput, RuntimeError>> {
    let output = output.map(move |part| match part {
        Ok(part) => Ok(to_output(part)),
        Err(error) => Err(engine.call_error(&operation, error).into_runtime_error()),
    });
    let code = stream::once(async { code.await.map(ExecOutput::Exit) });
    let until_error = |failed: &mut bool, item: Result<ExecOutput, RuntimeError>| {
        let is_after_error = std::mem::replace(failed, item.is_err());
        ready((!is_after_error).then_some(item))
    };
    output.chain(code).scan(false, until_error).boxed()
}

/// Converts a part of the output. With a terminal there is one stream.
fn to_output(part: LogOutput) -> ExecOutput {
    match part {
        LogOutput::StdErr { message } => ExecOutput::Stderr(message),
        LogOutput::StdOut { message }
        | LogOutput::Console { message }
        | LogOutput::StdIn { message } => ExecOutput::Stdout(message),
    }
}
