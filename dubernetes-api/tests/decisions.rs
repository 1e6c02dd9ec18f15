//! Recorded decisions about an app, and what it used in the last hour.
#![expect(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

#[path = "support/api.rs"]
mod api;

use std::time::Duration;

use api::Api;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

const WEB: &str = r#"{"name":"web","image":"web:1","replicas":2,"access":[{"host":"web.local"}]}"#;

fn items(list: &Value) -> &[Value] {
    list["items"].as_array().unwrap()
}

#[tokio::test(start_paused = true)]
async fn decisions_about_an_app_are_listed_as_they_were_made() {
    let api = Api::start();
    api.ready(WEB).await;
    let all = api.get("/v1/apps/web/decisions?limit=100").await.json();
    let all = items(&all);
    assert!(all.len() > 3, "{all:?}");
    let creates = |item: &Value| item["plan"][0].as_str().is_some_and(|l| l.starts_with("create "));
    let create = all.iter().find(|item| creates(item)).unwrap();
    let app = "app web rev=1 gen=1 image=web:1 replicas=2 host=web.local";
    assert!(create["desired"][0].as_str().unwrap().starts_with(app), "{create}");
    assert_eq!(create["plan"][0], "create   web-1        2 replicas wanted, 0 exist");
    assert_eq!(create["reproduced"], true);
    let time = |item: &Value| item["at"].as_str().unwrap().parse::<Timestamp>().unwrap();
    assert!(all.is_sorted_by_key(time), "{all:?}");

    let until = time(create);
    let one = api.get(&format!("/v1/apps/web/decisions?limit=1&until={until}")).await.json();
    // Virtual time passes in steps, so several have the same one.
    let last = all.iter().rfind(|item| time(item) == until).unwrap();
    assert_eq!(items(&one), std::slice::from_ref(last));
    // What happens to another app is no decision about this one.
    api.ready(r#"{"name":"shop","image":"web:2"}"#).await;
    let now = api.get("/v1/apps/web/decisions?limit=100").await.json();
    assert_eq!(items(&now).last(), all.last());
    for wrong in ["limit=0", "limit=101", "until=x", "last=1"] {
        let uri = format!("/v1/apps/web/decisions?{wrong}");
        assert_eq!(api.get(&uri).await.error(), "400 invalid-query", "{wrong}");
    }
    assert_eq!(api.get("/v1/apps/none/decisions").await.error(), "404 not-found");

    assert!(api.delete("/v1/apps/web").await.status.is_success());
    tokio::time::sleep(Duration::from_secs(60)).await;
    let after = api.get("/v1/apps/web/decisions").await;
    assert_eq!(after.status, StatusCode::OK, "they outlive the app");
    assert!(!items(&after.json()).is_empty());
}

#[tokio::test(start_paused = true)]
async fn history_is_what_all_replicas_used() {
    let api = Api::start();
    api.ready(WEB).await;
    assert_eq!(api.get("/v1/apps/web/history").await.json()["points"], json!([]));
    tokio::time::sleep(Duration::from_secs(30)).await;
    let history = api.get("/v1/apps/web/history").await.json();
    assert_eq!((&history["measured"], &history["counted"]), (&json!(true), &json!(true)));
    let points = history["points"].as_array().unwrap();
    let last = points.last().unwrap();
    assert_eq!((&last["cpu"], &last["memory"]), (&json!(200), &json!(2 << 20)));
    assert_eq!(last["requests"], json!([0, 0, 0, 0, 0]));
    assert_eq!(api.get("/v1/apps/none/history").await.error(), "404 not-found");
}
