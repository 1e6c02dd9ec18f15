//! `wait`: waits until apps or pods are ready, deleted, or in a phase.

use dubernetes_api::Client;
use dubernetes_api::wire::{App, Pod};
use dubernetes_core::plan::Phase;
use jiff::Timestamp;
use serde::Serialize;

use crate::args::{Condition, Format, ObjectName, ProgressStyle, WaitArgs, WaitForArgs};
use crate::follow::{Follower, Waited};
use crate::output::{self, Cell, Column, ListStyle, Row, column};
use crate::report::{CliError, FAILED, INTERRUPTED, Result, TIMED_OUT, USAGE};
use crate::resolve::{Found, find, none_if_missing};
use crate::settings::Settings;
use crate::target::{Mode, Target};

pub(super) async fn run(args: &WaitForArgs, settings: &Settings) -> Result {
    Target::with(settings, Mode::Observe, async |target: &Target| {
        let quiet =
            WaitArgs { detach: false, timeout: args.timeout, progress: ProgressStyle::Quiet };
        let mut follower = Follower::new(target, &quiet).await?;
        let format = args.format.format();
        let mut met = Vec::new();
        let mut exit = None;
        for subject in &find_subjects(&target.client, args).await? {
            match wait_for(subject, args, target, &mut follower).await {
                Ok(()) => {
                    let object = subject.name();
                    if matches!(format, Format::Table | Format::Wide) {
                        output::print(&format!("{object} condition met\n"))?;
                    }
                    met.push(Met { object });
                }
                // The others are checked nevertheless.
                Err(error) if matches!(error.exit_code(), FAILED | TIMED_OUT) => {
                    error.report();
                    exit = exit.or(Some(error.exit_code()));
                }
                Err(error) => return Err(error),
            }
        }
        match format {
            Format::Table | Format::Wide => {}
            Format::Json | Format::Yaml | Format::Name => {
                let style = ListStyle { format, headers: false, single: false };
                output::print(&output::list(&met, style, Timestamp::now())?)?;
            }
        }
        exit.map_or(Ok(()), |exit| Err(CliError::already_reported(exit)))
    })
    .await
}

/// An object whose condition is met.
#[derive(Debug, PartialEq, Serialize)]
struct Met {
    object: String,
}

impl Row for Met {
    fn columns() -> Vec<Column<Self>> {
        vec![column("OBJECT", |met, _| Cell::new(&met.object))]
    }

    fn full_name(&self) -> String {
        self.object.clone()
    }
}

/// What to wait for.
#[derive(Debug)]
enum Subject {
    App(String),
    Pod(String),
    /// An object that did not exist from the start.
    Missing(String),
}

impl Subject {
    fn name(&self) -> String {
        match self {
            Self::App(name) => format!("app/{name}"),
            Self::Pod(name) => format!("pod/{name}"),
            Self::Missing(name) => name.clone(),
        }
    }
}

async fn find_subjects(client: &Client, args: &WaitForArgs) -> Result<Vec<Subject>> {
    if let Some(selector) = &args.selector.selector {
        let apps = client.select_apps(selector).await?;
        if apps.is_empty() && args.condition != Condition::Deleted {
            return Err(CliError::new(format!("no app matches the selector `{selector}`"))
                .help("`dubernetes get apps -o yaml` shows the labels"));
        }
        return Ok(apps.into_iter().map(|app| Subject::App(app.name.to_string())).collect());
    }
    let mut subjects = Vec::new();
    for name in &args.names {
        subjects.push(find_subject(client, name, args.condition).await?);
    }
    Ok(subjects)
}

async fn find_subject(client: &Client, name: &ObjectName, condition: Condition) -> Result<Subject> {
    if condition != Condition::Deleted {
        return Ok(match find(client, name).await? {
            Found::App(app) => Subject::App(app.name.to_string()),
            Found::Pod(pod) => Subject::Pod(pod.name.into()),
        });
    }
    let name = match name {
        ObjectName::App(name) => return Ok(Subject::App(name.clone())),
        ObjectName::Pod(name) => return Ok(Subject::Pod(name.clone())),
        ObjectName::Either(name) => name.clone(),
    };
    // An app that is already deleted may still have pods.
    if none_if_missing(client.get_app(&name).await)?.is_some()
        || !client.pods(Some(&name)).await?.is_empty()
    {
        return Ok(Subject::App(name));
    }
    match none_if_missing(client.get_pod(&name).await)? {
        Some(_) => Ok(Subject::Pod(name)),
        None => Ok(Subject::Missing(name)),
    }
}

