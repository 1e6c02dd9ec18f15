//! `down`: removes all that the instance owns, after asking.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use dubernetes_api::Client;
use dubernetes_api::wire::IngressState;

use crate::args::DownArgs;
use crate::output;
use crate::report::{self, FAILED, Failure, Outcome, USAGE};
use crate::settings::Settings;
use crate::target::{Intent, Target};

pub(super) async fn run(args: &DownArgs, settings: &Settings) -> Outcome {
    Target::with(settings, Intent::Change, async |target: &Target| {
        let client = &target.client;
        let going = going(client).await?;
        if going.things.is_empty() {
            report::note(&format!("there is nothing of the instance `{}`", going.instance));
        } else if !args.yes {
            ask(&going).await?;
        }
        client.down().await?;
        for thing in &going.things {
            output::print(&format!("{thing} removed\n"))?;
        }
        report::note("named volumes are kept");
        Ok(())
    })
    .await
}

/// What would go.
struct Going {
    instance: String,
    things: Vec<String>,
}

async fn going(client: &Client) -> Outcome<Going> {
    let status = client.status().await?;
    let apps = client.list_apps().await?.into_iter().map(|app| format!("app/{}", app.name));
    let pods = client.pods(None).await?.into_iter().map(|pod| format!("pod/{}", pod.name));
    let instance = status.instance.to_string();
    let own =
        [("ingress", status.ingress.state != IngressState::Absent), ("network", status.network)];
    let own = own.into_iter().filter(|(_, there)| *there);
    let own = own.map(|(thing, _)| format!("{thing}/{instance}"));
    Ok(Going { things: apps.chain(pods).chain(own).collect(), instance })
}

async fn ask(going: &Going) -> Outcome {
    report::say(&format!("This removes everything of the instance `{}`:", going.instance));
    for thing in &going.things {
        report::say(&format!("  {thing}"));
    }
    report::say("Named volumes are kept.");
    if !io::stdin().is_terminal() {
        return Err(Failure::with_exit(
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
    let answer = answer.await.map_err(|error| Failure::because("no answer was read", &error))??;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::with_exit(FAILED, "nothing was removed")),
    }
}
