//! Waits until what was asked for is so: apps ready, gone, or complete again. Tells what happens
//! on the way, and why it ends when it ends badly.

mod messages;
mod updates;

use std::collections::BTreeMap;

use dubernetes_api::client::EventsQuery;
use dubernetes_api::wire::{App, Event, WatchEvent, WatchKind};
use dubernetes_core::app::AppName;
use dubernetes_core::plan::Phase;
use jiff::Timestamp;

use crate::args::{ProgressStyle, WaitArgs};
use crate::progress::Progress;
use crate::report::{CliError, FAILED, Result, TIMED_OUT};
use crate::target::Target;
use messages::State;
use updates::{Update, UpdateStream};

/// The event that says that the command before a revision has succeeded.
const PRE_DEPLOYED: &str = "PreDeployed";

/// Waits for what one command has asked for.
pub(crate) struct Follower<'a> {
    target: &'a Target,
    updates: UpdateStream,
    progress: Progress,
    style: ProgressStyle,
    timeout: String,
    /// The newest event that was told, or that was there before.
    seen: u64,
}

/// What is waited for: an app as it was when something was asked of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Goal {
    /// The app.
    pub(crate) app: AppName,
    /// The generation that has to be looked at.
    pub(crate) generation: u64,
    /// The revision whose failure is a failure.
    pub(crate) revision: u64,
}

impl Goal {
    /// The app as it is stored now.
    pub(crate) fn of(app: &App) -> Self {
        let (generation, revision) = (app.generation, app.status.revision);
        Self { app: app.name.clone(), generation, revision }
    }
}

/// An app that is not ready yet: what is waited for, and how it was last.
type Open = BTreeMap<AppName, (Goal, Option<App>)>;

impl<'a> Follower<'a> {
    /// Begins before anything is asked for, so that nothing is missed.
    pub(crate) async fn new(target: &'a Target, wait: &WaitArgs) -> Result<Self> {
        let query = EventsQuery { limit: Some(1), ..EventsQuery::default() };
        let seen = target.client.events(&query).await?.last().map_or(0, |event| event.id);
        Ok(Self {
            target,
            updates: UpdateStream::new(&target.client, seen, wait.timeout.to_std()),
            progress: Progress::new(wait.progress),
            style: wait.progress,
            timeout: wait.timeout.to_string(),
            seen,
        })
    }

    /// How progress is told.
    pub(crate) fn style(&self) -> ProgressStyle {
        self.style
    }

    /// Waits until each of these apps is ready, paused, or has failed. One that fails stops no
    /// other.
    pub(crate) async fn until_ready(&mut self, goals: Vec<Goal>) -> Result {
        let open = goals.into_iter().map(|goal| (goal.app.clone(), (goal, None)));
        let mut open: Open = open.collect();
        let mut worst = None;
        for app in open.keys() {
            self.progress.expect(app);
        }
        while !open.is_empty() {
            match self.updates.next().await? {
                Update::Event(event) => self.tell(&event, |app| open.contains_key(app)).await,
                Update::Tick => self.progress.tick(),
                Update::App(change) => {
                    let app = change.object.name.clone();
                    if let Some(failure) = self.settle(*change, &mut open).await? {
                        self.progress.failed(Some(&app), || {
                            failure.report();
                        });
                        worst = Some(FAILED);
                    }
                }
                Update::Interrupted => {
                    let goals = open.values().map(|(goal, _)| goal);
                    return Err(messages::interrupted(self.target, goals));
                }
                Update::TimedOut => {
                    self.progress.failed(None, || {
                        for (name, (_, last)) in &open {
                            messages::timed_out(name, last.as_ref(), &self.timeout).report();
                        }
                    });
                    return Err(CliError::already_reported(worst.unwrap_or(TIMED_OUT)));
                }
            }
        }
        worst.map_or(Ok(()), |exit| Err(CliError::already_reported(exit)))
    }

    /// Takes an app off the list if there is nothing more to wait for.
    async fn settle(
        &mut self,
        change: WatchEvent<App>,
        open: &mut Open,
    ) -> Result<Option<CliError>> {
        let app = change.object;
        let Some((goal, last)) = open.get_mut(&app.name) else { return Ok(None) };
        if change.kind == WatchKind::Deleted || app.status.phase == Phase::Deleting {
            open.remove(&app.name);
            return Ok(Some(CliError::new(format!("app `{}` was deleted meanwhile", app.name))));
        }
        let state = messages::state(&app, goal);
        let failure = match state {
            State::Open => {
                *last = Some(app);
                return Ok(None);
            }
            State::Failed => Some(messages::failed(self.target, &app, goal.revision).await),
            State::Ready | State::Paused => None,
        };
        self.catch_up(|name| open.contains_key(name)).await?;
        open.remove(&app.name);
        if failure.is_none() {
            let text = match state {
                State::Paused => messages::paused(&app),
                State::Ready | State::Open | State::Failed => {
                    messages::ready(&app, self.progress.start().elapsed())
                }
            };
            self.progress.done(Some(&app.name), &text);
        }
        Ok(failure)
    }

