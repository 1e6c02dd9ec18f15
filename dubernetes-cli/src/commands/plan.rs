//! `plan`: what an apply would do, step by step.

use dubernetes_api::wire::{AppPlan, Change, PlanReport, Refused};
use dubernetes_core::app::AppSpec;

use crate::args::{Format, PlanArgs};
use crate::output::{self, Cell, Table};
use crate::report::Result;
use crate::settings::Settings;
use crate::sources::read_apps;
use crate::target::{Mode, Target};

pub(super) async fn run(args: &PlanArgs, settings: &Settings) -> Result {
    let apps = read_apps(&args.files.paths())?;
    let specs: Vec<AppSpec> = apps.into_iter().map(|located| located.spec).collect();
    let report = Target::with(settings, Mode::Observe, async |target: &Target| {
        Ok(target.client.plan(&specs).await?)
    })
    .await?;
    match args.format.format() {
        Format::Table | Format::Wide => output::print(&text(&report, &specs)),
        Format::Name => {
            let names = report.apps.iter().map(|plan| format!("app/{}\n", plan.app));
            output::print(&names.collect::<String>())
        }
        format @ (Format::Json | Format::Yaml) => output::print(&output::value(&report, format)?),
    }
}

fn text(report: &PlanReport, specs: &[AppSpec]) -> String {
    let apps = report.apps.iter().map(|plan| {
        let replicas = specs.iter().find(|spec| spec.name == plan.app).map(|spec| spec.replicas);
        app_text(plan, replicas.unwrap_or_default())
    });
    apps.collect::<Vec<_>>().join("\n")
}

fn app_text(plan: &AppPlan, replicas: u16) -> String {
    let mut out = format!("app/{}: {}\n", plan.app, heading(plan));
    if let Some(refused) = &plan.refused {
        out.push_str(&format!("{}; only `apply --retry` does this:\n", failed_before(refused)));
    }
    let forecast = &plan.forecast;
    if forecast.steps.is_empty() {
        return out;
    }
    let mut table = Table::new(&["#", "ACTION", "POD", "REASON", "READY"]);
    let mut number = 0;
    for step in &forecast.steps {
        // A wait is no action, so it has no number.
        let label = if step.action == "wait" {
            String::new()
        } else {
            number += 1;
            number.to_string()
        };
        table.push(vec![
            Cell::exact(label),
            Cell::new(&step.action),
            Cell::new(output::or_none(step.pod.as_ref())),
            Cell::new(&step.reason),
            Cell::new(step.ready.to_string()),
        ]);
    }
    out.push_str(&table.render_indented(output::width()));
    if !forecast.converges {
        out.push_str("these are the first steps; the end is not in sight\n");
    }
    let memory = plan.most_memory.as_ref().map(|most| format!(" (at most {most} of memory)"));
    out.push_str(&format!(
        "fewest ready replicas: {} of {replicas}; most replicas at one time: {}{}; downtime: {}\n",
        forecast.fewest_ready,
        forecast.most_live,
        memory.unwrap_or_default(),
        plan.downtime
    ));
    out
}

/// Why an apply would refuse it.
pub(super) fn failed_before(refused: &Refused) -> String {
    let Refused { revision, reason } = refused;
    let text = format!("revision {revision} with just this content has failed: {reason}");
    dubernetes_core::error::one_line(&text)
}

fn heading(plan: &AppPlan) -> String {
    let revision = match plan.revision_from {
        Some(from) if from != plan.revision_to => {
            format!("revision {from} -> {}", plan.revision_to)
        }
        Some(_) | None => format!("revision {}", plan.revision_to),
    };
    match plan.change {
        Change::Created => format!("new, {revision}"),
        Change::Unchanged => format!("unchanged, {revision}"),
        Change::Configured => {
            let changes = changes(plan);
            if changes.is_empty() {
                revision
            } else {
                format!("{revision}, {}", changes.join(", "))
            }
        }
    }
}

/// The fields that change, each as `field old -> new`. Of a file only hashes are known.
pub(super) fn changes(plan: &AppPlan) -> Vec<String> {
    let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "<none>".to_owned());
    let hashed =
        |value: &Option<String>| value.as_ref().is_some_and(|text| text.starts_with("sha256:"));
    let changes = plan.changes.iter().map(|change| {
        let note = if hashed(&change.old) && hashed(&change.new) { " (changed)" } else { "" };
        let (old, new) = (shown(&change.old), shown(&change.new));
        dubernetes_core::error::one_line(&format!("{} {old} -> {new}{note}", change.path))
    });
    changes.collect()
}
