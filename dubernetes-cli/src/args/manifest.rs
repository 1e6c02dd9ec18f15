//! Commands about the manifest itself. They need neither an orchestrator nor an engine.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use dubernetes_core::app::{AppName, ImageRef};
use dubernetes_manifest::kubernetes::KEYS;

use super::shared::FileArgs;

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// Key, such as `replicas` or `access.host`; defaults to all keys.
    #[arg(value_name = "KEY")]
    pub(crate) key: Option<String>,
}

/// Arguments of `import`.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// Compose file, or `-` for standard input.
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// Folder for one file per app; without it, all go to standard output.
    #[arg(short, long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) output: Option<PathBuf>,
    /// Overwrite files that exist.
    #[arg(long, requires = "output")]
    pub(crate) force: bool,
}

/// Arguments of `export`.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    pub(crate) files: FileArgs,
    /// Folder for the manifests; without it, all go to standard output.
    #[arg(short, long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) output: Option<PathBuf>,
    /// Overwrite files that exist.
    #[arg(long, requires = "output")]
    pub(crate) force: bool,
}

/// Returns the table of keys for the help of `export`.
pub(crate) fn exported_keys() -> String {
    let mut text = "Keys, and what becomes of them:\n".to_owned();
    for row in KEYS {
        text += &format!("  {}\n      {}\n", row.keys.join(", "), row.becomes);
    }
    text
}

/// Arguments of `init`.
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// Name of the app; defaults to the name of the current folder.
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<AppName>,
    /// Image; defaults to NAME:latest.
    #[arg(long, value_name = "IMAGE")]
    pub(crate) image: Option<ImageRef>,
    /// File to write, or `-` for standard output.
    #[arg(
        short,
        long,
        value_name = "FILE",
        default_value = "app.yaml",
        value_hint = ValueHint::FilePath
    )]
    pub(crate) output: PathBuf,
    /// Overwrite the file if it exists.
    #[arg(long)]
    pub(crate) force: bool,
}
