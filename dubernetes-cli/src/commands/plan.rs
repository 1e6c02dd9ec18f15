//! `plan`: shows the steps that an apply would take.

use dubernetes_api::text;
use dubernetes_api::wire::{AppPlan, PlanReport};
use dubernetes_core::app::AppSpec;

use crate::args::{Format, PlanArgs};
use crate::machine;
use crate::output::{self, Cell, Table};
use crate::report::Result;
use crate::secrets;
use crate::settings::Settings;
use crate::sources::read_apps;
use crate::target::{Mode, Target};

pub(super) async fn run(args: &PlanArgs, settings: &Settings) -> Result {
    let apps = read_apps(&args.files)?;
    let specs: Vec<AppSpec> = apps.iter().map(|located| located.spec.clone()).collect();
    let report = Target::with(settings, Mode::Observe, async |target: &Target| {
        secrets::check(&apps, &target.client).await?;
        Ok(target.client.plan(&specs).await?)
    })
    .await?;
    match args.format.format() {
        Format::Table | Format::Wide => {
            let excess: Excess =
                if settings.is_remote() { |_| None } else { machine::too_little_memory };
            output::print(&report_text(&report, &specs, excess))
        }
        Format::Name => {
            let names = report.apps.iter().map(|plan| format!("app/{}\n", plan.app));
            output::print(&names.collect::<String>())
        }
        format @ (Format::Json | Format::Yaml) => output::print(&output::value(&report, format)?),
    }
}

/// Says what is too much memory for the machine.
type Excess = fn(&str) -> Option<String>;

fn report_text(report: &PlanReport, specs: &[AppSpec], excess: Excess) -> String {
    let apps = report.apps.iter().map(|plan| {
        let replicas = specs.iter().find(|spec| spec.name == plan.app).map(|spec| spec.replicas);
        app_text(plan, replicas.unwrap_or_default(), excess)
    });
    apps.collect::<Vec<_>>().join("\n")
}

fn app_text(plan: &AppPlan, replicas: u16, excess: Excess) -> String {
    let mut out = format!("app/{}: {}\n", plan.app, text::plan_heading(plan));
    if let Some(refused) = &plan.refused {
        let refusal = output::refusal(refused);
        out.push_str(&format!("{refusal}; only `apply --retry` would do this:\n"));
    }
    let forecast = &plan.forecast;
    if forecast.steps.is_empty() {
        return out;
    }
    let mut table = Table::new(&["#", "ACTION", "POD", "REASON", "READY"]);
    let mut number = 0;
    for step in &forecast.steps {
        // What is no action is not numbered.
        let label = if matches!(step.action.as_str(), "wait" | "blocked") {
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
        out.push_str("does not converge within the simulated steps\n");
    }
    let memory = plan.most_memory.as_ref().map(|most| match excess(most) {
        Some(excess) => format!(" (at most {most} of memory, {excess})"),
        None => format!(" (at most {most} of memory)"),
    });
    let memory = memory.unwrap_or_default();
    out.push_str(&format!("{}\n", text::plan_summary(plan, replicas, &memory)));
    out
}
