//! Records a simulation: what happened when, and how many replicas were ready.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dubernetes_controller::Snapshot;
use dubernetes_core::app::AppName;
use dubernetes_web::simulation::{Availability, Simulation, SimulationLine, Summary};
use jiff::Timestamp;

/// Records events, steps of the script, and the ready replicas that the controller observed.
#[derive(Debug)]
pub(super) struct Recorder {
    start: Timestamp,
    lines: Vec<SimulationLine>,
    apps: BTreeMap<AppName, AppRecorder>,
}

#[derive(Debug)]
struct AppRecorder {
    shown: Availability,
    down_since: Option<f64>,
    restarted: BTreeSet<String>,
}

impl AppRecorder {
    fn new(app: AppName) -> Self {
        let shown = Availability {
            app,
            desired: 0,
            fewest: None,
            downtime: 0.0,
            restarts: 0,
            ready: Vec::new(),
        };
        Self { shown, down_since: None, restarted: BTreeSet::new() }
    }

    fn record(&mut self, time: f64, ready: u32, desired: u32) {
        self.end_downtime(time);
        let shown = &mut self.shown;
        if shown.ready.last().is_none_or(|(_, last)| *last != ready) {
            shown.ready.push((time, ready));
        }
        shown.desired = shown.desired.max(desired);
        let complete = (desired > 0 && ready >= desired).then_some(ready);
        shown.fewest = shown.fewest.map(|fewest| fewest.min(ready)).or(complete);
        let was_up = shown.ready.iter().any(|(_, ready)| *ready > 0);
        self.down_since = (was_up && desired > 0 && ready == 0).then_some(time);
    }

    /// Adds a downtime that lasted until now.
    fn end_downtime(&mut self, time: f64) {
        if let Some(since) = self.down_since.take() {
            self.shown.downtime += time - since;
        }
    }
}

impl Recorder {
    /// Starts a timeline.
    pub(super) fn new(start: Timestamp) -> Self {
        Self { start, lines: Vec::new(), apps: BTreeMap::new() }
    }

    /// Returns the moment at a time after the start.
    pub(super) fn at(&self, time: Duration) -> Timestamp {
        self.start.saturating_add(time).unwrap_or(Timestamp::MAX)
    }

    /// Adds an event, or a step of the script.
    pub(super) fn push(&mut self, line: SimulationLine) {
        self.lines.push(line);
    }

    /// Records the state of all apps at a time after the start.
    pub(super) fn record(&mut self, time: Duration, snapshot: &Snapshot) {
        let time = time.as_secs_f64();
        for (name, status) in &snapshot.plan.statuses {
            let new = || AppRecorder::new(name.clone());
            let app = self.apps.entry(name.clone()).or_insert_with(new);
            if snapshot.desired.apps.contains_key(name) {
                app.record(time, status.ready, status.desired);
            }
        }
        for (name, app) in &mut self.apps {
            // A deleted app is not down.
            if !snapshot.desired.apps.contains_key(name) {
                app.end_downtime(time);
                if app.shown.ready.last().is_some_and(|(_, ready)| *ready > 0) {
                    app.shown.ready.push((time, 0));
                }
            }
        }
        for replica in snapshot.observed.replicas.iter().filter(|r| r.labels.restarts > 0) {
            if let Some(app) = self.apps.get_mut(&replica.labels.app) {
                app.restarted.insert(replica.name.clone());
                app.shown.restarts = app.restarted.len();
            }
        }
    }

    /// Ends the timeline. `converged`: whether nothing is left to do.
    pub(super) fn end(self, took: Duration, converged: bool) -> Simulation {
        let Self { start, lines, apps } = self;
        let seconds = took.as_secs_f64();
        let apps = apps.into_values().map(|mut app| {
            app.end_downtime(seconds);
            app.shown
        });
        let summary = Summary { start, seconds, converged, apps: apps.collect() };
        Simulation { lines, summary }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns what is recorded of a number of desired replicas, with the number of ready ones at
    /// these seconds.
    fn recorded(desired: u32, ready: &[(u32, u32)], end: f64) -> Availability {
        let mut app = AppRecorder::new(AppName::parse("web").unwrap());
        for (time, ready) in ready {
            app.record(f64::from(*time), *ready, desired);
        }
        app.end_downtime(end);
        app.shown
    }

    #[test]
    fn downtime_starts_after_first_ready_replica() {
        let app = recorded(2, &[(0, 0), (2, 1), (3, 2), (5, 0), (9, 1), (10, 2)], 12.0);
        assert_eq!((app.downtime, app.fewest), (4.0, Some(0)));
        assert_eq!(app.fewest_between(0.0, 2.0), Some(0));
        assert_eq!(app.fewest_between(3.0, 4.0), Some(2));
        assert_eq!(app.fewest_between(9.0, 12.0), Some(1));
    }

    #[test]
    fn downtime_lasts_until_end() {
        let app = recorded(1, &[(0, 1), (1, 0)], 4.0);
        assert_eq!((app.downtime, app.fewest), (3.0, Some(0)));
    }

    #[test]
    fn app_never_complete_has_no_fewest() {
        let app = recorded(2, &[(0, 0), (1, 1)], 4.0);
        assert_eq!((app.downtime, app.fewest), (0.0, None));
    }
}
