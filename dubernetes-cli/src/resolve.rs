//! From a name on the command line to the app or pod with that name.

use dubernetes_api::client::EventsQuery;
use dubernetes_api::wire::{App, Pod};
use dubernetes_api::{Client, ClientError};
use dubernetes_core::app::AppName;
use dubernetes_core::event::EventReason;

use crate::args::ObjectName;
use crate::report::{CliError, Result, USAGE};

/// An object that was found by name.
#[derive(Debug)]
pub(crate) enum Found {
    /// An app.
    App(Box<App>),
    /// A pod.
    Pod(Box<Pod>),
}

/// Finds an app or a pod. A name of both is refused, whatever the command.
pub(crate) async fn find(client: &Client, name: &ObjectName) -> Result<Found> {
    match find_any(client, name).await? {
        (Some(app), Some(pod)) => Err(ambiguous(&app, &pod)),
        (Some(app), None) => Ok(Found::App(Box::new(app))),
        (None, Some(pod)) => Ok(Found::Pod(Box::new(pod))),
        (None, None) => Err(not_found(client, name).await),
    }
}

/// Finds the app and the pod with a name.
pub(crate) async fn find_any(
    client: &Client,
    name: &ObjectName,
) -> Result<(Option<App>, Option<Pod>)> {
    let app = match name {
        ObjectName::App(name) | ObjectName::Either(name) => {
            none_if_missing(client.get_app(name).await)?
        }
        ObjectName::Pod(_) => None,
    };
    let pod = match name {
        ObjectName::Pod(name) | ObjectName::Either(name) => {
            none_if_missing(client.get_pod(name).await)?
        }
        ObjectName::App(_) => None,
    };
    Ok((app, pod))
}

/// Creates the error for a name of an app and of another app's pod.
pub(crate) fn ambiguous(app: &App, pod: &Pod) -> CliError {
    let name = &app.name;
    let what = format!("`{name}` is an app, and a pod of the app `{}`", pod.app);
    CliError::new(what).help(format!("use `app/{name}` or `pod/{name}`"))
}

/// Finds an app. Says so if the name is a pod's.
pub(crate) async fn find_app(client: &Client, name: &ObjectName) -> Result<App> {
    let app_only = ObjectName::App(name.name().to_owned());
    match find(client, if matches!(name, ObjectName::Pod(_)) { name } else { &app_only }).await? {
        Found::App(app) => Ok(*app),
        Found::Pod(pod) => Err(CliError::new(format!("`{}` is a pod, not an app", pod.name))
            .help(format!("its app is `{}`", pod.app))),
    }
}

/// Turns "not found" into `None`.
pub(crate) fn none_if_missing<T>(answer: Result<T, ClientError>) -> Result<Option<T>> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Creates the error for a name that nothing has; lists the names that exist.
pub(crate) async fn not_found(client: &Client, name: &ObjectName) -> CliError {
    let (what, kind) = match name {
        ObjectName::App(name) => (format!("app `{name}` not found"), "apps"),
        ObjectName::Pod(name) => (format!("pod `{name}` not found"), "pods"),
        ObjectName::Either(name) => (format!("no app or pod is named `{name}`"), "apps"),
    };
    let what = match last_refusal(client, name).await {
        Some(refusal) => format!("{what}: its last apply was refused: {refusal}"),
        None => what,
    };
    let existing = match name {
        ObjectName::App(_) | ObjectName::Either(_) => app_names(client).await,
        ObjectName::Pod(_) => pod_names(client).await,
    };
    match existing {
        Ok(names) if names.is_empty() => CliError::new(what).help(format!("there are no {kind}")),
        Ok(names) => CliError::new(what).help(format!("existing {kind}: {}", names.join(", "))),
        // The request that led here has failed in the same way, and was reported.
        Err(_) => CliError::new(what),
    }
}

/// Creates the error for names beside a selector.
pub(crate) fn names_with_selector() -> CliError {
    CliError::with_exit(USAGE, "names cannot be combined with a selector")
        .help("use either names or `--selector`")
}

/// Returns why the last apply of an app was refused, if no event has followed.
async fn last_refusal(client: &Client, name: &ObjectName) -> Option<String> {
    let (ObjectName::App(app) | ObjectName::Either(app)) = name else { return None };
    let app = Some(AppName::parse(app).ok()?);
    let query = EventsQuery { app, limit: Some(1), ..EventsQuery::default() };
    let last = client.events(&query).await.ok()?.pop()?;
    (last.reason == EventReason::Refused.as_str()).then_some(last.message)
}

async fn app_names(client: &Client) -> Result<Vec<String>, ClientError> {
    Ok(client.list_apps().await?.iter().map(|app| app.name.to_string()).collect())
}

async fn pod_names(client: &Client) -> Result<Vec<String>, ClientError> {
    Ok(client.pods(None).await?.into_iter().map(|pod| pod.name.into()).collect())
}
