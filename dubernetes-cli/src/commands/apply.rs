//! `apply`: reads and checks all files, sends all apps, and waits.

mod prune;

use std::collections::BTreeSet;

use dubernetes_api::wire::{AppPlan, Applied, Change};
use dubernetes_core::app::AppSpec;
use dubernetes_manifest::Located;

use crate::args::{ApplyArgs, Format};
use crate::follow::Follower;
use crate::image_push::Sender;
use crate::machine;
use crate::output::{self, ListStyle};
use crate::report::{self, CliError, FAILED, RETRY_HELP, Result, UNREACHABLE};
use crate::secrets;
use crate::settings::Settings;
use crate::sources::read_apps;
use crate::target::{Mode, Target, ingress_args};
use crate::verify::{self, Verifiers};
use crate::wiring;

pub(super) async fn run(args: &ApplyArgs, settings: &Settings) -> Result {
    let apps = read_apps(&args.files)?;
    let specs: Vec<AppSpec> = apps.iter().map(|located| located.spec.clone()).collect();
    verify::check_access(&args.verify, &specs)?;
    if args.verify.verify {
        settings.check_local("apply --verify", "sends requests to the ingress of this machine")?;
    }
    prune::selector(args, &specs)?;
    if !settings.is_remote() {
        machine::warnings(&specs).iter().for_each(|warning| report::warn(warning));
    }
    if args.dry_run {
        return Box::pin(dry_run(args, &apps, &specs, settings)).await;
    }
    Target::with_wait(settings, &args.wait, async |target: &Target| {
        secrets::check(&apps, &target.client).await?;
        if args.push {
            push_images(&specs, settings, target).await?;
        }
        let result = send_and_wait(args, &specs, target).await;
        if result.as_ref().err().is_none_or(|error| error.exit_code() <= FAILED) {
            target.warn_unsupervised(&args.files.joined());
        }
        result
    })
    .await
}

/// Sends the images of apps that are on this machine.
async fn push_images(specs: &[AppSpec], settings: &Settings, target: &Target) -> Result {
    let local = wiring::local_runtime(&ingress_args(settings)?)?;
    let sender = Sender::new(local, &target.client).await?;
    let images: BTreeSet<_> = specs.iter().filter_map(|spec| spec.artifact.image()).collect();
    for image in images {
        if !sender.send(image).await? {
            report::note(&format!("{image}: not on this machine, so not sent"));
        }
    }
    Ok(())
}

async fn send_and_wait(args: &ApplyArgs, specs: &[AppSpec], target: &Target) -> Result {
    let surplus = match prune::selector(args, specs)? {
        Some(selector) => prune::surplus(selector, specs, target).await?,
        None => Vec::new(),
    };
    prune::confirm(args, &surplus).await?;
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
                print_accepted(&applied, format)?;
                sent.push(applied.app);
            }
            Err(error) => {
                let error = CliError::from(error);
                if error.exit_code() == UNREACHABLE {
                    return Err(error);
                }
                error.context(&format!("app/{} was not applied", spec.name)).report();
                failed = true;
            }
        }
    }
    if matches!(format, Format::Json | Format::Yaml) && !sent.is_empty() {
        let style = ListStyle { format, headers: true, single: specs.len() == 1 };
        output::print(&output::list(&sent, style, jiff::Timestamp::now())?)?;
    }
    let waited = if args.wait.detach {
        Ok(())
    } else {
        verifiers.run_alongside(target, &mut follower, &sent).await
    };
    match waited {
        Ok(()) if failed => Err(CliError::already_reported(FAILED)),
        Ok(()) => prune::delete(args, &surplus, target, &mut follower).await,
        Err(error) => Err(error),
    }
}

fn print_accepted(applied: &Applied, format: Format) -> Result {
    let name = &applied.app.name;
    match format {
        Format::Table | Format::Wide => {
            output::print(&format!("app/{name} {}\n", applied.change.as_str()))?;
            if let Some(note) = &applied.note {
                crate::report::note(&format!("app/{name}: {note}"));
            }
            Ok(())
        }
        Format::Name => output::print(&format!("app/{name}\n")),
        Format::Json | Format::Yaml => Ok(()),
    }
}

async fn dry_run(
    args: &ApplyArgs,
    apps: &[Located],
    specs: &[AppSpec],
    settings: &Settings,
) -> Result {
    let (report, surplus) = Target::with(settings, Mode::Observe, async |target: &Target| {
        secrets::check(apps, &target.client).await?;
        let surplus = match prune::selector(args, specs)? {
            Some(selector) => prune::surplus(selector, specs, target).await?,
            None => Vec::new(),
        };
        Ok((target.client.plan(specs).await?, surplus))
    })
    .await?;
    let deleted = surplus.iter().map(|name| format!("app/{name} deleted (dry run)\n"));
    match args.format.format() {
        Format::Table | Format::Wide => {
            let texts = report.apps.iter().map(dry_run_text);
            output::print(&texts.chain(deleted).collect::<String>())
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
    for (app, refused) in &refused {
        let text = format!("app/{app} would not be applied: {}", output::refusal(refused));
        CliError::new(text).help(RETRY_HELP).report();
    }
    if refused.is_empty() { Ok(()) } else { Err(CliError::already_reported(FAILED)) }
}

fn dry_run_text(plan: &AppPlan) -> String {
    let mut text = format!("app/{} {} (dry run)\n", plan.app, plan.change.as_str());
    if plan.change == Change::Configured {
        for line in output::changed_fields(plan) {
            text.push_str(&format!("  {line}\n"));
        }
    }
    text
}
