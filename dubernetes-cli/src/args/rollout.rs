//! Commands about rollouts and revisions.

use clap::{Args, Subcommand};

use super::resource::ObjectName;
use super::shared::{ListArgs, WaitArgs};
use dubernetes_core::app::RevisionId;

/// Arguments of `rollout`.
#[derive(Debug, Args)]
pub(crate) struct RolloutArgs {
    #[command(subcommand)]
    pub(crate) verb: RolloutVerb,
}

/// The verbs of `rollout`.
#[derive(Debug, Subcommand)]
pub(crate) enum RolloutVerb {
    /// Wait until the rollout of an app is complete or has failed.
    #[command(long_about = "\
Wait until the rollout of an app is complete or has failed. Exit code 1 if the rollout
was rolled back or is paused.

Examples:
  dubernetes rollout status web
  dubernetes rollout status web --timeout 30s --progress quiet")]
    Status(RolloutWaitArgs),
    /// List the revisions of an app and their outcomes.
    #[command(long_about = "\
List the revisions of an app and their outcomes, or show the details of one revision.

Examples:
  dubernetes rollout history web
  dubernetes rollout history web --revision 2")]
    History(HistoryArgs),
    /// Roll back to an earlier revision.
    #[command(long_about = "\
Roll back to the last complete revision, or to the given one. Its spec becomes a new
revision; its image is not resolved again.

Examples:
  dubernetes rollout undo web
  dubernetes rollout undo web --to 3")]
    Undo(UndoArgs),
    /// Replace all replicas of an app one by one.
    #[command(long_about = "\
Replace all replicas of an app one by one, with the same spec. The image is resolved
again, so an image rebuilt under the same name is used.

Examples:
  dubernetes rollout restart web
  dubernetes rollout restart web --detach")]
    Restart(RolloutWaitArgs),
    /// Pause the rollout of an app.
    #[command(long_about = "\
Pause the rollout of an app: no replica is replaced by a newer revision until the rollout
is resumed. Replicas that fail are still restarted, and `scale` works.

Examples:
  dubernetes rollout pause web
  dubernetes rollout pause app/web")]
    Pause(RolloutPauseArgs),
    /// Resume a paused rollout.
    #[command(long_about = "\
Resume a paused rollout. A revision that failed is tried again.

Examples:
  dubernetes rollout resume web
  dubernetes rollout resume web --detach")]
    Resume(RolloutWaitArgs),
}

/// Arguments of `rollout history`.
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// App.
    #[arg(value_name = "NAME", value_parser = ObjectName::parse)]
    pub(crate) name: ObjectName,
    /// Show the details of this revision.
    #[arg(long, value_name = "N")]
    pub(crate) revision: Option<RevisionId>,
    #[command(flatten)]
    pub(crate) list: ListArgs,
}

/// Arguments of `rollout undo` and `rollback`.
#[derive(Debug, Args)]
pub(crate) struct UndoArgs {
    /// App.
    #[arg(value_name = "NAME", value_parser = ObjectName::parse)]
    pub(crate) name: ObjectName,
    /// Revision to roll back to; defaults to the last complete one.
    #[arg(long, value_name = "N", visible_alias = "to-revision")]
    pub(crate) to: Option<RevisionId>,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

/// Arguments of `rollout status`, `rollout restart` and `rollout resume`.
#[derive(Debug, Args)]
pub(crate) struct RolloutWaitArgs {
    /// App.
    #[arg(value_name = "NAME", value_parser = ObjectName::parse)]
    pub(crate) name: ObjectName,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

/// Arguments of `rollout pause`.
#[derive(Debug, Args)]
pub(crate) struct RolloutPauseArgs {
    /// App.
    #[arg(value_name = "NAME", value_parser = ObjectName::parse)]
    pub(crate) name: ObjectName,
}
