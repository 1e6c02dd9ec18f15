//! The calls with one answer.

use dubernetes_core::app::{AppName, AppSpec, to_json_with_contents};
use dubernetes_core::event::EventKind;
use dubernetes_core::selector::Selector;
use jiff::Timestamp;
use reqwest::Method;
use reqwest::header::IF_MATCH;
use serde::Serialize;

use crate::client::{Client, ClientError};
use crate::path;
use crate::wire::{
    App, Applied, Event, Health, List, PlanReport, Pod, PodStats, Revision, RolloutWish, Route,
    Scale, Status, Version, Why,
};

/// Which events are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventsQuery {
    /// Only of this app.
    pub app: Option<AppName>,
    /// Only of this kind.
    pub kind: Option<EventKind>,
    /// Only what happened then or later.
    pub since: Option<Timestamp>,
    /// Only with an id above this.
    pub after: Option<u64>,
    /// At most so many, the newest; the orchestrator's default unless given.
    pub limit: Option<u32>,
}

impl EventsQuery {
    pub(super) fn pairs(&self) -> Vec<(&'static str, String)> {
        let app = self.app.as_ref().map(|app| ("app", app.to_string()));
        let after = self.after.map(|after| ("after", after.to_string()));
        let limit = self.limit.map(|limit| ("limit", limit.to_string()));
        let kind = self.kind.map(|kind| ("type", kind.as_str().to_owned()));
        let since = self.since.map(|since| ("since", since.to_string()));
        [app, kind, since, after, limit].into_iter().flatten().collect()
    }
}

#[expect(
    clippy::missing_errors_doc,
    reason = "every call fails alike: see ClientError and the endpoint's problems in the OpenAPI document"
)]
impl Client {
    /// Who answers.
    pub async fn version(&self) -> Result<Version, ClientError> {
        self.get(path::VERSION, &[]).await
    }

    /// Whether the orchestrator and all that it needs answer.
    pub async fn health(&self) -> Result<Health, ClientError> {
        self.get(path::READYZ, &[]).await
    }

