//! Results as one value, from which the table, the page, the plots and the JSON file are made.

use serde::{Deserialize, Serialize};

/// All results: those of the last run of each group.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The groups, in the order of the page.
    pub groups: Vec<Group>,
}

/// Measurements that share a setup.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// Name on the command line, and of the plot.
    pub name: String,
    /// Heading.
    pub title: String,
    /// The run that measured it.
    pub run: Run,
    /// The measurements.
    pub rows: Vec<Row>,
    /// What a reader has to know, one sentence each.
    pub notes: Vec<String>,
    /// What happened in one of the measured runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub timeline: Vec<Moment>,
}

/// When and where a group was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Commit of the program.
    pub commit: String,
    /// Day of the run.
    pub date: String,
    /// Processor, memory, kernel and engine.
    pub machine: String,
    /// Number of runs.
    pub runs: u32,
    /// Processors that other programs kept busy just before.
    pub other_work: f64,
}

/// One measurement, with the same work done by something else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What is measured.
    pub name: String,
    /// What exactly is done, and from when to when.
    pub meaning: String,
    /// Unit of all values.
    pub unit: Unit,
    /// Values of Dubernetes.
    pub dubernetes: Samples,
    /// What it is compared with. Ratios and targets refer to the first.
    pub baselines: Vec<Baseline>,
    /// What should be reached.
    pub target: Option<Target>,
}

/// The same work, done by something else in the same run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// What does the work.
    pub name: String,
    /// Its values.
    pub samples: Samples,
}

/// An event of a timeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Moment {
    /// Seconds since the start.
    pub at: f64,
    /// What happened.
    pub text: String,
}

/// Unit of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// Events per second.
    PerSecond,
    /// A number of things.
    Count,
    /// One value divided by another.
    Ratio,
}

/// What a median should reach.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// At most this value.
    AtMost(f64),
    /// At most `ratio` times the first baseline, plus `plus`.
    AtMostRatio {
        /// Factor.
        ratio: f64,
        /// Constant, in the unit of the row.
        plus: f64,
    },
    /// At least this ratio to the first baseline.
    AtLeastRatio(f64),
}

impl Target {
    /// Returns a target of at most `ratio` times the first baseline.
    pub fn ratio(ratio: f64) -> Self {
        Self::AtMostRatio { ratio, plus: 0.0 }
    }
}

impl Row {
    /// Creates a measurement without values.
    pub fn new(name: &str, meaning: &str, unit: Unit) -> Self {
        Self {
            name: name.to_owned(),
            meaning: meaning.to_owned(),
            unit,
            dubernetes: Samples::default(),
            baselines: Vec::new(),
            target: None,
        }
    }

    /// Adds a baseline without values.
    pub fn baseline(mut self, name: &str) -> Self {
        self.baselines.push(Baseline { name: name.to_owned(), samples: Samples::default() });
        self
    }

    /// Sets the target.
    pub fn target(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    /// Adds the values of one run: that of Dubernetes, and one for each baseline.
    ///
    /// # Panics
    ///
    /// If a value is missing.
    pub fn push(&mut self, value: f64, baselines: &[f64]) {
        assert_eq!(baselines.len(), self.baselines.len(), "{}: values of baselines", self.name);
        self.dubernetes.push(value);
        for (baseline, value) in self.baselines.iter_mut().zip(baselines) {
            baseline.samples.push(*value);
        }
    }

    /// Returns the ratio to a baseline in each run, whatever else the machine did meanwhile.
    pub fn ratios_to(&self, baseline: &Baseline) -> Samples {
        self.ratios_beyond(0.0, baseline)
    }

    /// Like [`Self::ratios_to`], of what is left of each value without `plus`.
    fn ratios_beyond(&self, plus: f64, baseline: &Baseline) -> Samples {
        let mut ratios = Samples::default();
        for (value, other) in self.dubernetes.0.iter().zip(&baseline.samples.0) {
            ratios.push((value - plus) / other);
        }
        ratios
    }

    /// Returns whether the target is reached; `None` without a target, or without its baseline.
    pub fn is_reached(&self) -> Option<bool> {
        let first = self.baselines.first();
        Some(match self.target? {
            Target::AtMost(limit) => self.dubernetes.median() <= limit,
            Target::AtMostRatio { ratio, plus } => {
                self.ratios_beyond(plus, first?).median() <= ratio
            }
            Target::AtLeastRatio(ratio) => self.ratios_to(first?).median() >= ratio,
        })
    }
}

impl Report {
    /// Replaces a group, or adds it. `order` are the names of all groups.
    pub fn replace(&mut self, group: Group, order: &[&str]) {
        self.groups.retain(|other| other.name != group.name);
        self.groups.push(group);
        let place = |group: &Group| order.iter().position(|name| *name == group.name);
        self.groups.sort_by_key(place);
    }
}

/// Values of all runs, in their order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(into = "Summary", from = "Summary")]
pub struct Samples(Vec<f64>);

/// What the JSON file says about [`Samples`].
#[derive(Debug, Serialize, Deserialize)]
struct Summary {
    median: f64,
    min: f64,
    max: f64,
    values: Vec<f64>,
}

impl Samples {
    /// Adds a value, rounded to a millionth.
    pub fn push(&mut self, value: f64) {
        self.0.push((value * 1e6).round() / 1e6);
    }

    /// Returns the middle value, or the mean of both; 0 without values.
    pub fn median(&self) -> f64 {
        let sorted = self.sorted();
        let middle = sorted.len() / 2;
        let at = |index: usize| sorted.get(index).copied().unwrap_or_default();
        if sorted.len().is_multiple_of(2) {
            f64::midpoint(at(middle.saturating_sub(1)), at(middle))
        } else {
            at(middle)
        }
    }

