//! Commands about contexts.

use clap::{Args, Subcommand};

use super::shared::ListArgs;

/// Arguments of `context`.
#[derive(Debug, Args)]
pub(crate) struct ContextArgs {
    #[command(subcommand)]
    pub(crate) verb: ContextVerb,
}

/// The verbs of `context`.
#[derive(Debug, Subcommand)]
pub(crate) enum ContextVerb {
    /// Add a context.
    #[command(long_about = "\
Add a context, or change the host of one. Nothing is connected.

Examples:
  dubernetes context add prod ssh://ada@server.example
  dubernetes context add lab ssh://server/run/dubernetes/lab.sock --replace")]
    Add(ContextAddArgs),
    /// Use a context from now on.
    #[command(long_about = "\
Use a context from now on: commands without `--host` and `--context` talk to its host.

Examples:
  dubernetes context use prod
  dubernetes context use local")]
    Use(ContextNameArgs),
    /// List contexts.
    #[command(long_about = "\
List contexts. The one in use is marked.

Examples:
  dubernetes context list
  dubernetes context list -o json")]
    List(ListArgs),
    /// Remove a context.
    #[command(long_about = "\
Remove a context. Its apps are not touched. If it was in use, `local` is used from now on.

Examples:
  dubernetes context remove prod
  dubernetes context remove lab")]
    Remove(ContextNameArgs),
}

/// Arguments of `context add`.
#[derive(Debug, Args)]
pub(crate) struct ContextAddArgs {
    /// Name of the context.
    #[arg(value_name = "CONTEXT")]
    pub(crate) name: String,
    /// Its host, as for `--host`.
    #[arg(value_name = "URL")]
    pub(crate) url: String,
    /// Change the host of a context that exists.
    #[arg(long)]
    pub(crate) replace: bool,
}

/// Arguments of `context use` and `context remove`.
#[derive(Debug, Args)]
pub(crate) struct ContextNameArgs {
    /// Name of the context.
    #[arg(value_name = "CONTEXT")]
    pub(crate) name: String,
}
