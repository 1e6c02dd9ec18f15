//! `up`: `serve` and `apply` in one, with everything that happens, in the foreground.

use std::sync::Arc;

use crate::approval::Prompt;
use crate::args::{UpArgs, WaitArgs};
use crate::follow::Follower;
use crate::output;
use crate::report::{self, CliError, FAILED, INTERRUPTED, Result};
use crate::settings::Settings;
use crate::sources::read_apps;
use crate::target::{Target, running};
use crate::wiring::RunningOrchestrator;

use super::apply::goals;
use super::serve;

pub(super) async fn run(args: &UpArgs, settings: &Settings) -> Result {
    let apps = read_apps(&args.files.paths())?;
    if running(settings).await?.is_some() {
        let files = args.files.paths();
        let files: Vec<_> = files.iter().map(|path| path.display().to_string()).collect();
        let help = format!("`dubernetes apply {}` hands them to it", files.join(" "));
        return Err(CliError::new("an orchestrator of this instance runs already").help(help));
    }
    let prompt = args.step.then(|| Arc::new(Prompt::start(args.ingress.http_port)));
    let (mut orchestrator, listening) =
        serve::start(settings, &args.ingress, prompt.as_ref()).await?;
    // Whoever reads that it is ready may end it at once.
    let interrupted = super::interrupt();
    report::print_line(&serve::ready(settings, &args.ingress));
    let outcome = {
        let work = async {
            let client = running(settings).await?;
            let client = client.ok_or_else(|| CliError::new("the orchestrator did not start"))?;
            let target = Target::of(client);
            let mut follower = Follower::new(&target, &WaitArgs::endless(args.progress)).await?;
            let mut sent = Vec::new();
            for app in &apps {
                let applied = target.client.apply(&app.spec, None).await?;
                output::print(&format!("app/{} {}\n", app.spec.name, applied.change.as_str()))?;
                sent.push(applied.app);
            }
            match follower.until_ready(goals(&sent)).await {
                // Whatever failed may heal: that is what an orchestrator is for.
                Err(failure) if failure.exit_code() == FAILED => {}
                other => other?,
            }
            follower.forever().await
        };
        let work = until_broken(work, &mut orchestrator);
        // All arms are cancel-safe: dropping the work only ends its streams. It is the first to
        // be asked, for what it shows on an interrupt.
        tokio::select! {
            biased;
            outcome = work => outcome,
            () = interrupted => Err(CliError::already_reported(INTERRUPTED)),
            () = serve::left(prompt.as_deref()) => Ok(()),
        }
    };
    let interrupted =
        outcome.as_ref().err().is_none_or(|failure| failure.exit_code() == INTERRUPTED);
    if interrupted {
        report::note("pods and ingress go on, and nothing replaces a pod that dies");
        report::help("`dubernetes serve` goes on with them, `dubernetes down` removes them");
    }
    orchestrator.end().await;
    drop(listening);
    if interrupted { Ok(()) } else { outcome }
}

async fn until_broken(
    work: impl Future<Output = Result>,
    orchestrator: &mut RunningOrchestrator,
) -> Result {
    // Dropping the work only ends its streams; a part that has ended stays so.
    tokio::select! {
        outcome = work => outcome,
        failure = orchestrator.broken() => Err(failure),
    }
}
