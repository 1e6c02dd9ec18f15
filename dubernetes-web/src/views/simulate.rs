//! The page that simulates a file: a form, and then what happened.

use askama::Template;
use dubernetes_core::event::EventKind;
use jiff::Timestamp;

use super::{Frame, quoted, text};
use crate::simulation::{Availability, Simulation, SimulationLine, Summary};

/// Entries of the timeline that are shown at most.
const ENTRIES: usize = 300;
/// Size of a chart, in its own units.
const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 60.0;
/// What the page begins with.
const EXAMPLE: &str = "name: web\nimage: web:1\nreplicas: 3\naccess: { host: web.local }\n";

/// An option of the form: its name in the command, what it does, and an example.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SimulationOption {
    /// Name of the flag, without `--`.
    pub(crate) flag: &'static str,
    label: &'static str,
    example: &'static str,
}

/// The options of the form.
pub(crate) const OPTIONS: [SimulationOption; 7] = {
    const fn option(
        flag: &'static str,
        label: &'static str,
        example: &'static str,
    ) -> SimulationOption {
        SimulationOption { flag, label, example }
    }
    [
        option("kill", "Kill a pod", "web-2@30s"),
        option("unready", "A pod refuses connections", "web-1@30s+20s"),
        option("crash-loop", "Every process of an app exits", "web"),
        option("engine-away", "The engine is away", "30s+20s"),
        option("slow-start", "Time from start to ready", "5s"),
        option("scale", "Scale an app", "web=5@30s"),
        option("for", "Length", "2m"),
    ]
};

/// The page.
#[derive(Debug, Template)]
#[template(path = "simulate.html")]
pub(crate) struct SimulatePage {
    frame: Frame,
    token: String,
    file: String,
    fields: Vec<(SimulationOption, String)>,
    error: Vec<String>,
    result: Option<ResultView>,
}

#[derive(Debug)]
struct ResultView {
    summary: String,
    charts: Vec<Chart>,
    entries: Vec<EntryRow>,
    more: usize,
}

#[derive(Debug)]
struct Chart {
    app: String,
    totals: String,
    /// Points of the line, in units of the chart.
    line: String,
}

#[derive(Debug)]
struct EntryRow {
    time: String,
    object: String,
    what: String,
    message: String,
    class: &'static str,
}

/// Returns the page with the form as it was sent, or with an example.
pub(crate) fn simulate_page(
    token: &str,
    file: Option<&str>,
    values: &[(SimulationOption, String)],
    result: Option<Result<Simulation, String>>,
) -> SimulatePage {
    let mut command = "dubernetes simulate app.yaml".to_owned();
    for (option, value) in values {
        for word in value.split_whitespace() {
            command.push_str(&format!(" --{} {}", option.flag, quoted(word)));
        }
    }
    let (result, error) = match result {
        None => (None, Vec::new()),
        Some(Ok(simulation)) => (Some(result_view(&simulation)), Vec::new()),
        Some(Err(error)) => (None, error.lines().map(text).collect()),
    };
    let value = |option: SimulationOption| {
        let sent = values.iter().find(|(sent, _)| sent.flag == option.flag);
        (option, sent.map(|(_, value)| value.clone()).unwrap_or_default())
    };
    SimulatePage {
        frame: Frame {
            title: "Simulate".to_owned(),
            section: "/simulate",
            command,
            live: String::new(),
        },
        token: token.to_owned(),
        file: file.unwrap_or(EXAMPLE).to_owned(),
        fields: OPTIONS.into_iter().map(value).collect(),
        error,
        result,
    }
}

fn result_view(simulation: &Simulation) -> ResultView {
    let Simulation { lines, summary } = simulation;
    let end = if summary.converged { "nothing is left to do" } else { "work is left to do" };
    ResultView {
        summary: format!("{:.1} s of simulated time; at the end, {end}.", summary.seconds),
        charts: summary.apps.iter().map(|app| chart(app, summary)).collect(),
        entries: lines.iter().filter_map(|line| entry(line, summary.start)).take(ENTRIES).collect(),
        more: lines.len().saturating_sub(ENTRIES),
    }
}

fn chart(app: &Availability, summary: &Summary) -> Chart {
    let Availability { desired, fewest, downtime, restarts, .. } = app;
    let fewest = match fewest {
        Some(fewest) => format!("fewest ready {fewest} of {desired} once complete"),
        None => format!("never complete, {desired} desired"),
    };
    let totals = format!("{fewest}; downtime {downtime:.1} s; restarts {restarts}");
    Chart { app: app.app.to_string(), totals, line: points(app, summary.seconds) }
}

/// Returns the steps of the ready replicas over time as points of a line.
fn points(app: &Availability, seconds: f64) -> String {
    let most = app.ready.iter().map(|(_, ready)| *ready).max().unwrap_or(0).max(app.desired).max(1);
    let x = |time: f64| (time / seconds.max(0.001) * WIDTH).min(WIDTH);
    let y = |ready: u32| HEIGHT - f64::from(ready) / f64::from(most) * HEIGHT;
    let mut points = Vec::new();
    let mut last = 0;
    for (time, ready) in &app.ready {
        points.push((x(*time), y(last)));
        points.push((x(*time), y(*ready)));
        last = *ready;
    }
    points.push((WIDTH, y(last)));
    points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect::<Vec<_>>().join(" ")
}

fn entry(line: &SimulationLine, start: Timestamp) -> Option<EntryRow> {
    let row = |time: Timestamp, object: &str, what: &str, message: &str, class| EntryRow {
        time: format!("{:.1} s", time.duration_since(start).as_secs_f64()),
        object: text(object),
        what: text(what),
        message: text(message),
        class,
    };
    Some(match line {
        SimulationLine::Added(event) => {
            let class = match event.kind {
                EventKind::Normal => "",
                EventKind::Warning => "bad",
            };
            let object = event.object().unwrap_or("instance");
            row(event.time, object, &event.reason, &event.message, class)
        }
        SimulationLine::Injected(injected) => {
            let what = format!("> {}", injected.action);
            row(injected.time, &injected.object, &what, &injected.message, "changing")
        }
        SimulationLine::Summary(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_has_a_step_for_each_change() {
        let app = Availability {
            app: "web".parse().unwrap(),
            desired: 2,
            fewest: Some(1),
            downtime: 0.0,
            restarts: 1,
            ready: vec![(0.0, 0), (5.0, 2), (9.0, 1)],
        };
        let line = "0.0,60.0 0.0,60.0 300.0,60.0 300.0,0.0 540.0,0.0 540.0,30.0 600.0,30.0";
        assert_eq!(points(&app, 10.0), line);
        assert_eq!(points(&Availability { ready: Vec::new(), ..app }, 0.0), "600.0,60.0");
    }

    #[test]
    fn page_names_the_command() {
        let kill = OPTIONS[0];
        let page = simulate_page("t", None, &[(kill, "web-1@3s  web-2@4s".to_owned())], None);
        let command = "dubernetes simulate app.yaml --kill web-1@3s --kill web-2@4s";
        assert_eq!(page.frame.command, command);
        assert!(page.file.starts_with("name: web\n") && page.fields.len() == OPTIONS.len());
    }
}
