//! `up`: runs the orchestrator in the foreground, applies files, and shows all events.

use std::sync::Arc;

use dubernetes_manifest::Located;

use crate::approval::Prompt;
use crate::args::{IngressKind, UpArgs, WaitArgs};
use crate::follow::{Follower, Goal};
use crate::interrupt::interrupted;
use crate::orchestrator::{quit_requested, ready_line, start, what_keeps_running};
use crate::output;
use crate::report::{self, CliError, FAILED, INTERRUPTED, Result};
use crate::secrets;
use crate::settings::Settings;
use crate::sources::read_apps;
use crate::target::{Target, find_running};
use crate::wiring::Failed;

pub(super) async fn run(args: &UpArgs, settings: &Settings) -> Result {
    let apps = read_apps(&args.files)?;
    if find_running(settings).await?.is_some() {
        let help = format!("`dubernetes apply {}` applies the files to it", args.files.joined());
        let what = "an orchestrator of this instance is already running";
        return Err(CliError::new(what).help(help));
    }
    let prompt = args.step.then(|| Arc::new(Prompt::start(args.ingress.url_ports())));
    let (mut orchestrator, guard) =
        start(settings, &args.ingress, false, None, prompt.as_ref(), None).await?;
    // A program that reads the ready line may send a signal at once.
    let interrupted = interrupted();
    report::print_line(&ready_line(settings, &args.ingress));
    // All arms are cancel-safe: dropping the second one only ends its streams. The first one knows
    // the cause when those streams end.
    let result = tokio::select! {
        biased;
        failed = orchestrator.failed() => Err(match failed {
            Failed::Error(error) => error,
            Failed::Replaced(why) => CliError::new(why),
        }),
        result = apply_and_show_events(args, settings, &apps) => result,
        () = interrupted => Err(CliError::already_reported(INTERRUPTED)),
        () = quit_requested(prompt.as_deref()) => Ok(()),
    };
    let by_user = result.as_ref().err().is_none_or(|error| error.exit_code() == INTERRUPTED);
    if by_user && let Some(what) = what_keeps_running(settings, &args.ingress).await {
        let missing = match args.ingress.ingress() {
            IngressKind::Nginx => "replaces a pod that dies",
            IngressKind::Proxy => "routes requests to them or replaces one that dies",
        };
        report::note(&format!("{what}, but nothing {missing}"));
        report::help("`dubernetes serve` takes them over, `dubernetes down` removes them");
    }
    orchestrator.shut_down().await;
    drop(guard);
    if by_user { Ok(()) } else { result }
}

async fn apply_and_show_events(args: &UpArgs, settings: &Settings, apps: &[Located]) -> Result {
    let client = find_running(settings).await?;
    let client = client.ok_or_else(|| CliError::new("the orchestrator did not start"))?;
    let target = Target::running(client);
    let mut follower = Follower::new(&target, &WaitArgs::without_timeout(args.progress)).await?;
    let mut sent = Vec::new();
    secrets::check(apps, &target.client).await?;
    for app in apps {
        let applied = target.client.apply(&app.spec, None).await?;
        output::print(&format!("app/{} {}\n", app.spec.name, applied.change.as_str()))?;
        sent.push(applied.app);
    }
    match follower.until_ready(Goal::for_apps(&sent)).await {
        // The orchestrator keeps trying to repair an app that failed.
        Err(error) if error.exit_code() == FAILED => {}
        other => other?,
    }
    follower.show_events().await
}
