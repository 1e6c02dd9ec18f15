//! Streams: logs, and commands in a container.

mod exec;
mod lines;
mod logs;

pub(crate) use exec::exec;
pub(crate) use logs::read_logs;
