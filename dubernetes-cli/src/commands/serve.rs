//! `serve`: runs the orchestrator in the foreground until a signal. Pods keep running, and so does
//! an ingress that is a container.

use std::sync::Arc;

use crate::approval::Prompt;
use crate::args::{LogFormat, ServeArgs};
use crate::interrupt::interrupted;
use crate::orchestrator::{quit_requested, ready_line, start, what_keeps_running};
use crate::report::{self, Result};
use crate::service_manager;
use crate::settings::Settings;

pub(super) async fn run(args: &ServeArgs, settings: &Settings) -> Result {
    let prompt = args.step.then(|| Arc::new(Prompt::start(args.ingress.url_ports())));
    let group = args.socket_group.as_deref();
    let started = start(settings, &args.ingress, args.adopt, group, prompt.as_ref()).await;
    let (mut running, guard) = started?;
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
        () = interrupted => Ok(()),
        () = quit_requested(prompt.as_deref()) => Ok(()),
        error = running.failed() => Err(error),
    };
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
