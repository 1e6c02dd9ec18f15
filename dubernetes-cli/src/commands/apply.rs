//! `apply`: reads everything, checks everything, sends everything, and waits.

use dubernetes_api::wire::{App, AppPlan, Applied, Change};
use dubernetes_core::app::AppSpec;

use crate::args::{ApplyArgs, Format};
use crate::follow::{Follower, Goal};
use crate::output::{self, ListStyle};
use crate::report::{self, CliError, FAILED, RETRY_HELP, Result, UNREACHABLE};
use crate::settings::Settings;
use crate::sources::read_apps;
use crate::target::{Mode, Target};
use crate::verify::{self, Verifiers};

pub(super) async fn run(args: &ApplyArgs, settings: &Settings) -> Result {
    let paths = args.files.paths();
    let apps = read_apps(&paths)?;
    let specs: Vec<AppSpec> = apps.into_iter().map(|located| located.spec).collect();
    verify::check(&args.verify, &specs)?;
    if args.dry_run {
        return Box::pin(dry_run(args, &specs, settings)).await;
    }
    let files: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
    Target::with_wait(settings, &args.wait, async |target: &Target| {
        let result = send_and_wait(args, &specs, target).await;
        if target.is_in_process() && result.as_ref().err().is_none_or(|f| f.exit_code() <= FAILED) {
            warn_unsupervised(&files.join(" "));
        }
        result
    })
    .await
}

async fn send_and_wait(args: &ApplyArgs, specs: &[AppSpec], target: &Target) -> Result {
    let mut follower = Follower::new(target, &args.wait).await?;
    let format = args.format.format();
    let mut verifiers = Verifiers::start(&args.verify, specs, target).await?;
    let mut sent = Vec::new();
    let mut failed = false;
    for spec in specs {
        let answer = match args.retry {
            true => target.client.apply_again(spec).await,
            false => target.client.apply(spec, None).await,
        };
        match answer {
            Ok(applied) => {
                accepted(&applied, format)?;
                sent.push(applied.app);
            }
            Err(error) => {
                let name = spec.name.as_str();
                let failure = CliError::from(error);
                if failure.exit_code() == UNREACHABLE {
                    return Err(failure);
                }
                let failure = failure.context(&format!("app/{name} was not applied"));
                failure.report();
                failed = true;
            }
        }
    }
    if matches!(format, Format::Json | Format::Yaml) && !sent.is_empty() {
        print_objects(&sent, format, specs.len() == 1)?;
    }
    let waited = if args.wait.detach {
        Ok(())
    } else {
        verifiers.run_alongside(target, &mut follower, &sent).await
    };
    match waited {
        Ok(()) if failed => Err(CliError::already_reported(FAILED)),
        result => result,
    }
}

/// What is waited for: each app with the generation that it has now.
pub(super) fn goals(apps: &[App]) -> Vec<Goal> {
    apps.iter().map(Goal::of).collect()
}

fn accepted(applied: &Applied, format: Format) -> Result {
    let name = &applied.app.name;
    match format {
        Format::Table | Format::Wide => {
            output::print(&format!("app/{name} {}\n", applied.change.as_str()))
        }
        Format::Name => output::print(&format!("app/{name}\n")),
        Format::Json | Format::Yaml => Ok(()),
    }
}

fn print_objects(apps: &[App], format: Format, single: bool) -> Result {
    let style = ListStyle { format, headers: true, single };
    output::print(&output::list(apps, style, jiff::Timestamp::now())?)
}

/// What a command says that leaves apps without an orchestrator.
pub(super) fn warn_unsupervised(files: &str) {
    report::warn("no orchestrator is running, so from now on nothing replaces a replica that dies");
    let foreground = match files {
        "" | "-" => String::new(),
        files => format!(", or in the foreground with `dubernetes up {files}`"),
    };
    report::help(&format!("keep it running with `dubernetes serve`{foreground}"));
}

async fn dry_run(args: &ApplyArgs, specs: &[AppSpec], settings: &Settings) -> Result {
    let report = Target::with(settings, Mode::Observe, async |target: &Target| {
        Ok(target.client.plan(specs).await?)
    })
    .await?;
    match args.format.format() {
        Format::Table | Format::Wide => {
            output::print(&report.apps.iter().map(would_change).collect::<String>())
        }
        Format::Name => {
            let names = report.apps.iter().map(|plan| format!("app/{}\n", plan.app));
            output::print(&names.collect::<String>())
        }
        format @ (Format::Json | Format::Yaml) => output::print(&output::value(&report, format)?),
    }?;
    let refused = report.apps.iter().filter(|_| !args.retry);
    let refused: Vec<_> =
        refused.filter_map(|plan| Some((&plan.app, plan.refused.as_ref()?))).collect();
    for (app, why) in &refused {
        let text = format!("app/{app} would not be applied: {}", super::plan::failed_before(why));
        CliError::new(text).help(RETRY_HELP).report();
    }
    if refused.is_empty() { Ok(()) } else { Err(CliError::already_reported(FAILED)) }
}

fn would_change(plan: &AppPlan) -> String {
    let mut text = format!("app/{} {} (dry run)\n", plan.app, plan.change.as_str());
    if plan.change == Change::Configured {
        for line in super::plan::changes(plan) {
            text.push_str(&format!("  {line}\n"));
        }
    }
    text
}
