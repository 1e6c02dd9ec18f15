//! `serve`: the orchestrator, in the foreground, until a signal ends it. Pods and ingress go on.

use std::net::SocketAddr;

use dubernetes_api::wire::Mode;

use crate::args::{IngressArgs, LogFormat, ServeArgs};
use crate::place::{self, Listening};
use crate::report::{self, Failure, Outcome, USAGE};
use crate::settings::Settings;
use crate::wiring::{Parts, Running, Work};

pub(super) async fn run(args: &ServeArgs, settings: &Settings) -> Outcome {
    let (mut running, listening) = start(settings, &args.ingress)?;
    let ready = ready(settings, &args.ingress);
    match args.log_format {
        LogFormat::Text => report::say(&ready),
        LogFormat::Json => tracing::info!("{ready}"),
    }
    // Both arms are cancel-safe: a part that has ended stays so, and so does a signal.
    let outcome = tokio::select! {
        () = super::interrupt() => Ok(()),
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
pub(super) fn start(settings: &Settings, args: &IngressArgs) -> Outcome<(Running, Listening)> {
    if settings.host.is_some() {
        let what = "`--host` names an orchestrator that runs, and this starts one";
        return Err(Failure::with_exit(USAGE, what).help(
            "leave out `--host`, and unset DUBERNETES_HOST; `--state-dir` moves the socket",
        ));
    }
    let parts = Parts::open(settings, args)?;
    let (listener, listening) = place::listen(&settings.places.socket)?;
    Ok((parts.start(settings, args, Work::Act, Mode::Serve, listener), listening))
}

/// The line that says where it is.
pub(super) fn ready(settings: &Settings, args: &IngressArgs) -> String {
    format!(
        "dubernetes is ready: instance {}, socket {}, ingress http://{}",
        settings.instance,
        settings.places.socket.display(),
        SocketAddr::new(args.http_bind, args.http_port),
    )
}
