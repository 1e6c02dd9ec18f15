//! Commands that change apps or show what a change would do.

use std::path::PathBuf;

use clap::{Args, value_parser};
use dubernetes_core::app::{ImageRef, MAX_REPLICAS, UrlPath};
use dubernetes_core::selector::Selector;

use super::resource::ObjectName;
use super::shared::{FileArgs, FormatArgs, SelectorArgs, WaitArgs};

/// Arguments of `apply`.
#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    #[command(flatten)]
    pub(crate) files: FileArgs,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
    /// Check the files and show what would change, without changing anything.
    #[arg(long, conflicts_with_all = ["detach", "timeout", "progress"])]
    pub(crate) dry_run: bool,
    /// Then delete the apps that have the labels of `--selector` and are not in the files, after
    /// confirmation.
    #[arg(long, requires = "selector")]
    pub(crate) prune: bool,
    /// Labels of the apps of these files, for `--prune`: `key=value`, joined by commas.
    #[arg(short = 'l', long, value_name = "SELECTOR", requires = "prune")]
    pub(crate) selector: Option<Selector>,
    /// Do not ask before `--prune` deletes apps.
    #[arg(short, long, requires = "prune")]
    pub(crate) yes: bool,
    /// First send the images of the files that are on this machine to the orchestrator's engine.
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) push: bool,
    /// Retry a spec that failed before.
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) retry: bool,
    #[command(flatten)]
    pub(crate) verify: VerifyArgs,
}

/// Flags for sending requests during an apply.
#[derive(Debug, Clone, Args)]
pub(crate) struct VerifyArgs {
    /// Send 20 requests per second through the ingress during the rollout, and report the results.
    #[arg(long, conflicts_with_all = ["dry_run", "detach"])]
    pub(crate) verify: bool,
    /// Path of these requests; defaults to `health.http`, else `/`.
    #[arg(
        long,
        value_name = "PATH",
        requires = "verify",
        conflicts_with_all = ["dry_run", "detach"]
    )]
    pub(crate) verify_path: Option<UrlPath>,
    /// Roll back after more than N failed requests.
    #[arg(long, value_name = "N", requires = "verify", conflicts_with_all = ["dry_run", "detach"])]
    pub(crate) verify_budget: Option<u64>,
}

/// Arguments of `delete`.
#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// Apps, or `pods` followed by pods; `app/NAME` and `pod/NAME` work, too.
    #[arg(value_name = "NAME", required_unless_present_any = ["filename", "selector"])]
    pub(crate) names: Vec<String>,
    #[command(flatten)]
    pub(crate) selector: SelectorArgs,
    /// Files or folders that define the apps to delete; can be repeated or a list with commas.
    #[arg(short, long, value_name = "FILE", value_delimiter = ',')]
    pub(crate) filename: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

/// Arguments of `push`.
#[derive(Debug, Args)]
pub(crate) struct PushArgs {
    /// Images.
    #[arg(value_name = "IMAGE", required = true)]
    pub(crate) images: Vec<ImageRef>,
}

/// Arguments of `scale`.
#[derive(Debug, Args)]
pub(crate) struct ScaleArgs {
    /// App.
    #[arg(value_name = "NAME", value_parser = ObjectName::parse)]
    pub(crate) name: ObjectName,
    /// Number of replicas.
    #[arg(value_name = "N", value_parser = value_parser!(u16).range(0..=i64::from(MAX_REPLICAS)))]
    pub(crate) replicas: u16,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

/// Arguments of `plan`.
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) files: FileArgs,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}
