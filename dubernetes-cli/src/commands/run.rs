//! `run`: runs a command in a one-off container of an app, and passes on its output and exit code.

use std::io::Write as _;
use std::time::Duration;

use dubernetes_api::Client;
use dubernetes_core::app::Signal;
use dubernetes_core::runtime::ExecOutput;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::args::RunArgs;
use crate::output;
use crate::report::{self, CliError, INTERRUPTED, Result};
use crate::session::{self, pass_on};
use crate::settings::Settings;
use crate::target::{Mode, Target};

/// How long the removal of a container is waited for, after its client has gone away.
const REMOVAL_LIMIT: Duration = Duration::from_secs(60);
/// Pause between two looks whether it is gone.
const REMOVAL_POLL: Duration = Duration::from_millis(100);

/// The signals that the process of the container gets in our place.
const SIGNALS: [(Signal, SignalKind); 4] = [
    (Signal::SigInt, SignalKind::interrupt()),
    (Signal::SigTerm, SignalKind::terminate()),
    (Signal::SigHup, SignalKind::hangup()),
    (Signal::SigQuit, SignalKind::quit()),
];

pub(super) async fn run(args: &RunArgs, settings: &Settings) -> Result {
    session::require_terminal(args.stdio)?;
    Target::with(settings, Mode::Act, async |target: &Target| {
        let mut signals = listen()?;
        let ended = run_in(&target.client, args, &mut signals).await;
        if ended.is_err() && target.is_in_process() {
            // The orchestrator ends with this command, and no other one removes the container.
            wait_for_removal(&target.client, args).await;
        }
        ended
    })
    .await
}

async fn run_in(
    client: &Client,
    args: &RunArgs,
    signals: &mut mpsc::UnboundedReceiver<Signal>,
) -> Result {
    let request = session::request(&args.command, args.stdio);
    // Dropping the call ends the container.
    let run = tokio::select! {
        run = client.run(args.name.as_str(), &request) => run?,
        _ = signals.recv() => return Err(CliError::already_reported(INTERRUPTED)),
    };
    let take = |part| match part {
        ExecOutput::Exit(code) => Ok(Some(code)),
        ExecOutput::Stdout(bytes) => output::print_raw(&bytes).map(|()| None),
        ExecOutput::Stderr(bytes) => {
            // A closed standard error must not end the command.
            let _ = std::io::stderr().write_all(&bytes);
            Ok(None)
        }
    };
    // Input that the first arm holds when the command ends has no reader.
    let code = tokio::select! {
        code = session::pump(run.session, args.stdio, take) => code?,
        () = forward(signals, &run.signals) => {
            return Err(CliError::already_reported(INTERRUPTED));
        }
    };
    pass_on(code)
}

/// Listens to the signals that this process gets from now on.
fn listen() -> Result<mpsc::UnboundedReceiver<Signal>> {
    let (sender, receiver) = mpsc::unbounded_channel();
    for (name, kind) in SIGNALS {
        let mut received = signal(kind)
            .map_err(|error| CliError::with_source("cannot listen to signals", &error))?;
        let sender = sender.clone();
        tokio::spawn(async move {
            while received.recv().await.is_some() && sender.send(name).is_ok() {}
        });
    }
    Ok(receiver)
}

/// Forwards the first signal. Returns at the second one: the command does not end by itself.
async fn forward(
    signals: &mut mpsc::UnboundedReceiver<Signal>,
    forwarded: &mpsc::UnboundedSender<Signal>,
) {
    if let Some(signal) = signals.recv().await {
        // A session that has just ended needs no signal.
        let _ = forwarded.send(signal);
        report::note(&format!("the command got {signal}; a second one stops its container"));
    }
    signals.recv().await;
}

/// Waits until no one-off container of the app is left: in this process all of them are ours.
async fn wait_for_removal(client: &Client, args: &RunArgs) {
    let gone = async {
        loop {
            match client.pods(Some(args.name.as_str())).await {
                Ok(pods) if pods.iter().any(|pod| pod.name.is_one_off()) => {
                    tokio::time::sleep(REMOVAL_POLL).await;
                }
                // Without an answer nothing is known, and the failure was reported.
                Ok(_) | Err(_) => return,
            }
        }
    };
    if tokio::time::timeout(REMOVAL_LIMIT, gone).await.is_err() {
        report::warn("the one-off container is still there; the next orchestrator removes it");
    }
}
