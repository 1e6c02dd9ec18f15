//! `status`: whether the orchestrator, the engine, the ingress and the apps are well; and with
//! which settings it was asked.

use std::fmt::Write as _;

use dubernetes_api::wire::{EngineState, EngineVersion, IngressState, Mode as Lifetime, Status};
use dubernetes_core::error::one_line;
use jiff::Timestamp;
use serde::Serialize;

use crate::args::{Format, StatusArgs};
use crate::output::{self, Cell, Table, age};
use crate::report::Result;
use crate::settings::Settings;
use crate::settings_file::Setting;
use crate::target::{Mode, Target, without_flags};
use crate::wiring;

/// What the orchestrator says, and who has decided what is asked.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    status: &'a Status,
    settings: Vec<Setting>,
}

pub(super) async fn run(args: &StatusArgs, settings: &Settings) -> Result {
    let status = Target::with(settings, Mode::Observe, async |target: &Target| {
        Ok(target.client.status().await?)
    })
    .await?;
    match args.format.format() {
        Format::Table => output::print(&text(&status, Timestamp::now())),
        Format::Wide => {
            let settings = settings_table(&counting(settings)?);
            output::print(&format!("{}{settings}", text(&status, Timestamp::now())))
        }
        Format::Name => output::print(&format!("instance/{}\n", status.instance)),
        format @ (Format::Json | Format::Yaml) => {
            let report = Report { status: &status, settings: counting(settings)? };
            output::print(&output::value(&report, format)?)
        }
    }
}

/// The settings, with the values that depend on the user where nobody has set one.
fn counting(settings: &Settings) -> Result<Vec<Setting>> {
    let paths = &settings.paths;
    let mut shown = settings.shown.clone();
    for setting in shown.iter_mut().filter(|setting| setting.value.is_none()) {
        match setting.name.as_str() {
            "host" => setting.value = Some(format!("unix://{}", paths.socket.display())),
            "state_dir" => setting.value = Some(paths.state_dir.display().to_string()),
            "engine" => {
                setting.value = Some(wiring::engine_place(&without_flags(settings)?)?);
                if std::env::var_os("DOCKER_HOST").is_some_and(|host| !host.is_empty()) {
                    setting.origin = "environment DOCKER_HOST".to_owned();
                }
            }
            _ => {}
        }
    }
    Ok(shown)
}

fn settings_table(settings: &[Setting]) -> String {
    let mut table = Table::new(&["NAME", "VALUE", "ORIGIN"]);
    for Setting { name, value, origin } in settings {
        let value = value.as_deref().unwrap_or_default();
        table.push(vec![Cell::new(name), Cell::new(value), Cell::new(origin)]);
    }
    format!("Settings:\n{}", table.render_indented(output::width()))
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
        Lifetime::Serve => format!("running, process {}, version {}", who.pid, who.version),
        Lifetime::InProcess => "none is running".to_owned(),
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
