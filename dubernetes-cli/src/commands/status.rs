//! `status`: shows the status of orchestrator, engine, ingress and apps, and the settings.

use std::fmt::Write as _;

use dubernetes_api::wire::{EngineState, IngressState, IngressStatus, Mode as Lifetime, Status};
use dubernetes_core::error::one_line;
use jiff::Timestamp;
use serde::Serialize;

use crate::args::{Format, FormatArgs};
use crate::output::{self, Cell, Table, age, reason};
use crate::report::{CliError, FAILED, Result, UNREACHABLE};
use crate::settings::Settings;
use crate::settings_file::Setting;
use crate::target::{Mode, Target, ingress_args};
use crate::wiring;

/// Status of the orchestrator, and the settings of this command.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    status: &'a Status,
    settings: Vec<Setting>,
}

pub(super) async fn run(args: FormatArgs, settings: &Settings) -> Result {
    let status = Target::with(settings, Mode::Observe, async |target: &Target| {
        Ok(target.client.status().await?)
    })
    .await?;
    print_status(&args, settings, &status)?;
    exit_code(&status).map_or(Ok(()), |exit| Err(CliError::already_reported(exit)))
}

/// Returns the exit code of a status that is not good, so that scripts can check and wait.
fn exit_code(status: &Status) -> Option<u8> {
    if status.orchestrator.mode == Lifetime::InProcess {
        return Some(UNREACHABLE);
    }
    let is_good = status.engine.state == EngineState::Answering
        && status.failed.is_empty()
        && status.store_problem.is_none();
    (!is_good).then_some(FAILED)
}

fn print_status(args: &FormatArgs, settings: &Settings, status: &Status) -> Result {
    match args.format() {
        Format::Table => output::print(&status_text(status, Timestamp::now())),
        Format::Wide => {
            let settings = settings_table(&with_defaults(settings)?);
            output::print(&format!("{}{settings}", status_text(status, Timestamp::now())))
        }
        Format::Name => output::print(&format!("instance/{}\n", status.instance)),
        format @ (Format::Json | Format::Yaml) => {
            let report = Report { status, settings: with_defaults(settings)? };
            output::print(&output::value(&report, format)?)
        }
    }
}

/// Returns the settings, with defaults that depend on the user.
fn with_defaults(settings: &Settings) -> Result<Vec<Setting>> {
    let paths = &settings.paths;
    let mut shown = settings.shown.clone();
    for setting in shown.iter_mut().filter(|setting| setting.value.is_none()) {
        match setting.name.as_str() {
            "host" => setting.value = Some(format!("unix://{}", paths.socket.display())),
            "state_dir" => setting.value = Some(paths.state_dir.display().to_string()),
            "engine" => {
                setting.value = Some(wiring::engine_endpoint(&ingress_args(settings)?)?);
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

fn status_text(status: &Status, now: Timestamp) -> String {
    let mut out = String::new();
    let mut add = |label: &str, value: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{:<14}{}", format!("{label}:"), one_line(value));
    };
    add("Orchestrator", &orchestrator_text(status));
    add("Instance", status.instance.as_str());
    add("State", &status.orchestrator.state_dir.display().to_string());
    if let Some(problem) = &status.store_problem {
        add("Store", problem);
    }
    add("Engine", &engine_text(status, now));
    add("Ingress", &ingress_text(status));
    add("Apps", &apps_text(status));
    for app in &status.failed {
        add("Failed", &format!("{}: {}", app.name, reason(&app.status, now)));
    }
    if let Some(teardown) = &status.teardown {
        add("Teardown", teardown);
    }
    for blocked in &status.blocked {
        add("Blocked", blocked);
    }
    out
}

fn orchestrator_text(status: &Status) -> String {
    let info = &status.orchestrator;
    match info.mode {
        Lifetime::Serve => format!("running, process {}, version {}", info.pid, info.version),
        Lifetime::InProcess => "not running".to_owned(),
    }
}

fn engine_text(status: &Status, now: Timestamp) -> String {
    match (status.engine.state, &status.engine.version) {
        (EngineState::Answering, Some(version)) => output::engine(version),
        (EngineState::Answering, None) => "answering".to_owned(),
        (EngineState::Away, _) => {
            let time = status.engine.since.map(|since| format!(" for {}", age(since, now)));
            let reason = status.engine.reason.as_deref().unwrap_or("unknown reason");
            format!("not answering{}: {reason}", time.unwrap_or_default())
        }
    }
}

fn ingress_text(status: &Status) -> String {
    let ingress = &status.ingress;
    match ingress.state {
        IngressState::Serving => {
            let routes = match ingress.routes {
                1 => "1 route".to_owned(),
                routes => format!("{routes} routes"),
            };
            let serving = format!("serving {routes} at {}", output::urls(&ingress.listens));
            let https = ingress.https_port.map(|port| format!(", and over HTTPS at port {port}"));
            let serving = format!("{serving}{}{}", https.unwrap_or_default(), front_text(ingress));
            if ingress.listens == ingress.settings {
                return serving;
            }
            format!("{serving}; the settings are {}", output::urls(&ingress.settings))
        }
        IngressState::Down => {
            let reason = ingress.reason.as_deref().unwrap_or("unknown reason");
            format!("not running: {reason}")
        }
        IngressState::Unknown => {
            let reason = ingress.reason.as_deref().unwrap_or("unknown reason");
            format!("not known: {reason}")
        }
        IngressState::Absent => match &ingress.reason {
            Some(reason) => format!("none: {reason}"),
            None => "none: no app needs one".to_owned(),
        },
    }
}

/// Returns what is in front of the ingress, as the end of a sentence.
fn front_text(ingress: &IngressStatus) -> String {
    let how = if ingress.proxy_protocol { ", with the PROXY protocol" } else { "" };
    if ingress.trusted_proxies.is_empty() {
        return String::new();
    }
    format!(", behind {}{how}", ingress.trusted_proxies)
}

fn apps_text(status: &Status) -> String {
    let counts = status.apps.iter().filter(|(_, count)| **count > 0);
    let counts: Vec<_> = counts.map(|(phase, count)| format!("{count} {phase}")).collect();
    if counts.is_empty() { "none".to_owned() } else { counts.join(", ") }
}
