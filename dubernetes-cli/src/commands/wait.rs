//! `wait`: until apps or pods are ready, gone, or in a phase.

use std::time::Duration;

use dubernetes_api::Client;
use dubernetes_api::wire::{App, Pod};
use dubernetes_core::plan::Phase;
use jiff::Timestamp;
use serde::Serialize;
use tokio::time::Instant;

use crate::args::{Condition, Format, ObjectName, WaitForArgs};
use crate::output::{self, Cell, ListStyle, Row};
use crate::report::{CliError, FAILED, Result, TIMED_OUT, USAGE};
use crate::resolve::{Found, existing, find};
use crate::settings::Settings;
use crate::target::{Mode, Target};

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_millis(250);

pub(super) async fn run(args: &WaitForArgs, settings: &Settings) -> Result {
    // None if it lies beyond what the clock can say.
    let deadline = Instant::now().checked_add(args.timeout.to_std());
    Target::with(settings, Mode::Observe, async |target: &Target| {
        let client = &target.client;
        let goals = goals(client, args).await?;
        let (mut met, mut worst) = (Vec::new(), None);
        for goal in &goals {
            match until(client, goal, args, deadline).await {
                Ok(()) => {
                    let object = goal.name();
                    if matches!(args.format.format(), Format::Table | Format::Wide) {
                        output::print(&format!("{object} condition met\n"))?;
                    }
                    met.push(Met { object });
                }
                // The others are looked at all the same.
                Err(failure) if matches!(failure.exit_code(), FAILED | TIMED_OUT) => {
                    failure.report();
                    worst = Some(worst.unwrap_or(failure.exit_code()));
                }
                Err(failure) => return Err(failure),
            }
        }
        match args.format.format() {
            Format::Table | Format::Wide => {}
            format @ (Format::Json | Format::Yaml | Format::Name) => {
                let style = ListStyle { format, headers: false, single: false };
                output::print(&output::list(&met, style, Timestamp::now())?)?;
            }
        }
        worst.map_or(Ok(()), |exit| Err(CliError::already_reported(exit)))
    })
    .await
}

/// Something that is as it was waited for.
#[derive(Debug, PartialEq, Serialize)]
struct Met {
    object: String,
}

impl Row for Met {
    fn columns(_: bool) -> Vec<&'static str> {
        vec!["OBJECT"]
    }

    fn cells(&self, _: bool, _: Timestamp) -> Vec<Cell> {
        vec![Cell::new(&self.object)]
    }

    fn full_name(&self) -> String {
        self.object.clone()
    }
}

/// What is looked at.
#[derive(Debug)]
enum Goal {
    App(String),
    Pod(String),
    /// It did not exist in the first place.
    Nothing(String),
}

impl Goal {
    fn name(&self) -> String {
        match self {
            Self::App(name) => format!("app/{name}"),
            Self::Pod(name) => format!("pod/{name}"),
            Self::Nothing(name) => name.clone(),
        }
    }
}

async fn goals(client: &Client, args: &WaitForArgs) -> Result<Vec<Goal>> {
    if let Some(selector) = &args.selector.selector {
        let apps = client.select_apps(selector).await?;
        if apps.is_empty() && args.condition != Condition::Deleted {
            return Err(CliError::new(format!("no app has the labels `{selector}`"))
                .help("`dubernetes get apps -o yaml` shows their labels"));
        }
        return Ok(apps.into_iter().map(|app| Goal::App(app.name.to_string())).collect());
    }
    let mut goals = Vec::new();
    for name in &args.names {
        goals.push(goal(client, name, args.condition).await?);
    }
    Ok(goals)
}

