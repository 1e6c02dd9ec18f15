//! Follows apps until they are ready, deleted, or in another state, and shows progress meanwhile.

mod messages;
mod updates;
mod wait_state;

pub(crate) use wait_state::Goal;

use std::collections::BTreeMap;

use dubernetes_api::client::EventsQuery;
use dubernetes_api::wire::{App, Event, WatchEvent, WatchKind};
use dubernetes_core::app::AppName;
use dubernetes_core::plan::Phase;
use jiff::Timestamp;

use crate::args::{ProgressStyle, WaitArgs};
use crate::output::span;
use crate::progress::Progress;
use crate::report::{CliError, FAILED, Result, TIMED_OUT};
use crate::target::Target;
use updates::{Update, Updates};
use wait_state::{WaitState, evaluate};

/// Reason of the event for a pre-deploy hook that succeeded.
const PRE_DEPLOYED: &str = "PreDeployed";

/// Waits on behalf of one command.
pub(crate) struct Follower<'a> {
    target: &'a Target,
    updates: Updates,
    progress: Progress,
    style: ProgressStyle,
    timeout: String,
    /// Id of the newest event that was shown or existed before.
    seen: u64,
}

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waited {
    /// The condition holds.
    Done,
    /// The timeout passed.
    TimedOut,
    /// The process was asked to end.
    Interrupted,
}

/// Apps that are not ready yet: the goal, and the app as last seen.
type Open = BTreeMap<AppName, (Goal, Option<App>)>;

impl<'a> Follower<'a> {
    /// Starts to follow. Must be called before the change, so that no event is missed.
    pub(crate) async fn new(target: &'a Target, wait: &WaitArgs) -> Result<Self> {
        let query = EventsQuery { limit: Some(1), ..EventsQuery::default() };
        let seen = target.client.events(&query).await?.last().map_or(0, |event| event.id);
        Ok(Self {
            target,
            updates: Updates::new(&target.client, seen, wait.timeout.to_std()),
            progress: Progress::new(wait.progress),
            style: wait.progress,
            timeout: wait.timeout.to_string(),
            seen,
        })
    }

    /// Returns how progress is shown.
    pub(crate) fn style(&self) -> ProgressStyle {
        self.style
    }

    /// Waits until each app is ready, paused, or has failed. An app that fails does not end the
    /// wait for the others.
    pub(crate) async fn until_ready(&mut self, goals: Vec<Goal>) -> Result {
        let open = goals.into_iter().map(|goal| (goal.app.clone(), (goal, None)));
        let mut open: Open = open.collect();
        let mut exit = None;
        for app in open.keys() {
            self.progress.expect(app);
        }
        while !open.is_empty() {
            match self.updates.next().await? {
                Update::Event(event) => self.show(&event, |app| open.contains_key(app)).await,
                Update::Tick => self.progress.tick(),
                Update::App(change) => {
                    let app = change.object.name.clone();
                    if let Some(error) = self.settle(*change, &mut open).await? {
                        self.progress.failed(Some(&app), || {
                            error.report();
                        });
                        exit = Some(FAILED);
                    }
                }
                Update::Interrupted => {
                    let goals = open.values().map(|(goal, _)| goal);
                    return Err(messages::interrupted(self.target, goals));
                }
                Update::TimedOut => {
                    self.progress.failed(None, || {
                        for (name, (_, last)) in &open {
                            messages::not_ready_in_time(name, last.as_ref(), &self.timeout)
                                .report();
                        }
                    });
                    return Err(CliError::already_reported(exit.unwrap_or(TIMED_OUT)));
                }
            }
        }
        exit.map_or(Ok(()), |exit| Err(CliError::already_reported(exit)))
    }

    /// Removes an app from `open` if its wait is over. Returns the error if the app failed.
    async fn settle(
        &mut self,
        change: WatchEvent<App>,
        open: &mut Open,
    ) -> Result<Option<CliError>> {
        let app = change.object;
        let Some((goal, last)) = open.get_mut(&app.name) else { return Ok(None) };
        if change.kind == WatchKind::Deleted || app.status.phase == Phase::Deleting {
            open.remove(&app.name);
            let what = format!("app `{}` was deleted while waiting", app.name);
            return Ok(Some(CliError::new(what)));
        }
        let outcome = match evaluate(&app, goal) {
            WaitState::InProgress => {
                *last = Some(app);
                return Ok(None);
            }
            WaitState::Failed => {
                Err(messages::rollout_failed(self.target, &app, goal.revision).await)
            }
            WaitState::Ready => Ok(messages::ready(&app, self.progress.start().elapsed())),
            WaitState::Paused => Ok(messages::paused(&app)),
        };
        self.catch_up(|name| open.contains_key(name)).await?;
        open.remove(&app.name);
        match outcome {
            Ok(text) => {
                self.progress.done(Some(&app.name), &text);
                Ok(None)
            }
            Err(error) => Ok(Some(error)),
        }
    }

