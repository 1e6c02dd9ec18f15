//! Streams over HTTP: events, watches and logs.
#![expect(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

#[path = "support/api.rs"]
mod api;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use api::Api;
use axum::http::StatusCode;
use dubernetes_core::event::{EventKind, EventReason, NewEvent};
use dubernetes_core::ingress::AccessLogEntry;
use dubernetes_core::runtime::{LogLine, LogOptions, RuntimeError};
use dubernetes_core::store::Store as _;
use dubernetes_testkit::MockContainerRuntime;
use dubernetes_testkit::build::app_name;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc;

const WEB: &str = r#"{"name":"web","image":"web:1","replicas":2}"#;
const NDJSON: &str = "application/x-ndjson";
const LIMIT: Duration = Duration::from_secs(120);

fn event(app: &str, message: &str) -> NewEvent {
    NewEvent {
        time: Timestamp::UNIX_EPOCH,
        kind: EventKind::Normal,
        app: Some(app_name(app)),
        pod: None,
        revision: None,
        reason: EventReason::Created,
        message: message.to_owned(),
    }
}

fn messages(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|e| e["message"].as_str().unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn events_are_filtered_by_query() {
    let api = Api::start();
    let events = [event("a", "one"), event("b", "two"), event("a", "three")];
    api.orchestrator.store.append(&events).await.unwrap();
    let all = api.get("/v1/events").await.json();
    assert_eq!(messages(&all), ["one", "two", "three"]);
    let first = all["items"][0].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert!(first.contains(&"type".to_owned()), "{first:?}");
    assert_eq!(messages(&api.get("/v1/events?app=a").await.json()), ["one", "three"]);
    assert_eq!(messages(&api.get("/v1/events?limit=1").await.json()), ["three"]);
    assert_eq!(messages(&api.get("/v1/events?after=1").await.json()), ["two", "three"]);
    assert_eq!(messages(&api.get("/v1/events?after=3").await.json()), [""; 0]);
    assert_eq!(messages(&api.get("/v1/events?type=Warning").await.json()), [""; 0]);
    let since = |time: &str| format!("/v1/events?type=Normal&since={time}");
    let from = messages(&api.get(&since("1970-01-01T00:00:00Z")).await.json()).len();
    let later = messages(&api.get(&since("1970-01-01T00:00:01Z")).await.json()).len();
    assert_eq!((from, later), (3, 0));
    for wrong in ["type=warning", "since=yesterday"] {
        assert_eq!(api.get(&format!("/v1/events?{wrong}")).await.error(), "400 invalid-query");
    }
}

#[tokio::test(start_paused = true)]
async fn events_are_followed_as_ndjson() {
    let api = Api::start();
    api.orchestrator.store.append(&[event("a", "one"), event("b", "two")]).await.unwrap();
    let mut lines = api.lines("/v1/events?app=a", NDJSON).await;
    assert_eq!(lines.json().await["message"], "one");
    api.orchestrator.store.append(&[event("b", "three"), event("a", "four")]).await.unwrap();
    assert_eq!(lines.json().await["message"], "four");
}

#[tokio::test(start_paused = true)]
async fn server_sent_events_have_ids_and_resume() {
    let api = Api::start();
    api.orchestrator.store.append(&[event("a", "one"), event("a", "two")]).await.unwrap();
    let mut lines = api.lines("/v1/events?after=1", "text/html, text/event-stream;q=0.9").await;
    assert_eq!(lines.next().await.unwrap(), "id: 2");
    let data = lines.next().await.unwrap();
    let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!(data["message"], "two");

    let request = axum::http::Request::get("/v1/events").header("last-event-id", "1");
    let reply = api.send(request.body(axum::body::Body::empty()).unwrap()).await;
    assert_eq!(messages(&reply.json()), ["two"]);
    let request = axum::http::Request::get("/v1/events").header("last-event-id", "x");
    let reply = api.send(request.body(axum::body::Body::empty()).unwrap()).await;
    assert_eq!(reply.error(), "400 invalid-request");
}

#[tokio::test(start_paused = true)]
async fn watch_lists_apps_then_reports_changes_until_deletion() {
    let api = Api::start();
    api.ready(WEB).await;
    let mut lines = api.lines("/v1/watch", NDJSON).await;
    let added = lines.json().await;
    assert_eq!(json!([added["type"], added["object"]["name"]]), json!(["ADDED", "web"]));

    api.put("/v1/apps/new", r#"{"name":"new","image":"web:1"}"#).await.json();
    let added = lines.json().await;
    assert_eq!(json!([added["type"], added["object"]["name"]]), json!(["ADDED", "new"]));
    let mut phases = vec![added["object"]["status"]["phase"].clone()];
    while phases.last() != Some(&"Ready".into()) {
        let changed = lines.json().await;
        assert_eq!(changed["type"], "MODIFIED");
        phases.push(changed["object"]["status"]["phase"].clone());
    }
    assert_eq!(phases[0], "Pending");

    let started = tokio::time::Instant::now();
    assert_eq!(api.delete("/v1/apps/new").await.status, StatusCode::ACCEPTED);
    let mut shown = lines.json().await;
    while shown["type"] == "MODIFIED" {
        assert_eq!(shown["object"]["status"]["phase"], "Deleting");
        shown = lines.json().await;
    }
    assert_eq!(json!([shown["type"], shown["object"]["name"]]), json!(["DELETED", "new"]));
    // The tombstone stays in the store much longer.
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn watch_of_one_app_omits_others() {
    let api = Api::start();
    api.ready(WEB).await;
    let mut lines = api.lines("/v1/watch?app=new", NDJSON).await;
    api.put("/v1/apps/new", r#"{"name":"new","image":"web:1"}"#).await.json();
    assert_eq!(lines.json().await["object"]["name"], "new");
}

#[tokio::test(start_paused = true)]
async fn slow_watch_skips_to_last_state() {
    let api = Api::start();
    let mut lines = api.lines("/v1/watch", NDJSON).await;
    for replicas in 1..=20 {
        let body = format!(r#"{{"name":"web","image":"web:1","replicas":{replicas}}}"#);
        api.put("/v1/apps/web", &body).await.json();
    }
    let mut count = 0;
    let mut last = 0;
    while last != 20 {
        last = lines.json().await["object"]["generation"].as_u64().unwrap();
        count += 1;
    }
    assert!(count < 20, "{count}");
}

#[tokio::test(start_paused = true)]
async fn watch_ends_with_problem_when_orchestrator_stops() {
    let api = Api::start();
    api.ready(WEB).await;
    let mut lines = api.lines("/v1/watch", NDJSON).await;
    lines.json().await;
    api.orchestrator.stop();
    let last = loop {
        let line = lines.json().await;
        if line.get("problem").is_some() {
            break line;
        }
    };
    assert_eq!(last["problem"]["type"], "urn:dubernetes:error:stopping");
    assert_eq!(lines.next().await, None);
}

/// Logs that tests write to, by container.
#[derive(Debug, Clone, Default)]
struct Outputs(Arc<Mutex<BTreeMap<String, mpsc::UnboundedSender<&'static str>>>>);

impl Outputs {
    fn runtime(&self) -> MockContainerRuntime {
        let mut runtime = MockContainerRuntime::new();
        let outputs = self.clone();
        runtime.expect_read_logs().returning(move |id, options| Ok(outputs.open(&id.0, options)));
        runtime
    }

    /// Returns two old lines, followed by those that are written.
    fn open(
        &self,
        id: &str,
        options: &LogOptions,
    ) -> BoxStream<'static, Result<LogLine, RuntimeError>> {
        let number: i64 = i64::from_str_radix(id, 16).unwrap();
        let old = [(number, "first"), (number + 10, "second")];
        let tail = options.tail.map_or(2, |tail| usize::try_from(tail).unwrap()).min(2);
        let since = options.since.unwrap_or(Timestamp::MIN);
        let old = old.into_iter().skip(2 - tail).map(|(second, text)| line(second, text));
        let old: Vec<_> = old.filter(|line| line.time >= since).map(Ok).collect();
        if !options.follow {
            return stream::iter(old).boxed();
        }
        let (sender, receiver) = mpsc::unbounded_channel();
        self.0.lock().unwrap().insert(id.to_owned(), sender);
        let new = stream::unfold(receiver, |mut receiver| async move {
            let text = receiver.recv().await?;
            Some((Ok(line(100, text)), receiver))
        });
        stream::iter(old).chain(new).boxed()
    }

    fn write(&self, id: &str, text: &'static str) {
        self.0.lock().unwrap()[id].send(text).unwrap();
    }

    fn close(&self, id: &str) {
        self.0.lock().unwrap().remove(id).unwrap();
    }
}

fn line(second: i64, text: &str) -> LogLine {
    let time = Timestamp::from_second(second).unwrap();
    LogLine { time, stderr: text == "second", text: text.to_owned() }
}

async fn container(api: &Api, pod: &str) -> String {
    let pod = api.get(&format!("/v1/pods/{pod}")).await.json();
    pod["container_id"].as_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn logs_of_replicas_are_merged_by_time() {
    let api = Api::with_runtime(Outputs::default().runtime());
    api.ready(WEB).await;
    let shown = |reply: api::Reply| -> Vec<String> {
        let text = String::from_utf8(reply.body.to_vec()).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines
            .map(|l| format!("{} {} {}", l["pod"], l["stderr"], l["text"]).replace('"', ""))
            .collect()
    };
    assert_eq!(
        shown(api.get("/v1/apps/web/logs").await),
        ["web-1 false first", "web-2 false first", "web-1 true second", "web-2 true second"]
    );
    assert_eq!(
        shown(api.get("/v1/apps/web/logs?tail=1&follow=false").await),
        ["web-1 true second", "web-2 true second"]
    );
    assert_eq!(
        shown(api.get("/v1/pods/web-2/logs?since=1970-01-01T00:00:05Z").await),
        ["web-2 true second"]
    );
    assert_eq!(api.get("/v1/apps/nope/logs").await.error(), "404 not-found");
    assert_eq!(api.get("/v1/pods/web-3/logs").await.error(), "404 not-found");
}

#[tokio::test(start_paused = true)]
async fn access_log_is_read_by_app_and_pod_unless_it_is_off() {
    let api = Api::start();
    assert_eq!(api.get("/v1/apps/web/access-log").await.error(), "404 not-found");
    api.ready(WEB).await;
    assert_eq!(api.get("/v1/apps/web/access-log").await.error(), "409 switched-off");
    let request = |app: &str, pod: Option<&str>, second| AccessLogEntry {
        time: Timestamp::from_second(second).unwrap(),
        app: app_name(app),
        pod: pod.map(|pod| pod.parse().unwrap()),
        client: [192, 0, 2, 1].into(),
        method: "GET".to_owned(),
        host: "web.test".to_owned(),
        path: format!("/{second}"),
        protocol: "HTTP/1.1".to_owned(),
        status: 200,
        bytes: 0,
        duration_ms: 1,
    };
    api.orchestrator.ingress.set_access_log(vec![
        request("web", Some("web-1"), 1),
        request("api", Some("api-1"), 2),
        request("web", None, 3),
        request("web", Some("web-2"), 4),
        request("web", Some("web-1"), 5),
    ]);
    let paths = async |query: &str| {
        let reply = api.get(&format!("/v1/apps/web/access-log{query}")).await;
        let text = String::from_utf8(reply.body.to_vec()).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.map(|line| line["path"].as_str().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(paths("").await, "/1 /3 /4 /5");
    let document: Value = serde_json::from_str(&dubernetes_api::server::openapi_json()).unwrap();
    let schema = &document["components"]["schemas"]["AccessLogEntry"]["properties"];
    let keys = |value: &Value| {
        value.as_object().unwrap().keys().cloned().collect::<std::collections::BTreeSet<_>>()
    };
    let sent = serde_json::to_value(request("web", None, 1)).unwrap();
    assert_eq!(keys(schema), keys(&sent));
    assert_eq!(paths("?tail=2&follow=false").await, "/4 /5");
    assert_eq!(paths("?pod=web-1&since=1970-01-01T00:00:02Z").await, "/5");
    for wrong in ["pod=-", "previous=true"] {
        let uri = format!("/v1/apps/web/access-log?{wrong}");
        assert_eq!(api.get(&uri).await.error(), "400 invalid-query");
    }
}

#[tokio::test(start_paused = true)]
async fn new_replica_joins_followed_logs() {
    let outputs = Outputs::default();
    let api = Api::with_runtime(outputs.runtime());
    api.ready(WEB).await;
    let mut lines = api.lines("/v1/apps/web/logs?follow=true&tail=0", NDJSON).await;
    let first = container(&api, "web-1").await;
    // Lines are read only on demand; this one ensures that the stream has started.
    outputs.write(&first, "hello");
    let shown = lines.json().await;
    assert_eq!(json!([shown["pod"], shown["text"]]), json!(["web-1", "hello"]));

    api.post("/v1/apps/web/scale", r#"{"replicas":3}"#).await.json();
    assert_eq!(lines.json().await["note"], "following web-3 (revision 1)");
    assert_eq!(lines.json().await["text"], "first");
    assert_eq!(lines.json().await["text"], "second");
    outputs.close(&first);
    assert_eq!(lines.json().await["note"], "web-1 stopped");
}

#[tokio::test(start_paused = true)]
async fn followed_logs_end_after_last_container() {
    let outputs = Outputs::default();
    let api = Api::with_runtime(outputs.runtime());
    api.ready(r#"{"name":"web","image":"web:1"}"#).await;
    let mut lines = api.lines("/v1/pods/web-1/logs?follow=true&tail=0", NDJSON).await;
    let id = container(&api, "web-1").await;
    api.delete("/v1/apps/web").await;
    let gone = api.orchestrator.until("its pod is gone", LIMIT, |seen| {
        let status = seen.plan.statuses.get(&app_name("web"));
        seen.desired.apps.is_empty() && status.is_none_or(|status| status.pods.is_empty())
    });
    gone.await;
    outputs.close(&id);
    assert_eq!(lines.json().await["note"], "web-1 stopped");
    assert_eq!(lines.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn unreachable_engine_ends_logs_with_problem() {
    let mut runtime = MockContainerRuntime::new();
    runtime.expect_read_logs().returning(|_, _| {
        let gone = RuntimeError::Unreachable {
            endpoint: "unix:///run/x.sock".to_owned(),
            cause: dubernetes_core::error::SharedError::text("connection refused"),
        };
        Ok(stream::iter([Ok(line(1, "first")), Err(gone)]).boxed())
    });
    let api = Api::with_runtime(runtime);
    api.ready(r#"{"name":"web","image":"web:1"}"#).await;
    for uri in ["/v1/apps/web/logs", "/v1/apps/web/logs?follow=true"] {
        let mut lines = api.lines(uri, NDJSON).await;
        assert_eq!(lines.json().await["text"], "first");
        let problem = lines.json().await;
        assert_eq!(problem["problem"]["type"], "urn:dubernetes:error:engine-unreachable");
        assert_eq!(lines.next().await, None);
    }
}
