//! `ui`: serves the web page of an orchestrator on this machine, until interrupted.

use std::process::Stdio;

use dubernetes_web::Ui;
use tokio::process::Command;

use crate::args::UiArgs;
use crate::interrupt::interrupted;
use crate::output;
use crate::report::{self, CliError, Result, UNREACHABLE};
use crate::settings::Settings;
use crate::target::find_running;

/// What opens a link in the user's browser.
const OPENER: &str = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };

pub(super) async fn run(args: &UiArgs, settings: &Settings) -> Result {
    let interrupted = interrupted();
    let Some(client) = find_running(settings).await? else {
        return Err(CliError::with_exit(UNREACHABLE, "no orchestrator is running")
            .help("start one with `dubernetes serve`, or name one with `--host`"));
    };
    let executable = std::env::current_exe()
        .map_err(|error| CliError::with_io_source("cannot find this program", &error))?;
    let program = program(settings);
    let ui = Ui::bind(client, args.port, args.read_only, program, &executable).await;
    let ui = ui.map_err(|error| {
        let port = args.port;
        CliError::with_io_source(&format!("cannot listen on port {port} of this machine"), &error)
    })?;
    let link = ui.link();
    output::print(&format!("{link}\n"))?;
    report::note("the link works once, within five minutes; Ctrl-C ends the page");
    if !args.no_browser {
        open(&link);
    }
    // Both arms are cancel-safe: pages that are open see that the command has ended.
    tokio::select! {
        served = ui.serve() => served.map_err(|error| {
            CliError::with_io_source("cannot serve the page", &error)
        }),
        () = interrupted => Ok(()),
    }
}

/// Returns the program, with the options that lead to the same orchestrator.
fn program(settings: &Settings) -> String {
    let mut words = "dubernetes".to_owned();
    if let Some(host) = &settings.host {
        words.push_str(&format!(" --host {host}"));
    }
    if settings.instance != dubernetes_core::app::InstanceName::default() {
        words.push_str(&format!(" --instance {}", settings.instance));
    }
    words
}

/// Opens the link, if there is a screen. The link is printed in any case.
fn open(link: &str) {
    let has_screen = cfg!(target_os = "macos")
        || ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some());
    if !has_screen {
        return;
    }
    let opener = Command::new(OPENER)
        .arg(link)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    match opener {
        Ok(mut opener) => {
            tokio::spawn(async move { opener.wait().await });
        }
        Err(_) => report::note(&format!("there is no `{OPENER}`, so open the link yourself")),
    }
}
