//! `delete`: deletes apps or replaces pods, and waits until they are gone.

use std::collections::BTreeMap;

use dubernetes_api::Client;
use dubernetes_api::wire::Pod;
use dubernetes_core::app::AppName;
use dubernetes_core::plan::Phase;
use dubernetes_core::selector::Selector;
use jiff::Timestamp;

use crate::args::{DeleteArgs, ObjectName};
use crate::follow::Follower;
use crate::output;
use crate::report::{self, CliError, FAILED, Result, USAGE};
use crate::resolve::{Found, find, names_with_selector, none_if_missing, not_found};
use crate::settings::Settings;
use crate::sources::read_apps_without_contents;
use crate::target::Target;

pub(super) async fn run(args: &DeleteArgs, settings: &Settings) -> Result {
    let (mut delete_targets, selected) = match &args.selector.selector {
        None => (parse_targets(&args.names)?, None),
        Some(selector) => (Vec::new(), Some((parse_selected_kind(args)?, selector))),
    };
    if !args.filename.is_empty() {
        let apps = read_apps_without_contents(&args.filename)?;
        let names = apps.into_iter().map(|app| ObjectName::App(app.spec.name.to_string()));
        delete_targets.extend(names);
    }
    Target::with_wait(settings, &args.wait, async |target: &Target| {
        let mut follower = Follower::new(target, &args.wait).await?;
        let mut delete_targets = delete_targets;
        if let Some((kind, selector)) = selected {
            delete_targets.extend(select(&target.client, kind, selector).await?);
        }
        let mut deleted_apps = BTreeMap::new();
        let mut failed = false;
        for delete_target in &delete_targets {
            match delete(args, delete_target, target, &mut follower).await {
                Ok(app) => deleted_apps.extend(app),
                // The others do not depend on it.
                Err(error) if error.exit_code() == FAILED => {
                    error.report();
                    failed = true;
                }
                Err(error) => return Err(error),
            }
        }
        if !args.wait.detach {
            follower.until_deleted(deleted_apps).await?;
        }
        if failed { Err(CliError::already_reported(FAILED)) } else { Ok(()) }
    })
    .await
}

/// Kind of object that a selector selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SelectedKind {
    Apps,
    Pods,
}

/// Parses the words beside a selector: an optional kind, and no names.
fn parse_selected_kind(args: &DeleteArgs) -> Result<SelectedKind> {
    match args.names.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] | ["app" | "apps"] => Ok(SelectedKind::Apps),
        ["pod" | "pods" | "po"] => Ok(SelectedKind::Pods),
        _ => Err(names_with_selector()),
    }
}

async fn select(
    client: &Client,
    kind: SelectedKind,
    selector: &Selector,
) -> Result<Vec<ObjectName>> {
    let selected: Vec<_> = match kind {
        SelectedKind::Apps => {
            let apps = client.select_apps(selector).await?.into_iter();
            apps.map(|app| ObjectName::App(app.name.to_string())).collect()
        }
        SelectedKind::Pods => {
            let pods = client.select_pods(selector).await?.into_iter();
            pods.map(|pod| ObjectName::Pod(pod.name.into())).collect()
        }
    };
    if selected.is_empty() {
        report::print_line(match kind {
            SelectedKind::Apps => "No apps found.",
            SelectedKind::Pods => "No pods found.",
        });
    }
    Ok(selected)
}

/// Parses `NAME…`, `pods NAME…` or `apps NAME…`.
fn parse_targets(words: &[String]) -> Result<Vec<ObjectName>> {
    let (kind, names): (Option<&str>, _) = match words {
        [kind, names @ ..] => match kind.as_str() {
            "pod" | "pods" | "po" => (Some("pods"), names),
            "app" | "apps" => (Some("apps"), names),
            _ => (None, words),
        },
        [] => (None, words),
    };
    if let (Some(kind), []) = (kind, names) {
        return Err(CliError::with_exit(USAGE, format!("expected names of {kind}"))
            .help(format!("`dubernetes get {kind}` lists them")));
    }
    let usage = |text: String| CliError::with_exit(USAGE, text);
    names
        .iter()
        .map(|name| match (kind, ObjectName::parse(name).map_err(usage)?) {
            (Some("pods"), ObjectName::Either(name)) => Ok(ObjectName::Pod(name)),
            (Some(_), ObjectName::Either(name)) => Ok(ObjectName::App(name)),
            (_, name) => Ok(name),
        })
        .collect()
}