async fn wait_for(
    subject: &Subject,
    args: &WaitForArgs,
    target: &Target,
    follower: &mut Follower<'_>,
) -> Result {
    let mut now = String::new();
    let is_met = async || match check(&target.client, subject, args.condition).await? {
        State::Met => Ok(true),
        State::NotYet(state) => {
            now = state;
            Ok(false)
        }
    };
    match follower.poll(|_| false, is_met).await? {
        Waited::Done => Ok(()),
        Waited::Interrupted => Err(CliError::already_reported(INTERRUPTED)),
        Waited::TimedOut => {
            let what = format!("timed out after {} waiting for {}", args.timeout, subject.name());
            Err(CliError::with_exit(TIMED_OUT, what).line(format!("now: {now}")))
        }
    }
}

/// Whether a condition is met.
enum State {
    Met,
    /// The current state, for people.
    NotYet(String),
}

async fn check(client: &Client, subject: &Subject, condition: Condition) -> Result<State> {
    match subject {
        Subject::Missing(_) => Ok(State::Met),
        Subject::App(name) => {
            let app = none_if_missing(client.get_app(name).await)?;
            if let (Condition::Deleted, None) = (condition, &app) {
                let is_gone = client.pods(Some(name)).await?.is_empty();
                return Ok(met_if(is_gone, || "its pods are being deleted".to_owned()));
            }
            let Some(app) = app else {
                return Err(CliError::new(format!("app/{name} was deleted while waiting")));
            };
            match condition {
                Condition::Deleted => Ok(State::NotYet(app_state(&app))),
                Condition::Ready => Ok(met_if(is_ready(&app), || app_state(&app))),
                Condition::Phase { app: Some(phase), .. } => {
                    Ok(met_if(app.status.phase == phase, || app_state(&app)))
                }
                Condition::Phase { app: None, .. } => {
                    Err(wrong_word("an app", "STATUS", "get apps"))
                }
            }
        }
        Subject::Pod(name) => match (condition, none_if_missing(client.get_pod(name).await)?) {
            (Condition::Deleted, None) => Ok(State::Met),
            (Condition::Deleted, Some(pod)) => Ok(State::NotYet(pod_state(&pod))),
            (Condition::Ready | Condition::Phase { .. }, None) => {
                Err(CliError::new(format!("pod/{name} was deleted while waiting")))
            }
            (Condition::Ready, Some(pod)) => Ok(met_if(pod.ready, || pod_state(&pod))),
            (Condition::Phase { pod: Some(state), .. }, Some(pod)) => {
                Ok(met_if(pod.state == state, || pod_state(&pod)))
            }
            (Condition::Phase { pod: None, .. }, Some(_)) => {
                Err(wrong_word("a pod", "STATE", "get pods"))
            }
        },
    }
}

fn met_if(is_met: bool, state: impl FnOnce() -> String) -> State {
    if is_met { State::Met } else { State::NotYet(state()) }
}

/// Returns whether the app runs its current spec.
fn is_ready(app: &App) -> bool {
    app.status.phase == Phase::Ready && app.status.observed_generation >= app.generation
}

fn app_state(app: &App) -> String {
    let status = &app.status;
    let reason = reason_suffix(&status.message);
    format!("{}, {}/{} ready{reason}", status.phase, status.ready, status.desired)
}

fn pod_state(pod: &Pod) -> String {
    let ready = if pod.ready { "ready" } else { "not ready" };
    format!("{}, {ready}{}", pod.state, reason_suffix(&pod.message))
}

fn reason_suffix(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

fn wrong_word(what: &str, column: &str, command: &str) -> CliError {
    CliError::with_exit(USAGE, format!("{what} never has this phase"))
        .help(format!("use a word from the column {column} of `dubernetes {command}`"))
}