    /// Returns the smallest value; 0 without values.
    pub fn min(&self) -> f64 {
        self.sorted().first().copied().unwrap_or_default()
    }

    /// Returns the largest value; 0 without values.
    pub fn max(&self) -> f64 {
        self.sorted().last().copied().unwrap_or_default()
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }
}

impl From<Samples> for Summary {
    fn from(samples: Samples) -> Self {
        let (median, min, max) = (samples.median(), samples.min(), samples.max());
        Self { median, min, max, values: samples.0 }
    }
}

impl From<Summary> for Samples {
    fn from(summary: Summary) -> Self {
        Self(summary.values)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A report with a row for each shape.
    pub(in crate::bench) fn example() -> Report {
        let seconds = |name: &str| Row::new(name, "From A to B.", Unit::Seconds);
        let mut start = seconds("1 replica <running>")
            .baseline("engine API")
            .baseline("compose")
            .target(Target::ratio(1.1));
        for (value, baselines) in [(0.6, [0.4, 0.8]), (0.5, [0.5, 0.9]), (1.25, [0.39, 0.7])] {
            start.push(value, &baselines);
        }
        let mut lost = Row::new("requests lost", "Of all.", Unit::Count);
        lost.target = Some(Target::AtMost(0.0));
        lost.push(0.0, &[]);
        let run = Run {
            commit: "abc".to_owned(),
            date: "2026-01-02".to_owned(),
            machine: "2 × Processor".to_owned(),
            runs: 3,
            other_work: 0.25,
        };
        let group = Group {
            name: "start".to_owned(),
            title: "First start".to_owned(),
            run,
            rows: vec![start, lost],
            notes: vec!["A note.".to_owned()],
            timeline: vec![Moment { at: 0.512, text: "created a|b".to_owned() }],
        };
        Report { groups: vec![group] }
    }

    fn samples(values: &[f64]) -> Samples {
        Samples(values.to_vec())
    }

    #[test]
    fn median_of_odd_and_even_numbers_of_values() {
        assert_eq!(samples(&[3.0, 1.0, 2.0]).median(), 2.0);
        assert_eq!(samples(&[4.0, 1.0, 2.0, 3.0]).median(), 2.5);
        assert_eq!(samples(&[]).median(), 0.0);
        assert_eq!((samples(&[3.0, 1.0]).min(), samples(&[1.0, 3.0]).max()), (1.0, 3.0));
    }

    #[test]
    fn target_refers_to_first_baseline() {
        let row = |target, value| {
            let mut row = Row::new("", "", Unit::Seconds).baseline("a").baseline("b");
            row.target = Some(target);
            row.push(value, &[2.0, 100.0]);
            row.is_reached()
        };
        assert_eq!(row(Target::ratio(1.5), 3.0), Some(true));
        assert_eq!(row(Target::ratio(1.5), 3.01), Some(false));
        assert_eq!(row(Target::AtMostRatio { ratio: 1.0, plus: 1.0 }, 3.0), Some(true));
        assert_eq!(row(Target::AtLeastRatio(0.5), 1.0), Some(true));
        assert_eq!(row(Target::AtLeastRatio(0.5), 0.99), Some(false));
        assert_eq!(row(Target::AtMost(2.0), 2.1), Some(false));
        let without = Row::new("", "", Unit::Seconds).target(Target::ratio(1.0));
        assert_eq!(without.is_reached(), None);
    }

    #[test]
    fn ratio_is_that_of_each_run() {
        let mut row = Row::new("", "", Unit::Seconds).baseline("");
        for (value, baseline) in [(3.0, 2.0), (30.0, 10.0), (1.0, 1.0)] {
            row.push(value, &[baseline]);
        }
        assert_eq!(row.ratios_to(&row.baselines[0]).0, [1.5, 3.0, 1.0]);
        let with_plus = |plus| Target::AtMostRatio { ratio: 0.5, plus };
        row.target = Some(with_plus(2.0));
        assert_eq!(row.is_reached(), Some(true), "0.5, 2.8 and -1");
        row.target = Some(with_plus(1.9));
        assert_eq!(row.is_reached(), Some(false), "0.55, 2.81 and -0.9");
    }

    #[test]
    fn json_is_read_back() {
        let report = example();
        let json = serde_json::to_value(&report).unwrap();
        let row = &json["groups"][0]["rows"][0];
        assert_eq!(row["dubernetes"]["median"], 0.6);
        assert_eq!(row["dubernetes"]["values"], serde_json::json!([0.6, 0.5, 1.25]));
        assert_eq!(row["baselines"][1]["samples"]["max"], 0.9);
        assert_eq!(serde_json::from_value::<Report>(json).unwrap(), report);
    }

    #[test]
    fn group_replaces_its_earlier_run_and_keeps_the_order() {
        let mut report = example();
        let named = |name: &str, commit: &str| {
            let mut group = example().groups.remove(0);
            group.name = name.to_owned();
            group.run.commit = commit.to_owned();
            group
        };
        report.replace(named("idle", "new"), &["start", "idle"]);
        report.replace(named("start", "new"), &["start", "idle"]);
        let names = |report: &Report| -> Vec<_> {
            let group = |group: &Group| format!("{} {}", group.name, group.run.commit);
            report.groups.iter().map(group).collect()
        };
        assert_eq!(names(&report), ["start new", "idle new"]);
    }
}
