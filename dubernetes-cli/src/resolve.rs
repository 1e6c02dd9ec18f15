//! From a name on the command line to the app or pod that it means.

use dubernetes_api::client::EventsQuery;
use dubernetes_api::wire::{App, Pod};
use dubernetes_api::{Client, ClientError};
use dubernetes_core::app::AppName;
use dubernetes_core::event::REFUSED;

use crate::args::ObjectName;
use crate::report::{CliError, Result};

/// What a name means.
#[derive(Debug)]
pub(crate) enum Found {
    /// An app.
    App(Box<App>),
    /// A pod.
    Pod(Box<Pod>),
}

/// An app, else a pod.
pub(crate) async fn find(client: &Client, name: &ObjectName) -> Result<Found> {
    let app = match name {
        ObjectName::App(name) | ObjectName::Either(name) => existing(client.get_app(name).await)?,
        ObjectName::Pod(_) => None,
    };
    if let Some(app) = app {
        return Ok(Found::App(Box::new(app)));
    }
    let pod = match name {
        ObjectName::Pod(name) | ObjectName::Either(name) => existing(client.get_pod(name).await)?,
        ObjectName::App(_) => None,
    };
    match pod {
        Some(pod) => Ok(Found::Pod(Box::new(pod))),
        None => Err(missing(client, name).await),
    }
}

/// An app.
pub(crate) async fn find_app(client: &Client, name: &ObjectName) -> Result<App> {
    let only_app = ObjectName::App(name.name().to_owned());
    match find(client, if matches!(name, ObjectName::Pod(_)) { name } else { &only_app }).await? {
        Found::App(app) => Ok(*app),
        Found::Pod(pod) => Err(CliError::new(format!("`{}` is a pod, not an app", pod.name))
            .help(format!("its app is `{}`", pod.app))),
    }
}

/// `None` if it does not exist.
pub(crate) fn existing<T>(answer: Result<T, ClientError>) -> Result<Option<T>> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// That a name means nothing, and what there is.
pub(crate) async fn missing(client: &Client, name: &ObjectName) -> CliError {
    let (what, there_are) = match name {
        ObjectName::App(name) => (format!("app `{name}` not found"), apps(client).await),
        ObjectName::Pod(name) => (format!("pod `{name}` not found"), pods(client).await),
        ObjectName::Either(name) => {
            (format!("no app and no pod is named `{name}`"), apps(client).await)
        }
    };
    let what = match refusal(client, name).await {
        Some(refused) => format!("{what}: its apply was refused: {refused}"),
        None => what,
    };
    // Whoever cannot list what there is has said so in the first place.
    let help = match there_are {
        Ok(names) if names.is_empty() => "there are none".to_owned(),
        Ok(names) => format!("there are: {}", names.join(", ")),
        Err(_) => return CliError::new(what),
    };
    CliError::new(what).help(help)
}

/// Why the last apply of an app was refused, if nothing else has happened to it since.
async fn refusal(client: &Client, name: &ObjectName) -> Option<String> {
    let (ObjectName::App(app) | ObjectName::Either(app)) = name else { return None };
    let app = Some(AppName::parse(app).ok()?);
    let query = EventsQuery { app, limit: Some(1), ..EventsQuery::default() };
    let last = client.events(&query).await.ok()?.pop()?;
    (last.reason == REFUSED).then_some(last.message)
}

async fn apps(client: &Client) -> Result<Vec<String>, ClientError> {
    Ok(client.list_apps().await?.iter().map(|app| app.name.to_string()).collect())
}

async fn pods(client: &Client) -> Result<Vec<String>, ClientError> {
    Ok(client.pods(None).await?.into_iter().map(|pod| pod.name).collect())
}
