//! Commands about secrets.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use dubernetes_core::app::SecretName;

use super::shared::{FormatArgs, ListArgs, WaitArgs};

/// Arguments of `secret`.
#[derive(Debug, Args)]
pub(crate) struct SecretArgs {
    #[command(subcommand)]
    pub(crate) verb: SecretVerb,
}

/// The verbs of `secret`.
#[derive(Debug, Subcommand)]
pub(crate) enum SecretVerb {
    /// Create a secret or change its value.
    #[command(long_about = "\
Create a secret or change its value, which is read from standard input or a file, never
from the command line. Each app that uses the secret rolls to the new value.

Examples:
  dubernetes secret set db-password                     asks for the value
  openssl rand -hex 32 | dubernetes secret set api-key
  dubernetes secret set tls-key --from-file ./tls.key")]
    Set(SecretSetArgs),
    /// List secrets, without their values.
    #[command(long_about = "\
List secrets with the start of the SHA-256 of their values, and the apps that use them.

Examples:
  dubernetes secret list
  dubernetes secret list -o json")]
    List(ListArgs),
    /// Delete secrets that no app uses.
    #[command(long_about = "\
Delete secrets. A secret that an app uses is not deleted.

Examples:
  dubernetes secret delete db-password
  dubernetes secret delete old-key older-key")]
    Delete(SecretDeleteArgs),
    /// Encrypt all secrets with a new key.
    #[command(long_about = "\
Encrypt all secrets and contents of files in the database and its snapshots with a new
key, and forget the old one. No app is restarted. Back up `secret.key` afterwards: older
backups of the database need the older key.

Examples:
  dubernetes secret rotate-key
  dubernetes secret rotate-key -o json")]
    RotateKey(FormatArgs),
}

/// Arguments of `secret set`.
#[derive(Debug, Args)]
pub(crate) struct SecretSetArgs {
    /// Secret.
    #[arg(value_name = "NAME")]
    pub(crate) secret: SecretName,
    /// Read the value from this file instead of standard input.
    #[arg(long, value_name = "PATH")]
    pub(crate) from_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

/// Arguments of `secret delete`.
#[derive(Debug, Args)]
pub(crate) struct SecretDeleteArgs {
    /// Secrets.
    #[arg(value_name = "NAME", required = true)]
    pub(crate) secrets: Vec<SecretName>,
}
