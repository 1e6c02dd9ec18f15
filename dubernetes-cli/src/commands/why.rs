//! `why`: explains the state of an app or a pod: the cause, and the chain that leads to it.

use std::fmt::Write as _;

use dubernetes_api::Client;
use dubernetes_api::wire::{Why, WhyLink};
use dubernetes_core::error::one_line;

use crate::args::{Format, ObjectName, WhyArgs};
use crate::output;
use crate::report::{self, CliError, Result, USAGE};
use crate::resolve::{none_if_missing, not_found};
use crate::settings::Settings;
use crate::style;
use crate::target::{Mode, Target};

/// Longest text whose detail is aligned in a column.
const TEXT_WIDTH: usize = 44;

pub(super) async fn run(args: &WhyArgs, settings: &Settings) -> Result {
    let name =
        ObjectName::parse_words(&args.name).map_err(|text| CliError::with_exit(USAGE, text))?;
    let why = Target::with(settings, Mode::Observe, async |target: &Target| {
        fetch_why(&target.client, &name).await
    })
    .await?;
    match args.format.format() {
        Format::Table | Format::Wide => output::print(&why_text(&why)),
        format @ (Format::Json | Format::Yaml) => output::print(&output::value(&why, format)?),
        Format::Name => output::print(&format!("{}/{}\n", why.kind.as_str(), one_line(&why.name))),
    }
}

/// Fetches the explanation of an app, else of a pod.
async fn fetch_why(client: &Client, name: &ObjectName) -> Result<Why> {
    let app = match name {
        ObjectName::App(name) | ObjectName::Either(name) => {
            none_if_missing(client.why_app(name).await)?
        }
        ObjectName::Pod(_) => None,
    };
    if let Some(why) = app {
        return Ok(why);
    }
    let pod = match name {
        ObjectName::Pod(name) | ObjectName::Either(name) => {
            none_if_missing(client.why_pod(name).await)?
        }
        ObjectName::App(_) => None,
    };
    match pod {
        Some(why) => Ok(why),
        None => Err(not_found(client, name).await),
    }
}

fn why_text(why: &Why) -> String {
    let mut text = format!("{}\n", one_line(&why.headline()));
    let width = why.chain.iter().map(|link| link.text.chars().count()).filter(|n| *n <= TEXT_WIDTH);
    let width = width.max().unwrap_or(0);
    for link in &why.chain {
        text.push_str(&link_line(link, width));
    }
    if let Some(output) = &why.output {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {:<8}  {}", "output", output.pod);
        for line in &output.lines {
            let _ = writeln!(text, "    | {}", one_line(line));
        }
    }
    for help in &why.help {
        text += &report::labeled(style::HELP, "help", help);
    }
    text
}

fn link_line(link: &WhyLink, width: usize) -> String {
    let text = one_line(&link.text);
    let line = match one_line(&link.detail).as_str() {
        "" => format!("  {:<8}  {text}", link.step),
        detail => format!("  {:<8}  {text:<width$}   {detail}", link.step),
    };
    format!("{}\n", line.trim_end())
}
