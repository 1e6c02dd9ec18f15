//! `run`: runs a command in a one-off container of an app, and passes on its output and exit code.

use std::io::Write as _;
use std::time::Duration;

use dubernetes_api::Client;
use dubernetes_api::client::{ExecSession, RunSession};
use dubernetes_api::wire::ExecRequest;
use dubernetes_core::app::Signal;
use dubernetes_core::runtime::ExecOutput;
use futures_util::StreamExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::args::RunArgs;
use crate::output;
use crate::report::{self, CliError, INTERRUPTED, Result};
use crate::session::{self, RawTerminal, no_exit_code, pass_on};
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
    session::require_terminal(args.tty)?;
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
    let request = ExecRequest {
        command: args.command.clone(),
        stdin: args.stdin,
        tty: args.tty.then(session::terminal_size),
    };
    // Dropping the call ends the container.
    let session = tokio::select! {
        session = client.run(args.name.as_str(), &request) => session?,
        _ = signals.recv() => return Err(CliError::already_reported(INTERRUPTED)),
    };
    let raw = if args.tty { Some(RawTerminal::enter()?) } else { None };
    let code = pump(session, args, signals).await;
    drop(raw);
    pass_on(code?)
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

/// Copies input, output and signals until the command ends. Returns the exit code.
async fn pump(
    run: RunSession,
    args: &RunArgs,
    signals: &mut mpsc::UnboundedReceiver<Signal>,
) -> Result<i64> {
    let RunSession { session, signals: forwarded, .. } = run;
    let ExecSession { mut input, mut output, size: sizes } = session;
    let copy = async {
        if args.stdin {
            // The command may close its input early; its output reports any problem.
            let _ = tokio::io::copy(&mut tokio::io::stdin(), &mut input).await;
        }
        let _ = input.shutdown().await;
        std::future::pending::<()>().await;
    };
    let read = async {
        while let Some(part) = output.next().await {
            match part? {
                ExecOutput::Exit(code) => return Ok(code),
                ExecOutput::Stdout(bytes) => output::print_raw(&bytes)?,
                // A closed standard error must not end the command.
                ExecOutput::Stderr(bytes) => drop(std::io::stderr().write_all(&bytes)),
            }
        }
        Err(no_exit_code())
    };
    let resize = async {
        if args.tty {
            session::forward_resizes(&sizes).await;
        }
        std::future::pending::<()>().await;
    };
    // Input that the other arms hold when the command ends has no reader.
    tokio::select! {
        code = read => code,
        () = copy => Err(no_exit_code()),
        () = resize => Err(no_exit_code()),
        () = forward(signals, &forwarded) => Err(CliError::already_reported(INTERRUPTED)),
    }
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
