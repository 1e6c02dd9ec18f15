//! `doctor`: whether all that an orchestrator needs is there. Looks, and changes nothing.

mod check;
mod engine;
mod orchestrator;
mod paths;
mod port;

use std::fmt::Write as _;

use dubernetes_core::error::one_line;
use serde::Serialize;

use crate::args::{DoctorArgs, Format};
use crate::output::{self, style};
use crate::report::{CliError, FAILED, Result};
use crate::settings::Settings;
use crate::target::without_flags;
use check::{Check, CheckResult};

#[derive(Serialize)]
struct Report<'a> {
    kind: &'static str,
    items: &'a [Check],
}

pub(super) async fn run(args: &DoctorArgs, settings: &Settings) -> Result {
    let mut ingress = without_flags(settings)?;
    let (mut checks, running) = orchestrator::run_checks(settings).await;
    if let Some(status) = &running {
        // What counts is what the one that runs was told.
        ingress.http_bind = status.ingress.address;
        ingress.http_port = status.ingress.port;
        if let Some(place) = &status.engine.place {
            ingress.engine = Some(place.clone());
        }
    }
    checks.extend(paths::run_checks(settings, running.as_ref()));
    checks.extend(engine::run_checks(settings, &ingress).await);
    show(&checks, args.format.format())
}

fn show(checks: &[Check], format: Format) -> Result {
    let failed = checks.iter().filter(|check| check.result == CheckResult::Fail).count();
    let (out, failure) = match format {
        Format::Table | Format::Wide => {
            let failure = CliError::new(format!("{failed} of {} checks failed", checks.len()));
            (text(checks), failure)
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
    output::print(&out)?;
    if failed == 0 { Ok(()) } else { Err(failure) }
}

fn text(checks: &[Check]) -> String {
    let mut out = String::new();
    for Check { check, result, message, help } in checks {
        let style = match result {
            CheckResult::Ok => style::ADDED,
            CheckResult::Warn => style::WARNING,
            CheckResult::Fail => style::ERROR,
        };
        let (begin, end) = (style.render(), style.render_reset());
        let (word, message) = (result.as_str(), one_line(message));
        // Writing to a text cannot fail.
        let _ = writeln!(out, "{begin}{word:<4}{end}   {check:<12}   {message}");
        if let Some(help) = help {
            let label = (style::HELP.render(), style::HELP.render_reset());
            let _ = writeln!(out, "{:22}{}help:{} {}", "", label.0, label.1, one_line(help));
        }
    }
    out
}
