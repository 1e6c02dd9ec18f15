//! Commands that look at what there is.

use clap::{Args, ValueEnum};
use clap_complete::ArgValueCompleter;
use dubernetes_core::app::{AppName, Duration};

use super::orchestrate::long_time;
use super::resource::ResourceParser;
use super::{FormatArgs, ObjectName, Resource, SelectorArgs};
use crate::complete;

/// `get`.
#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// What: `apps`, `pods`, `revisions`, `events` or `routes`; or one thing, as `app/NAME`.
    #[arg(value_name = "KIND", value_parser = ResourceParser,
          add = ArgValueCompleter::new(complete::kinds))]
    pub(crate) resource: Resource,
    /// Only these.
    #[arg(value_name = "NAME", conflicts_with = "selector",
          add = ArgValueCompleter::new(complete::of_typed_kind))]
    pub(crate) names: Vec<String>,
    #[command(flatten)]
    pub(crate) selector: SelectorArgs,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
    /// Leave out the line with the columns' names.
    #[arg(long)]
    pub(crate) no_headers: bool,
    /// Go on with each change.
    #[arg(short, long)]
    pub(crate) watch: bool,
}

/// `describe`.
#[derive(Debug, Args)]
pub(crate) struct DescribeArgs {
    /// An app or a pod. `app NAME` and `pod NAME` work as well.
    #[arg(value_name = "NAME", required = true, num_args = 1..=2,
          add = ArgValueCompleter::new(complete::of_typed_kind))]
    pub(crate) name: Vec<String>,
}

/// `why`.
#[derive(Debug, Args)]
pub(crate) struct WhyArgs {
    /// An app or a pod. `app NAME` and `pod NAME` work as well.
    #[arg(value_name = "NAME", required = true, num_args = 1..=2)]
    pub(crate) name: Vec<String>,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

/// `events`.
#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    /// Only those of this app or pod.
    #[arg(value_name = "NAME", value_parser = ObjectName::parse, conflicts_with = "selector",
          add = ArgValueCompleter::new(complete::apps_and_pods))]
    pub(crate) name: Option<ObjectName>,
    /// Only those of this app, its pods included.
    #[arg(long, value_name = "NAME", value_parser = AppName::parse,
          conflicts_with_all = ["name", "selector"],
          add = ArgValueCompleter::new(complete::apps))]
    pub(crate) app: Option<AppName>,
    #[command(flatten)]
    pub(crate) selector: SelectorArgs,
    /// Only those of the last so much time, such as `10m` or `2d`.
    #[arg(long, value_name = "TIME", value_parser = long_time)]
    pub(crate) since: Option<Duration>,
    /// Only those of this type.
    #[arg(long = "type", value_name = "TYPE", ignore_case = true)]
    pub(crate) kind: Option<EventType>,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
    /// Leave out the line with the columns' names.
    #[arg(long)]
    pub(crate) no_headers: bool,
    /// Go on with new ones.
    #[arg(short, long)]
    pub(crate) watch: bool,
}

/// Whether a person should look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "PascalCase")]
pub(crate) enum EventType {
    /// The ordinary course of things.
    Normal,
    /// Something went wrong.
    Warning,
}

/// `logs`.
#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// An app (all its pods) or a pod.
    #[arg(value_name = "NAME", value_parser = ObjectName::parse,
          required_unless_present = "selector", conflicts_with = "selector",
          add = ArgValueCompleter::new(complete::apps_and_pods))]
    pub(crate) name: Option<ObjectName>,
    #[command(flatten)]
    pub(crate) selector: SelectorArgs,
    /// Of the container that crashed before the present one of each pod: its last 200 lines, as
    /// far as the orchestrator that runs has seen it.
    #[arg(short, long, conflicts_with = "follow")]
    pub(crate) previous: bool,
    /// Go on with new lines.
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// How many of the last lines of each pod to show.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) tail: u32,
    /// Only lines of the last so much time, such as `5m`.
    #[arg(long, value_name = "TIME", value_parser = Duration::parse)]
    pub(crate) since: Option<Duration>,
    /// Pass control characters on as they are.
    #[arg(long)]
    pub(crate) raw: bool,
}

/// `exec`.
#[derive(Debug, Args)]
pub(crate) struct ExecArgs {
    /// A pod, or an app (one of its ready pods).
    #[arg(value_name = "NAME", value_parser = ObjectName::parse,
          add = ArgValueCompleter::new(complete::apps_and_pods))]
    pub(crate) name: ObjectName,
    /// Pass standard input on.
    #[arg(short = 'i', long)]
    pub(crate) stdin: bool,
    /// Give the command a terminal.
    #[arg(short, long, requires = "stdin")]
    pub(crate) tty: bool,
    /// The command and its arguments, behind `--`.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

/// `status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

/// `doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

/// `version`.
#[derive(Debug, Args)]
pub(crate) struct VersionArgs {
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}