    /// Waits until nothing is left of these apps, each with the time of its deletion.
    pub(crate) async fn until_deleted(&mut self, mut apps: BTreeMap<AppName, Timestamp>) -> Result {
        for app in apps.keys() {
            self.progress.expect(app);
        }
        while !apps.is_empty() {
            match self.updates.next().await? {
                Update::Event(event) => self.show(&event, |app| apps.contains_key(app)).await,
                Update::Tick | Update::App(_) => {
                    self.progress.tick();
                    for name in find_removed(self.target, &apps).await? {
                        self.catch_up(|app| apps.contains_key(app)).await?;
                        apps.remove(&name);
                        self.done(&name, &format!("app/{name} is deleted"));
                    }
                }
                Update::Interrupted => {
                    return Err(messages::interrupted_before(self.target, "the deletion finished"));
                }
                Update::TimedOut => {
                    let names: Vec<_> = apps.keys().map(|name| format!("app/{name}")).collect();
                    let what = format!("for {} to be deleted", names.join(", "));
                    return Err(messages::timed_out(&what, &self.timeout, apps.keys().next()));
                }
            }
        }
        Ok(())
    }

    /// Waits until `is_done` returns true, and shows what happens to `app` meanwhile. `what` says
    /// what is done then, such as "pod/web-1 is replaced".
    pub(crate) async fn until_done(
        &mut self,
        app: &AppName,
        what: &str,
        is_done: impl AsyncFn(&Target) -> Result<bool>,
    ) -> Result {
        let target = self.target;
        match self.poll(|name| name == app, async || is_done(target).await).await? {
            Waited::Done => {
                self.catch_up(|name| name == app).await?;
                self.done(app, what);
                Ok(())
            }
            Waited::Interrupted => Err(messages::interrupted_before(target, what)),
            Waited::TimedOut => {
                Err(messages::timed_out(&format!("until {what}"), &self.timeout, Some(app)))
            }
        }
    }

    /// Waits until `check` returns true, and shows events of the apps in `shown` meanwhile.
    pub(crate) async fn poll(
        &mut self,
        shown: impl Fn(&AppName) -> bool,
        mut check: impl AsyncFnMut() -> Result<bool>,
    ) -> Result<Waited> {
        if check().await? {
            return Ok(Waited::Done);
        }
        loop {
            match self.updates.next().await? {
                Update::Event(event) => self.show(&event, &shown).await,
                Update::Tick | Update::App(_) => {
                    self.progress.tick();
                    if check().await? {
                        return Ok(Waited::Done);
                    }
                }
                Update::Interrupted => return Ok(Waited::Interrupted),
                Update::TimedOut => return Ok(Waited::TimedOut),
            }
        }
    }

    /// Shows all events until the command is interrupted.
    pub(crate) async fn show_events(&mut self) -> Result {
        loop {
            match self.updates.next().await? {
                Update::Event(event) => self.show(&event, |_| true).await,
                Update::Tick | Update::App(_) | Update::TimedOut => {}
                Update::Interrupted => return Ok(()),
            }
        }
    }

    fn done(&mut self, app: &AppName, text: &str) {
        let elapsed = span(self.progress.start().elapsed());
        self.progress.done(Some(app), &format!("{text} ({elapsed})"));
    }

    async fn show(&mut self, event: &Event, is_shown: impl Fn(&AppName) -> bool) {
        if event.id <= self.seen {
            return;
        }
        self.seen = event.id;
        // An event of the instance concerns every app.
        if event.app.as_ref().is_none_or(is_shown) {
            self.progress.event(event);
            if let (PRE_DEPLOYED, Some(app)) = (event.reason.as_str(), &event.app) {
                self.progress.output(&messages::pre_deploy_log(self.target, app).await);
            }
        }
    }

    /// Shows events that the stream has not delivered yet, so that the final line comes last.
    async fn catch_up(&mut self, is_shown: impl Fn(&AppName) -> bool) -> Result {
        let query = EventsQuery { after: Some(self.seen), ..EventsQuery::default() };
        for event in self.target.client.events(&query).await? {
            self.show(&event, &is_shown).await;
        }
        Ok(())
    }
}

/// Returns the apps without pods, as observed by a pass after the deletion.
async fn find_removed(
    target: &Target,
    apps: &BTreeMap<AppName, Timestamp>,
) -> Result<Vec<AppName>> {
    let last_pass = target.client.status().await?.last_round;
    let pods = target.client.pods(None).await?;
    let is_removed = |(name, deleted): &(&AppName, &Timestamp)| {
        last_pass.is_some_and(|pass| pass > **deleted) && !pods.iter().any(|p| p.app == **name)
    };
    Ok(apps.iter().filter(is_removed).map(|(name, _)| name.clone()).collect())
}
