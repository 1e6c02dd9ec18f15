//! `status`: whether the orchestrator, the engine, the ingress and the apps are well.

use std::fmt::Write as _;

use dubernetes_api::wire::{EngineState, EngineVersion, IngressState, Mode, Status};
use dubernetes_core::error::one_line;
use jiff::Timestamp;

use crate::args::{Format, StatusArgs};
use crate::output::{self, age};
use crate::report::Outcome;
use crate::settings::Settings;
use crate::target::{Intent, Target};

pub(super) async fn run(args: &StatusArgs, settings: &Settings) -> Outcome {
    let status = Target::with(settings, Intent::Read, async |target: &Target| {
        Ok(target.client.status().await?)
    })
    .await?;
    match args.format.format() {
        Format::Table | Format::Wide => output::print(&text(&status, Timestamp::now())),
        Format::Name => output::print(&format!("instance/{}\n", status.instance)),
        format @ (Format::Json | Format::Yaml) => output::print(&output::value(&status, format)?),
    }
}

fn text(status: &Status, now: Timestamp) -> String {
    let mut out = String::new();
    let mut line = |label: &str, value: &str| {
        // Writing to a text cannot fail.
        let _ = writeln!(out, "{:<14}{}", format!("{label}:"), one_line(value));
    };
    line("Orchestrator", &orchestrator(status));
    line("Instance", status.instance.as_str());
    line("State", &status.orchestrator.state_dir.display().to_string());
    if let Some(problem) = &status.store_problem {
        line("Store", &format!("cannot be read: {problem}"));
    }
    line("Engine", &engine_state(status, now));
    line("Ingress", &ingress(status));
    line("Apps", &apps(status));
    for blocked in &status.blocked {
        line("Blocked", blocked);
    }
    out
}

fn orchestrator(status: &Status) -> String {
    let who = &status.orchestrator;
    match who.mode {
        Mode::Serve => format!("running, process {}, version {}", who.pid, who.version),
        Mode::InProcess => "none is running".to_owned(),
    }
}

fn engine_state(status: &Status, now: Timestamp) -> String {
    match (status.engine.state, &status.engine.version) {
        (EngineState::Answering, Some(version)) => engine(version),
        (EngineState::Answering, None) => "answers".to_owned(),
        (EngineState::Away, _) => {
            let since = status.engine.since.map(|since| format!(" since {}", age(since, now)));
            let reason = status.engine.reason.as_deref().unwrap_or("no reason is known");
            format!("does not answer{}: {reason}", since.unwrap_or_default())
        }
    }
}

/// Who the engine is, on one line.
pub(super) fn engine(engine: &EngineVersion) -> String {
    let EngineVersion { name, version, api_version, platform } = engine;
    format!("{name} {version} (API {api_version}, {platform})")
}

fn ingress(status: &Status) -> String {
    let ingress = &status.ingress;
    let place = std::net::SocketAddr::new(ingress.address, ingress.port);
    match ingress.state {
        IngressState::Serving => format!("serves {} routes at http://{place}", ingress.routes),
        IngressState::Down => {
            let reason = ingress.reason.as_deref().unwrap_or("no reason is known");
            format!("does not run: {reason}")
        }
        IngressState::Absent => match &ingress.reason {
            Some(reason) => format!("none: {reason}"),
            None => "none: no app needs one".to_owned(),
        },
    }
}

fn apps(status: &Status) -> String {
    let counts = status.apps.iter().filter(|(_, count)| **count > 0);
    let counts: Vec<_> = counts.map(|(phase, count)| format!("{count} {phase}")).collect();
    if counts.is_empty() { "none".to_owned() } else { counts.join(", ") }
}
