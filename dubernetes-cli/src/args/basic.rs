//! Commands that change apps, or say what a change would do.

use clap::Args;
use clap_complete::ArgValueCompleter;
use dubernetes_core::app::{MAX_REPLICAS, UrlPath};

use super::{FileArgs, FormatArgs, ObjectName, SelectorArgs, WaitArgs};
use crate::complete;

/// `apply`.
#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    #[command(flatten)]
    pub(crate) files: FileArgs,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
    /// Check the files and show what would be done, and change nothing.
    #[arg(long, conflicts_with_all = ["detach", "timeout", "progress"])]
    pub(crate) dry_run: bool,
    /// Apply what has failed before once more.
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) retry: bool,
    #[command(flatten)]
    pub(crate) verify: VerifyArgs,
}

/// Whether requests are sent while an apply waits.
#[derive(Debug, Clone, Args)]
pub(crate) struct VerifyArgs {
    /// Send requests through the ingress meanwhile, 20 a second, and say what became of them.
    #[arg(long, conflicts_with_all = ["dry_run", "detach"])]
    pub(crate) verify: bool,
    /// The path that is asked; that of `health.http` unless given, else `/`.
    #[arg(long, value_name = "PATH", requires = "verify", conflicts_with_all = ["dry_run", "detach"],
          value_parser = UrlPath::parse)]
    pub(crate) verify_path: Option<UrlPath>,
    /// More failures than this take the app back to where it was.
    #[arg(long, value_name = "N", requires = "verify", conflicts_with_all = ["dry_run", "detach"])]
    pub(crate) verify_budget: Option<u64>,
}

/// `delete`.
#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// Apps; or `pods` and then pods; each may be written as `app/NAME` or `pod/NAME`.
    #[arg(value_name = "NAME", required_unless_present_any = ["filename", "selector"],
          add = ArgValueCompleter::new(complete::of_typed_kind))]
    pub(crate) names: Vec<String>,
    #[command(flatten)]
    pub(crate) selector: SelectorArgs,
    /// Files or folders whose apps are deleted: repeatable, or a list with commas.
    #[arg(short, long, value_name = "FILE", value_delimiter = ',')]
    pub(crate) filename: Vec<std::path::PathBuf>,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

/// `scale`.
#[derive(Debug, Args)]
pub(crate) struct ScaleArgs {
    /// The app.
    #[arg(value_name = "NAME", value_parser = ObjectName::parse,
          add = ArgValueCompleter::new(complete::apps))]
    pub(crate) name: ObjectName,
    /// How many replicas it shall have.
    #[arg(value_name = "N", value_parser = clap::value_parser!(u16).range(0..=i64::from(MAX_REPLICAS)))]
    pub(crate) replicas: u16,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

/// `diff`.
#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    #[command(flatten)]
    pub(crate) files: FileArgs,
}

/// `plan`.
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) files: FileArgs,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

/// `validate`.
#[derive(Debug, Args)]
pub(crate) struct ValidateArgs {
    #[command(flatten)]
    pub(crate) files: FileArgs,
}
