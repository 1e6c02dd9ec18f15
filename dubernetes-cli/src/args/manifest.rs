//! Commands about the file itself, which need neither an orchestrator nor an engine.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use clap_complete::ArgValueCompleter;
use dubernetes_core::app::{AppName, ImageRef};

use crate::complete;

/// `explain`.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// A key, such as `replicas` or `access.host`; all of them unless given.
    #[arg(value_name = "KEY", add = ArgValueCompleter::new(complete::keys))]
    pub(crate) key: Option<String>,
}

/// `init`.
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// The app's name; that of the present folder unless given.
    #[arg(value_name = "NAME", value_parser = AppName::parse)]
    pub(crate) name: Option<AppName>,
    /// The image; NAME:latest unless given.
    #[arg(long, value_name = "IMAGE", value_parser = ImageRef::parse)]
    pub(crate) image: Option<ImageRef>,
    /// The file, or `-` for standard output.
    #[arg(short, long, value_name = "FILE", default_value = "app.yaml", value_hint = ValueHint::FilePath)]
    pub(crate) output: PathBuf,
    /// Overwrite the file if it exists.
    #[arg(long)]
    pub(crate) force: bool,
}
