//! The command line of Dubernetes: `dubernetes` and `dubectl` are one program with two names.
//!
//! A command speaks with a running orchestrator over its socket. Where none runs, it runs the
//! same router and controller inside its own process (`wiring`), so that the commands
//! themselves (`commands`) know one way only. Results go to standard output, everything else to
//! standard error, and each kind of failure has its exit code (`report`).

mod approval;
mod args;
mod commands;
mod complete;
mod follow;
mod journal;
mod logging;
mod output;
mod panic;
mod progress;
mod report;
mod resolve;
mod settings;
mod settings_file;
mod simulate;
mod sources;
mod state_dir;
mod target;
mod verify;
mod wiring;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anstream::ColorChoice;
use clap::{ArgMatches, FromArgMatches as _};

use args::{Cli, ColorWhen, Command};
use report::{CliError, Result};
use settings::{Settings, User};
use settings_file::SettingsFile;

/// How long threads that are in a system call may keep the process from ending.
const LAST_CALLS: Duration = Duration::from_millis(500);

/// Does what the process's arguments say, under the name `program`, and gives the exit code.
pub fn run(program: &'static str) -> ExitCode {
    panic::guarded(|| match complete::answer(program) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => run_command(program),
        Err(failure) => failure.report(),
    })
}

fn run_command(program: &'static str) -> ExitCode {
    if std::env::args_os().len() < 2 {
        // clap would not see this where the environment holds a flag.
        let help = Cli::named(program).render_help();
        report::print_line(help.ansi().to_string().trim_end());
        return ExitCode::from(report::USAGE);
    }
    let (cli, file, matches) = match parse(program, std::env::args_os()) {
        Ok(parsed) => parsed,
        // Help that was asked for comes this way, too.
        Err(failure) => {
            report::report_errors_as_json(args::ask_for_json(std::env::args_os()));
            return failure.report();
        }
    };
    let choice = match cli.global.color {
        ColorWhen::Auto => ColorChoice::Auto,
        ColorWhen::Always => ColorChoice::Always,
        ColorWhen::Never => ColorChoice::Never,
    };
    choice.write_global();
    report::report_errors_as_json(cli.command.wants_json());
    match work(cli, file, &matches, program) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Reads the words, and the settings file that they or the environment name.
fn parse(
    program: &'static str,
    words: impl IntoIterator<Item = OsString>,
) -> Result<(Cli, SettingsFile, ArgMatches)> {
    let words: Vec<OsString> = words.into_iter().collect();
    let wrong = |error| args::explained(error, program, &words);
    let mut matches = Cli::named(program).try_get_matches_from(&words).map_err(wrong)?;
    let named = matches.get_one::<PathBuf>("config");
    let file = SettingsFile::read(named.map(PathBuf::as_path), User::present().settings_file())?;
    if !file.is_empty() {
        matches = file.defaults(Cli::named(program)).try_get_matches_from(&words).map_err(wrong)?;
    }
    Ok((Cli::from_arg_matches(&matches)?, file, matches))
}

fn work(cli: Cli, file: SettingsFile, matches: &ArgMatches, program: &'static str) -> Result {
    let shown = match &cli.command {
        Command::Status(_) => file.settings(matches)?,
        _ => Vec::new(),
    };
    let settings = Settings::new(&cli.global, &User::present(), file)?.showing(shown);
    logging::start(&cli)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::with_source("the program cannot start its threads", &error))?;
    let outcome = runtime.block_on(commands::run(cli.command, &settings, program));
    // Standard input may be waited for without end.
    runtime.shutdown_timeout(LAST_CALLS);
    outcome
}
