//! How waiting ends, in words.

use std::collections::BTreeMap;
use std::time::Duration;

use dubernetes_api::client::{LogQuery, LogTarget};
use dubernetes_api::wire::{App, LogItem, Pod};
use dubernetes_core::app::AppName;
use futures_util::StreamExt as _;

use crate::output::span;
use crate::report::{Failure, INTERRUPTED, TIMED_OUT};
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

/// Why an app does not get there, with the last output of a pod that shows it.
pub(super) async fn failed(target: &Target, app: &App) -> Failure {
    let (name, status) = (&app.name, &app.status);
    let reason = if status.message.is_empty() { "no reason is known" } else { &status.message };
    let mut failure = Failure::new(format!("the rollout of app/{name} failed: {reason}"));
    // The verdict stands without the details: whatever cannot be had is left out.
    let pods = target.client.pods(Some(name.as_str())).await.unwrap_or_default();
    let broken = pods.iter().find(|pod| pod.revision == status.revision && !pod.ready);
    if let Some(pod) = broken {
        if !pod.message.is_empty() {
            failure = failure.line(format!("why: {}: {}", pod.name, pod.message));
        }
        let lines = last_lines(target, pod).await;
        if !lines.is_empty() {
            failure = failure.line(format!("last lines of {}:", pod.name));
        }
        for line in lines {
            failure = failure.line(format!("  | {line}"));
        }
    }
    let old = pods.iter().filter(|pod| pod.revision != status.revision && pod.ready);
    let revisions: BTreeMap<u64, u32> = old.fold(BTreeMap::new(), |mut counts, pod| {
        *counts.entry(pod.revision).or_default() += 1;
        counts
    });
    for (revision, count) in revisions {
        failure = failure.line(format!("still serving: revision {revision}, {count} ready"));
    }
    failure.help(format!(
        "`dubernetes why {name}` shows the whole chain, `dubernetes describe {name}` the whole app"
    ))
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
pub(super) fn timed_out(name: &AppName, last: Option<&App>, timeout: &str) -> Failure {
    let state = last.map(|app| {
        let status = &app.status;
        let reason = match status.message.as_str() {
            "" => String::new(),
            message => format!(": {message}"),
        };
        format!("{}, {}/{} ready{reason}", status.phase, status.ready, status.desired)
    });
    let state = state.unwrap_or_else(|| "nobody has looked at it yet".to_owned());
    Failure::with_exit(TIMED_OUT, format!("app/{name} was not ready within {timeout}"))
        .line(format!("now: {state}"))
        .help(format!("it stays applied; `dubernetes why {name}` shows what it waits for"))
}

/// That the user went away while apps were on their way.
pub(super) fn interrupted<'a>(target: &Target, open: impl Iterator<Item = &'a AppName>) -> Failure {
    let names: Vec<_> = open.map(|name| format!("app/{name}")).collect();
    let names = names.join(", ");
    let failure = Failure::with_exit(INTERRUPTED, format!("interrupted; {names}: stays applied"));
    if target.is_in_process() {
        failure
            .line("no orchestrator is running, so nothing goes on from now on")
            .help("`dubernetes serve` goes on with it, `dubernetes delete` takes it back")
    } else {
        failure.help("`dubernetes get apps -w` follows it, `dubernetes delete` takes it back")
    }
}

/// That the user went away while something else was waited for.
pub(super) fn interrupted_waiting(target: &Target, what: &str) -> Failure {
    let failure = Failure::with_exit(INTERRUPTED, format!("interrupted before {what}"));
    if target.is_in_process() {
        failure.help("no orchestrator is running; `dubernetes serve` goes on with it")
    } else {
        failure.help("the orchestrator goes on with it")
    }
}

/// That something else took too long.
pub(super) fn too_long(what: &str, timeout: &str, app: Option<&AppName>) -> Failure {
    let failure =
        Failure::with_exit(TIMED_OUT, format!("timed out after {timeout} waiting {what}"));
    let Some(app) = app else { return failure };
    failure.help(format!("`dubernetes events {app}` says what it waits for"))
}
