//! Log output of everything below the commands, on standard error.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::args::{Cli, ColorWhen, Command, LogFormat};
use crate::report::{CliError, Result, USAGE};

/// Environment variable with a log filter, such as `dubernetes_core=debug,info`.
const VARIABLE: &str = "DUBERNETES_LOG";

/// Installs the log subscriber. `-v` wins over the environment.
pub(crate) fn start(cli: &Cli) -> Result {
    let (serves, format) = if let Command::Serve(args) = &cli.command {
        (true, args.log_format)
    } else {
        (false, LogFormat::Text)
    };
    let filter = match (cli.global.verbose, std::env::var(VARIABLE)) {
        (0, Ok(filter)) => EnvFilter::try_new(&filter).map_err(|error| {
            CliError::with_source(&format!("invalid {VARIABLE}"), &error)
                .exiting_with(USAGE)
                .help(format!("for example `{VARIABLE}=debug`"))
        })?,
        (verbose, _) => EnvFilter::new(default_filter(serves, verbose)),
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        // Otherwise a closed standard error would end the process.
        .log_internal_errors(false)
        .with_ansi(is_colored(cli.global.color));
    let started = match format {
        LogFormat::Text => builder.finish().with(secret_filter()).try_init(),
        LogFormat::Json => builder.json().finish().with(secret_filter()).try_init(),
    };
    // A program that embeds this one may have installed its own subscriber.
    started.or(Ok(()))
}

/// Returns the filter for a verbosity. Libraries log two levels later than this program.
fn default_filter(serves: bool, verbose: u8) -> &'static str {
    match verbose.saturating_add(u8::from(serves)) {
        0 => "error",
        1 => "warn,dubernetes=info",
        2 => "info,dubernetes=debug",
        3.. => "debug,dubernetes=trace",
    }
}

/// Hides debug messages of the engine's client under any filter: they hold whole requests, and
/// with them the environment of every container.
fn secret_filter() -> Targets {
    Targets::new().with_default(LevelFilter::TRACE).with_target("bollard", LevelFilter::INFO)
}

fn is_colored(when: ColorWhen) -> bool {
    match when {
        ColorWhen::Always => true,
        ColorWhen::Never => false,
        ColorWhen::Auto => {
            io::stderr().is_terminal()
                && anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never
        }
    }
}
