//! Timeline of a simulation: what happened when, and how many replicas were ready.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dubernetes_controller::Snapshot;
use dubernetes_core::app::AppName;
use dubernetes_core::event::Event;
use jiff::Timestamp;

/// What happened in a simulation.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    /// Time at which it starts.
    pub(crate) start: Timestamp,
    /// Entries, sorted by time.
    pub(crate) entries: Vec<(Duration, Entry)>,
    /// Availability of each app.
    pub(crate) apps: BTreeMap<AppName, Availability>,
    /// Length of the simulation.
    pub(crate) took: Duration,
    /// Whether nothing was left to do at the end.
    pub(crate) converged: bool,
}

/// An entry of the timeline.
#[derive(Debug)]
pub(crate) enum Entry {
    /// An event that the controller recorded.
    Event(Box<Event>),
    /// A step of the script.
    Injected {
        /// Object that the step affects.
        object: String,
        /// The step in one word.
        word: &'static str,
        /// Details.
        text: String,
    },
}

/// Ready replicas of one app over time, as observed by the controller.
#[derive(Debug, Default)]
pub(crate) struct Availability {
    /// Number of ready replicas from each change on.
    pub(crate) ready: Vec<(Duration, u32)>,
    /// Highest number of desired replicas.
    pub(crate) desired: u32,
    /// Fewest ready replicas after all were ready once, until the app was deleted.
    pub(crate) fewest: Option<u32>,
    /// Time without a ready replica, after the first one was ready.
    pub(crate) downtime: Duration,
    down_since: Option<Duration>,
    restarted: BTreeSet<String>,
}

impl Availability {
    /// Returns the number of containers that replaced a failed one.
    pub(crate) fn restarts(&self) -> usize {
        self.restarted.len()
    }

    /// Returns the fewest ready replicas from `start` up to `end`, or at `start` if both are equal.
    pub(crate) fn fewest_between(&self, start: Duration, end: Duration) -> Option<u32> {
        let before = self.ready.iter().rev().find(|(time, _)| *time <= start);
        let within = self.ready.iter().filter(|(time, _)| *time > start && *time < end);
        before.into_iter().chain(within).map(|(_, ready)| *ready).min()
    }

    fn record(&mut self, time: Duration, ready: u32, desired: u32) {
        self.end_downtime(time);
        if self.ready.last().is_none_or(|(_, last)| *last != ready) {
            self.ready.push((time, ready));
        }
        self.desired = self.desired.max(desired);
        let complete = (desired > 0 && ready >= desired).then_some(ready);
        self.fewest = self.fewest.map(|fewest| fewest.min(ready)).or(complete);
        let was_up = self.ready.iter().any(|(_, ready)| *ready > 0);
        self.down_since = (was_up && desired > 0 && ready == 0).then_some(time);
    }

    /// Adds a downtime that lasted until now.
    fn end_downtime(&mut self, time: Duration) {
        if let Some(since) = self.down_since.take() {
            self.downtime += time.saturating_sub(since);
        }
    }
}

impl Timeline {
    /// Records the state of all apps at a time.
    pub(super) fn record(&mut self, time: Duration, snapshot: &Snapshot) {
        for (name, status) in &snapshot.plan.statuses {
            let app = self.apps.entry(name.clone()).or_default();
            if snapshot.desired.apps.contains_key(name) {
                app.record(time, status.ready, status.desired);
            }
        }
        for (name, app) in &mut self.apps {
            // A deleted app is not down.
            if !snapshot.desired.apps.contains_key(name) {
                app.end_downtime(time);
                if app.ready.last().is_some_and(|(_, ready)| *ready > 0) {
                    app.ready.push((time, 0));
                }
            }
        }
        for replica in snapshot.observed.replicas.iter().filter(|r| r.labels.restarts > 0) {
            if let Some(app) = self.apps.get_mut(&replica.labels.app) {
                app.restarted.insert(replica.name.clone());
            }
        }
    }

    /// Ends the timeline.
    pub(super) fn end(&mut self, time: Duration) {
        self.took = time;
        self.apps.values_mut().for_each(|app| app.end_downtime(time));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn downtime_starts_after_first_ready_replica() {
        let mut app = Availability::default();
        for (time, ready) in [(0, 0), (2, 1), (3, 2), (5, 0), (9, 1), (10, 2)] {
            app.record(at(time), ready, 2);
        }
        app.end_downtime(at(12));
        assert_eq!((app.downtime, app.fewest), (at(4), Some(0)));
        assert_eq!(app.fewest_between(at(0), at(2)), Some(0));
        assert_eq!(app.fewest_between(at(3), at(4)), Some(2));
        assert_eq!(app.fewest_between(at(9), at(12)), Some(1));
    }

    #[test]
    fn downtime_lasts_until_end() {
        let mut app = Availability::default();
        app.record(at(0), 1, 1);
        app.record(at(1), 0, 1);
        app.end_downtime(at(4));
        assert_eq!((app.downtime, app.fewest), (at(3), Some(0)));
    }

    #[test]
    fn app_never_complete_has_no_fewest() {
        let mut app = Availability::default();
        app.record(at(0), 0, 2);
        app.record(at(1), 1, 2);
        app.end_downtime(at(4));
        assert_eq!((app.downtime, app.fewest), (at(0), None));
    }
}
