//! `down`: removes all that the instance owns, after asking.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use dubernetes_api::Client;
use dubernetes_api::wire::IngressState;

use crate::args::DownArgs;
use crate::output;
use crate::report::{self, CliError, FAILED, Result, USAGE};
use crate::settings::Settings;
use crate::target::{Mode, Target};

pub(super) async fn run(args: &DownArgs, settings: &Settings) -> Result {
    Target::with(settings, Mode::Act, async |target: &Target| {
        let client = &target.client;
        let summary = summarize_teardown(client).await?;
        if summary.objects.is_empty() {
            report::note(&format!("there is nothing of the instance `{}`", summary.instance));
        } else if !args.yes {
            ask(&summary).await?;
        }
        client.down().await?;
        for object in &summary.objects {
            output::print(&format!("{object} removed\n"))?;
        }
        report::note("named volumes are kept");
        Ok(())
    })
    .await
}

/// What would go.
struct TeardownSummary {
    instance: String,
    objects: Vec<String>,
}

async fn summarize_teardown(client: &Client) -> Result<TeardownSummary> {
    let status = client.status().await?;
    let apps = client.list_apps().await?.into_iter().map(|app| format!("app/{}", app.name));
    let pods = client.pods(None).await?.into_iter().map(|pod| format!("pod/{}", pod.name));
    let instance = status.instance.to_string();
    let own =
        [("ingress", status.ingress.state != IngressState::Absent), ("network", status.network)];
    let own = own.into_iter().filter(|(_, there)| *there);
    let own = own.map(|(object, _)| format!("{object}/{instance}"));
    Ok(TeardownSummary { objects: apps.chain(pods).chain(own).collect(), instance })
}

async fn ask(summary: &TeardownSummary) -> Result {
    report::print_line(&format!("This removes everything of the instance `{}`:", summary.instance));
    for object in &summary.objects {
        report::print_line(&format!("  {object}"));
    }
    report::print_line("ObjectName volumes are kept.");
    if !io::stdin().is_terminal() {
        return Err(CliError::with_exit(
            USAGE,
            "nothing was removed: there is no terminal to ask on",
        )
        .help("`dubernetes down --yes` does not ask"));
    }
    let _ = write!(anstream::stderr(), "Go on? [y/N] ");
    // Reading from a terminal blocks, and an interrupt must be noticed meanwhile.
    let answer = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line).map(|_| line)
    });
    let answer =
        answer.await.map_err(|error| CliError::with_source("no answer was read", &error))??;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(CliError::with_exit(FAILED, "nothing was removed")),
    }
}