/// Deletes an object. For an app, returns its name and the time, to wait for its end.
async fn delete(
    args: &DeleteArgs,
    delete_target: &ObjectName,
    target: &Target,
    follower: &mut Follower<'_>,
) -> Result<Option<(AppName, Timestamp)>> {
    let client = &target.client;
    let found = match delete_target {
        ObjectName::App(_) | ObjectName::Either(_) => find(client, delete_target).await?,
        // Or else all pods of the app of that name, with the app.
        ObjectName::Pod(name) => match none_if_missing(client.get_pod(name).await)? {
            Some(pod) => Found::Pod(Box::new(pod)),
            None => match none_if_missing(client.get_app(name).await)? {
                Some(app) => {
                    report::note(&format!("`{name}` is an app: deleting it with all its pods"));
                    Found::App(Box::new(app))
                }
                None => return Err(not_found(client, delete_target).await),
            },
        },
    };
    match found {
        Found::App(app) => {
            client.delete_app(app.name.as_str()).await?;
            output::print(&format!("app/{} deleting\n", app.name))?;
            Ok(Some((app.name, Timestamp::now())))
        }
        Found::Pod(pod) => replace_pod(args, &pod, target, follower).await.map(|()| None),
    }
}

async fn replace_pod(
    args: &DeleteArgs,
    pod: &Pod,
    target: &Target,
    follower: &mut Follower<'_>,
) -> Result {
    target.client.delete_pod(pod.name.as_str()).await?;
    output::print(&format!("pod/{} deleting\n", pod.name))?;
    report::note(&format!(
        "app `{0}` replaces the pod; `dubernetes delete {0}` deletes the app",
        pod.app
    ));
    if args.wait.detach {
        return Ok(());
    }
    let what = format!("pod/{} is replaced", pod.name);
    let is_done = async |target: &Target| is_replaced(target, pod).await;
    follower.until_done(&pod.app, &what, is_done).await
}

/// Returns whether the pod's container is gone and its app is ready again.
async fn is_replaced(target: &Target, pod: &Pod) -> Result<bool> {
    let pods = target.client.pods(Some(pod.app.as_str())).await?;
    if pods.iter().any(|other| other.container_id == pod.container_id) {
        return Ok(false);
    }
    match target.client.get_app(pod.app.as_str()).await {
        Ok(app) if app.status.phase == Phase::Failed => {
            let what = format!("app/{} is not making progress: {}", app.name, app.status.message);
            Err(CliError::new(what))
        }
        Ok(app) => Ok(app.status.phase == Phase::Ready),
        Err(error) if error.is_not_found() => Ok(true),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(words: &[&str], expected: &[ObjectName]) {
        let words: Vec<_> = words.iter().map(ToString::to_string).collect();
        assert_eq!(parse_targets(&words).unwrap(), expected);
    }

    #[test]
    fn first_word_can_be_a_kind() {
        check(&["web"], &[ObjectName::Either("web".into())]);
        check(
            &["pods", "web-1", "app/x"],
            &[ObjectName::Pod("web-1".into()), ObjectName::App("x".into())],
        );
        check(&["app", "pods"], &[ObjectName::App("pods".into())]);
        check(&["app/pods"], &[ObjectName::App("pods".into())]);
        assert_eq!(parse_targets(&["pods".into()]).unwrap_err().exit_code(), USAGE);
        assert_eq!(parse_targets(&[String::new()]).unwrap_err().exit_code(), USAGE);
    }
}
