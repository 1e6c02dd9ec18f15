//! `version`: who speaks, with whom, and on what.

use dubernetes_api::wire::Version;
use serde::Serialize;

use crate::args::{Format, VersionArgs};
use crate::output;
use crate::report::Result;
use crate::settings::Settings;
use crate::target::running;

/// The version of this program.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

#[derive(Serialize)]
struct Versions {
    client: &'static str,
    orchestrator: Option<Version>,
}

pub(super) async fn run(args: &VersionArgs, settings: &Settings, program: &str) -> Result {
    let orchestrator = match running(settings).await? {
        Some(client) => Some(client.version().await?),
        None => None,
    };
    let versions = Versions { client: VERSION, orchestrator };
    match args.format.format() {
        Format::Table | Format::Wide => output::print(&text(&versions, program)),
        Format::Name => output::print(&format!("{VERSION}\n")),
        format @ (Format::Json | Format::Yaml) => output::print(&output::value(&versions, format)?),
    }
}

fn text(versions: &Versions, program: &str) -> String {
    let orchestrator = match &versions.orchestrator {
        Some(version) => format!("{} (instance {})", version.version, version.instance),
        None => "none is running".to_owned(),
    };
    let engine = versions.orchestrator.as_ref().map(|version| match &version.engine {
        Some(engine) => format!("engine         {}\n", super::status::engine(engine)),
        None => "engine         does not answer\n".to_owned(),
    });
    let engine = engine.unwrap_or_default();
    format!("{program:<14} {}\norchestrator   {orchestrator}\n{engine}", versions.client)
}
