//! Commands that show state, logs and events.

use clap::{Args, ValueEnum};
use dubernetes_core::app::{AppName, Duration, HostName};

use super::orchestrate::long_duration;
use super::port_forward::LineFormat;
use super::resource::{ObjectName, Resource, ResourceParser};
use super::shared::{FormatArgs, ListArgs, SelectorArgs};

/// Arguments of `get`.
#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// `apps`, `pods`, `revisions`, `events`, `routes`, `certificates` or `nodes`; or one object,
    /// such as `app/NAME`.
    #[arg(value_name = "KIND", value_parser = ResourceParser)]
    pub(crate) resource: Resource,
    /// Only objects with these names.
    #[arg(value_name = "NAME", conflicts_with = "selector")]
    pub(crate) names: Vec<String>,
    #[command(flatten)]
    pub(crate) selector: SelectorArgs,
    #[command(flatten)]
    pub(crate) list: ListArgs,
    /// Watch for changes.
    #[arg(short, long)]
    pub(crate) watch: bool,
}

/// Arguments of `describe`.
#[derive(Debug, Args)]
pub(crate) struct DescribeArgs {
    /// App or pod; `app NAME` and `pod NAME` work, too.
    #[arg(value_name = "NAME", required = true, num_args = 1..=2)]
    pub(crate) name: Vec<String>,
}

/// Arguments of `why`.
#[derive(Debug, Args)]
pub(crate) struct WhyArgs {
    /// App or pod; `app NAME` and `pod NAME` work, too.
    #[arg(value_name = "NAME", required = true, num_args = 1..=2)]
    pub(crate) name: Vec<String>,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

/// Arguments of `events`.
#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    /// Only events of this app or pod.
    #[arg(value_name = "NAME", value_parser = ObjectName::parse, conflicts_with = "selector")]
    pub(crate) name: Option<ObjectName>,
    /// Only events of this app and its pods.
    #[arg(long, value_name = "NAME",
          conflicts_with_all = ["name", "selector"])]
    pub(crate) app: Option<AppName>,
    #[command(flatten)]
    pub(crate) selector: SelectorArgs,
    /// Only events newer than this, such as `10m` or `2d`.
    #[arg(long, value_name = "TIME", value_parser = long_duration)]
    pub(crate) since: Option<Duration>,
    /// Only events of this type.
    #[arg(long = "type", value_name = "TYPE", ignore_case = true)]
    pub(crate) kind: Option<EventType>,
    #[command(flatten)]
    pub(crate) list: ListArgs,
    /// Watch for new events.
    #[arg(short, long)]
    pub(crate) watch: bool,
}

/// Type of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "PascalCase")]
pub(crate) enum EventType {
    /// Normal operation.
    Normal,
    /// Something went wrong.
    Warning,
}

/// Arguments of `logs`.
#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// App (all its pods) or pod.
    #[arg(value_name = "NAME", value_parser = ObjectName::parse,
          required_unless_present = "selector", conflicts_with = "selector")]
    pub(crate) name: Option<ObjectName>,
    #[command(flatten)]
    pub(crate) selector: SelectorArgs,
    /// Print the last 200 lines of the container of each pod that crashed last, if the running
    /// orchestrator saw the crash.
    #[arg(short, long, conflicts_with = "follow")]
    pub(crate) previous: bool,
    /// Print requests instead: those to an app, or those that a pod answered.
    #[arg(long, conflicts_with_all = ["previous", "raw", "selector"])]
    pub(crate) access: bool,
    /// Follow new lines.
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Number of last lines per pod, or of last requests.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) tail: u32,
    /// Only lines newer than this, such as `5m`.
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<Duration>,
    /// Print control characters unchanged.
    #[arg(long)]
    pub(crate) raw: bool,
    /// Output format of requests.
    #[arg(short, long, value_name = "FORMAT", default_value = "text", requires = "access")]
    pub(crate) output: LineFormat,
}

/// What a command in a container gets of our side.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct StdioArgs {
    /// Pass standard input to the command.
    #[arg(short = 'i', long)]
    pub(crate) stdin: bool,
    /// Give the command a terminal; with `-i` it is ours.
    #[arg(short, long)]
    pub(crate) tty: bool,
}

impl StdioArgs {
    /// Returns whether keys go to the command as they are typed.
    pub(crate) fn is_interactive(self) -> bool {
        self.stdin && self.tty
    }
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The app whose image and environment the container has.
    #[arg(value_name = "NAME")]
    pub(crate) name: AppName,
    #[command(flatten)]
    pub(crate) stdio: StdioArgs,
    /// Command and arguments, after `--`; those of the app without it.
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

/// Arguments of `exec`.
#[derive(Debug, Args)]
pub(crate) struct ExecArgs {
    /// Pod, or app (one of its ready pods).
    #[arg(value_name = "NAME", value_parser = ObjectName::parse)]
    pub(crate) name: ObjectName,
    #[command(flatten)]
    pub(crate) stdio: StdioArgs,
    /// Command and arguments, after `--`.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

/// Arguments of `renew`.
#[derive(Debug, Args)]
pub(crate) struct RenewArgs {
    /// Host, as `get certificates` lists it.
    #[arg(value_name = "HOST")]
    pub(crate) certificate: HostName,
}
