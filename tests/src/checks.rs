//! What can be seen from outside: answers, containers, and what the program says of itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use dubernetes_core::event::Event;
use dubernetes_core::labels;
use dubernetes_core::runtime::{Container, ContainerRuntime as _, ContainerState};
use serde_json::Value;

use crate::http::{Answer, Request, once};
use crate::program::docker;
use crate::scenario::Scenario;

/// What should come soon, on a slow machine that does other things as well.
pub const SOON: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(30);

/// Waits until `check` gives a value, and gives that.
///
/// # Panics
///
/// If it does not within `limit`, with the last thing that was wrong.
pub async fn eventually<T>(
    what: &str,
    limit: Duration,
    check: impl AsyncFn() -> Result<T, String>,
) -> T {
    let start = Instant::now();
    loop {
        match check().await {
            Ok(value) => return value,
            Err(wrong) => {
                assert!(start.elapsed() < limit, "not within {limit:?}: {what}; last: {wrong}");
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// `Ok` if `holds`, else what is seen instead.
///
/// # Errors
///
/// The value in debug form.
pub fn expect(holds: bool, seen: impl std::fmt::Debug) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("{seen:?}")) }
}

/// nginx as it runs: equal before and after means that it was neither restarted nor reloaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nginx {
    /// Its container.
    pub container: String,
    /// Its processes: a reload makes new workers.
    pub pids: BTreeSet<String>,
}

impl Scenario {
    /// One answer to `GET path`, over a connection of its own.
    ///
    /// # Errors
    ///
    /// What went wrong, as text.
    pub async fn ask(&self, host: &str, path: &str) -> Result<Answer, String> {
        once(self.port, Request::get(host, path)).await
    }

    /// The status of one answer.
    ///
    /// # Panics
    ///
    /// If there is no answer.
    pub async fn status(&self, host: &str) -> u16 {
        self.ask(host, "/").await.unwrap().status
    }

    /// `app` answers under the host, at once.
    ///
    /// # Panics
    ///
    /// If it does not.
    pub async fn answers(&self, host: &str, app: &str) -> Answer {
        let answer = self.ask(host, "/").await.unwrap();
        assert_eq!(answer.status, 200, "{host}: {}", answer.text());
        assert_eq!(answer.says("App").as_deref(), Some(app), "{host}: {}", answer.text());
        answer
    }

    /// The host gets this status within the limit, and meanwhile some answer or other.
    pub async fn becomes(&self, host: &str, status: u16, limit: Duration) {
        eventually(&format!("{host} answers with {status}"), limit, async || {
            let answer = self.ask(host, "/").await?;
            expect(answer.status == status, answer.status)
        })
        .await;
    }

    /// Who answers so many requests, and how often.
    ///
    /// # Panics
    ///
    /// If a request is not answered with 200.
    pub async fn answered_by(&self, host: &str, requests: u32) -> BTreeMap<String, u32> {
        let mut counts = BTreeMap::new();
        for _ in 0..requests {
            let answer = self.ask(host, "/").await.unwrap();
            assert_eq!(answer.status, 200, "{host}: {}", answer.text());
            *counts.entry(answer.says("Replica").unwrap()).or_insert(0) += 1;
        }
        counts
    }

    /// Replicas 1 to `replicas` of `app` answer equally often soon, give or take two in ten.
    ///
    /// # Panics
    ///
    /// If they do not, or if a request is not answered with 200 meanwhile.
    pub async fn answers_evenly(&self, host: &str, app: &str, replicas: u32) {
        let wanted: BTreeSet<_> = (1..=replicas).map(|n| format!("{app}-{n}")).collect();
        assert_eq!(self.share_evenly(host, replicas).await, wanted, "who answers under {host}");
    }

    /// So many replicas, whatever their names, answer equally often soon: a reload on the way begins
    /// the round anew. Their names.
    ///
    /// # Panics
    ///
    /// If they do not, or if a request is not answered with 200 meanwhile.
    pub async fn share_evenly(&self, host: &str, replicas: u32) -> BTreeSet<String> {
        eventually(&format!("{replicas} share what comes for {host}"), SOON, async || {
            let counts = self.answered_by(host, 10 * replicas).await;
            let is_even = counts.values().all(|n| (8..=12).contains(n));
            expect(u32::try_from(counts.len()) == Ok(replicas) && is_even, &counts)?;
            Ok(counts.into_keys().collect())
        })
        .await
    }

    /// All containers of the instance, nginx too.
    ///
    /// # Panics
    ///
    /// If the engine does not say.
    pub async fn containers(&self) -> Vec<Container> {
        self.runtime.list(&self.instance).await.unwrap()
    }