async fn goal(client: &Client, name: &ObjectName, condition: Condition) -> Result<Goal> {
    if condition != Condition::Deleted {
        return Ok(match find(client, name).await? {
            Found::App(app) => Goal::App(app.name.to_string()),
            Found::Pod(pod) => Goal::Pod(pod.name),
        });
    }
    // An app that is deleted already may still have pods.
    Ok(match name {
        ObjectName::App(name) => Goal::App(name.clone()),
        ObjectName::Pod(name) => Goal::Pod(name.clone()),
        ObjectName::Either(name) if existing(client.get_app(name).await)?.is_some() => {
            Goal::App(name.clone())
        }
        ObjectName::Either(name) if !client.pods(Some(name)).await?.is_empty() => {
            Goal::App(name.clone())
        }
        ObjectName::Either(name) if existing(client.get_pod(name).await)?.is_some() => {
            Goal::Pod(name.clone())
        }
        ObjectName::Either(name) => Goal::Nothing(name.clone()),
    })
}

async fn until(
    client: &Client,
    goal: &Goal,
    args: &WaitForArgs,
    deadline: Option<Instant>,
) -> Result {
    loop {
        let state = look(client, goal, args.condition).await?;
        let State::NotYet(now) = state else { return Ok(()) };
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            let what = format!("timed out after {} waiting for {}", args.timeout, goal.name());
            return Err(CliError::with_exit(TIMED_OUT, what).line(format!("now: {now}")));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// How far something is.
enum State {
    Met,
    /// How it is, for people.
    NotYet(String),
}

async fn look(client: &Client, goal: &Goal, condition: Condition) -> Result<State> {
    match goal {
        Goal::Nothing(_) => Ok(State::Met),
        Goal::App(name) => {
            let app = existing(client.get_app(name).await)?;
            let gone = app.is_none() && client.pods(Some(name)).await?.is_empty();
            match (condition, app) {
                (Condition::Deleted, _) if gone => Ok(State::Met),
                (Condition::Deleted, Some(app)) => Ok(State::NotYet(how(&app))),
                (Condition::Deleted, None) => Ok(State::NotYet("its pods are going".to_owned())),
                (_, None) => Err(CliError::new(format!("app/{name} was deleted meanwhile"))),
                (Condition::Ready, Some(app)) => Ok(met(is_ready(&app), || how(&app))),
                (Condition::Phase { app: Some(phase), .. }, Some(app)) => {
                    Ok(met(app.status.phase == phase, || how(&app)))
                }
                (Condition::Phase { app: None, .. }, Some(_)) => {
                    Err(wrong_word("an app", "STATUS", "get apps"))
                }
            }
        }
        Goal::Pod(name) => match (condition, existing(client.get_pod(name).await)?) {
            (Condition::Deleted, None) => Ok(State::Met),
            (Condition::Deleted, Some(pod)) => Ok(State::NotYet(how_is_pod(&pod))),
            (_, None) => Err(CliError::new(format!("pod/{name} is gone"))),
            (Condition::Ready, Some(pod)) => Ok(met(pod.ready, || how_is_pod(&pod))),
            (Condition::Phase { pod: Some(state), .. }, Some(pod)) => {
                Ok(met(pod.state == state, || how_is_pod(&pod)))
            }
            (Condition::Phase { pod: None, .. }, Some(_)) => {
                Err(wrong_word("a pod", "STATE", "get pods"))
            }
        },
    }
}

fn met(is: bool, how: impl FnOnce() -> String) -> State {
    if is { State::Met } else { State::NotYet(how()) }
}

/// Whether the present specification is carried out.
fn is_ready(app: &App) -> bool {
    app.status.phase == Phase::Ready && app.status.observed_generation >= app.generation
}

fn how(app: &App) -> String {
    let status = &app.status;
    let reason = with_reason(&status.message);
    format!("{}, {}/{} ready{reason}", status.phase, status.ready, status.desired)
}

fn how_is_pod(pod: &Pod) -> String {
    let ready = if pod.ready { "ready" } else { "not ready" };
    format!("{}, {ready}{}", pod.state, with_reason(&pod.message))
}

fn with_reason(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

fn wrong_word(what: &str, column: &str, command: &str) -> CliError {
    CliError::with_exit(USAGE, format!("{what} is never in this phase"))
        .help(format!("the words are those of the column {column} of `dubernetes {command}`"))
}
