//! Streams: logs, commands in a container, and its own process.

mod attach;
mod exec;
mod lines;
mod logs;
mod terminal;

pub(crate) use attach::attach;
pub(crate) use exec::exec;
pub(crate) use logs::read_logs;

use bollard::container::LogOutput;
use dubernetes_core::runtime::ExecOutput;

/// Converts a part of the output. With a terminal there is one stream.
fn to_output(part: LogOutput) -> ExecOutput {
    match part {
        LogOutput::StdErr { message } => ExecOutput::Stderr(message),
        LogOutput::StdOut { message }
        | LogOutput::Console { message }
        | LogOutput::StdIn { message } => ExecOutput::Stdout(message),
    }
}
