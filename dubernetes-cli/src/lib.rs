//! The command line of Dubernetes: `dubernetes`, and the same program under the name `dubectl`.
//!
//! A command talks to a running orchestrator over its socket. If none is running, the command runs
//! the same router and controller in its own process (`wiring`), so each verb in `commands` has
//! one code path. Results go to standard output and everything else to standard error. Each kind of
//! failure has its exit code (`report`).

mod approval;
mod archive;
mod args;
mod commands;
mod complete;
mod confirm;
mod contexts;
mod event_query;
mod follow;
mod hidden_input;
mod host;
mod image_archive;
mod image_push;
mod interrupt;
mod journal;
mod logging;
mod machine;
mod metrics;
mod new_file;
mod node_tunnel;
mod orchestrator;
mod output;
mod panic;
mod parse;
mod progress;
mod report;
mod resolve;
mod secrets;
mod service_manager;
mod session;
mod settings;
mod settings_file;
mod simulate;
mod socket_group;
mod sources;
mod ssh;
mod state_dir;
mod style;
mod target;
mod verify;
mod version;
mod wiring;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anstream::ColorChoice;
use clap::ArgMatches;
use clap::parser::ValueSource;

use args::{Cli, ColorWhen, Command};
use parse::parse;
use report::{CliError, Result};
use settings::{Settings, User};
use settings_file::SettingsFile;

/// How long threads in a system call may delay the exit of the process.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(500);

/// Returns the name under which this process was called: `dubectl` may be a link.
pub fn called_name() -> &'static str {
    let called = std::env::args_os().next();
    let name = called.as_deref().and_then(|path| Path::new(path).file_name());
    if name.is_some_and(|name| name == "dubectl") { "dubectl" } else { "dubernetes" }
}

/// Runs the command in the process's arguments, under the name `program`.
pub fn run(program: &'static str) -> ExitCode {
    panic::report_panics(|| match complete::answer_shell(program) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => run_command(program),
        Err(error) => error.report(),
    })
}

fn run_command(program: &'static str) -> ExitCode {
    if std::env::args_os().len() < 2 {
        // clap does not notice missing arguments if the environment sets a flag.
        let help = Cli::named(program).render_help();
        report::print_line(help.ansi().to_string().trim_end());
        return ExitCode::from(report::USAGE);
    }
    let (cli, file, matches) = match parse(program, std::env::args_os()) {
        Ok(parsed) => parsed,
        // `--help` and `--version` arrive here, too.
        Err(error) => {
            report::report_errors_as_json(args::error_format::asks_for_json(std::env::args_os()));
            return error.report();
        }
    };
    let choice = match cli.global.color {
        ColorWhen::Auto => ColorChoice::Auto,
        ColorWhen::Always => ColorChoice::Always,
        ColorWhen::Never => ColorChoice::Never,
    };
    choice.write_global();
    report::report_errors_as_json(cli.command.wants_json(&matches));
    match execute(cli, file, &matches, program) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(),
    }
}

fn execute(cli: Cli, file: SettingsFile, matches: &ArgMatches, program: &'static str) -> Result {
    let shown = if matches!(cli.command, Command::Status(_)) {
        file.effective_settings(matches)?
    } else {
        Vec::new()
    };
    let user = User::current();
    let mut settings = Settings::new(&cli.global, &user, file)?.with_shown(shown);
    let named = cli.global.context.as_deref();
    if named.is_some() && matches.value_source("host") == Some(ValueSource::CommandLine) {
        let what = "`--host` and `--context` cannot be used together";
        return Err(CliError::with_exit(report::USAGE, what).help("omit one of them"));
    }
    if named.is_some() || cli.command.uses_context() {
        settings = settings.with_context(named, &user)?;
    }
    // Dropped at the end, after the last line.
    let _log = logging::start(&cli)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::with_source("cannot start the program's threads", &error))?;
    let result = runtime.block_on(commands::run(cli.command, &settings, program));
    // A read of standard input may never return.
    runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
    result
}
