//! Everything that can happen to a command that waits, as one stream of steps.

use std::pin::Pin;
use std::time::Duration;

use dubernetes_api::Client;
use dubernetes_api::client::{EventsQuery, Items};
use dubernetes_api::wire::{App, Event, WatchEvent};
use futures_util::StreamExt as _;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use crate::commands::interrupt;
use crate::report::{Failure, Outcome, UNREACHABLE};

/// How often it is looked at what no stream tells.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What happened.
pub(super) enum Step {
    /// An event was recorded.
    News(Box<Event>),
    /// An app changed, or is told for the first time.
    Change(Box<WatchEvent<App>>),
    /// Some time has passed.
    Look,
    /// The time is over.
    TimedOut,
    /// The user wants to leave.
    Interrupted,
}

/// The steps.
pub(super) struct Stream {
    news: Items<Event>,
    changes: Items<WatchEvent<App>>,
    look: Interval,
    /// None if it lies beyond what the clock can say.
    deadline: Option<Instant>,
    interrupt: Pin<Box<dyn Future<Output = ()>>>,
}

impl Stream {
    /// Steps from now on, with events after `seen`.
    pub(super) fn new(client: &Client, seen: u64, timeout: Duration) -> Self {
        let query = EventsQuery { after: Some(seen), ..EventsQuery::default() };
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            news: client.follow_events(&query),
            changes: client.watch_apps(None),
            look,
            deadline: Instant::now().checked_add(timeout),
            interrupt: Box::pin(interrupt()),
        }
    }

    /// The next step.
    pub(super) async fn step(&mut self) -> Outcome<Step> {
        // Every arm is cancel-safe: streams keep what was not taken, and time passes anyway.
        Ok(tokio::select! {
            biased;
            () = &mut self.interrupt => Step::Interrupted,
            event = self.news.next() => Step::News(Box::new(event.ok_or_else(ended)??)),
            change = self.changes.next() => Step::Change(Box::new(change.ok_or_else(ended)??)),
            () = until(self.deadline) => Step::TimedOut,
            _ = self.look.tick() => Step::Look,
        })
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn ended() -> Failure {
    Failure::with_exit(UNREACHABLE, "the orchestrator has ended")
}
