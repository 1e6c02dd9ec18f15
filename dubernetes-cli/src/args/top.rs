//! Arguments of `top`.

use clap::{Args, ValueEnum};

use super::shared::{ListArgs, SelectorArgs};

/// Arguments of `top`.
#[derive(Debug, Args)]
pub(crate) struct TopArgs {
    /// `apps` or `pods`, then names; the name of an app stands for all its pods.
    #[arg(value_name = "NAME")]
    pub(crate) words: Vec<String>,
    #[command(flatten)]
    pub(crate) selector: SelectorArgs,
    #[command(flatten)]
    pub(crate) list: ListArgs,
    /// Sort by usage, highest first; defaults to sorting by name.
    #[arg(long, value_name = "WHAT")]
    pub(crate) sort_by: Option<SortBy>,
}

/// Usage to sort by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SortBy {
    /// CPU.
    Cpu,
    /// Memory.
    Memory,
}
