//! Simulations for the page *Simulate*: runs `dubernetes simulate`, and reads what it prints.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use dubernetes_core::app::AppName;
use dubernetes_core::event::Event;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

/// Time limit of the program. Simulated time is free: an hour takes a few milliseconds.
const LIMIT: Duration = Duration::from_secs(20);
/// Most output that is read, in bytes.
const MAX_OUTPUT: u64 = 8 << 20;

/// A line of `dubernetes simulate -o json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", content = "object", rename_all = "UPPERCASE")]
pub enum SimulationLine {
    /// An event that the controller recorded.
    Added(Box<Event>),
    /// A fault, or what the user did.
    Injected(Injection),
    /// The last line.
    Summary(Summary),
}

/// A fault of a simulation, or what the user did in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Injection {
    /// Time in the simulation.
    pub time: Timestamp,
    /// Object that it affects.
    pub object: String,
    /// What it is, in one word.
    pub action: String,
    /// Details.
    pub message: String,
}

/// What a simulation shows as a whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Time at which it starts.
    pub start: Timestamp,
    /// Its length, in seconds.
    pub seconds: f64,
    /// Whether nothing was left to do at the end.
    pub converged: bool,
    /// The apps, by name.
    pub apps: Vec<Availability>,
}

/// Ready replicas of an app in a simulation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Availability {
    /// The app.
    pub app: AppName,
    /// Highest number of desired replicas.
    pub desired: u32,
    /// Fewest ready replicas after all were ready once; `None` if that never happened.
    pub fewest: Option<u32>,
    /// Time without a ready replica after the first one was ready, in seconds.
    pub downtime: f64,
    /// Number of containers that replaced one that had ended.
    pub restarts: usize,
    /// Ready replicas from each change on, in seconds after the start.
    pub ready: Vec<(f64, u32)>,
}

impl Availability {
    /// Returns the fewest ready replicas from `start` up to `end`, or at `start` if both are equal,
    /// in seconds.
    pub fn fewest_between(&self, start: f64, end: f64) -> Option<u32> {
        let before = self.ready.iter().rev().find(|(time, _)| *time <= start);
        let within = self.ready.iter().filter(|(time, _)| *time > start && *time < end);
        before.into_iter().chain(within).map(|(_, ready)| *ready).min()
    }
}

/// Everything that a simulation printed.
#[derive(Debug)]
pub struct Simulation {
    /// Events and injections, in order.
    pub lines: Vec<SimulationLine>,
    /// What it shows as a whole.
    pub summary: Summary,
}

/// Simulates the apps in the text of a file, with options such as `--kill=web-1@30s`.
///
/// # Errors
///
/// A text for the user: what the program prints as errors, or why there is no answer.
pub(crate) async fn simulate(
    program: &Path,
    file: &str,
    options: &[String],
) -> Result<Simulation, String> {
    let mut command = Command::new(program);
    command.args(["simulate", "--output=json"]).args(options).arg("-").env("NO_COLOR", "1");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.kill_on_drop(true).spawn().map_err(|error| cannot_run(&error))?;
    match tokio::time::timeout(LIMIT, outputs(child, file)).await {
        Ok(Ok((output, errors))) => read(&output, &errors),
        Ok(Err(error)) => Err(cannot_run(&error)),
        Err(_) => Err(format!("the simulation took more than {} s", LIMIT.as_secs())),
    }
}

fn cannot_run(error: &std::io::Error) -> String {
    format!("cannot run the simulation: {error}")
}

/// Returns standard output and standard error of the program.
async fn outputs(mut child: Child, file: &str) -> std::io::Result<(String, String)> {
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    let input = child.stdin.take();
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let write = async {
        if let Some(mut input) = input {
            // A program that ends early says why on standard error.
            let _ = input.write_all(file.as_bytes()).await;
        }
        Ok(())
    };
    let read_output = async {
        match out {
            Some(out) => out.take(MAX_OUTPUT).read_to_end(&mut output).await,
            None => Ok(0),
        }
    };
    let read_errors = async {
        match err {
            Some(err) => err.take(MAX_OUTPUT).read_to_end(&mut errors).await,
            None => Ok(0),
        }
    };
    tokio::try_join!(write, read_output, read_errors)?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok((text(output), text(errors)))
}

/// Reads the output; without a summary the errors say why.
fn read(output: &str, errors: &str) -> Result<Simulation, String> {
    let mut lines = Vec::new();
    for line in output.lines() {
        match serde_json::from_str(line) {
            Ok(SimulationLine::Summary(summary)) => return Ok(Simulation { lines, summary }),
            Ok(line) => lines.push(line),
            Err(error) => return Err(format!("cannot read the simulation: {error}")),
        }
    }
    Err(match errors.trim() {
        "" => "the simulation printed no result".to_owned(),
        errors => errors.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_without_a_summary_is_an_error_with_the_cause() {
        let summary = r#"{"type":"SUMMARY","object":{"start":"2026-01-01T00:00:00Z",
            "seconds":9.5,"converged":true,"apps":[{"app":"web","desired":2,"fewest":1,
            "downtime":0.0,"restarts":1,"ready":[[0.0,0],[1.5,2]]}]}}"#;
        let summary = summary.replace('\n', "");
        let injected = r#"{"type":"INJECTED","object":{"time":"2026-01-01T00:00:03Z",
            "object":"web-1","action":"kill","message":"exit code 137"}}"#;
        let injected = injected.replace('\n', "");
        let found = read(&format!("{injected}\n{summary}\n"), "note: x").unwrap();
        assert_eq!((found.lines.len(), found.summary.apps[0].ready.len()), (1, 2));
        assert_eq!(read(&injected, "error: no\n").unwrap_err(), "error: no");
        assert!(read("", "").unwrap_err().contains("no result"));
        assert!(read("x", "").unwrap_err().contains("cannot read"));
    }
}
