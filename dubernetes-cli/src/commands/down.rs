//! `down`: removes everything that the instance owns, after confirmation.

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
            report::note(&format!("the instance `{}` owns nothing", summary.instance));
        } else if !args.yes {
            confirm(&summary).await?;
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

/// What the teardown removes.
struct TeardownSummary {
    instance: String,
    objects: Vec<String>,
}

async fn summarize_teardown(client: &Client) -> Result<TeardownSummary> {
    let status = client.status().await?;
    let apps = client.list_apps().await?.into_iter().map(|app| format!("app/{}", app.name));
    let pods = client.pods(None).await?.into_iter().map(|pod| format!("pod/{}", pod.name));
    let instance = status.instance.to_string();
    let shared =
        [("ingress", status.ingress.state != IngressState::Absent), ("network", status.network)];
    let shared = shared.into_iter().filter(|(_, exists)| *exists);
    let shared = shared.map(|(object, _)| format!("{object}/{instance}"));
    Ok(TeardownSummary { objects: apps.chain(pods).chain(shared).collect(), instance })
}

async fn confirm(summary: &TeardownSummary) -> Result {
    report::print_line(&format!(
        "This removes everything that the instance `{}` owns:",
        summary.instance
    ));
    for object in &summary.objects {
        report::print_line(&format!("  {object}"));
    }
    report::print_line("Named volumes are kept.");
    if !io::stdin().is_terminal() {
        let what = "nothing was removed: confirmation needs a terminal";
        return Err(CliError::with_exit(USAGE, what)
            .help("`dubernetes down --yes` removes without confirmation"));
    }
    let _ = write!(anstream::stderr(), "Continue? [y/N] ");
    // A read from a terminal blocks, and an interrupt must still be noticed.
    let answer = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line).map(|_| line)
    });
    let answer =
        answer.await.map_err(|error| CliError::with_source("cannot read the answer", &error))??;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(CliError::with_exit(FAILED, "nothing was removed")),
    }
}
