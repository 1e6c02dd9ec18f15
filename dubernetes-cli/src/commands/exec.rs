//! `exec`: runs a command in a pod, and passes on its output and exit code.

mod refusal;

use std::io::Write as _;

use dubernetes_api::Client;
use dubernetes_api::client::ExecSession;
use dubernetes_api::wire::{ExecRequest, Pod};
use dubernetes_core::app::PodName;
use dubernetes_core::plan::PodState;
use dubernetes_core::runtime::ExecOutput;
use futures_util::StreamExt as _;
use tokio::io::AsyncWriteExt as _;

use crate::args::ExecArgs;
use crate::output;
use crate::report::{CliError, Result};
use crate::resolve::{Found, find};
use crate::session::{self, RawTerminal, no_exit_code, pass_on};
use crate::settings::Settings;
use crate::target::{Mode, Target};
use refusal::Refusal;

pub(super) async fn run(args: &ExecArgs, settings: &Settings) -> Result {
    session::require_terminal(args.tty)?;
    Target::with(settings, Mode::Observe, async |target: &Target| {
        let pod = find_pod(&target.client, args).await?;
        let request = ExecRequest {
            command: args.command.clone(),
            stdin: args.stdin,
            tty: args.tty.then(session::terminal_size),
        };
        let session = target.client.exec(pod.as_str(), &request).await?;
        let raw = if args.tty { Some(RawTerminal::enter()?) } else { None };
        let code = pump(session, args, &pod).await;
        drop(raw);
        pass_on(code?)
    })
    .await
}

/// Returns the named pod, or a ready pod of the named app.
async fn find_pod(client: &Client, args: &ExecArgs) -> Result<PodName> {
    let app = match find(client, &args.name).await? {
        Found::Pod(pod) => return Ok(pod.name),
        Found::App(app) => app,
    };
    let pods = client.pods(Some(app.name.as_str())).await?;
    if pods.iter().any(|pod| pod.state == PodState::Unknown) {
        return Err(CliError::new("cannot reach any pod: the engine does not answer")
            .help("`dubernetes doctor` looks for the cause"));
    }
    let is_running = |pod: &&Pod| pod.state == PodState::Running && !pod.name.is_one_off();
    let running = || pods.iter().find(is_running);
    let pod = pods.iter().find(|pod| pod.ready).or_else(running);
    pod.map(|pod| pod.name.clone()).ok_or_else(|| {
        CliError::new(format!("app `{}` has no running pod", app.name))
            .help(format!("`dubernetes why {}` explains the cause", app.name))
    })
}

/// Copies input and output until the command ends. Returns the exit code.
async fn pump(session: ExecSession, args: &ExecArgs, pod: &PodName) -> Result<i64> {
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
        // Holds back output that may be the engine's refusal, until it is known to be the
        // command's.
        let mut held = Vec::new();
        while let Some(part) = output.next().await {
            match part? {
                ExecOutput::Exit(code) => match Refusal::parse(&held, code) {
                    Some(refusal) => return Err(refusal.into_error(&args.command, pod)),
                    None => {
                        output::print_raw(&held)?;
                        return Ok(code);
                    }
                },
                ExecOutput::Stdout(bytes) if held.is_empty() && refusal::may_be(&bytes) => {
                    held.extend_from_slice(&bytes);
                }
                ExecOutput::Stdout(bytes) => {
                    output::print_raw(&std::mem::take(&mut held))?;
                    output::print_raw(&bytes)?;
                }
                ExecOutput::Stderr(bytes) => {
                    output::print_raw(&std::mem::take(&mut held))?;
                    // A closed standard error must not end the command.
                    let _ = std::io::stderr().write_all(&bytes);
                }
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
    // The other two arms never end. Input that they hold when the command ends has no reader.
    tokio::select! {
        code = read => code,
        () = copy => Err(no_exit_code()),
        () = resize => Err(no_exit_code()),
    }
}
