//! `rollout` and `rollback`: how a rollout goes, going back, restarting, pausing.

mod history;

use dubernetes_api::wire::{App, RolloutAction, RolloutWish};
use dubernetes_core::plan::Phase;

use crate::args::{
    ChangeArgs, ObjectName, PauseArgs, RolloutArgs, RolloutStatusArgs, RolloutVerb, UndoArgs,
    WaitArgs,
};
use crate::follow::{Follower, Goal};
use crate::output;
use crate::report::{self, CliError, FAILED, Result};
use crate::resolve::find_app;
use crate::settings::Settings;
use crate::target::{Mode, Target};

use super::apply::warn_unsupervised;
use super::interruptible;

pub(super) async fn run(args: &RolloutArgs, settings: &Settings) -> Result {
    match &args.verb {
        RolloutVerb::Status(args) => status(args, settings).await,
        RolloutVerb::History(args) => interruptible(history::run(args, settings)).await,
        RolloutVerb::Undo(args) => undo(args, settings).await,
        RolloutVerb::Restart(args) => change(args, RolloutAction::Restart, settings).await,
        RolloutVerb::Pause(args) => interruptible(pause(args, settings)).await,
        RolloutVerb::Resume(args) => change(args, RolloutAction::Resume, settings).await,
    }
}

pub(super) async fn undo(args: &UndoArgs, settings: &Settings) -> Result {
    let wish = RolloutWish { action: RolloutAction::Undo, to: args.to };
    wish_and_wait(&args.name, wish, &args.wait, settings).await
}

async fn change(args: &ChangeArgs, action: RolloutAction, settings: &Settings) -> Result {
    wish_and_wait(&args.name, RolloutWish { action, to: None }, &args.wait, settings).await
}

async fn wish_and_wait(
    name: &ObjectName,
    wish: RolloutWish,
    wait: &WaitArgs,
    settings: &Settings,
) -> Result {
    Target::with_wait(settings, wait, async |target: &Target| {
        let app = find_app(&target.client, name).await?;
        let mut follower = Follower::new(target, wait).await?;
        let applied = target.client.rollout(app.name.as_str(), wish).await?;
        let changed = applied.app.generation != app.generation;
        let told = told(wish, &app, changed, &applied.app);
        output::print(&format!("app/{} {told}\n", app.name))?;
        if wish.action == RolloutAction::Undo && changed {
            report::note("the next `apply` brings back what its file says");
        }
        let result = if wait.detach {
            Ok(())
        } else {
            follower.until_ready(vec![Goal::of(&applied.app)]).await
        };
        if target.is_in_process() {
            warn_unsupervised("");
        }
        result
    })
    .await
}

/// What came of a wish.
fn told(wish: RolloutWish, before: &App, changed: bool, app: &App) -> String {
    let revision = app.status.revision;
    match wish.action {
        RolloutAction::Undo if changed => match wish.to {
            Some(to) => format!("goes back to revision {to}, as revision {revision}"),
            None => format!("goes back, as revision {revision}"),
        },
        RolloutAction::Undo => format!("unchanged: revision {revision}"),
        RolloutAction::Restart => format!("restarts: revision {revision}"),
        RolloutAction::Pause => "paused".to_owned(),
        RolloutAction::Resume if before.status.paused || before.status.failure.is_some() => {
            "resumed".to_owned()
        }
        RolloutAction::Resume => "unchanged: its rollout was not paused".to_owned(),
    }
}

async fn pause(args: &PauseArgs, settings: &Settings) -> Result {
    Target::with(settings, Mode::Act, async |target: &Target| {
        let app = find_app(&target.client, &args.name).await?;
        let wish = RolloutWish { action: RolloutAction::Pause, to: None };
        let paused = target.client.rollout(app.name.as_str(), wish).await?.app;
        let told = told(wish, &app, true, &paused);
        output::print(&format!("app/{} {told}\n", app.name))?;
        report::help(&format!("`dubernetes rollout resume {}` lets it go on", app.name));
        Ok(())
    })
    .await
}

async fn status(args: &RolloutStatusArgs, settings: &Settings) -> Result {
    Target::with_wait(settings, &args.wait, async |target: &Target| {
        let app = find_app(&target.client, &args.name).await?;
        let mut follower = Follower::new(target, &args.wait).await?;
        output::print(&state(&app))?;
        if args.wait.detach {
            return Ok(());
        }
        if target.is_in_process() {
            report::note("no orchestrator is running, so this command goes on with the rollout");
        }
        // One that has come back by itself has failed, however well it is now.
        let failed = app.status.failure.as_ref().map(|failure| failure.revision);
        let goal = Goal::of(&app);
        let revision = failed.map_or(goal.revision, |failed| failed.min(goal.revision));
        let name = goal.app.clone();
        follower.until_ready(vec![Goal { revision, ..goal }]).await?;
        // It has said so. A rollout that is paused is not done.
        let now = target.client.get_app(name.as_str()).await?;
        if now.status.paused && now.status.phase != Phase::Ready {
            return Err(CliError::already_reported(FAILED));
        }
        Ok(())
    })
    .await
}

/// How the rollout goes, in a line.
fn state(app: &App) -> String {
    let (name, status) = (&app.name, &app.status);
    let word = match status.rollout.as_str() {
        "" => status.phase.as_str(),
        word => word,
    };
    let paused = if status.paused { ", paused" } else { "" };
    let reason = match status.message.as_str() {
        "" => String::new(),
        message => format!("; {message}"),
    };
    let (revision, updated, desired) = (status.revision, status.updated, status.desired);
    let line = format!(
        "app/{name} revision {revision} is {word}{paused}: {updated} of {desired} updated, {} ready{reason}",
        status.ready
    );
    format!("{}\n", dubernetes_core::error::one_line(&line))
}
