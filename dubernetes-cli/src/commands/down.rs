//! `down`: removes everything that the instance owns, after confirmation.

use dubernetes_api::Client;
use dubernetes_api::wire::IngressState;

use crate::args::DownArgs;
use crate::confirm;
use crate::output;
use crate::report::{self, Result};
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
    let help = "`dubernetes down --yes` removes without confirmation";
    confirm::confirm("nothing was removed", help).await
}