    /// How the orchestrator is.
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.get(path::STATUS, &[]).await
    }

    /// The apps, in the order of their names.
    pub async fn list_apps(&self) -> Result<Vec<App>, ClientError> {
        self.list(path::APPS, &[]).await
    }

    /// The apps with these labels, in the order of their names.
    pub async fn select_apps(&self, selector: &Selector) -> Result<Vec<App>, ClientError> {
        self.list(path::APPS, &[("selector", selector.to_string())]).await
    }

    /// One app.
    pub async fn get_app(&self, name: &str) -> Result<App, ClientError> {
        self.get(&path::named(path::APP, name), &[]).await
    }

    /// Stores an app as it is wanted, with the contents of its files; with `expected`, only if that is its present generation
    /// (0: only if it does not exist).
    pub async fn apply(
        &self,
        spec: &AppSpec,
        expected: Option<u64>,
    ) -> Result<Applied, ClientError> {
        let mut request = self.call(Method::PUT, &path::named(path::APP, spec.name.as_str()));
        if let Some(generation) = expected {
            request = request.header(IF_MATCH, format!("\"{generation}\""));
        }
        let body =
            to_json_with_contents(spec).map_err(|_| ClientError::protocol("the app is no JSON"))?;
        self.json(request.json(&body)).await
    }

    /// Stores an app as it is wanted, even if a revision with just this content has failed.
    pub async fn apply_again(&self, spec: &AppSpec) -> Result<Applied, ClientError> {
        let request = self.call(Method::PUT, &path::named(path::APP, spec.name.as_str()));
        let body =
            to_json_with_contents(spec).map_err(|_| ClientError::protocol("the app is no JSON"))?;
        self.json(request.query(&[("retry", "true")]).json(&body)).await
    }

    /// Deletes an app. It answers once the wish is stored; the replicas go after that.
    pub async fn delete_app(&self, name: &str) -> Result<(), ClientError> {
        self.send(self.call(Method::DELETE, &path::named(path::APP, name))).await.map(drop)
    }

    /// Sets the number of an app's replicas.
    pub async fn scale(&self, name: &str, replicas: u16) -> Result<Applied, ClientError> {
        let request = self.call(Method::POST, &path::named(path::APP_SCALE, name));
        self.json(request.json(&Scale { replicas })).await
    }

    /// Goes back, restarts, pauses or resumes the rollout of an app.
    pub async fn rollout(&self, name: &str, wish: RolloutWish) -> Result<Applied, ClientError> {
        let request = self.call(Method::POST, &path::named(path::APP_ROLLOUT, name));
        self.json(request.json(&wish)).await
    }

    /// The pods of all apps or of one, in the order of their names.
    pub async fn pods(&self, app: Option<&str>) -> Result<Vec<Pod>, ClientError> {
        self.list(path::PODS, &app_pair(app)).await
    }

    /// The pods of the apps with these labels, in the order of their names.
    pub async fn select_pods(&self, selector: &Selector) -> Result<Vec<Pod>, ClientError> {
        self.list(path::PODS, &[("selector", selector.to_string())]).await
    }

    /// What the pods of all apps use, or those of the apps with these labels. It takes half a
    /// second.
    pub async fn stats(&self, selector: Option<&Selector>) -> Result<Vec<PodStats>, ClientError> {
        let selector = selector.map(|selector| ("selector", selector.to_string()));
        self.list(path::STATS, &Vec::from_iter(selector)).await
    }

    /// One pod.
    pub async fn get_pod(&self, name: &str) -> Result<Pod, ClientError> {
        self.get(&path::named(path::POD, name), &[]).await
    }

    /// Has a pod replaced by another one.
    pub async fn delete_pod(&self, name: &str) -> Result<(), ClientError> {
        self.send(self.call(Method::DELETE, &path::named(path::POD, name))).await.map(drop)
    }

    /// Why an app is as it is.
    pub async fn why_app(&self, name: &str) -> Result<Why, ClientError> {
        self.get(&path::named(path::APP_WHY, name), &[]).await
    }

    /// Why a pod is as it is.
    pub async fn why_pod(&self, name: &str) -> Result<Why, ClientError> {
        self.get(&path::named(path::POD_WHY, name), &[]).await
    }

    /// The revisions of an app that are kept, oldest first.
    pub async fn revisions(&self, app: &str) -> Result<Vec<Revision>, ClientError> {
        self.list(&path::named(path::APP_REVISIONS, app), &[]).await
    }

    /// Events, oldest first.
    pub async fn events(&self, query: &EventsQuery) -> Result<Vec<Event>, ClientError> {
        self.list(path::EVENTS, &query.pairs()).await
    }

    /// What would happen if these specifications were applied. Nothing is changed, and of the
    /// contents of files only the hashes are sent.
    pub async fn plan(&self, specs: &[AppSpec]) -> Result<PlanReport, ClientError> {
        #[derive(Serialize)]
        struct Body<'a> {
            apps: &'a [AppSpec],
        }
        self.json(self.call(Method::POST, path::PLAN).json(&Body { apps: specs })).await
    }

    /// The routes, in the order of host and path.
    pub async fn routes(&self) -> Result<Vec<Route>, ClientError> {
        self.list(path::ROUTES, &[]).await
    }

    /// Removes everything that the instance owns, and answers once it is gone. Named volumes stay.
    pub async fn down(&self) -> Result<(), ClientError> {
        // Every replica may use up its whole grace: no limit of our own.
        self.send(self.request(Method::POST, path::DOWN)).await.map(drop)
    }

    async fn list<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<Vec<T>, ClientError> {
        self.get::<List<T>>(path, query).await.map(|list| list.items)
    }
}

pub(super) fn app_pair(app: Option<&str>) -> Vec<(&'static str, String)> {
    app.map(|app| ("app", app.to_owned())).into_iter().collect()
}
