//! A recorded decision: what was desired and observed, and what followed from both.

use askama::Template;
use dubernetes_api::text::age;
use dubernetes_api::wire::Decision;
use dubernetes_core::app::AppName;
use jiff::Timestamp;

use super::{Frame, text};

/// Steps that the short form of a plan names.
const STEPS: usize = 3;

/// The page.
#[derive(Debug, Template)]
#[template(path = "decision.html")]
pub(crate) struct DecisionPage {
    frame: Frame,
    name: String,
    names: Vec<String>,
    at: String,
    age: String,
    desired: Vec<String>,
    observed: Vec<String>,
    /// Action, object and reason.
    plan: Vec<(String, String, String)>,
    reproduced: bool,
    decisions: Vec<DecisionRow>,
}

/// A decision in a list.
#[derive(Debug)]
pub(crate) struct DecisionRow {
    /// The time, exactly.
    pub(crate) at: String,
    /// The time, for people.
    pub(crate) time: String,
    pub(crate) age: String,
    pub(crate) plan: String,
    /// Whether the page is about it.
    pub(crate) is_shown: bool,
}

/// Returns the page of a decision about an app. `names` are all apps, and `last` the last
/// decisions, oldest first.
pub(crate) fn decision_page(
    program: &str,
    names: &[AppName],
    app: &str,
    decision: &Decision,
    last: &[Decision],
    now: Timestamp,
) -> DecisionPage {
    let Decision { at, desired, observed, plan, reproduced } = decision;
    let lines = |lines: &[String]| lines.iter().map(|line| text(line)).collect();
    DecisionPage {
        frame: Frame {
            title: format!("The loop: {app}, {} ago", age(*at, now)),
            section: "/loop",
            command: format!("{} replay --at {at}", on_its_machine(program)),
            live: String::new(),
        },
        name: app.to_owned(),
        names: names.iter().map(ToString::to_string).collect(),
        at: at.to_string(),
        age: age(*at, now),
        desired: lines(desired),
        observed: lines(observed),
        plan: plan.iter().map(|line| step(line)).collect(),
        reproduced: *reproduced,
        decisions: decision_rows(last, Some(*at), now),
    }
}

/// Returns the command that runs the program on the machine of the orchestrator: the journal is a
/// file there.
pub(crate) fn on_its_machine(program: &str) -> String {
    let Some((program, rest)) = program.split_once(" --host ssh://") else {
        return program.to_owned();
    };
    let (host, options) = rest.split_once(' ').unwrap_or((rest, ""));
    format!("ssh ssh://{host} {program} {options}").trim_end().to_owned()
}

/// Returns decisions as rows, newest first; `decisions` is oldest first.
pub(crate) fn decision_rows(
    decisions: &[Decision],
    shown: Option<Timestamp>,
    now: Timestamp,
) -> Vec<DecisionRow> {
    let row = |decision: &Decision| DecisionRow {
        at: decision.at.to_string(),
        time: decision.at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        age: age(decision.at, now),
        plan: short(&decision.plan),
        is_shown: shown == Some(decision.at),
    };
    decisions.iter().rev().map(row).collect()
}

/// Returns a plan in short: its first steps without their reasons, and what is most of a plan at
/// rest, its routes, only if there is nothing else.
fn short(plan: &[String]) -> String {
    let steps = plan.iter().map(|line| step(line));
    let is_state = |action: &str| matches!(action, "route" | "name" | "publish" | "https");
    let mut steps: Vec<_> = steps.filter(|(action, _, _)| !is_state(action)).collect();
    let more = steps.len().saturating_sub(STEPS);
    steps.truncate(STEPS);
    let steps: Vec<_> =
        steps.iter().map(|(action, object, _)| format!("{action} {object}")).collect();
    match (steps.is_empty(), more) {
        (true, _) => "nothing to do".to_owned(),
        (false, 0) => steps.join(", "),
        (false, more) => format!("{} and {more} more", steps.join(", ")),
    }
}

/// Splits a line of a plan into action, object and reason.
fn step(line: &str) -> (String, String, String) {
    let line = text(line);
    let (action, rest) = line.split_once(' ').unwrap_or((&line, ""));
    let rest = rest.trim_start();
    let (object, reason) = rest.split_once(' ').unwrap_or((rest, ""));
    (action.to_owned(), object.to_owned(), reason.trim_start().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_plan_names_its_first_steps() {
        let lines = |lines: &[&str]| lines.iter().map(|&line| line.to_owned()).collect::<Vec<_>>();
        let route = "route    web.local web-1 web-2";
        assert_eq!(short(&lines(&[route])), "nothing to do");
        let plan =
            ["create   web-1        3 replicas wanted, 0 exist", "wait     web            x"];
        assert_eq!(short(&lines(&[&plan[..], &[route]].concat())), "create web-1, wait web");
        let many = [plan[0]; 5];
        assert_eq!(short(&lines(&many)), "create web-1, create web-1, create web-1 and 2 more");
    }

    #[test]
    fn journal_of_another_machine_is_read_there() {
        assert_eq!(on_its_machine("dubernetes --instance x"), "dubernetes --instance x");
        let there = on_its_machine("dubernetes --host ssh://me@there --instance x");
        assert_eq!(there, "ssh ssh://me@there dubernetes --instance x");
    }

    #[test]
    fn line_of_a_plan_has_three_parts() {
        let parts = |line| {
            let (action, object, reason) = step(line);
            [action, object, reason].join("|")
        };
        assert_eq!(parts("create   web-1        0 exist\u{1b}"), r"create|web-1|0 exist\u{1b}");
        assert_eq!(parts("odd"), "odd||");
    }
}
