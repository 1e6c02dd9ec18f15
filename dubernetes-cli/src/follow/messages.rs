//! How waiting ends, in words.

use std::collections::BTreeMap;
use std::time::Duration;

use dubernetes_api::client::{LogQuery, LogTarget};
use dubernetes_api::wire::{self, App, LogItem, Pod};
use dubernetes_core::app::AppName;
use dubernetes_core::plan::Phase;
use futures_util::StreamExt as _;

use super::Goal;
use crate::output::span;
use crate::report::{CliError, INTERRUPTED, RETRY_HELP, TIMED_OUT};
use crate::target::Target;

/// So many of the last lines of a failing pod are shown.
const LAST_LINES: u32 = 20;

/// The line that says that an app is as it should be.
pub(super) fn ready(app: &App, took: Duration) -> String {
    let status = &app.status;
    let (ready, desired, revision) = (status.ready, status.desired, status.revision);
    let urls: String = app.urls.iter().map(|url| format!(", {url}")).collect();
    let took = span(took);
    format!(
        "app/{} is ready: {ready}/{desired} replicas, revision {revision}{urls} ({took})",
        app.name
    )
}

/// How an app stands to what is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It is on its way.
    Open,
    /// It is as it should be.
    Ready,
    /// It stays as it is until somebody resumes the rollout.
    Paused,
    /// The revision has failed, and if another one came back for it, that has got somewhere.
    Failed,
}

/// How `app` stands to `goal`. It is ready once it is remembered that the revision is complete:
/// only such a one comes back if the next one fails, whoever applies that at once.
pub(super) fn state(app: &App, goal: &Goal) -> State {
    let status = &app.status;
    if status.observed_generation < goal.generation.max(app.generation) {
        return State::Open;
    }
    let came_back =
        |failure: &wire::Failure| failure.revision >= goal.revision && failure.back_to.is_some();
    let concluded = status.desired == 0 || !matches!(&*status.rollout, "progressing" | "failed");
    match status.phase {
        Phase::Ready if status.failure.as_ref().is_some_and(came_back) => State::Failed,
        Phase::Ready if !concluded => State::Open,
        Phase::Ready => State::Ready,
        Phase::Failed => State::Failed,
        Phase::Pending | Phase::Progressing | Phase::Degraded if status.paused => State::Paused,
        Phase::Pending | Phase::Progressing | Phase::Degraded | Phase::Deleting => State::Open,
    }
}

/// The line that says that a rollout is paused.
pub(super) fn paused(app: &App) -> String {
    let (name, revision) = (&app.name, app.status.revision);
    format!(
        "app/{name} is paused: `dubernetes rollout resume {name}` goes on to revision {revision}"
    )
}

/// The last lines of the command before the present revision.
pub(super) async fn pre_deploy_log(target: &Target, app: &AppName) -> Vec<String> {
    // It goes on without them.
    let revisions = target.client.revisions(app.as_str()).await.unwrap_or_default();
    let present = revisions.into_iter().find(|revision| revision.current);
    present.map(|revision| revision.pre_deploy_log).unwrap_or_default()
}

/// Why `revision` or a later one did not get there, with the last output of a pod that shows it.
pub(super) async fn failed(target: &Target, app: &App, revision: u64) -> CliError {
    let (name, status) = (&app.name, &app.status);
    let known = status.failure.as_ref().filter(|failure| failure.revision >= revision);
    let reason = known.map_or(status.message.as_str(), |failure| failure.reason.as_str());
    let reason = if reason.is_empty() { "no reason is known" } else { reason };
    let mut failure = CliError::new(format!("the rollout of app/{name} failed: {reason}"));
    // The messages stands without the details: whatever cannot be had is left out.
    let pods = target.client.pods(Some(name.as_str())).await.unwrap_or_default();
    let failed = known.map_or(status.revision, |failure| failure.revision);
    match known {
        Some(wire::Failure { pod: Some(pod), log, .. }) if !log.is_empty() => {
            failure = with_output(failure, pod, log);
        }
        Some(_) | None => {
            // Only of a pod that the reason speaks of.
            let shows = |pod: &&Pod| {
                pod.revision == failed && !pod.ready && reason.contains(&format!("{}:", pod.name))
            };
            if let Some(pod) = pods.iter().find(shows) {
                failure = with_output(failure, &pod.name, &last_lines(target, pod).await);
            }
        }
    }
    let old = pods.iter().filter(|pod| pod.revision != failed && pod.ready);
    let serving: BTreeMap<u64, u32> = old.fold(BTreeMap::new(), |mut counts, pod| {
        *counts.entry(pod.revision).or_default() += 1;
        counts
    });
    for (revision, count) in &serving {
        let desired = status.desired;
        failure =
            failure.line(format!("still serving: revision {revision}, {count} of {desired} ready"));
    }
    failure = match known.and_then(|failure| failure.back_to) {
        Some(back) => failure.line(format!("back to revision {back}")).help(RETRY_HELP),
        None if known.is_some() && !serving.is_empty() => failure
            .help(format!("`dubernetes rollback {name}` gives revision {failed} up; {RETRY_HELP}")),
        None => failure,
    };
    failure.help(format!(
        "`dubernetes why {name}` shows the whole chain, `dubernetes describe {name}` the whole app"
    ))
}

