//! The bare engine: its HTTP API without anything in between.

use dubernetes_core::app::InstanceName;
use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::seconds_between;
use crate::checks::{SOON, ensure, eventually};
use crate::scenario::SCENARIO;

/// Client of the engine. What it creates has the label of the scenario, and is removed with it.
#[derive(Debug)]
pub(super) struct Engine {
    http: reqwest::Client,
    instance: String,
}

impl Engine {
    pub(super) fn new(endpoint: &str, instance: &InstanceName) -> Self {
        let socket = endpoint.strip_prefix("unix://").unwrap();
        let http = reqwest::Client::builder().no_proxy().unix_socket(socket).build().unwrap();
        Self { http, instance: instance.to_string() }
    }

    /// Sends a request and returns the response, `null` if it is empty.
    ///
    /// # Panics
    ///
    /// If the engine does not answer with success.
    pub(super) async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Value {
        let mut request = self.http.request(method, format!("http://engine{path}"));
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        assert!(status.is_success(), "{path}: {status}: {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    pub(super) async fn inspect(&self, id: &str) -> Value {
        self.call(Method::GET, &format!("/containers/{id}/json"), None).await
    }

    /// Returns the request for a container with the settings of another one. Its labels are those
    /// of the scenario, and the engine chooses name and address.
    pub(super) async fn copy_of(&self, id: &str, network: &str) -> Value {
        let found = self.inspect(id).await;
        let mut request = found["Config"].clone();
        request["Labels"] = json!({ SCENARIO: self.instance });
        request["HostConfig"] = found["HostConfig"].clone();
        request["NetworkingConfig"] = json!({ "EndpointsConfig": { network: {} } });
        request
    }

    pub(super) async fn create(&self, request: &Value) -> String {
        let created = self.call(Method::POST, "/containers/create", Some(request)).await;
        created["Id"].as_str().unwrap().to_owned()
    }

    pub(super) async fn start(&self, id: &str) {
        self.call(Method::POST, &format!("/containers/{id}/start"), None).await;
    }

    pub(super) async fn stop(&self, id: &str) {
        self.call(Method::POST, &format!("/containers/{id}/stop"), None).await;
    }

    pub(super) async fn kill(&self, id: &str, signal: &str) {
        let path = format!("/containers/{id}/kill?signal={signal}");
        self.call(Method::POST, &path, None).await;
    }

    pub(super) async fn remove(&self, id: &str) {
        let path = format!("/containers/{id}?force=true&v=true");
        self.call(Method::DELETE, &path, None).await;
    }

    /// Returns when the engine started a container.
    pub(super) async fn started_at(&self, id: &str) -> Timestamp {
        self.inspect(id).await["State"]["StartedAt"].as_str().unwrap().parse().unwrap()
    }

    /// Returns the latest start of the containers with a label.
    pub(super) async fn last_start(&self, label: &str) -> Timestamp {
        let path = format!("/containers/json?filters={}", filters(label));
        let found = self.call(Method::GET, &path, None).await;
        let mut last = Timestamp::UNIX_EPOCH;
        for container in found.as_array().unwrap() {
            last = last.max(self.started_at(container["Id"].as_str().unwrap()).await);
        }
        last
    }

    /// Returns time, container and action of the engine's events between two times.
    pub(super) async fn events(
        &self,
        label: &str,
        begin: Timestamp,
        end: Timestamp,
    ) -> Vec<(Timestamp, String, String)> {
        let time = |at: Timestamp| format!("{}.{:09}", at.as_second(), at.subsec_nanosecond());
        let (since, until, filters) = (time(begin), time(end), filters(label));
        let path = format!("/events?since={since}&until={until}&filters={filters}");
        let text = self.http.get(format!("http://engine{path}")).send().await.unwrap();
        let text = text.text().await.unwrap();
        let event = |line: &str| {
            let event: Value = serde_json::from_str(line).unwrap();
            let nanoseconds = event["timeNano"].as_i64()?.into();
            let name = event["Actor"]["Attributes"]["name"].as_str()?.to_owned();
            let action = event["Action"].as_str()?.to_owned();
            Some((Timestamp::from_nanosecond(nanoseconds).ok()?, name, action))
        };
        text.lines().filter_map(event).collect()
    }

    /// Creates and starts containers, at most `parallel` at a time. Returns the seconds until the
    /// last one runs, and removes them.
    pub(super) async fn run_copies(&self, request: &Value, count: u32, parallel: usize) -> f64 {
        let begin = Timestamp::now();
        let run = async |_| {
            let id = self.create(request).await;
            self.start(&id).await;
            id
        };
        let ids: Vec<_> =
            stream::iter(0..count).map(run).buffer_unordered(parallel).collect().await;
        let mut last = begin;
        for id in &ids {
            last = last.max(self.started_at(id).await);
        }
        for id in &ids {
            self.remove(id).await;
        }
        seconds_between(begin, last)
    }

    /// Creates, starts, stops and removes containers, at most `parallel` at a time. Returns the
    /// seconds until all are gone.
    pub(super) async fn cycle_copies(&self, request: &Value, count: u32, parallel: usize) -> f64 {
        let begin = Timestamp::now();
        let cycle = async |_| {
            let id = self.create(request).await;
            self.start(&id).await;
            self.stop(&id).await;
            self.remove(&id).await;
        };
        stream::iter(0..count).map(cycle).buffer_unordered(parallel).collect::<Vec<()>>().await;
        seconds_between(begin, Timestamp::now())
    }

    /// Returns the number of parallel calls with which this machine starts containers fastest.
    pub(super) async fn best_parallelism(&self, request: &Value, count: u32) -> usize {
        let mut best = (f64::INFINITY, 1);
        for parallel in [2, 4, 8] {
            let took = self.run_copies(request, count, parallel).await;
            if took < best.0 {
                best = (took, parallel);
            }
        }
        best.1
    }

    /// Waits until a container listens on port 80. Before that its program may ignore signals.
    pub(super) async fn wait_until_listening(&self, id: &str) {
        let found = self.inspect(id).await;
        let networks = found["NetworkSettings"]["Networks"].as_object().unwrap();
        let address = networks.values().find_map(|network| network["IPAddress"].as_str()).unwrap();
        eventually("the container listens", SOON, async || {
            TcpStream::connect((address, 80)).await.map_err(|error| error.to_string())
        })
        .await;
    }

    /// Waits until a container was started after `begin`, and returns how long after.
    pub(super) async fn wait_for_restart(&self, id: &str, begin: Timestamp) -> f64 {
        eventually("the engine restarts the container", SOON, async || {
            let started = self.started_at(id).await;
            ensure(started > begin, started)?;
            Ok(seconds_between(begin, started))
        })
        .await
    }
}

/// Returns the parameter `filters` for objects with a label.
fn filters(label: &str) -> String {
    let filters = json!({ "label": [label] }).to_string();
    let url = reqwest::Url::parse_with_params("http://engine", [("", filters)]).unwrap();
    url.query().unwrap_or_default().trim_start_matches('=').to_owned()
}
