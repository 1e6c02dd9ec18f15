//! `doctor`: checks what an orchestrator needs. Changes nothing.

mod certificates;
mod check;
mod engine;
mod orchestrator;
mod paths;
mod port;
mod proxies;
mod shared_state;

use std::fmt::Write as _;
use std::net::SocketAddr;

use dubernetes_core::error::one_line;
use serde::Serialize;

use crate::args::{BindAddresses, Format, FormatArgs, RuntimeKind, StoreKind};
use crate::output;
use crate::report::{self, CliError, FAILED, Result};
use crate::settings::Settings;
use crate::style;
use crate::target::ingress_args;
use crate::wiring;
use check::{Check, CheckResult};

#[derive(Serialize)]
struct Report<'a> {
    kind: &'static str,
    items: &'a [Check],
}

pub(super) async fn run(args: FormatArgs, settings: &Settings) -> Result {
    settings.check_local("doctor", "checks the machine that it runs on")?;
    let mut ingress = ingress_args(settings)?;
    if wiring::is_shared(&settings.paths.state_dir, ingress.store) {
        // An orchestrator that runs may have got its settings from its command line.
        (ingress.store, ingress.runtime) = (StoreKind::Swarm, RuntimeKind::Swarm);
    }
    let (check, running) = orchestrator::run_check(settings).await;
    let mut checks = vec![check];
    if let Some(status) = &running {
        // The settings of a running orchestrator are those that count.
        let listens = &status.ingress.listens;
        ingress.http_bind = BindAddresses(listens.iter().map(SocketAddr::ip).collect());
        ingress.http_port = listens.first().map_or(ingress.http_port, SocketAddr::port);
        ingress.https_port = status.ingress.https_port;
        ingress.trusted_proxies = status.ingress.trusted_proxies.clone();
        ingress.proxy_protocol = status.ingress.proxy_protocol;
        match &status.engine.place {
            Some(place) if place == wiring::PROCESSES => ingress.runtime = RuntimeKind::Process,
            Some(place) => ingress.engine = Some(place.clone()),
            None => {}
        }
    }
    let shared = match ingress.store {
        StoreKind::Sqlite => None,
        StoreKind::Swarm => Some(shared_state::run_check(settings, &ingress).await),
    };
    checks.extend(paths::run_checks(settings, running.as_ref(), shared));
    checks.extend(engine::run_checks(settings, &ingress).await);
    if running.is_some() {
        checks.extend(certificates::run_check(settings).await);
    }
    print_checks(&checks, args.format())
}

fn print_checks(checks: &[Check], format: Format) -> Result {
    let failed = checks.iter().filter(|check| check.result == CheckResult::Fail).count();
    let (text, error) = match format {
        Format::Table | Format::Wide => {
            let error = CliError::new(format!("{failed} of {} checks failed", checks.len()));
            (checks_text(checks), error)
        }
        Format::Name => {
            let names = checks.iter().map(|check| format!("check/{}\n", check.check));
            (names.collect(), CliError::already_reported(FAILED))
        }
        Format::Json | Format::Yaml => {
            let report = Report { kind: "List", items: checks };
            (output::value(&report, format)?, CliError::already_reported(FAILED))
        }
    };
    output::print(&text)?;
    if failed == 0 { Ok(()) } else { Err(error) }
}

fn checks_text(checks: &[Check]) -> String {
    let mut out = String::new();
    for Check { check, result, message, help } in checks {
        let style = match result {
            CheckResult::Ok => style::ADDED,
            CheckResult::Warn => style::WARNING,
            CheckResult::Fail => style::ERROR,
        };
        let word = result.as_str();
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{style}{word:<4}{style:#}   {check:<12}   {}", one_line(message));
        if let Some(help) = help {
            let _ = write!(out, "{:22}{}", "", report::labeled(style::HELP, "help", help));
        }
    }
    out
}
