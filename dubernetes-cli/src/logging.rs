//! What is logged, how much, and how: to standard error, by everything below the commands.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::args::{Cli, ColorWhen, Command, LogFormat};
use crate::report::{CliError, Result, USAGE};

/// Holds a filter of its own making, such as `dubernetes_core=debug,info`.
const VARIABLE: &str = "DUBERNETES_LOG";

/// Begins to log. `-v` wins over the environment.
pub(crate) fn start(cli: &Cli) -> Result {
    let (serves, format) = match &cli.command {
        Command::Serve(args) => (true, args.log_format),
        _ => (false, LogFormat::Text),
    };
    let filter = match (cli.global.verbose, std::env::var(VARIABLE)) {
        (0, Ok(filter)) => EnvFilter::try_new(&filter).map_err(|error| {
            let error: &dyn std::error::Error = &error;
            let text = dubernetes_core::error::chain(error);
            CliError::with_exit(USAGE, format!("{VARIABLE} makes no sense: {text}"))
                .help(format!("for example `{VARIABLE}=debug`"))
        })?,
        (verbose, _) => EnvFilter::new(usual(serves, verbose)),
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        // Else a standard error that is gone would end the process.
        .log_internal_errors(false)
        .with_ansi(colored(cli.global.color));
    let started = match format {
        LogFormat::Text => builder.finish().with(discreet()).try_init(),
        LogFormat::Json => builder.json().finish().with(discreet()).try_init(),
    };
    // Whoever embeds this program may log already.
    started.or(Ok(()))
}

/// The program's own messages; those of libraries from two steps above.
fn usual(serves: bool, verbose: u8) -> &'static str {
    match (serves, verbose) {
        (false, 0) => "error",
        (false, 1) | (true, 0) => "warn,dubernetes=info",
        (false, 2) | (true, 1) => "info,dubernetes=debug",
        _ => "debug,dubernetes=trace",
    }
}

/// The engine's client writes whole requests into its debug messages, and with them the
/// environment of every container: those are for nobody, whatever the filter says.
fn discreet() -> Targets {
    Targets::new().with_default(LevelFilter::TRACE).with_target("bollard", LevelFilter::INFO)
}

fn colored(when: ColorWhen) -> bool {
    match when {
        ColorWhen::Always => true,
        ColorWhen::Never => false,
        ColorWhen::Auto => {
            io::stderr().is_terminal()
                && anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never
        }
    }
}
