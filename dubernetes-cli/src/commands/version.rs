//! `version`: the versions of program, orchestrator and engine.

use dubernetes_api::wire::Version;
use serde::Serialize;

use crate::args::{Format, FormatArgs};
use crate::output;
use crate::report::{CliError, Result, UNREACHABLE};
use crate::settings::Settings;
use crate::target::find_running;
use crate::version::VERSION;

#[derive(Serialize)]
struct Versions {
    client: &'static str,
    orchestrator: Option<Version>,
}

pub(super) async fn run(args: FormatArgs, settings: &Settings, program: &str) -> Result {
    let orchestrator = match find_running(settings).await? {
        Some(client) => Some(client.version().await?),
        None => None,
    };
    let versions = Versions { client: VERSION, orchestrator };
    match args.format() {
        Format::Table | Format::Wide => output::print(&versions_text(&versions, program))?,
        // The name is the program's own version, whatever runs.
        Format::Name => return output::print(&format!("{VERSION}\n")),
        format @ (Format::Json | Format::Yaml) => {
            output::print(&output::value(&versions, format)?)?;
        }
    }
    match versions.orchestrator {
        Some(_) => Ok(()),
        None => Err(CliError::already_reported(UNREACHABLE)),
    }
}

fn versions_text(versions: &Versions, program: &str) -> String {
    let mut text = format!("{program:<14} {}\n", versions.client);
    match &versions.orchestrator {
        None => text += "orchestrator   not running\n",
        Some(Version { version, instance, engine, .. }) => {
            text += &format!("orchestrator   {version} (instance {instance})\n");
            let engine = engine.as_ref().map(output::engine);
            text += &format!("engine         {}\n", engine.as_deref().unwrap_or("not answering"));
        }
    }
    text
}
