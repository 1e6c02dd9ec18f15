//! One file for each verb. A verb reads what was typed, speaks with the orchestrator through the
//! client, and prints; it decides nothing about apps.

mod apply;
mod completion;
mod delete;
mod describe;
mod diff;
mod doctor;
mod down;
mod events;
mod exec;
mod explain;
mod get;
mod help;
mod init;
mod logs;
mod man;
mod plan;
mod port_forward;
mod replay;
mod rollout;
mod scale;
mod schema;
mod serve;
mod simulate;
mod status;
mod top;
mod up;
mod validate;
mod version;
mod wait;
mod why;

pub(crate) use version::VERSION;

use tokio::signal::unix::{SignalKind, signal};

use crate::args::Command;
use crate::report::{CliError, INTERRUPTED, Result};
use crate::settings::Settings;

/// Does what was typed.
pub(crate) async fn run(command: Command, settings: &Settings, program: &'static str) -> Result {
    match command {
        // These say themselves what an interrupt leaves behind.
        Command::Apply(args) => apply::run(&args, settings).await,
        Command::Delete(args) => delete::run(&args, settings).await,
        Command::Scale(args) => scale::run(&args, settings).await,
        Command::Rollout(args) => rollout::run(&args, settings).await,
        Command::Rollback(args) => rollout::undo(&args, settings).await,
        Command::Serve(args) => serve::run(&args, settings).await,
        Command::Up(args) => up::run(&args, settings).await,
        Command::Diff(args) => interruptible(diff::run(&args, settings)).await,
        Command::Plan(args) => interruptible(plan::run(&args, settings)).await,
        Command::Down(args) => interruptible(down::run(&args, settings)).await,
        Command::Get(args) => interruptible(get::run(&args, settings)).await,
        Command::Describe(args) => interruptible(describe::run(&args, settings)).await,
        Command::Why(args) => interruptible(why::run(&args, settings)).await,
        Command::Events(args) => interruptible(events::run(&args, settings)).await,
        Command::Logs(args) => interruptible(logs::run(&args, settings)).await,
        Command::Exec(args) => interruptible(exec::run(&args, settings)).await,
        Command::Top(args) => interruptible(top::run(&args, settings)).await,
        Command::PortForward(args) => interruptible(port_forward::run(&args, settings)).await,
        Command::Wait(args) => interruptible(wait::run(&args, settings)).await,
        Command::Status(args) => interruptible(status::run(&args, settings)).await,
        Command::Doctor(args) => interruptible(doctor::run(&args, settings)).await,
        Command::Version(args) => interruptible(version::run(&args, settings, program)).await,
        Command::Simulate(args) => interruptible(simulate::run(&args, settings)).await,
        Command::Replay(args) => replay::run(&args, settings),
        Command::Validate(args) => validate::run(&args),
        Command::Init(args) => init::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Schema => schema::run(),
        Command::Completion(args) => completion::run(&args, program),
        Command::Man(args) => man::run(&args, program),
        Command::Help(args) => help::run(&args, program),
    }
}

async fn interruptible(work: impl Future<Output = Result>) -> Result {
    let interrupted = interrupt();
    // Dropping the work at any point is fine: it only looks, or the orchestrator goes on alone.
    tokio::select! {
        result = work => result,
        // Whoever interrupts a command that only shows something knows what happened.
        () = interrupted => Err(CliError::already_reported(INTERRUPTED)),
    }
}

/// Listens from this call on, within the runtime, and ends when this process is asked to end.
pub(crate) fn interrupt() -> impl Future<Output = ()> {
    let signals = [SignalKind::interrupt(), SignalKind::terminate()].map(signal);
    async move {
        let waits = signals.map(|signal| {
            Box::pin(async move {
                match signal {
                    Ok(mut signal) => {
                        signal.recv().await;
                    }
                    // Without a handler the signal ends the process by itself.
                    Err(_) => std::future::pending().await,
                }
            })
        });
        futures_util::future::select_all(waits).await;
    }
}
