//! `exec`: runs a command in a pod and passes on its output and its exit code.

mod refusal;

use std::io::{IsTerminal as _, Write as _};

use dubernetes_api::Client;
use dubernetes_api::client::ExecSession;
use dubernetes_api::wire::ExecRequest;
use dubernetes_core::plan::PodState;
use dubernetes_core::runtime::ExecOutput;
use futures_util::StreamExt as _;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::io::AsyncWriteExt as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::args::ExecArgs;
use crate::output;
use crate::report::{CliError, Result, USAGE};
use crate::resolve::{Found, find};
use crate::settings::Settings;
use crate::target::{Mode, Target};

/// The terminal that a command gets where the size of ours is not known.
const USUAL_SIZE: (u16, u16) = (80, 24);

pub(super) async fn run(args: &ExecArgs, settings: &Settings) -> Result {
    if args.tty && !std::io::stdin().is_terminal() {
        return Err(CliError::with_exit(
            USAGE,
            "`-t` needs a terminal, and standard input is none",
        )
        .help("leave out `-t`"));
    }
    Target::with(settings, Mode::Observe, async |target: &Target| {
        let pod = pod(&target.client, args).await?;
        let request = ExecRequest {
            command: args.command.clone(),
            stdin: args.stdin,
            tty: args.tty.then(size),
            user: None,
        };
        let session = target.client.exec(&pod, &request).await?;
        let raw = if args.tty { Some(RawTerminal::enter()?) } else { None };
        let code = pump(session, args, &pod).await;
        drop(raw);
        match code? {
            0 => Ok(()),
            // A code that no process can end with is a failure of some kind.
            code => Err(CliError::already_reported(u8::try_from(code).unwrap_or(1))),
        }
    })
    .await
}

/// The pod that was named, or a ready one of the app.
async fn pod(client: &Client, args: &ExecArgs) -> Result<String> {
    let app = match find(client, &args.name).await? {
        Found::Pod(pod) => return Ok(pod.name),
        Found::App(app) => app,
    };
    let pods = client.pods(Some(app.name.as_str())).await?;
    if pods.iter().any(|pod| pod.state == PodState::Unknown) {
        return Err(CliError::new("the engine does not answer, so no pod can be reached")
            .help("`dubernetes doctor` looks for the cause"));
    }
    let running = || pods.iter().find(|pod| pod.state == PodState::Running);
    pods.iter().find(|pod| pod.ready).or_else(running).map(|pod| pod.name.clone()).ok_or_else(
        || {
            CliError::new(format!("no pod of app `{}` runs", app.name))
                .help(format!("`dubernetes describe {}` says why", app.name))
        },
    )
}

/// Copies input and output until the command ends.
async fn pump(session: ExecSession, args: &ExecArgs, pod: &str) -> Result<i64> {
    let ExecSession { mut input, mut output, size: sizes } = session;
    let copy = async {
        if args.stdin {
            // A command that has closed its input is not interested, and its output says the rest.
            let _ = tokio::io::copy(&mut tokio::io::stdin(), &mut input).await;
        }
        let _ = input.shutdown().await;
        std::future::pending::<()>().await;
    };
    let read = async {
        // What may be the engine's own word is held back until it is known whether more comes.
        let mut held = Vec::new();
        while let Some(part) = output.next().await {
            match part? {
                ExecOutput::Exit(code) => match refusal::why(&held, code) {
                    Some(refusal) => return Err(refusal.told(&args.command, pod)),
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
                    // Without a standard error there is nowhere to put it.
                    let _ = std::io::stderr().write_all(&bytes);
                }
            }
        }
        Err(CliError::new("the session ended without an exit code"))
    };
    let resize = async {
        if args.tty {
            pass_on_sizes(&sizes).await;
        }
        std::future::pending::<()>().await;
    };
    // Neither of the others ends by itself; what they hold when the command ends, nobody reads.
    tokio::select! {
        code = read => code,
        () = copy => Err(CliError::new("the session ended without an exit code")),
        () = resize => Err(CliError::new("the session ended without an exit code")),
    }
}

/// Tells the command whenever our terminal has another size.
async fn pass_on_sizes(sizes: &watch::Sender<(u16, u16)>) {
    // Without a handler the command keeps the size that it has.
    let Ok(mut changed) = signal(SignalKind::window_change()) else { return };
    while changed.recv().await.is_some() {
        sizes.send_replace(size());
    }
}

/// Columns and rows of the terminal.
fn size() -> (u16, u16) {
    match tcgetwinsize(std::io::stdin()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col, size.ws_row),
        Ok(_) | Err(_) => USUAL_SIZE,
    }
}

/// A terminal that passes every key on, until this is dropped.
struct RawTerminal {
    before: Termios,
}

impl RawTerminal {
    fn enter() -> Result<Self> {
        let cannot = |error: rustix::io::Errno| {
            CliError::with_source("the terminal cannot be set up", &std::io::Error::from(error))
        };
        let before = tcgetattr(std::io::stdin()).map_err(cannot)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(std::io::stdin(), OptionalActions::Now, &raw).map_err(cannot)?;
        Ok(Self { before })
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        // A terminal that is gone needs no repair.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.before);
    }
}