    /// The containers of an app, in whatever state.
    pub async fn replicas(&self, app: &str) -> Vec<Container> {
        let mut all = self.containers().await;
        all.retain(|container| container.labels.get(labels::APP).is_some_and(|name| name == app));
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// The ids of an app's running containers, by pod.
    pub async fn running(&self, app: &str) -> BTreeMap<String, String> {
        let all = self.replicas(app).await.into_iter();
        all.filter(is_running)
            .map(|container| (pod(&container), container.id.to_string()))
            .collect()
    }

    /// The ids of an app's containers, in whatever state.
    pub async fn ids(&self, app: &str) -> BTreeSet<String> {
        self.replicas(app).await.into_iter().map(|container| container.id.to_string()).collect()
    }

    /// Looks at the app's containers again and again, and never ends: between `floor` and
    /// `ceiling` of them run, and no more than `ceiling` are anything but ended or going.
    ///
    /// # Panics
    ///
    /// If it is otherwise once.
    pub async fn stays_between(&self, app: &str, floor: usize, ceiling: usize) -> ! {
        loop {
            let all = self.replicas(app).await;
            let states: Vec<_> = all.iter().map(|c| (&c.name, &c.state)).collect();
            let running = all.iter().filter(|c| is_running(c)).count();
            let ended = |c: &&Container| {
                matches!(c.state, ContainerState::Exited { .. } | ContainerState::Removing)
            };
            let live = all.len() - all.iter().filter(ended).count();
            assert!(running >= floor, "fewer than {floor} of {app} run: {states:#?}");
            assert!(live <= ceiling, "more than {ceiling} of {app}: {states:#?}");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Exactly `count` containers of the app run, and no other one is there, within the limit.
    pub async fn settles(&self, app: &str, count: usize, limit: Duration) {
        eventually(&format!("{app} has {count} containers, all running"), limit, async || {
            let all = self.replicas(app).await;
            let states: Vec<_> = all.iter().map(|c| (&c.name, &c.state)).collect();
            expect(all.len() == count && all.iter().all(is_running), states)
        })
        .await;
    }

    /// An app as the program shows it.
    pub async fn app(&self, name: &str) -> Value {
        self.run(&["get", "app", name, "-o", "json"]).await.succeeds().json()
    }

    /// The pods of an app as the program shows them, or of all apps.
    ///
    /// # Panics
    ///
    /// If there is no list.
    pub async fn pods(&self, app: Option<&str>) -> Vec<Value> {
        let list = self.run(&["get", "pods", "-o", "json"]).await.succeeds().json();
        let mut pods = list["items"].as_array().unwrap().clone();
        pods.retain(|pod| app.is_none_or(|app| pod["app"] == app));
        pods
    }

    /// The app is in this phase within the limit; how it is then.
    pub async fn is_in(&self, phase: &str, app: &str, limit: Duration) -> Value {
        eventually(&format!("{app} is {phase}"), limit, async || {
            let app = self.app(app).await;
            expect(app["status"]["phase"] == phase, &app["status"])?;
            Ok(app)
        })
        .await
    }

    /// The events so far, the oldest first.
    ///
    /// # Panics
    ///
    /// If there is no list.
    pub async fn recorded(&self) -> Vec<Event> {
        let list = self.run(&["get", "events", "-o", "json"]).await.succeeds().json();
        let mut events: Vec<Event> = serde_json::from_value(list["items"].clone()).unwrap();
        events.reverse();
        events
    }

    /// The reasons and messages of the events so far, the oldest first.
    pub async fn events(&self) -> Vec<(String, String)> {
        let events = self.recorded().await.into_iter();
        events.map(|event| (event.reason, event.message)).collect()
    }

    /// nginx as it runs now.
    pub async fn nginx(&self) -> Nginx {
        let name = self.ingress();
        let container = docker(&["inspect", "--format", "{{.Id}}", &name]).await;
        let top = docker(&["top", &name, "-eo", "pid"]).await;
        Nginx { container, pids: top.lines().skip(1).map(|pid| pid.trim().to_owned()).collect() }
    }

    /// Everything that nginx serves now, as its own files.
    pub async fn nginx_files(&self) -> String {
        let conf = "/etc/nginx/dubernetes/current/nginx.conf";
        docker(&["exec", &self.ingress(), "nginx", "-T", "-c", conf]).await
    }

    /// The networks with the instance's label.
    pub async fn networks(&self) -> Vec<String> {
        self.labelled(&["network", "ls"]).await
    }

    /// The volumes with the instance's label.
    pub async fn volumes(&self) -> Vec<String> {
        self.labelled(&["volume", "ls"]).await
    }

    async fn labelled(&self, list: &[&str]) -> Vec<String> {
        let filter = format!("label={}={}", labels::INSTANCE, self.instance);
        let words = [list, &["--filter", &filter, "--format", "{{.Name}}"]].concat();
        docker(&words).await.lines().map(str::to_owned).collect()
    }
}

fn is_running(container: &Container) -> bool {
    matches!(container.state, ContainerState::Running { .. })
}

/// The pod of a replica's container, such as `web-1`.
pub fn pod(container: &Container) -> String {
    let label = |key| container.labels.get(key).map(String::as_str).unwrap_or_default();
    format!("{}-{}", label(labels::APP), label(labels::REPLICA))
}
