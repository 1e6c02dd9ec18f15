//! `serve`: the orchestrator, in the foreground, until a signal ends it. Pods and ingress go on.

use std::net::SocketAddr;
use std::sync::Arc;

use dubernetes_api::wire::Mode as Lifetime;
use dubernetes_controller::Approver;

use crate::approval::Prompt;
use crate::args::{IngressArgs, LogFormat, ServeArgs};
use crate::report::{self, CliError, Result, USAGE};
use crate::settings::Settings;
use crate::state_dir::{self, SocketGuard};
use crate::target::Mode;
use crate::wiring::{Adapters, RunningOrchestrator};

pub(super) async fn run(args: &ServeArgs, settings: &Settings) -> Result {
    let prompt = args.step.then(|| Arc::new(Prompt::start(args.ingress.http_port)));
    let (mut running, listening) = start(settings, &args.ingress, prompt.as_ref()).await?;
    let ready = ready(settings, &args.ingress);
    // Whoever reads that it is ready may end it at once.
    let interrupted = super::interrupt();
    match args.log_format {
        LogFormat::Text => report::print_line(&ready),
        LogFormat::Json => tracing::info!("{ready}"),
    }
    // All arms are cancel-safe: a part that has ended stays so, and so does a signal and a word.
    let outcome = tokio::select! {
        () = interrupted => Ok(()),
        () = left(prompt.as_deref()) => Ok(()),
        failure = running.broken() => Err(failure),
    };
    if outcome.is_ok() {
        tracing::info!("ending; pods and ingress go on");
        running.end().await;
    }
    drop(listening);
    outcome
}

/// Takes the state folder and listens; from then on commands are answered.
pub(super) async fn start(
    settings: &Settings,
    args: &IngressArgs,
    prompt: Option<&Arc<Prompt>>,
) -> Result<(RunningOrchestrator, SocketGuard)> {
    if settings.host.is_some() {
        let what = "`--host` names an orchestrator that runs, and this starts one";
        return Err(CliError::with_exit(USAGE, what).help(
            "leave out `--host`, and unset DUBERNETES_HOST; `--state-dir` moves the socket",
        ));
    }
    let approve = prompt.map(|prompt| -> Arc<dyn Approver> { Arc::<Prompt>::clone(prompt) });
    let adapters = Adapters::open(settings, args)?.asking(approve);
    adapters.check_engine(&settings.instance).await?;
    let (listener, listening) = state_dir::listen(&settings.paths.socket)?;
    Ok((adapters.start(settings, args, Mode::Act, Lifetime::Serve, listener), listening))
}

/// Returns once the user who is asked before each step wants to leave.
pub(super) async fn left(prompt: Option<&Prompt>) {
    match prompt {
        Some(prompt) => prompt.quit_requested().await,
        None => std::future::pending().await,
    }
}

/// The line that says where it is.
pub(super) fn ready(settings: &Settings, args: &IngressArgs) -> String {
    format!(
        "dubernetes is ready: instance {}, socket {}, ingress http://{}",
        settings.instance,
        settings.paths.socket.display(),
        SocketAddr::new(args.http_bind, args.http_port),
    )
}
