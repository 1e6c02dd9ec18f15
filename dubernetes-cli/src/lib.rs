//! The command line of Dubernetes: `dubernetes` and `dubectl` are one program with two names.
//!
//! A command speaks with a running orchestrator over its socket. Where none runs, it runs the
//! same router and controller inside its own process (`wiring`), so that the commands
//! themselves (`commands`) know one way only. Results go to standard output, everything else to
//! standard error, and each kind of failure has its exit code (`report`).

mod args;
mod commands;
mod follow;
mod logging;
mod output;
mod place;
mod progress;
mod report;
mod resolve;
mod settings;
mod simulate;
mod sources;
mod target;
mod wiring;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use anstream::ColorChoice;
use clap::{CommandFactory as _, FromArgMatches as _};

use args::{Cli, ColorWhen};
use report::{Failure, Outcome};
use settings::{Settings, User};

/// How long threads that are in a system call may keep the process from ending.
const LAST_CALLS: Duration = Duration::from_millis(500);

/// Does what the process's arguments say, under the name `program`, and gives the exit code.
pub fn run(program: &'static str) -> ExitCode {
    if std::env::args_os().len() < 2 {
        // clap would not see this where the environment holds a flag.
        let help = Cli::command().name(program).bin_name(program).render_help();
        report::say(help.ansi().to_string().trim_end());
        return ExitCode::from(report::USAGE);
    }
    let cli = match parse(program, std::env::args_os()) {
        Ok(cli) => cli,
        // Help that was asked for comes this way, too.
        Err(error) => return Failure::from(error).report(false),
    };
    let choice = match cli.global.color {
        ColorWhen::Auto => ColorChoice::Auto,
        ColorWhen::Always => ColorChoice::Always,
        ColorWhen::Never => ColorChoice::Never,
    };
    choice.write_global();
    let json = cli.command.wants_json();
    match work(cli, program) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(json),
    }
}

fn parse(
    program: &'static str,
    words: impl IntoIterator<Item = OsString>,
) -> Result<Cli, clap::Error> {
    let command = Cli::command().name(program).bin_name(program);
    Cli::from_arg_matches(&command.try_get_matches_from(words)?)
}

fn work(cli: Cli, program: &'static str) -> Outcome {
    let settings = Settings::new(&cli.global, &User::present())?;
    logging::start(&cli)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::because("the program cannot start its threads", &error))?;
    let outcome = runtime.block_on(commands::run(cli.command, &settings, program));
    // Standard input may be waited for without end.
    runtime.shutdown_timeout(LAST_CALLS);
    outcome
}
