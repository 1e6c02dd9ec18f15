//! Commands about rollouts and the revisions between which they move.

use clap::{Args, Subcommand};
use clap_complete::ArgValueCompleter;

use super::{EXIT_CODES, FormatArgs, ObjectName, WaitArgs};
use crate::complete;

/// `rollout`.
#[derive(Debug, Args)]
pub(crate) struct RolloutArgs {
    #[command(subcommand)]
    pub(crate) verb: RolloutVerb,
}

/// What can be done about a rollout.
#[derive(Debug, Subcommand)]
pub(crate) enum RolloutVerb {
    /// Wait until the rollout of an app is done, or has failed.
    #[command(
        after_long_help = EXIT_CODES,
        long_about = "Wait until the rollout of an app is done, or has failed. A rollout that has come back to
an earlier revision by itself has failed, and one that is paused is not done: exit code 1.

Examples:
  dubernetes rollout status web
  dubernetes rollout status web --timeout 30s --progress quiet"
    )]
    Status(RolloutStatusArgs),
    /// Show the revisions of an app that are kept, and what became of them.
    #[command(
        after_long_help = EXIT_CODES,
        long_about = "Show the revisions of an app that are kept, and what became of them; or one of them with
all that is known of it.

Examples:
  dubernetes rollout history web
  dubernetes rollout history web --revision 2"
    )]
    History(HistoryArgs),
    /// Go back to an earlier revision.
    #[command(
        after_long_help = EXIT_CODES,
        long_about = "Go back to an earlier revision: to the last one that was complete, or to the one that is
named. Its content becomes a new revision; its image is not resolved anew.

Examples:
  dubernetes rollout undo web
  dubernetes rollout undo web --to 3"
    )]
    Undo(UndoArgs),
    /// Replace all replicas of an app, one after the other.
    #[command(
        after_long_help = EXIT_CODES,
        long_about = "Replace all replicas of an app, one after the other, by such with the same content. Its
image is resolved anew: one that was built again under the same name is taken.

Examples:
  dubernetes rollout restart web
  dubernetes rollout restart web --detach"
    )]
    Restart(ChangeArgs),
    /// Let no replica be replaced by a newer revision.
    #[command(
        after_long_help = EXIT_CODES,
        long_about = "Let no replica be replaced by a newer revision until the rollout is resumed. What fails is
restarted all the same, and `scale` works.

Examples:
  dubernetes rollout pause web
  dubernetes rollout pause app/web"
    )]
    Pause(PauseArgs),
    /// Let a paused rollout go on.
    #[command(
        after_long_help = EXIT_CODES,
        long_about = "Let a paused rollout go on. A revision that had failed gets another chance.

Examples:
  dubernetes rollout resume web
  dubernetes rollout resume web --detach"
    )]
    Resume(ChangeArgs),
}

/// `rollout status`.
#[derive(Debug, Args)]
pub(crate) struct RolloutStatusArgs {
    /// The app.
    #[arg(value_name = "NAME", value_parser = ObjectName::parse,
          add = ArgValueCompleter::new(complete::apps))]
    pub(crate) name: ObjectName,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

/// `rollout history`.
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// The app.
    #[arg(value_name = "NAME", value_parser = ObjectName::parse,
          add = ArgValueCompleter::new(complete::apps))]
    pub(crate) name: ObjectName,
    /// Only this one, with all that is known of it.
    #[arg(long, value_name = "N", add = ArgValueCompleter::new(complete::revisions))]
    pub(crate) revision: Option<u64>,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
    /// Leave out the line with the columns' names.
    #[arg(long)]
    pub(crate) no_headers: bool,
}

/// `rollout undo`, and `rollback`.
#[derive(Debug, Args)]
pub(crate) struct UndoArgs {
    /// The app.
    #[arg(value_name = "NAME", value_parser = ObjectName::parse,
          add = ArgValueCompleter::new(complete::apps))]
    pub(crate) name: ObjectName,
    /// The revision to go back to; the last complete one unless given.
    #[arg(long, value_name = "N", visible_alias = "to-revision",
          add = ArgValueCompleter::new(complete::revisions))]
    pub(crate) to: Option<u64>,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

/// `rollout restart` and `rollout resume`.
#[derive(Debug, Args)]
pub(crate) struct ChangeArgs {
    /// The app.
    #[arg(value_name = "NAME", value_parser = ObjectName::parse,
          add = ArgValueCompleter::new(complete::apps))]
    pub(crate) name: ObjectName,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

/// `rollout pause`.
#[derive(Debug, Args)]
pub(crate) struct PauseArgs {
    /// The app.
    #[arg(value_name = "NAME", value_parser = ObjectName::parse,
          add = ArgValueCompleter::new(complete::apps))]
    pub(crate) name: ObjectName,
}
