//! Everything that can happen to a command that waits, as one stream of steps.

use std::pin::Pin;
use std::time::Duration;

use dubernetes_api::Client;
use dubernetes_api::client::{EventsQuery, Items};
use dubernetes_api::wire::{App, Event, WatchEvent};
use futures_util::StreamExt as _;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use crate::commands::interrupt;
use crate::report::{CliError, Result, UNREACHABLE};

/// How often it is looked at what no stream tells.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What happened.
pub(super) enum Update {
    /// An event was recorded.
    Event(Box<Event>),
    /// An app changed, or is told for the first time.
    App(Box<WatchEvent<App>>),
    /// Some time has passed.
    Tick,
    /// The time is over.
    TimedOut,
    /// The user wants to leave.
    Interrupted,
}

/// The steps.
pub(super) struct UpdateStream {
    events: Items<Event>,
    changes: Items<WatchEvent<App>>,
    tick: Interval,
    /// None if it lies beyond what the clock can say.
    deadline: Option<Instant>,
    interrupt: Pin<Box<dyn Future<Output = ()>>>,
}

impl UpdateStream {
    /// Steps from now on, with events after `seen`.
    pub(super) fn new(client: &Client, seen: u64, timeout: Duration) -> Self {
        let query = EventsQuery { after: Some(seen), ..EventsQuery::default() };
        let mut tick = tokio::time::interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            events: client.follow_events(&query),
            changes: client.watch_apps(None),
            tick,
            deadline: Instant::now().checked_add(timeout),
            interrupt: Box::pin(interrupt()),
        }
    }

    /// The next step.
    pub(super) async fn next(&mut self) -> Result<Update> {
        // Every arm is cancel-safe: streams keep what was not taken, and time passes anyway.
        Ok(tokio::select! {
            biased;
            () = &mut self.interrupt => Update::Interrupted,
            event = self.events.next() => Update::Event(Box::new(event.ok_or_else(ended)??)),
            change = self.changes.next() => Update::App(Box::new(change.ok_or_else(ended)??)),
            () = until(self.deadline) => Update::TimedOut,
            _ = self.tick.tick() => Update::Tick,
        })
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn ended() -> CliError {
    CliError::with_exit(UNREACHABLE, "the orchestrator has ended")
}
