//! `secret`: sets, lists and deletes secrets, and rotates their key. No value is ever printed.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read, Write as _};
use std::path::Path;

use dubernetes_api::wire::SecretSet;
use dubernetes_core::app::{MAX_CONTENT_BYTES, Secret, SecretName};
use jiff::Timestamp;

use crate::args::{
    Format, FormatArgs, ListArgs, SecretArgs, SecretDeleteArgs, SecretSetArgs, SecretVerb,
};
use crate::follow::{Follower, Goal};
use crate::hidden_input::read_hidden_line;
use crate::interrupt::until_interrupted;
use crate::output;
use crate::report::{self, CliError, FAILED, Result, USAGE};
use crate::settings::Settings;
use crate::target::{Mode, Target};

pub(super) async fn run(args: &SecretArgs, settings: &Settings) -> Result {
    match &args.verb {
        SecretVerb::Set(args) => set(args, settings).await,
        SecretVerb::List(args) => until_interrupted(list(args, settings)).await,
        SecretVerb::Delete(args) => until_interrupted(delete(args, settings)).await,
        SecretVerb::RotateKey(args) => until_interrupted(rotate_key(*args, settings)).await,
    }
}

async fn set(args: &SecretSetArgs, settings: &Settings) -> Result {
    let value = until_interrupted(read_value(args)).await?;
    Target::with_wait(settings, &args.wait, async |target: &Target| {
        let mut follower = Follower::new(target, &args.wait).await?;
        let set = target.client.set_secret(args.secret.as_str(), &value).await?;
        output::print(&set_text(&set, args.format.format())?)?;
        if set.apps.is_empty() {
            return Ok(());
        }
        let result = match args.wait.detach {
            true => Ok(()),
            false => follower.until_ready(Goal::for_apps(&set.apps)).await,
        };
        target.warn_unsupervised("");
        result
    })
    .await
}

fn set_text(set: &SecretSet, format: Format) -> Result<String> {
    let name = &set.name;
    Ok(match format {
        Format::Table | Format::Wide => {
            let apps = set.apps.iter().map(|app| {
                format!("app/{} configured: revision {}\n", app.name, app.status.revision)
            });
            format!("secret/{name} {}\n{}", set.change.as_str(), apps.collect::<String>())
        }
        Format::Name => format!("secret/{name}\n"),
        Format::Json | Format::Yaml => output::value(set, format)?,
    })
}

/// Reads the value from a file, from standard input, or from a terminal without showing it.
async fn read_value(args: &SecretSetArgs) -> Result<Secret> {
    let name = &args.secret;
    let bytes = match &args.from_file {
        Some(path) => read_file(path)?,
        None if io::stdin().is_terminal() => {
            let _ = write!(anstream::stderr(), "Value of secret {name} (not shown): ");
            read_hidden_line().await?.into_bytes()
        }
        None => {
            let read = tokio::task::spawn_blocking(|| read_limited(io::stdin().lock()));
            let what = "cannot read standard input";
            let read = read.await.map_err(|error| CliError::with_source(what, &error))?;
            read.map_err(|error| CliError::with_io_source(what, &error))?
        }
    };
    check_size(name, bytes.len())?;
    Ok(Secret::new(bytes))
}

fn check_size(name: &SecretName, bytes: usize) -> Result {
    let wrong = match bytes {
        0 => format!("the value of secret `{name}` is empty"),
        bytes if bytes > MAX_CONTENT_BYTES => {
            format!("the value of secret `{name}` has more than {MAX_CONTENT_BYTES} bytes")
        }
        _ => return Ok(()),
    };
    let help = "the value is read from standard input, or from a file with `--from-file`";
    Err(CliError::with_exit(USAGE, wrong).help(help))
}

fn read_file(path: &Path) -> Result<Vec<u8>> {
    File::open(path).and_then(read_limited).map_err(CliError::cannot("read", path))
}

/// Reads up to one byte over the limit.
fn read_limited(from: impl Read) -> io::Result<Vec<u8>> {
    let limit = u64::try_from(MAX_CONTENT_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    from.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

async fn list(args: &ListArgs, settings: &Settings) -> Result {
    let secrets = Target::with(settings, Mode::Observe, async |target: &Target| {
        Ok(target.client.secrets().await?)
    })
    .await?;
    if secrets.is_empty() && matches!(args.format(), Format::Table | Format::Wide) {
        report::print_line("No secrets found.");
        return Ok(());
    }
    output::print(&output::list(&secrets, args.style(), Timestamp::now())?)
}

async fn delete(args: &SecretDeleteArgs, settings: &Settings) -> Result {
    Target::with(settings, Mode::Act, async |target: &Target| {
        let mut failed = false;
        for name in &args.secrets {
            match target.client.delete_secret(name.as_str()).await.map_err(CliError::from) {
                Ok(()) => output::print(&format!("secret/{name} deleted\n"))?,
                // The others do not depend on it.
                Err(error) if error.exit_code() == FAILED => {
                    error.report();
                    failed = true;
                }
                Err(error) => return Err(error),
            }
        }
        if failed { Err(CliError::already_reported(FAILED)) } else { Ok(()) }
    })
    .await
}

async fn rotate_key(format: FormatArgs, settings: &Settings) -> Result {
    let rotated = Target::with(settings, Mode::Act, async |target: &Target| {
        Ok(target.client.rotate_secret_key().await?)
    })
    .await?;
    match format.format() {
        format @ (Format::Json | Format::Yaml) => output::print(&output::value(&rotated, format)?),
        Format::Table | Format::Wide | Format::Name => {
            let values = match rotated.values {
                0 => return output::print("there is no value to encrypt\n"),
                1 => "1 value is".to_owned(),
                values => format!("{values} values are"),
            };
            output::print(&format!("{values} encrypted with the new key\n"))?;
            report::note(
                "back up `secret.key` in the state folder; older backups need the old key",
            );
            Ok(())
        }
    }
}