    /// Waits until nothing is left of these apps, each deleted at the time beside it.
    pub(crate) async fn until_gone(&mut self, mut apps: BTreeMap<AppName, Timestamp>) -> Result {
        for app in apps.keys() {
            self.progress.expect(app);
        }
        while !apps.is_empty() {
            match self.updates.next().await? {
                Update::Event(event) => self.tell(&event, |app| apps.contains_key(app)).await,
                Update::Tick | Update::App(_) => {
                    self.progress.tick();
                    for name in gone(self.target, &apps).await? {
                        self.catch_up(|app| apps.contains_key(app)).await?;
                        apps.remove(&name);
                        self.done(&name, &format!("app/{name} is gone"));
                    }
                }
                Update::Interrupted => {
                    return Err(messages::interrupted_waiting(self.target, "all was gone"));
                }
                Update::TimedOut => {
                    let names: Vec<_> = apps.keys().map(|name| format!("app/{name}")).collect();
                    let what = format!("for {} to go", names.join(", "));
                    return Err(messages::too_long(&what, &self.timeout, apps.keys().next()));
                }
            }
        }
        Ok(())
    }

    /// Waits until `is_done` says so, and tells meanwhile what happens to `app`.
    pub(crate) async fn until(
        &mut self,
        app: &AppName,
        what: &str,
        is_done: impl AsyncFn(&Target) -> Result<bool>,
    ) -> Result {
        loop {
            match self.updates.next().await? {
                Update::Event(event) => self.tell(&event, |name| name == app).await,
                Update::Tick | Update::App(_) => {
                    self.progress.tick();
                    if is_done(self.target).await? {
                        self.catch_up(|name| name == app).await?;
                        self.done(app, what);
                        return Ok(());
                    }
                }
                Update::Interrupted => {
                    return Err(messages::interrupted_waiting(self.target, what));
                }
                Update::TimedOut => {
                    let what = format!("until {what}");
                    return Err(messages::too_long(&what, &self.timeout, Some(app)));
                }
            }
        }
    }

    /// Tells what happens to anything, until the command is interrupted.
    pub(crate) async fn forever(&mut self) -> Result {
        loop {
            match self.updates.next().await? {
                Update::Event(event) => self.tell(&event, |_| true).await,
                Update::Tick | Update::App(_) | Update::TimedOut => {}
                Update::Interrupted => return Ok(()),
            }
        }
    }

    fn done(&mut self, app: &AppName, text: &str) {
        let span = crate::output::span(self.progress.start().elapsed());
        self.progress.done(Some(app), &format!("{text} ({span})"));
    }

    async fn tell(&mut self, event: &Event, wanted: impl Fn(&AppName) -> bool) {
        if event.id <= self.seen {
            return;
        }
        self.seen = event.id;
        // What concerns the instance concerns every app.
        if event.app.as_ref().is_none_or(wanted) {
            self.progress.event(event);
            if let (PRE_DEPLOYED, Some(app)) = (event.reason.as_str(), &event.app) {
                self.progress.output(&messages::pre_deploy_log(self.target, app).await);
            }
        }
    }

    /// Tells what the stream has not brought yet, so that the last line comes last.
    async fn catch_up(&mut self, wanted: impl Fn(&AppName) -> bool) -> Result {
        let query = EventsQuery { after: Some(self.seen), ..EventsQuery::default() };
        for event in self.target.client.events(&query).await? {
            self.tell(&event, &wanted).await;
        }
        Ok(())
    }
}

/// Those that no pod is left of, in the eyes of a controller that has looked since the deletion.
async fn gone(target: &Target, apps: &BTreeMap<AppName, Timestamp>) -> Result<Vec<AppName>> {
    let looked = target.client.status().await?.last_round;
    let pods = target.client.pods(None).await?;
    let is_gone = |(name, deleted): &(&AppName, &Timestamp)| {
        looked.is_some_and(|looked| looked > **deleted) && !pods.iter().any(|p| p.app == **name)
    };
    Ok(apps.iter().filter(is_gone).map(|(name, _)| name.clone()).collect())
}
