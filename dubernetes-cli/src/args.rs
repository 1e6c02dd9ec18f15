//! The command line as types. clap writes help, usage errors and suggestions; nothing here acts.

mod backup;
mod basic;
mod command;
mod context;
pub(crate) mod error_format;
mod inspect;
mod manifest;
mod node;
mod orchestrate;
mod port_forward;
mod replay;
mod resource;
mod rollout;
mod secret;
mod shared;
mod simulate;
pub(crate) mod suggestions;
mod top;
mod ui;
mod wait;

pub(crate) use backup::{BackupArgs, RestoreArgs};
pub(crate) use basic::{ApplyArgs, DeleteArgs, PlanArgs, PushArgs, ScaleArgs, VerifyArgs};
pub(crate) use command::Command;
pub(crate) use context::{ContextAddArgs, ContextArgs, ContextVerb};
pub(crate) use inspect::{
    DescribeArgs, EventType, EventsArgs, ExecArgs, GetArgs, LogsArgs, RenewArgs, RunArgs,
    StdioArgs, WhyArgs,
};
pub(crate) use manifest::{ExplainArgs, ExportArgs, ImportArgs, InitArgs, exported_keys};
pub(crate) use node::NodeAddress;
pub(crate) use orchestrate::{
    BindAddresses, CompletionArgs, DownArgs, IngressArgs, IngressKind, LogFormat, ManArgs,
    RuntimeKind, ServeArgs, StoreKind, UpArgs,
};
pub(crate) use port_forward::{LineFormat, PortForwardArgs, PortPair};
pub(crate) use replay::{Moment, ReplayArgs};
pub(crate) use resource::{Kind, ObjectName};
pub(crate) use rollout::{
    HistoryArgs, RolloutArgs, RolloutPauseArgs, RolloutVerb, RolloutWaitArgs, UndoArgs,
};
pub(crate) use secret::{SecretArgs, SecretDeleteArgs, SecretSetArgs, SecretVerb};
pub(crate) use shared::{
    ColorWhen, FileArgs, Format, FormatArgs, GlobalArgs, ListArgs, ProgressStyle, VariableArgs,
    WaitArgs,
};
pub(crate) use simulate::{Scheduled, SimulateArgs};
pub(crate) use top::{SortBy, TopArgs};
pub(crate) use ui::UiArgs;
pub(crate) use wait::{Condition, WaitForArgs};

use clap::{CommandFactory as _, Parser};

/// Exit codes of most commands.
const EXIT_CODES: &str = "\
Exit codes:
  0    success
  1    failure: rejected, not found, or a rollout failed
  2    wrong usage
  3    orchestrator unreachable
  4    timed out waiting
  130  interrupted";

/// A declarative container orchestrator for one machine.
#[derive(Debug, Parser)]
#[command(
    version,
    propagate_version = false,
    long_about = "\
A declarative container orchestrator for one machine.

Examples:
  dubernetes apply app.yaml     run the apps in a file, with or without a running orchestrator
  dubernetes get pods           list what is running
  dubernetes serve              run the orchestrator, which keeps apps running"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// Returns the command line under the name `program`.
    pub(crate) fn named(program: &'static str) -> clap::Command {
        finish_help(Self::command().name(program).bin_name(program))
    }
}

/// Hides the values of variables in the help of a command and its subcommands. Ends the long help
/// with the exit codes, unless a command has codes of its own.
fn finish_help(command: clap::Command) -> clap::Command {
    let command = command.mut_subcommands(finish_help).mut_args(|arg| arg.hide_env_values(true));
    match command.get_after_long_help().map(ToString::to_string) {
        Some(text) if text.contains("Exit codes:") => command,
        Some(text) => command.after_long_help(format!("{}\n\n{EXIT_CODES}", text.trim_end())),
        None => command.after_long_help(EXIT_CODES),
    }
}

#[cfg(test)]
mod tests;
