//! The benchmark behind `cargo xtask bench`: the program on a real engine, beside baselines that
//! do the same work in the same run.
//!
//! [`report`] holds the results, [`mod@format`] and [`plot`] show them, and the other modules
//! measure one group each.

mod accept;
mod access_log;
mod compose;
mod counting;
mod engine;
pub mod format;
mod idle;
mod machine;
pub mod plot;
mod proxy;
mod replace;
pub mod report;
mod rest;
mod start;
mod update;

use std::path::Path;

use dubernetes_core::app::InstanceName;
use dubernetes_core::identity::network_name;
use jiff::Timestamp;

use crate::checks::{SOON, ensure, eventually};
use crate::manifest::whoami;
use crate::scenario::{Scenario, connect_engine};
use engine::Engine;
use report::{Group, Moment, Report, Row, Run};

/// Names and titles of all groups, in the order of the page.
pub const GROUPS: [(&str, &str); 9] = [
    ("start", "First start"),
    ("replace", "A dead replica"),
    ("update", "Update of 5 replicas"),
    ("rest", "Commands, and memory at rest"),
    (IDLE, "Processor time at rest"),
    ("proxy", "Requests through nginx"),
    ("access-log", "The access log at 5,000 requests/s"),
    ("counting", "Requests counted for metrics"),
    ("accept", "Accepted and durable"),
];
/// The group that is measured only by name, because it takes minutes.
pub const IDLE: &str = "idle";

/// Name of the app that is present in each group.
const BASE: &str = "base";
/// Host of that app.
const BASE_HOST: &str = "base.test";

/// What to measure.
#[derive(Debug)]
pub struct Options {
    /// The program under test.
    pub program: &'static str,
    /// Names of groups.
    pub names: Vec<&'static str>,
    /// Number of runs.
    pub runs: u32,
}

/// What a group returns.
#[derive(Debug, Default)]
struct Measured {
    rows: Vec<Row>,
    notes: Vec<String>,
    timeline: Vec<Moment>,
}

/// An instance with the app [`BASE`], and the bare engine beside it.
#[derive(Debug)]
struct Bench {
    scenario: Scenario,
    engine: Engine,
    runs: u32,
}

/// Measures groups, prints each table, and writes the files in `folder` after each group.
///
/// `on_instance` is called with each instance before anything of it exists.
///
/// # Panics
///
/// If no engine answers, or a measured command fails.
pub async fn run(options: &Options, folder: &Path, on_instance: impl Fn(&InstanceName)) {
    let mut report: Report = match std::fs::read(folder.join("results.json")) {
        Ok(bytes) => serde_json::from_slice(&bytes).unwrap(),
        Err(_) => Report::default(),
    };
    for (name, title) in GROUPS {
        if !options.names.contains(&name) {
            continue;
        }
        let group = measure(options, name, title, &on_instance).await;
        print(&format::text(std::slice::from_ref(&group)));
        report.replace(group, &GROUPS.map(|(name, _)| name));
        std::fs::create_dir_all(folder).unwrap();
        for (name, text) in files(&report) {
            std::fs::write(folder.join(name), text).unwrap();
        }
    }
}

/// Returns names and contents of all files that show a report.
fn files(report: &Report) -> Vec<(String, String)> {
    let json = serde_json::to_string_pretty(report).unwrap() + "\n";
    let plots = report.groups.iter().map(|group| (format!("{}.svg", group.name), plot::svg(group)));
    let texts = [("results.json", json), ("README.md", format::markdown(report))];
    texts.map(|(name, text)| (name.to_owned(), text)).into_iter().chain(plots).collect()
}

#[expect(clippy::print_stdout, reason = "the table is the output of the program")]
fn print(text: &str) {
    println!("{text}");
}

async fn measure(
    options: &Options,
    name: &str,
    title: &str,
    on_instance: impl Fn(&InstanceName),
) -> Group {
    let other_work = machine::busy_processors().await;
    let replicas = if name == "update" || name == "rest" { 5 } else { 1 };
    let bench = Bench::start(options, replicas, on_instance).await;
    let machine = machine::describe(&bench.engine).await;
    let measured = match name {
        "start" => start::measure(&bench).await,
        "replace" => replace::measure(&bench).await,
        "update" => update::measure(&bench).await,
        "rest" => rest::measure(&bench).await,
        IDLE => idle::measure(&bench).await,
        "proxy" => proxy::measure(&bench).await,
        "access-log" => access_log::measure(&bench).await,
        "counting" => counting::measure(&bench).await,
        _ => accept::measure(&bench).await,
    };
    let Measured { rows, notes, timeline } = measured;
    let commit = machine::commit();
    let date = Timestamp::now().strftime("%Y-%m-%d").to_string();
    let run = Run { commit, date, machine, runs: options.runs, other_work };
    Group { name: name.to_owned(), title: title.to_owned(), run, rows, notes, timeline }
}

impl Bench {
    /// Starts an orchestrator and the app [`BASE`], so that network and nginx exist.
    async fn start(options: &Options, replicas: u32, on_instance: impl Fn(&InstanceName)) -> Self {
        let Some(engine) = connect_engine("bench").await else {
            panic!("no engine answers, or an image is missing; run `cargo xtask bench`");
        };
        let scenario = Scenario::new("bench", options.program, engine);
        on_instance(&scenario.instance);
        scenario.serve().await;
        let _ = scenario.apply(&whoami(BASE, replicas).host(BASE_HOST)).await;
        let engine = Engine::new(&scenario.runtime.endpoint(), &scenario.instance);
        Self { scenario, engine, runs: options.runs }
    }

    /// Starts the orchestrator again with these environment variables, and waits until
    /// `has_setting` holds for nginx's configuration.
    async fn restart(&self, variables: &[(&str, &str)], has_setting: impl Fn(&str) -> bool) {
        self.scenario.terminate().await;
        self.scenario.serve_with(variables).await;
        eventually("nginx has the setting", SOON, async || {
            let config = self.scenario.nginx_config().await;
            ensure(has_setting(&config), config.len())
        })
        .await;
    }

    /// Returns the id of a replica of [`BASE`].
    async fn base_replica(&self) -> String {
        self.scenario.containers_of(BASE).await[0].id.to_string()
    }

    /// Returns the request for a container like a replica of [`BASE`], for the bare engine.
    async fn copy_of_base(&self) -> serde_json::Value {
        let network = network_name(&self.scenario.instance);
        self.engine.copy_of(&self.base_replica().await, &network).await
    }
}

/// Returns the seconds from one time to another.
fn seconds_between(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_and_plots_show_the_results_of_the_json_file() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/performance");
        let json = std::fs::read(folder.join("results.json")).unwrap();
        for (name, text) in files(&serde_json::from_slice(&json).unwrap()) {
            let file = folder.join(&name);
            if std::env::var_os("DUBERNETES_UPDATE_GOLDEN").is_some() {
                std::fs::write(&file, &text).unwrap();
            }
            assert_eq!(std::fs::read_to_string(file).unwrap_or_default(), text, "{name}");
        }
    }
}
