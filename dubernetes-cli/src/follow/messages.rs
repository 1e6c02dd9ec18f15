//! Messages about how a wait ended.

use std::collections::BTreeMap;
use std::time::Duration;

use dubernetes_api::client::{LogQuery, LogTarget};
use dubernetes_api::wire::{App, Failure, LogItem, Pod, RolloutOutcome};
use dubernetes_core::app::{AppName, PodName, RevisionId};
use futures_util::StreamExt as _;

use super::wait_state::Goal;
use crate::output::span;
use crate::report::{CliError, INTERRUPTED, RETRY_HELP, TIMED_OUT};
use crate::target::Target;

/// Number of last log lines of a failing pod to show.
const LAST_LINES: u32 = 20;

/// Returns the line for an app that is ready.
pub(super) fn ready(app: &App, elapsed: Duration) -> String {
    let status = &app.status;
    let urls: String = app.urls.iter().map(|url| format!(", {url}")).collect();
    format!(
        "app/{} is ready: {}/{} replicas, revision {}{urls} ({})",
        app.name,
        status.ready,
        status.desired,
        status.revision,
        span(elapsed)
    )
}

/// Returns the line for an app whose rollout is paused.
pub(super) fn paused(app: &App) -> String {
    format!(
        "app/{0} is paused: `dubernetes rollout resume {0}` continues to revision {1}",
        app.name, app.status.revision
    )
}

/// Returns the last lines of the pre-deploy hook of the current revision.
pub(super) async fn pre_deploy_log(target: &Target, app: &AppName) -> Vec<String> {
    // Progress continues without these lines.
    let revisions = target.client.revisions(app.as_str()).await.unwrap_or_default();
    let current = revisions.into_iter().find(|revision| revision.current);
    current.map(|revision| revision.pre_deploy_log).unwrap_or_default()
}

/// Creates the error for a failed rollout: why `revision` or a later one failed, with the last
/// output of a failing pod.
pub(super) async fn rollout_failed(target: &Target, app: &App, revision: RevisionId) -> CliError {
    let App { name, status, .. } = app;
    let failure = status.failure.as_ref().filter(|failure| failure.revision >= revision);
    let reason = failure.map_or(status.message.as_str(), |failure| failure.reason.as_str());
    let reason = if reason.is_empty() { "unknown reason" } else { reason };
    let goes_on = failure.is_none() && status.rollout == RolloutOutcome::Progressing;
    let what = if goes_on { "cannot proceed for now" } else { "failed" };
    let mut error = CliError::new(format!("the rollout of app/{name} {what}: {reason}"));
    // The result is known without the details: those that cannot be fetched are left out.
    let pods = target.client.pods(Some(name.as_str())).await.unwrap_or_default();
    let failed = failure.map_or(status.revision, |failure| failure.revision);
    match failure {
        Some(Failure { pod: Some(pod), log, .. }) if !log.is_empty() => {
            error = with_output(error, pod, log);
        }
        Some(_) | None => {
            // Only the output of a pod that the reason names.
            let is_evidence = |pod: &&Pod| {
                pod.revision == failed && !pod.ready && reason.contains(&format!("{}:", pod.name))
            };
            if let Some(pod) = pods.iter().find(is_evidence) {
                error = with_output(error, &pod.name, &last_lines(target, pod).await);
            }
        }
    }
    let mut serving: BTreeMap<RevisionId, u32> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| pod.revision != failed && pod.ready) {
        *serving.entry(pod.revision).or_default() += 1;
    }
    for (revision, count) in &serving {
        let desired = status.desired;
        error =
            error.line(format!("still serving: revision {revision}, {count} of {desired} ready"));
    }
    error = match failure.and_then(|failure| failure.back_to) {
        Some(back) => error.line(format!("rolled back to revision {back}")).help(RETRY_HELP),
        None if failure.is_some() && !serving.is_empty() => error
            .help(format!("`dubernetes rollback {name}` abandons revision {failed}; {RETRY_HELP}")),
        None => error,
    };
    error.help(format!(
        "`dubernetes why {name}` explains the cause, `dubernetes describe {name}` shows the app"
    ))
}

fn with_output(mut error: CliError, pod: &PodName, lines: &[String]) -> CliError {
    if !lines.is_empty() {
        error = error.line(format!("last lines of {pod}:"));
    }
    for line in lines {
        error = error.line(format!("  | {line}"));
    }
    error
}

async fn last_lines(target: &Target, pod: &Pod) -> Vec<String> {
    let query = LogQuery { tail: Some(LAST_LINES), ..LogQuery::default() };
    let items = target.client.logs(&LogTarget::Pod(pod.name.clone()), &query);
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

/// Creates the error for an app that was not ready in time.
pub(super) fn not_ready_in_time(name: &AppName, last: Option<&App>, timeout: &str) -> CliError {
    let state = last.map(|app| {
        let status = &app.status;
        let reason = match status.message.as_str() {
            "" => String::new(),
            message => format!(": {message}"),
        };
        format!("{}, {}/{} ready{reason}", status.phase, status.ready, status.desired)
    });
    let state = state.unwrap_or_else(|| "not observed yet".to_owned());
    CliError::with_exit(TIMED_OUT, format!("app/{name} was not ready within {timeout}"))
        .line(format!("now: {state}"))
        .help(format!(
            "the app stays applied; `dubernetes why {name}` shows what it is waiting for"
        ))
}

/// Creates the error for an interrupt while apps were changing.
pub(super) fn interrupted<'a>(target: &Target, open: impl Iterator<Item = &'a Goal>) -> CliError {
    let goals: Vec<_> = open.collect();
    let names: Vec<_> = goals.iter().map(|goal| format!("app/{}", goal.app)).collect();
    let names = names.join(", ");
    let (stay, rollouts) =
        if goals.len() == 1 { ("stays", "rollout goes") } else { ("stay", "rollouts go") };
    let undo = goals.iter().map(|goal| match goal.revision {
        RevisionId::FIRST => format!("`dubernetes delete {}`", goal.app),
        _ => format!("`dubernetes rollback {}`", goal.app),
    });
    let undo = undo.collect::<Vec<_>>().join(", ");
    if target.is_in_process() {
        let what = format!("interrupted: {names} {stay} applied, but no orchestrator is running");
        CliError::with_exit(INTERRUPTED, what)
            .help(format!("continue with `dubernetes serve`, undo with {undo}"))
    } else {
        let what = format!("interrupted: {names} {stay} applied and the {rollouts} on");
        CliError::with_exit(INTERRUPTED, what)
            .help(format!("follow with `dubernetes get apps -w`, undo with {undo}"))
    }
}

/// Creates the error for an interrupt before something else was done.
pub(super) fn interrupted_before(target: &Target, what: &str) -> CliError {
    let error = CliError::with_exit(INTERRUPTED, format!("interrupted before {what}"));
    if target.is_in_process() {
        error.help("no orchestrator is running; continue with `dubernetes serve`")
    } else {
        error.help("the orchestrator continues with it")
    }
}

/// Creates the error for something else that was not done in time.
pub(super) fn timed_out(what: &str, timeout: &str, app: Option<&AppName>) -> CliError {
    let error = CliError::with_exit(TIMED_OUT, format!("timed out after {timeout} waiting {what}"));
    let Some(app) = app else { return error };
    error.help(format!("`dubernetes events {app}` shows what happened"))
}
