//! Calls with a single response.

use std::io;

use bytes::Bytes;
use dubernetes_core::app::{
    AppName, AppSpec, Generation, PullPolicy, Secret, to_json_with_contents,
};
use dubernetes_core::event::EventKind;
use dubernetes_core::selector::Selector;
use futures_util::Stream;
use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, IF_MATCH};
use reqwest::{Method, RequestBuilder};
use serde::Serialize;

use crate::client::{Client, ClientError};
use crate::path;
use crate::wire::{
    self, App, AppPlan, Applied, Decision, Event, Health, History, ImageLayers, KeyRotation, List,
    PlanReport, Pod, PodStats, Revision, RolloutRequest, Route, Scale, SecretSet, Status, Version,
    Why,
};

/// Selects events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventsQuery {
    /// Only events of this app.
    pub app: Option<AppName>,
    /// Only events of this kind.
    pub kind: Option<EventKind>,
    /// Only events at or after this time.
    pub since: Option<Timestamp>,
    /// Only events with a higher id.
    pub after: Option<u64>,
    /// At most this many, the newest; by default the orchestrator's limit.
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
    reason = "all calls fail alike: see ClientError, and the OpenAPI document for problems"
)]
impl Client {
    /// Returns the versions of the orchestrator, its API and its engine.
    pub async fn version(&self) -> Result<Version, ClientError> {
        self.get(path::VERSION, &[]).await
    }

    /// Checks whether the orchestrator and everything it depends on are ready.
    pub async fn health(&self) -> Result<Health, ClientError> {
        self.get(path::READYZ, &[]).await
    }

