//! One file per verb. A verb reads its arguments, talks to the orchestrator through the client, and
//! prints. No verb decides anything about apps, and no verb uses another verb.

mod apply;
mod backup;
mod completion;
mod context;
mod delete;
mod describe;
mod diff;
mod doctor;
mod down;
mod events;
mod exec;
mod explain;
mod export;
mod get;
mod import;
mod init;
mod logs;
mod man;
mod plan;
mod port_forward;
mod push;
mod renew;
mod replay;
mod restore;
mod rollout;
mod run;
mod scale;
mod schema;
mod secret;
mod serve;
mod simulate;
mod socket;
mod status;
mod top;
mod trust;
mod ui;
mod up;
mod validate;
mod version;
mod wait;
mod why;

use crate::args::Command;
use crate::interrupt::until_interrupted;
use crate::report::Result;
use crate::settings::Settings;

/// Runs a command.
pub(crate) async fn run(command: Command, settings: &Settings, program: &'static str) -> Result {
    match command {
        // These report what an interrupt leaves behind.
        Command::Apply(args) => apply::run(&args, settings).await,
        Command::Delete(args) => delete::run(&args, settings).await,
        Command::Scale(args) => scale::run(&args, settings).await,
        Command::Rollout(args) => rollout::run(&args, settings).await,
        Command::Rollback(args) => rollout::undo(&args, settings).await,
        Command::Secret(args) => secret::run(&args, settings).await,
        Command::Serve(args) => serve::run(&args, settings).await,
        Command::Up(args) => up::run(&args, settings).await,
        Command::Wait(args) => wait::run(&args, settings).await,
        Command::Ui(args) => ui::run(&args, settings).await,
        Command::Run(args) => run::run(&args, settings).await,
        Command::Diff(args) => until_interrupted(diff::run(&args, settings)).await,
        Command::Plan(args) => until_interrupted(plan::run(&args, settings)).await,
        Command::Down(args) => until_interrupted(down::run(&args, settings)).await,
        Command::Get(args) => until_interrupted(get::run(&args, settings)).await,
        Command::Describe(args) => until_interrupted(describe::run(&args, settings)).await,
        Command::Why(args) => until_interrupted(why::run(&args, settings)).await,
        Command::Events(args) => until_interrupted(events::run(&args, settings)).await,
        Command::Logs(args) => until_interrupted(logs::run(&args, settings)).await,
        Command::Exec(args) => until_interrupted(exec::run(&args, settings)).await,
        Command::Top(args) => until_interrupted(top::run(&args, settings)).await,
        Command::PortForward(args) => until_interrupted(port_forward::run(&args, settings)).await,
        Command::Push(args) => until_interrupted(push::run(&args, settings)).await,
        Command::Renew(args) => until_interrupted(renew::run(&args, settings)).await,
        Command::Trust => until_interrupted(trust::run(settings)).await,
        Command::Status(args) => until_interrupted(status::run(args, settings)).await,
        Command::Doctor(args) => until_interrupted(doctor::run(args, settings)).await,
        Command::Version(args) => until_interrupted(version::run(args, settings, program)).await,
        Command::Simulate(args) => until_interrupted(simulate::run(&args, settings)).await,
        Command::Socket => until_interrupted(socket::run(settings)).await,
        Command::Context(args) => context::run(&args, settings),
        Command::Backup(args) => backup::run(&args, settings),
        Command::Restore(args) => restore::run(&args, settings),
        Command::Replay(args) => replay::run(&args, settings),
        Command::Validate(args) => validate::run(&args),
        Command::Init(args) => init::run(&args),
        Command::Import(args) => import::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Schema => schema::run(),
        Command::Completion(args) => completion::run(&args, program),
        Command::Man(args) => man::run(&args, program),
    }
}
