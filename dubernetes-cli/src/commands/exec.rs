//! `exec`: runs a command in a pod, and passes on its output and exit code.

mod refusal;

use std::io::Write as _;

use dubernetes_api::Client;
use dubernetes_api::wire::Pod;
use dubernetes_core::app::PodName;
use dubernetes_core::plan::PodState;
use dubernetes_core::runtime::ExecOutput;

use crate::args::ExecArgs;
use crate::output;
use crate::report::{CliError, Result};
use crate::resolve::{Found, find};
use crate::session::{self, pass_on};
use crate::settings::Settings;
use crate::target::{Mode, Target};
use refusal::Refusal;

pub(super) async fn run(args: &ExecArgs, settings: &Settings) -> Result {
    session::require_terminal(args.stdio)?;
    Target::with(settings, Mode::Observe, async |target: &Target| {
        let pod = find_pod(&target.client, args).await?;
        let request = session::request(&args.command, args.stdio);
        let session = target.client.exec(pod.as_str(), &request).await?;
        // Holds back output that may be the engine's refusal, until it is known to be the
        // command's.
        let mut held = Vec::new();
        let take = |part| take_output(part, &mut held, args, &pod);
        pass_on(session::pump(session, args.stdio, take).await?)
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

/// Prints a part of the output, or holds it back. Returns the exit code.
fn take_output(
    part: ExecOutput,
    held: &mut Vec<u8>,
    args: &ExecArgs,
    pod: &PodName,
) -> Result<Option<i64>> {
    match part {
        ExecOutput::Exit(code) => match Refusal::parse(held, code) {
            Some(refusal) => return Err(refusal.into_error(&args.command, pod)),
            None => {
                output::print_raw(held)?;
                return Ok(Some(code));
            }
        },
        ExecOutput::Stdout(bytes) if held.is_empty() && refusal::may_be(&bytes) => {
            held.extend_from_slice(&bytes);
        }
        ExecOutput::Stdout(bytes) => {
            output::print_raw(&std::mem::take(held))?;
            output::print_raw(&bytes)?;
        }
        ExecOutput::Stderr(bytes) => {
            output::print_raw(&std::mem::take(held))?;
            // A closed standard error must not end the command.
            let _ = std::io::stderr().write_all(&bytes);
        }
    }
    Ok(None)
}
