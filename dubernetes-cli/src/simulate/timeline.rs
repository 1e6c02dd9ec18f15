//! The timeline of a simulation: what happened when, and how many replicas were ready.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dubernetes_controller::Snapshot;
use dubernetes_core::app::AppName;
use dubernetes_core::event::Event;

/// What happened.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    /// In its order.
    pub(crate) entries: Vec<(Duration, Entry)>,
    /// How each app was.
    pub(crate) apps: BTreeMap<AppName, Availability>,
    /// How long it was.
    pub(crate) took: Duration,
    /// Whether nothing was left to do at its end.
    pub(crate) converged: bool,
}

/// One thing that happened.
#[derive(Debug)]
pub(crate) enum Entry {
    /// The controller recorded it.
    Event(Box<Event>),
    /// The options asked for it.
    Injected {
        /// Of what.
        object: String,
        /// In one word.
        word: &'static str,
        /// And in more.
        text: String,
    },
}

/// How many replicas of one app were ready, as the controller saw it.
#[derive(Debug, Default)]
pub(crate) struct Availability {
    /// So many from then on, wherever the number changed.
    pub(crate) ready: Vec<(Duration, u32)>,
    /// The most that were wanted.
    pub(crate) wanted: u32,
    /// The fewest that were ready since all were, until it was deleted.
    pub(crate) fewest: Option<u32>,
    /// How long none was, since the first one was.
    pub(crate) downtime: Duration,
    down_since: Option<Duration>,
    restarted: BTreeSet<String>,
}

impl Availability {
    /// How many containers took the place of one that had failed.
    pub(crate) fn restarts(&self) -> usize {
        self.restarted.len()
    }

    /// The fewest that were ready from `start` up to `end`, or at `start` if they are the same.
    pub(crate) fn fewest_between(&self, start: Duration, end: Duration) -> Option<u32> {
        let before = self.ready.iter().rev().find(|(time, _)| *time <= start);
        let within = self.ready.iter().filter(|(time, _)| *time > start && *time < end);
        before.into_iter().chain(within).map(|(_, ready)| *ready).min()
    }

    fn note(&mut self, time: Duration, ready: u32, wanted: u32) {
        self.end(time);
        if self.ready.last().is_none_or(|(_, last)| *last != ready) {
            self.ready.push((time, ready));
        }
        self.wanted = self.wanted.max(wanted);
        let complete = (wanted > 0 && ready >= wanted).then_some(ready);
        self.fewest = self.fewest.map(|fewest| fewest.min(ready)).or(complete);
        let was_up = self.ready.iter().any(|(_, ready)| *ready > 0);
        self.down_since = (was_up && wanted > 0 && ready == 0).then_some(time);
    }

    /// Counts a downtime that lasts up to now.
    fn end(&mut self, time: Duration) {
        if let Some(since) = self.down_since.take() {
            self.downtime += time.saturating_sub(since);
        }
    }
}

impl Timeline {
    /// Takes in how everything was at a time.
    pub(super) fn note(&mut self, time: Duration, seen: &Snapshot) {
        for (name, status) in &seen.plan.statuses {
            let app = self.apps.entry(name.clone()).or_default();
            if seen.desired.apps.contains_key(name) {
                app.note(time, status.ready, status.desired);
            }
        }
        for (name, app) in &mut self.apps {
            // What is deleted is not down.
            if !seen.desired.apps.contains_key(name) {
                app.end(time);
                if app.ready.last().is_some_and(|(_, ready)| *ready > 0) {
                    app.ready.push((time, 0));
                }
            }
        }
        for replica in seen.observed.replicas.iter().filter(|r| r.labels.restarts > 0) {
            if let Some(app) = self.apps.get_mut(&replica.labels.app) {
                app.restarted.insert(replica.name.clone());
            }
        }
    }

    /// Ends it.
    pub(super) fn end(&mut self, time: Duration) {
        self.took = time;
        self.apps.values_mut().for_each(|app| app.end(time));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_starts_is_not_down_and_what_breaks_is() {
        let mut app = Availability::default();
        for (time, ready) in [(0, 0), (2, 1), (3, 2), (5, 0), (9, 1), (10, 2)] {
            app.note(at(time), ready, 2);
        }
        app.end(at(12));
        assert_eq!((app.downtime, app.fewest), (at(4), Some(0)));
        assert_eq!(app.fewest_between(at(0), at(2)), Some(0));
        assert_eq!(app.fewest_between(at(3), at(4)), Some(2));
        assert_eq!(app.fewest_between(at(9), at(12)), Some(1));
    }

    #[test]
    fn a_downtime_lasts_until_the_end() {
        let mut app = Availability::default();
        app.note(at(0), 1, 1);
        app.note(at(1), 0, 1);
        app.end(at(4));
        assert_eq!((app.downtime, app.fewest), (at(3), Some(0)));
    }

    #[test]
    fn what_was_never_complete_has_no_fewest() {
        let mut app = Availability::default();
        app.note(at(0), 0, 2);
        app.note(at(1), 1, 2);
        app.end(at(4));
        assert_eq!((app.downtime, app.fewest), (at(0), None));
    }
}