    /// Returns the state of the orchestrator, its engine and its ingress.
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.get(path::STATUS, &[]).await
    }

    /// Lists the apps, ordered by name.
    pub async fn list_apps(&self) -> Result<Vec<App>, ClientError> {
        self.list(path::APPS, &[]).await
    }

    /// Lists the apps whose labels match, ordered by name.
    pub async fn select_apps(&self, selector: &Selector) -> Result<Vec<App>, ClientError> {
        self.list(path::APPS, &[("selector", selector.to_string())]).await
    }

    /// Returns one app.
    pub async fn get_app(&self, name: &str) -> Result<App, ClientError> {
        self.get(&path::named(path::APP, name), &[]).await
    }

    /// Stores an app with the contents of its files. With `expected`, only if that is the app's
    /// stored generation (0: only if the app does not exist).
    pub async fn apply(
        &self,
        spec: &AppSpec,
        expected: Option<Generation>,
    ) -> Result<Applied, ClientError> {
        let mut request = self.put(spec)?;
        if let Some(generation) = expected {
            request = request.header(IF_MATCH, format!("\"{generation}\""));
        }
        self.json(request).await
    }

    /// Stores an app even if a revision with this spec has already failed.
    pub async fn apply_again(&self, spec: &AppSpec) -> Result<Applied, ClientError> {
        self.json(self.put(spec)?.query(&[("retry", "true")])).await
    }

    /// Starts an apply. With `pull: always` it may pull an image: the server ends a pull without
    /// progress.
    fn put(&self, spec: &AppSpec) -> Result<RequestBuilder, ClientError> {
        let path = path::named(path::APP, spec.name.as_str());
        let request = match spec.pull {
            PullPolicy::Always => self.request(Method::PUT, &path),
            PullPolicy::Missing | PullPolicy::Never => self.call(Method::PUT, &path),
        };
        let body = to_json_with_contents(spec)
            .map_err(|_| ClientError::protocol("the app cannot be serialized"))?;
        Ok(request.json(&body))
    }

    /// Deletes an app. Returns once the request is stored; the replicas are terminated after that.
    pub async fn delete_app(&self, name: &str) -> Result<(), ClientError> {
        self.send(self.call(Method::DELETE, &path::named(path::APP, name))).await.map(drop)
    }

    /// Sets the number of replicas of an app.
    pub async fn scale(&self, name: &str, replicas: u16) -> Result<Applied, ClientError> {
        let request = self.call(Method::POST, &path::named(path::APP_SCALE, name));
        self.json(request.json(&Scale { replicas })).await
    }

    /// Undoes, restarts, pauses or resumes the rollout of an app.
    pub async fn rollout(
        &self,
        name: &str,
        rollout: RolloutRequest,
    ) -> Result<Applied, ClientError> {
        let request = self.call(Method::POST, &path::named(path::APP_ROLLOUT, name));
        self.json(request.json(&rollout)).await
    }

    /// Returns what happens to an app from now on, if everything succeeds.
    pub async fn forecast(&self, name: &str) -> Result<AppPlan, ClientError> {
        self.get(&path::named(path::APP_FORECAST, name), &[]).await
    }

    /// Returns the effect of a change of an app's rollout, without carrying it out.
    pub async fn plan_rollout(
        &self,
        name: &str,
        rollout: RolloutRequest,
    ) -> Result<AppPlan, ClientError> {
        let request = self.call(Method::POST, &path::named(path::APP_ROLLOUT_PLAN, name));
        self.json(request.json(&rollout)).await
    }

    /// Lists the secrets without their values, ordered by name.
    pub async fn secrets(&self) -> Result<Vec<wire::Secret>, ClientError> {
        self.list(path::SECRETS, &[]).await
    }

    /// Creates a secret or changes its value.
    pub async fn set_secret(&self, name: &str, value: &Secret) -> Result<SecretSet, ClientError> {
        let request = self.call(Method::PUT, &path::named(path::SECRET, name));
        let request = request.header(CONTENT_TYPE, "application/octet-stream");
        self.json(request.body(value.reveal().to_vec())).await
    }

    /// Lists the images of the engine with their layers, which an archive need not have. Empty if
    /// the engine needs every layer.
    pub async fn images(&self) -> Result<Vec<ImageLayers>, ClientError> {
        self.list(path::IMAGES, &[]).await
    }

    /// Loads the images of an archive, as `docker save` writes it. Returns once they are on the
    /// engine, without a deadline.
    pub async fn load_images(
        &self,
        archive: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    ) -> Result<(), ClientError> {
        let request = self.request(Method::POST, path::IMAGES);
        let request = request.header(CONTENT_TYPE, "application/x-tar");
        self.send(request.body(reqwest::Body::wrap_stream(archive))).await.map(drop)
    }

    /// Deletes a secret that no app uses.
    pub async fn delete_secret(&self, name: &str) -> Result<(), ClientError> {
        self.send(self.call(Method::DELETE, &path::named(path::SECRET, name))).await.map(drop)
    }

    /// Encrypts all secrets and contents of files with a new key.
    pub async fn rotate_secret_key(&self) -> Result<KeyRotation, ClientError> {
        self.json(self.call(Method::POST, path::SECRET_KEY_ROTATION)).await
    }

    /// Lists the pods of all apps or of one, ordered by name.
    pub async fn pods(&self, app: Option<&str>) -> Result<Vec<Pod>, ClientError> {
        self.list(path::PODS, &app_pair(app)).await
    }

    /// Lists the pods of the apps whose labels match, ordered by name.
    pub async fn select_pods(&self, selector: &Selector) -> Result<Vec<Pod>, ClientError> {
        self.list(path::PODS, &[("selector", selector.to_string())]).await
    }

    /// Returns the resource usage of all pods, or of the pods of the apps whose labels match. Takes
    /// half a second.
    pub async fn stats(&self, selector: Option<&Selector>) -> Result<Vec<PodStats>, ClientError> {
        let selector = selector.map(|selector| ("selector", selector.to_string()));
        self.list(path::STATS, &Vec::from_iter(selector)).await
    }

    /// Returns one pod.
    pub async fn get_pod(&self, name: &str) -> Result<Pod, ClientError> {
        self.get(&path::named(path::POD, name), &[]).await
    }

    /// Deletes a pod; a new one replaces it.
    pub async fn delete_pod(&self, name: &str) -> Result<(), ClientError> {
        self.send(self.call(Method::DELETE, &path::named(path::POD, name))).await.map(drop)
    }

    /// Explains the state of an app.
    pub async fn why_app(&self, name: &str) -> Result<Why, ClientError> {
        self.get(&path::named(path::APP_WHY, name), &[]).await
    }

    /// Explains the state of a pod.
    pub async fn why_pod(&self, name: &str) -> Result<Why, ClientError> {
        self.get(&path::named(path::POD_WHY, name), &[]).await
    }

    /// Lists the kept revisions of an app, oldest first.
    pub async fn revisions(&self, app: &str) -> Result<Vec<Revision>, ClientError> {
        self.list(&path::named(path::APP_REVISIONS, app), &[]).await
    }

    /// Lists the recorded decisions about an app, oldest first: the last `limit` up to a time, or
    /// to now.
    pub async fn decisions(
        &self,
        app: &str,
        until: Option<Timestamp>,
        limit: u32,
    ) -> Result<Vec<Decision>, ClientError> {
        let until = until.map(|until| ("until", until.to_string()));
        let query = Vec::from_iter(until.into_iter().chain([("limit", limit.to_string())]));
        self.list(&path::named(path::APP_DECISIONS, app), &query).await
    }

    /// Returns what an app used in the last hour.
    pub async fn history(&self, app: &str) -> Result<History, ClientError> {
        self.get(&path::named(path::APP_HISTORY, app), &[]).await
    }

    /// Lists events, oldest first.
    pub async fn events(&self, query: &EventsQuery) -> Result<Vec<Event>, ClientError> {
        self.list(path::EVENTS, &query.pairs()).await
    }

    /// Returns the effect of applying these specs, without applying them. Of file contents only the
    /// hashes are sent.
    pub async fn plan(&self, specs: &[AppSpec]) -> Result<PlanReport, ClientError> {
        #[derive(Serialize)]
        struct Body<'a> {
            apps: &'a [AppSpec],
        }
        self.json(self.call(Method::POST, path::PLAN).json(&Body { apps: specs })).await
    }

    /// Lists the routes, ordered by host and path.
    pub async fn routes(&self) -> Result<Vec<Route>, ClientError> {
        self.list(path::ROUTES, &[]).await
    }

    /// Lists the hosts on which replicas run, ordered by name; none if there is one alone.
    pub async fn nodes(&self) -> Result<Vec<wire::Node>, ClientError> {
        self.list(path::NODES, &[]).await
    }

    /// Lists the certificates of hosts that are served over HTTPS, ordered by host.
    pub async fn certificates(&self) -> Result<Vec<wire::Certificate>, ClientError> {
        self.list(path::CERTIFICATES, &[]).await
    }

    /// Has the certificate of a host replaced now, or ordered again after a failure.
    pub async fn renew_certificate(&self, host: &str) -> Result<(), ClientError> {
        let path = path::named(path::CERTIFICATE_RENEWAL, host);
        self.send(self.call(Method::POST, &path)).await.map(drop)
    }

    /// Returns the certificate that clients have to trust for hosts with `tls: internal`, as PEM.
    pub async fn root_certificate(&self) -> Result<String, ClientError> {
        let found: wire::RootCertificate = self.get(path::CERTIFICATE_ROOT, &[]).await?;
        Ok(found.pem)
    }

    /// Removes everything that the instance owns, and returns once it is gone. Named volumes stay.
    pub async fn down(&self) -> Result<(), ClientError> {
        // Every replica may use its whole grace period, so this call has no deadline.
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
