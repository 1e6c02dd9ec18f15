//! `delete`: takes apps away, or has pods replaced, and waits until they are gone.

use std::collections::BTreeMap;

use dubernetes_api::Client;
use dubernetes_api::wire::Pod;
use dubernetes_core::app::AppName;
use dubernetes_core::plan::Phase;
use dubernetes_core::selector::Selector;
use jiff::Timestamp;

use crate::args::{DeleteArgs, Named};
use crate::follow::Follower;
use crate::output;
use crate::report::{self, FAILED, Failure, Outcome, USAGE};
use crate::resolve::{Found, existing, find, missing};
use crate::settings::Settings;
use crate::sources::read_apps_alone;
use crate::target::Target;

pub(super) async fn run(args: &DeleteArgs, settings: &Settings) -> Outcome {
    let (mut victims, selected) = match &args.selector.selector {
        None => (victims(&args.names)?, None),
        Some(selector) => (Vec::new(), Some((selected_kind(args)?, selector))),
    };
    if !args.filename.is_empty() {
        let apps = read_apps_alone(&args.filename)?;
        victims.extend(apps.into_iter().map(|app| Victim::App(app.spec.name.to_string())));
    }
    Target::with_wait(settings, &args.wait, async |target: &Target| {
        let mut follower = Follower::new(target, &args.wait).await?;
        let mut victims = victims;
        if let Some((kind, selector)) = selected {
            victims.extend(select(&target.client, kind, selector).await?);
        }
        let mut going = BTreeMap::new();
        let mut failed = false;
        for victim in &victims {
            match delete(args, victim, target, &mut follower).await {
                Ok(app) => going.extend(app),
                // The others do not depend on it.
                Err(failure) if failure.exit() == FAILED => {
                    failure.report();
                    failed = true;
                }
                Err(failure) => return Err(failure),
            }
        }
        if !args.wait.detach {
            follower.until_gone(going).await?;
        }
        if failed { Err(Failure::told(FAILED)) } else { Ok(()) }
    })
    .await
}

/// What is to go.
#[derive(Debug, PartialEq, Eq)]
enum Victim {
    /// An app.
    App(String),
    /// A pod; else the app of that name, with all its pods.
    Pod(String),
    /// An app; else a pod of that name.
    Either(String),
}

/// What a selector selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Selected {
    Apps,
    Pods,
}

/// With a selector there may stand a kind, and no name.
fn selected_kind(args: &DeleteArgs) -> Outcome<Selected> {
    match args.names.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] | ["app" | "apps"] => Ok(Selected::Apps),
        ["pod" | "pods" | "po"] => Ok(Selected::Pods),
        _ => Err(Failure::with_exit(USAGE, "names and a selector exclude each other")
            .help("leave out one of the two")),
    }
}

async fn select(client: &Client, kind: Selected, selector: &Selector) -> Outcome<Vec<Victim>> {
    let victims: Vec<_> = match kind {
        Selected::Apps => {
            let apps = client.select_apps(selector).await?.into_iter();
            apps.map(|app| Victim::App(app.name.to_string())).collect()
        }
        Selected::Pods => {
            let pods = client.select_pods(selector).await?.into_iter();
            pods.map(|pod| Victim::Pod(pod.name)).collect()
        }
    };
    if victims.is_empty() {
        report::say(match kind {
            Selected::Apps => "No apps found.",
            Selected::Pods => "No pods found.",
        });
    }
    Ok(victims)
}

/// `NAME…`, `pods NAME…` or `apps NAME…`.
fn victims(words: &[String]) -> Outcome<Vec<Victim>> {
    let (kind, names): (Option<&str>, _) = match words {
        [kind, names @ ..] => match kind.as_str() {
            "pod" | "pods" | "po" => (Some("pods"), names),
            "app" | "apps" => (Some("apps"), names),
            _ => (None, words),
        },
        [] => (None, words),
    };
    if let (Some(kind), []) = (kind, names) {
        return Err(Failure::with_exit(USAGE, format!("the names of the {kind} are missing"))
            .help(format!("`dubernetes get {kind}` lists them")));
    }
    let usage = |text: String| Failure::with_exit(USAGE, text);
    names
        .iter()
        .map(|name| match (kind, Named::parse(name).map_err(usage)?) {
            (Some("pods"), Named::Either(name)) | (_, Named::Pod(name)) => Ok(Victim::Pod(name)),
            (Some(_), Named::Either(name)) | (_, Named::App(name)) => Ok(Victim::App(name)),
            (None, Named::Either(name)) => Ok(Victim::Either(name)),
        })
        .collect()
}

/// Deletes, and gives the app whose end is to be waited for, with the time.
async fn delete(
    args: &DeleteArgs,
    victim: &Victim,
    target: &Target,
    follower: &mut Follower<'_>,
) -> Outcome<Option<(AppName, Timestamp)>> {
    let client = &target.client;
    let found = match victim {
        Victim::App(name) => find(client, &Named::App(name.clone())).await?,
        Victim::Either(name) => find(client, &Named::Either(name.clone())).await?,
        Victim::Pod(name) => match existing(client.get_pod(name).await)? {
            Some(pod) => Found::Pod(Box::new(pod)),
            None => match existing(client.get_app(name).await)? {
                Some(app) => {
                    report::note(&format!("`{name}` is an app: all its pods go with it"));
                    Found::App(Box::new(app))
                }
                None => return Err(missing(client, &Named::Pod(name.clone())).await),
            },
        },
    };
    match found {
        Found::App(app) => {
            client.delete_app(app.name.as_str()).await?;
            output::print(&format!("app/{} deleted\n", app.name))?;
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
) -> Outcome {
    target.client.delete_pod(&pod.name).await?;
    output::print(&format!("pod/{} deleted\n", pod.name))?;
    report::note(&format!(
        "app `{0}` gets a new pod in its place; `dubernetes delete {0}` deletes the app",
        pod.app
    ));
    if args.wait.detach {
        return Ok(());
    }
    let what = format!("pod/{} is replaced", pod.name);
    follower.until(&pod.app, &what, async |target: &Target| is_replaced(target, pod).await).await
}

/// Whether the pod's container is gone and its app complete again.
async fn is_replaced(target: &Target, pod: &Pod) -> Outcome<bool> {
    let pods = target.client.pods(Some(pod.app.as_str())).await?;
    if pods.iter().any(|other| other.container_id == pod.container_id) {
        return Ok(false);
    }
    match target.client.get_app(pod.app.as_str()).await {
        Ok(app) if app.status.phase == Phase::Failed => {
            Err(Failure::new(format!("app/{} does not get on: {}", app.name, app.status.message)))
        }
        Ok(app) => Ok(app.status.phase == Phase::Ready),
        Err(error) if error.is_not_found() => Ok(true),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(words: &[&str], expected: &[Victim]) {
        let words: Vec<_> = words.iter().map(ToString::to_string).collect();
        assert_eq!(victims(&words).unwrap(), expected);
    }

    #[test]
    fn the_first_word_may_be_a_kind() {
        check(&["web"], &[Victim::Either("web".into())]);
        check(&["pods", "web-1", "app/x"], &[Victim::Pod("web-1".into()), Victim::App("x".into())]);
        check(&["app", "pods"], &[Victim::App("pods".into())]);
        check(&["app/pods"], &[Victim::App("pods".into())]);
        assert_eq!(victims(&["pods".into()]).unwrap_err().exit(), USAGE);
        assert_eq!(victims(&[String::new()]).unwrap_err().exit(), USAGE);
    }
}
