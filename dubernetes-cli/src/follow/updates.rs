//! Everything that can happen to a waiting command, as one stream.

use std::pin::Pin;
use std::time::Duration;

use dubernetes_api::Client;
use dubernetes_api::client::{EventsQuery, Items};
use dubernetes_api::wire::{App, Event, WatchEvent};
use futures_util::StreamExt as _;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use crate::interrupt::interrupted;
use crate::report::{CliError, Result, UNREACHABLE};

/// Interval for conditions that no stream reports.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// What happened.
pub(super) enum Update {
    /// An event was recorded.
    Event(Box<Event>),
    /// An app changed, or is reported for the first time.
    App(Box<WatchEvent<App>>),
    /// The poll interval passed.
    Tick,
    /// The timeout passed.
    TimedOut,
    /// The process was asked to end.
    Interrupted,
}

/// The stream of updates.
pub(super) struct Updates {
    events: Items<Event>,
    apps: Items<WatchEvent<App>>,
    ticks: Interval,
    /// `None` if the deadline lies beyond the range of the clock.
    deadline: Option<Instant>,
    interrupted: Pin<Box<dyn Future<Output = ()>>>,
}

impl Updates {
    /// Starts the stream, with events after the id `seen`.
    pub(super) fn new(client: &Client, seen: u64, timeout: Duration) -> Self {
        let query = EventsQuery { after: Some(seen), ..EventsQuery::default() };
        let mut ticks = tokio::time::interval(POLL_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            events: client.follow_events(&query),
            apps: client.watch_apps(None),
            ticks,
            deadline: Instant::now().checked_add(timeout),
            interrupted: Box::pin(interrupted()),
        }
    }

    /// Returns the next update.
    pub(super) async fn next(&mut self) -> Result<Update> {
        // Every arm is cancel-safe: a stream keeps its next item, and timers keep their deadline.
        Ok(tokio::select! {
            biased;
            () = &mut self.interrupted => Update::Interrupted,
            event = self.events.next() => Update::Event(Box::new(event.ok_or_else(ended)??)),
            change = self.apps.next() => Update::App(Box::new(change.ok_or_else(ended)??)),
            () = sleep_until(self.deadline) => Update::TimedOut,
            _ = self.ticks.tick() => Update::Tick,
        })
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn ended() -> CliError {
    CliError::with_exit(UNREACHABLE, "the orchestrator has exited")
}