fn with_output(mut failure: CliError, pod: &str, lines: &[String]) -> CliError {
    if !lines.is_empty() {
        failure = failure.line(format!("last lines of {pod}:"));
    }
    for line in lines {
        failure = failure.line(format!("  | {line}"));
    }
    failure
}

async fn last_lines(target: &Target, pod: &Pod) -> Vec<String> {
    let query = LogQuery { tail: Some(LAST_LINES), ..LogQuery::default() };
    let whose = LogTarget::Pod(pod.name.clone());
    let items = target.client.logs(&whose, &query);
    items
        .filter_map(|item| async {
            match item {
                Ok(LogItem::Line(line)) => Some(line.text),
                Ok(LogItem::Note(_)) | Err(_) => None,
            }
        })
        .collect()
        .await
}

/// That an app took too long.
pub(super) fn timed_out(name: &AppName, last: Option<&App>, timeout: &str) -> CliError {
    let state = last.map(|app| {
        let status = &app.status;
        let reason = match status.message.as_str() {
            "" => String::new(),
            message => format!(": {message}"),
        };
        format!("{}, {}/{} ready{reason}", status.phase, status.ready, status.desired)
    });
    let state = state.unwrap_or_else(|| "nobody has looked at it yet".to_owned());
    CliError::with_exit(TIMED_OUT, format!("app/{name} was not ready within {timeout}"))
        .line(format!("now: {state}"))
        .help(format!("it stays applied; `dubernetes why {name}` shows what it waits for"))
}

/// That the user went away while apps were on their way.
pub(super) fn interrupted<'a>(target: &Target, open: impl Iterator<Item = &'a Goal>) -> CliError {
    let goals: Vec<_> = open.collect();
    let names: Vec<_> = goals.iter().map(|goal| format!("app/{}", goal.app)).collect();
    let names = names.join(", ");
    let undo = goals.iter().map(|goal| match goal.revision {
        1 => format!("`dubernetes delete {}`", goal.app),
        _ => format!("`dubernetes rollback {}`", goal.app),
    });
    let undo = undo.collect::<Vec<_>>().join(", ");
    let failure = CliError::with_exit(INTERRUPTED, format!("interrupted; {names}: stays applied"));
    if target.is_in_process() {
        failure
            .line("no orchestrator is running, so nothing goes on from now on")
            .help(format!("`dubernetes serve` goes on with it, {undo} takes it back"))
    } else {
        failure.help(format!("`dubernetes get apps -w` follows it, {undo} takes it back"))
    }
}

/// That the user went away while something else was waited for.
pub(super) fn interrupted_waiting(target: &Target, what: &str) -> CliError {
    let failure = CliError::with_exit(INTERRUPTED, format!("interrupted before {what}"));
    if target.is_in_process() {
        failure.help("no orchestrator is running; `dubernetes serve` goes on with it")
    } else {
        failure.help("the orchestrator goes on with it")
    }
}

/// That something else took too long.
pub(super) fn too_long(what: &str, timeout: &str, app: Option<&AppName>) -> CliError {
    let failure =
        CliError::with_exit(TIMED_OUT, format!("timed out after {timeout} waiting {what}"));
    let Some(app) = app else { return failure };
    failure.help(format!("`dubernetes events {app}` says what it waits for"))
}
