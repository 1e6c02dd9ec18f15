//! `rollout` and `rollback`: shows, undoes, restarts, pauses and resumes rollouts.

mod history;

use dubernetes_api::wire::{App, RolloutAction, RolloutRequest};
use dubernetes_core::plan::Phase;

use crate::args::{
    ObjectName, RolloutArgs, RolloutPauseArgs, RolloutVerb, RolloutWaitArgs, UndoArgs, WaitArgs,
};
use crate::follow::{Follower, Goal};
use crate::interrupt::until_interrupted;
use crate::output;
use crate::report::{self, CliError, FAILED, Result};
use crate::resolve::find_app;
use crate::settings::Settings;
use crate::target::{Mode, Target};

pub(super) async fn run(args: &RolloutArgs, settings: &Settings) -> Result {
    match &args.verb {
        RolloutVerb::Status(args) => show_status(args, settings).await,
        RolloutVerb::History(args) => until_interrupted(history::run(args, settings)).await,
        RolloutVerb::Undo(args) => undo(args, settings).await,
        RolloutVerb::Restart(args) => change(args, RolloutAction::Restart, settings).await,
        RolloutVerb::Pause(args) => until_interrupted(pause(args, settings)).await,
        RolloutVerb::Resume(args) => change(args, RolloutAction::Resume, settings).await,
    }
}

pub(super) async fn undo(args: &UndoArgs, settings: &Settings) -> Result {
    let request = RolloutRequest { action: RolloutAction::Undo, to: args.to };
    request_and_wait(&args.name, request, &args.wait, settings).await
}

async fn change(args: &RolloutWaitArgs, action: RolloutAction, settings: &Settings) -> Result {
    request_and_wait(&args.name, RolloutRequest { action, to: None }, &args.wait, settings).await
}

async fn request_and_wait(
    name: &ObjectName,
    request: RolloutRequest,
    wait: &WaitArgs,
    settings: &Settings,
) -> Result {
    Target::with_wait(settings, wait, async |target: &Target| {
        let app = find_app(&target.client, name).await?;
        let mut follower = Follower::new(target, wait).await?;
        let applied = target.client.rollout(app.name.as_str(), request).await?;
        let changed = applied.app.generation != app.generation;
        let text = accepted_text(request, &app, changed, &applied.app);
        output::print(&format!("app/{} {text}\n", app.name))?;
        if request.action == RolloutAction::Undo && changed {
            report::note("the next `apply` restores the spec in its file");
        }
        let result = if wait.detach {
            Ok(())
        } else {
            follower.until_ready(vec![Goal::for_app(&applied.app)]).await
        };
        target.warn_unsupervised("");
        result
    })
    .await
}

/// Returns what an accepted request does.
fn accepted_text(request: RolloutRequest, before: &App, changed: bool, app: &App) -> String {
    let revision = app.status.revision;
    match request.action {
        RolloutAction::Undo if changed => match request.to {
            Some(to) => format!("rolling back to revision {to} as revision {revision}"),
            None => format!("rolling back as revision {revision}"),
        },
        RolloutAction::Undo => format!("unchanged: revision {revision}"),
        RolloutAction::Restart => format!("restarting as revision {revision}"),
        RolloutAction::Pause => "paused".to_owned(),
        RolloutAction::Resume if before.status.paused || before.status.failure.is_some() => {
            "resumed".to_owned()
        }
        RolloutAction::Resume => "unchanged: the rollout is not paused".to_owned(),
    }
}

async fn pause(args: &RolloutPauseArgs, settings: &Settings) -> Result {
    Target::with(settings, Mode::Act, async |target: &Target| {
        let app = find_app(&target.client, &args.name).await?;
        let request = RolloutRequest { action: RolloutAction::Pause, to: None };
        let paused = target.client.rollout(app.name.as_str(), request).await?.app;
        let text = accepted_text(request, &app, true, &paused);
        output::print(&format!("app/{} {text}\n", app.name))?;
        report::help(&format!("`dubernetes rollout resume {}` resumes the rollout", app.name));
        Ok(())
    })
    .await
}

async fn show_status(args: &RolloutWaitArgs, settings: &Settings) -> Result {
    Target::with_wait(settings, &args.wait, async |target: &Target| {
        let app = find_app(&target.client, &args.name).await?;
        let mut follower = Follower::new(target, &args.wait).await?;
        output::print(&status_line(&app))?;
        if args.wait.detach {
            return Ok(());
        }
        if target.is_in_process() {
            report::note("no orchestrator is running; this command continues the rollout");
        }
        // A rollout that was rolled back has failed, even if the app is ready now.
        let failed = app.status.failure.as_ref().map(|failure| failure.revision);
        let goal = Goal::for_app(&app);
        let revision = failed.map_or(goal.revision, |failed| failed.min(goal.revision));
        follower.until_ready(vec![Goal { revision, ..goal }]).await?;
        // The follower also ends at a paused rollout, which it has reported.
        let now = target.client.get_app(app.name.as_str()).await?;
        if now.status.paused && now.status.phase != Phase::Ready {
            return Err(CliError::already_reported(FAILED));
        }
        Ok(())
    })
    .await
}

/// Returns the state of the rollout, in one line.
fn status_line(app: &App) -> String {
    let status = &app.status;
    let state = match status.rollout.as_str() {
        "" => status.phase.as_str(),
        state => state,
    };
    let paused = if status.paused { ", paused" } else { "" };
    let reason = match status.message.as_str() {
        "" => String::new(),
        message => format!("; {message}"),
    };
    let line = format!(
        "app/{} revision {} is {state}{paused}: {} of {} updated, {} ready{reason}",
        app.name, status.revision, status.updated, status.desired, status.ready
    );
    format!("{}\n", dubernetes_core::error::one_line(&line))
}
