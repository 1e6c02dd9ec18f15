//! `why`: the cause of how an app or a pod is, and the chain that leads to it.

use std::fmt::Write as _;

use dubernetes_api::Client;
use dubernetes_api::wire::{Why, WhyLink};
use dubernetes_core::error::one_line;

use crate::args::{Format, ObjectName, WhyArgs};
use crate::output::{self, style};
use crate::report::{CliError, Result, USAGE};
use crate::resolve::{existing, missing};
use crate::settings::Settings;
use crate::target::{Mode, Target};

/// The longest text that its detail stands beside; behind a longer one it follows at once.
const TEXT_WIDTH: usize = 44;

pub(super) async fn run(args: &WhyArgs, settings: &Settings) -> Result {
    let name =
        ObjectName::parse_words(&args.name).map_err(|text| CliError::with_exit(USAGE, text))?;
    let why = Target::with(settings, Mode::Observe, async |target: &Target| {
        find(&target.client, &name).await
    })
    .await?;
    match args.format.format() {
        Format::Table | Format::Wide => output::print(&text(&why)),
        format @ (Format::Json | Format::Yaml) => output::print(&output::value(&why, format)?),
        Format::Name => output::print(&format!("{}/{}\n", why.kind.as_str(), one_line(&why.name))),
    }
}

/// Of an app, else of a pod.
async fn find(client: &Client, name: &ObjectName) -> Result<Why> {
    let app = match name {
        ObjectName::App(name) | ObjectName::Either(name) => existing(client.why_app(name).await)?,
        ObjectName::Pod(_) => None,
    };
    if let Some(why) = app {
        return Ok(why);
    }
    let pod = match name {
        ObjectName::Pod(name) | ObjectName::Either(name) => existing(client.why_pod(name).await)?,
        ObjectName::App(_) => None,
    };
    match pod {
        Some(why) => Ok(why),
        None => Err(missing(client, name).await),
    }
}

fn text(why: &Why) -> String {
    let mut text = format!("{}\n", one_line(&why.headline()));
    let width = why.chain.iter().map(|link| link.text.chars().count()).filter(|n| *n <= TEXT_WIDTH);
    let width = width.max().unwrap_or(0);
    for link in &why.chain {
        text.push_str(&line(link, width));
    }
    if let Some(output) = &why.output {
        // Writing to a text cannot fail.
        let _ = writeln!(text, "  {:<8}  {}", "output", one_line(&output.pod));
        for line in &output.lines {
            let _ = writeln!(text, "    | {}", one_line(line));
        }
    }
    for help in &why.help {
        let (label, end) = (style::HELP.render(), style::HELP.render_reset());
        let _ = writeln!(text, "{label}help:{end} {}", one_line(help));
    }
    text
}

fn line(link: &WhyLink, width: usize) -> String {
    let (said, detail) = (one_line(&link.text), one_line(&link.detail));
    let line = match detail.as_str() {
        "" => format!("  {:<8}  {said}", link.step),
        detail => format!("  {:<8}  {said:<width$}   {detail}", link.step),
    };
    format!("{}\n", line.trim_end())
}
