//! Checks on observable behaviour: HTTP answers, containers, and the program's own output.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use dubernetes_core::event::Event;
use dubernetes_core::labels;
use dubernetes_core::runtime::{Container, ContainerRuntime as _, ContainerState};
use serde_json::Value;

use crate::http::{Answer, Request, once};
use crate::program::{docker, try_docker};
use crate::scenario::Scenario;

/// Time limit for anything that should happen soon, on a slow machine under other load.
pub const SOON: Duration = Duration::from_secs(20);
const POLL_INTERVAL: Duration = Duration::from_millis(30);

/// Polls `check` until it succeeds, and returns its value.
///
/// # Panics
///
/// If `check` does not succeed within `limit`. The message contains its last error.
pub async fn eventually<T>(
    what: &str,
    limit: Duration,
    check: impl AsyncFn() -> Result<T, String>,
) -> T {
    let start = Instant::now();
    loop {
        match check().await {
            Ok(value) => return value,
            Err(error) => {
                assert!(start.elapsed() < limit, "not within {limit:?}: {what}; last: {error}");
            }
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Turns a condition into a result for [`eventually`].
///
/// # Errors
///
/// The observed value in debug form, if `condition` is false.
pub fn ensure(condition: bool, observed: impl std::fmt::Debug) -> Result<(), String> {
    if condition { Ok(()) } else { Err(format!("{observed:?}")) }
}

/// Identity of the running nginx. Two equal values mean neither a restart nor a reload in between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NginxState {
    /// Container id.
    pub container: String,
    /// Process ids; a reload starts new workers.
    pub pids: BTreeSet<String>,
}

impl Scenario {
    /// Sends `GET path` over a fresh connection.
    ///
    /// # Errors
    ///
    /// A description of the failure.
    pub async fn get(&self, host: &str, path: &str) -> Result<Answer, String> {
        once(self.port, Request::get(host, path)).await
    }

    /// Sends `GET /` and returns the status code.
    ///
    /// # Panics
    ///
    /// If there is no answer.
    pub async fn status_code(&self, host: &str) -> u16 {
        self.get(host, "/").await.unwrap().status
    }

    /// Asserts that `app` answers the next request for `host`.
    ///
    /// # Panics
    ///
    /// If the answer is missing, not 200, or from another app.
    pub async fn assert_served_by(&self, host: &str, app: &str) -> Answer {
        let answer = self.get(host, "/").await.unwrap();
        assert_eq!(answer.status, 200, "{host}: {}", answer.text());
        assert_eq!(answer.field("App").as_deref(), Some(app), "{host}: {}", answer.text());
        answer
    }

    /// Waits until `host` answers with this status code.
    pub async fn wait_for_status_code(&self, host: &str, status: u16, limit: Duration) {
        eventually(&format!("{host} answers with {status}"), limit, async || {
            let answer = self.get(host, "/").await?;
            ensure(answer.status == status, answer.status)
        })
        .await;
    }

    /// Sends `requests` requests and counts the answers by replica.
    ///
    /// # Panics
    ///
    /// If a request is not answered with 200.
    pub async fn count_answers(&self, host: &str, requests: u32) -> BTreeMap<String, u32> {
        let mut counts = BTreeMap::new();
        for _ in 0..requests {
            let answer = self.get(host, "/").await.unwrap();
            assert_eq!(answer.status, 200, "{host}: {}", answer.text());
            *counts.entry(answer.field("Replica").unwrap()).or_insert(0) += 1;
        }
        counts
    }

    /// Waits until replicas 1 to `replicas` of `app` share the requests for `host` evenly.
    ///
    /// # Panics
    ///
    /// If they do not within [`SOON`], or if a request is not answered with 200.
    pub async fn wait_for_balance_over(&self, host: &str, app: &str, replicas: u32) {
        let expected: BTreeSet<_> = (1..=replicas).map(|n| format!("{app}-{n}")).collect();
        assert_eq!(self.wait_for_balance(host, replicas).await, expected, "replicas of {host}");
    }

    /// Waits until exactly `replicas` replicas share the requests for `host` evenly, each with 8 to
    /// 12 of every 10 × `replicas` requests. Returns their names.
    ///
    /// Polls, because an nginx reload restarts the round robin.
    ///
    /// # Panics
    ///
    /// If they do not within [`SOON`], or if a request is not answered with 200.
    pub async fn wait_for_balance(&self, host: &str, replicas: u32) -> BTreeSet<String> {
        eventually(&format!("{replicas} replicas share requests for {host}"), SOON, async || {
            let counts = self.count_answers(host, 10 * replicas).await;
            let is_even = counts.values().all(|n| (8..=12).contains(n));
            ensure(u32::try_from(counts.len()) == Ok(replicas) && is_even, &counts)?;
            Ok(counts.into_keys().collect())
        })
        .await
    }

    /// Lists all containers of the instance, including nginx.
    ///
    /// # Panics
    ///
    /// If the engine call fails.
    pub async fn containers(&self) -> Vec<Container> {
        self.runtime.list(&self.instance).await.unwrap()
    }

    /// Lists the containers of an app in any state, sorted by name.
    pub async fn containers_of(&self, app: &str) -> Vec<Container> {
        let mut all = self.containers().await;
        all.retain(|container| container.labels.get(labels::APP).is_some_and(|name| name == app));
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// Returns the container ids of an app's running pods, by pod name.
    pub async fn running_pods(&self, app: &str) -> BTreeMap<String, String> {
        let all = self.containers_of(app).await.into_iter();
        all.filter(is_running)
            .map(|container| (pod_name(&container), container.id.to_string()))
            .collect()
    }

    /// Returns the ids of an app's containers in any state.
    pub async fn container_ids(&self, app: &str) -> BTreeSet<String> {
        let all = self.containers_of(app).await.into_iter();
        all.map(|container| container.id.to_string()).collect()
    }

    /// Polls forever and asserts that at least `min_running` containers of the app run and at most
    /// `max_live` are neither exited nor being removed.
    ///
    /// # Panics
    ///
    /// At the first violation.
    pub async fn assert_always_between(&self, app: &str, min_running: usize, max_live: usize) -> ! {
        loop {
            let all = self.containers_of(app).await;
            let states: Vec<_> = all.iter().map(|c| (&c.name, &c.state)).collect();
            let running = all.iter().filter(|c| is_running(c)).count();
            let ended = |c: &&Container| {
                matches!(c.state, ContainerState::Exited(_) | ContainerState::Removing)
            };
            let live = all.len() - all.iter().filter(ended).count();
            assert!(running >= min_running, "fewer than {min_running} of {app} run: {states:#?}");
            assert!(live <= max_live, "more than {max_live} of {app} are live: {states:#?}");
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Waits until the app has exactly `count` containers, all running.
    pub async fn wait_for_replicas(&self, app: &str, count: usize, limit: Duration) {
        eventually(&format!("{app} has {count} containers, all running"), limit, async || {
            let all = self.containers_of(app).await;
            let states: Vec<_> = all.iter().map(|c| (&c.name, &c.state)).collect();
            ensure(all.len() == count && all.iter().all(is_running), states)
        })
        .await;
    }

    /// Returns an app as `get app -o json` prints it.
    pub async fn get_app(&self, name: &str) -> Value {
        self.run(&["get", "app", name, "-o", "json"]).await.assert_success().json()
    }

    /// Returns the pods of one app or of all apps, as `get pods -o json` prints them.
    ///
    /// # Panics
    ///
    /// If the output is not a list.
    pub async fn get_pods(&self, app: Option<&str>) -> Vec<Value> {
        let list = self.run(&["get", "pods", "-o", "json"]).await.assert_success().json();
        let mut pods = list["items"].as_array().unwrap().clone();
        pods.retain(|pod| app.is_none_or(|app| pod["app"] == app));
        pods
    }

    /// Waits until the app is in this phase, and returns it.
    pub async fn wait_for_phase(&self, app: &str, phase: &str, limit: Duration) -> Value {
        eventually(&format!("{app} is {phase}"), limit, async || {
            let app = self.get_app(app).await;
            ensure(app["status"]["phase"] == phase, &app["status"])?;
            Ok(app)
        })
        .await
    }

    /// Returns all recorded events, oldest first.
    ///
    /// # Panics
    ///
    /// If the output is not a list of events.
    pub async fn get_events(&self) -> Vec<Event> {
        let list = self.run(&["get", "events", "-o", "json"]).await.assert_success().json();
        let mut events: Vec<Event> = serde_json::from_value(list["items"].clone()).unwrap();
        events.reverse();
        events
    }

    /// Returns reason and message of all recorded events, oldest first.
    pub async fn event_messages(&self) -> Vec<(String, String)> {
        let events = self.get_events().await.into_iter();
        events.map(|event| (event.reason, event.message)).collect()
    }

    /// Returns the container of the running nginx, and its own processes, without commands that are
    /// executed in the container.
    pub async fn nginx_state(&self) -> NginxState {
        let name = self.ingress();
        let container = docker(&["inspect", "--format", "{{.Id}}", &name]).await;
        let top = docker(&["top", &name, "-eo", "pid,args"]).await;
        let own = top.lines().filter_map(|line| line.trim().split_once(" nginx: "));
        let pids = own.map(|(pid, _)| pid.trim().to_owned()).collect();
        NginxState { container, pids }
    }

    /// Returns the configuration that nginx serves, as `nginx -T` prints it.
    pub async fn nginx_config(&self) -> String {
        // The engine replaces the link to the newest files in two steps: a look may fall between.
        // And Podman sometimes loses the end of a command's output.
        let file = "/etc/nginx/dubernetes/current/nginx.conf";
        let ingress = self.ingress();
        eventually("nginx prints its configuration", SOON, async || {
            let printed = try_docker(&["exec", &ingress, "nginx", "-T", "-c", file]).await;
            ensure(printed.code == Some(0), &printed)?;
            Ok(printed.stdout)
        })
        .await
    }

    /// Lists the networks with the instance's label.
    pub async fn networks(&self) -> Vec<String> {
        self.list_labelled(&["network", "ls"]).await
    }

    /// Lists the volumes with the instance's label.
    pub async fn volumes(&self) -> Vec<String> {
        self.list_labelled(&["volume", "ls"]).await
    }

    async fn list_labelled(&self, list: &[&str]) -> Vec<String> {
        let filter = format!("label={}={}", labels::INSTANCE, self.instance);
        let words = [list, &["--filter", &filter, "--format", "{{.Name}}"]].concat();
        docker(&words).await.lines().map(str::to_owned).collect()
    }
}

fn is_running(container: &Container) -> bool {
    matches!(container.state, ContainerState::Running { .. })
}

/// Returns the pod name of a replica's container, such as `web-1`.
fn pod_name(container: &Container) -> String {
    let label = |key| container.labels.get(key).map(String::as_str).unwrap_or_default();
    format!("{}-{}", label(labels::APP), label(labels::REPLICA))
}
