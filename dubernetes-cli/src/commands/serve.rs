//! `serve`: runs the orchestrator in the foreground until a signal. Pods keep running, and so does
//! an ingress that is a container.

use std::sync::Arc;

use crate::approval::Prompt;
use crate::args::{LogFormat, ServeArgs, StoreKind};
use crate::interrupt::interrupted;
use crate::orchestrator::{quit_requested, ready_line, start, what_keeps_running};
use crate::report::{self, CliError, Result, USAGE};
use crate::service_manager;
use crate::settings::Settings;
use crate::wiring::{Failed, SharedState};

pub(super) async fn run(args: &ServeArgs, settings: &Settings) -> Result {
    if args.ingress.store == StoreKind::Sqlite {
        let prompt = args.step.then(|| Arc::new(Prompt::start(args.ingress.url_ports())));
        return match serve(args, settings, prompt.as_ref(), None).await? {
            None => Ok(()),
            Some(why) => Err(CliError::new(why)),
        };
    }
    if args.step {
        let what = "`--step` has no effect with `--store swarm`";
        return Err(CliError::with_exit(USAGE, what).help("omit one of both"));
    }
    args.ingress.check()?;
    let mut shared = SharedState::new(settings)?;
    while let Some(why) = serve(args, settings, None, Some(&mut shared)).await? {
        tracing::warn!("this manager does not act any more: {why}");
    }
    Ok(())
}

/// Runs the orchestrator until a signal, or until it must not act any more, with the reason.
async fn serve(
    args: &ServeArgs,
    settings: &Settings,
    prompt: Option<&Arc<Prompt>>,
    shared: Option<&mut SharedState>,
) -> Result<Option<String>> {
    let group = args.socket_group.as_deref();
    let stands_by = shared.is_some();
    let stopped = async {
        match stands_by {
            true => interrupted().await,
            // The default action of the signal ends the process.
            false => std::future::pending().await,
        }
    };
    // One that stands by leaves nothing behind.
    let (mut running, guard) = tokio::select! {
        started = start(settings, &args.ingress, args.adopt, group, prompt, shared) => started?,
        () = stopped => return Ok(None),
    };
    let ready = ready_line(settings, &args.ingress);
    // A program that reads the ready line may send a signal at once.
    let interrupted = interrupted();
    match args.log_format {
        LogFormat::Text => report::print_line(&ready),
        LogFormat::Json => tracing::info!("{ready}"),
    }
    service_manager::notify_ready();
    // All arms are cancel-safe: a signal, a quit and the end of a task are not lost.
    let result = tokio::select! {
        () = interrupted => Ok(None),
        () = quit_requested(prompt.map(AsRef::as_ref)) => Ok(None),
        failed = running.failed() => match failed {
            Failed::Error(error) => Err(error),
            Failed::Replaced(why) => Ok(Some(why)),
        },
    };
    if matches!(result, Ok(Some(_))) {
        running.shut_down().await;
        return result;
    }
    service_manager::notify_stopping();
    if result.is_ok() {
        match what_keeps_running(settings, &args.ingress).await {
            Some(what) => tracing::info!("shutting down; {what}"),
            None => tracing::info!("shutting down"),
        }
        running.shut_down().await;
    }
    drop(guard);
    result
}
