//! Resource usage of pods, and label selectors.
#![expect(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

#[path = "support/api.rs"]
mod api;

use api::Api;
use dubernetes_testkit::Operation;
use serde_json::{Value, json};

fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn stats_are_computed_from_two_readings() {
    let api = Api::start();
    api.ready(
        r#"{"name":"web","image":"web:1","replicas":2,"resources":{"memory":"64Mi","cpu":"0.5"}}"#,
    )
    .await;
    api.orchestrator.runtime.fail(Operation::Start, 1000);
    api.put("/v1/apps/bad", r#"{"name":"bad","image":"web:2"}"#).await;
    api.orchestrator
        .until("it is seen", std::time::Duration::from_secs(20), |seen| {
            seen.plan.statuses.values().any(|status| status.pods.iter().any(|p| p.name == "bad-1"))
        })
        .await;
    let stats = api.get("/v1/stats").await.json();
    assert_eq!(names(&stats), ["bad-1", "web-1", "web-2"]);
    let nothing = json!({"name": "bad-1", "app": "bad", "cpu": null, "cpu_limit": null,
        "memory": null, "memory_limit": null});
    assert_eq!(stats["items"][0], nothing, "what does not run uses nothing");
    let web = json!({"name": "web-1", "app": "web", "cpu": 100, "cpu_limit": 500,
        "memory": 1 << 20, "memory_limit": 64 << 20});
    assert_eq!(stats["items"][1], web);
    assert_eq!(names(&api.get("/v1/stats?app=web").await.json()), ["web-1", "web-2"]);
    api.orchestrator.runtime.set_away(true);
    assert_eq!(api.get("/v1/stats").await.error(), "503 engine-unreachable");
}

#[tokio::test(start_paused = true)]
async fn lists_are_filtered_by_label_selector() {
    let api = Api::start();
    for (name, labels) in [("a", r#"{"tier":"web"}"#), ("b", r#"{"tier":"api"}"#), ("c", "{}")] {
        api.ready(&format!(r#"{{"name":"{name}","image":"web:1","labels":{labels}}}"#)).await;
    }
    for (selector, apps) in [
        ("tier%3Dweb", &["a"][..]),
        ("tier", &["a", "b"]),
        ("tier!%3Dweb", &["b", "c"]),
        ("!tier", &["c"]),
        ("tier,tier!%3Dapi", &["a"]),
        ("nosuch", &[]),
    ] {
        let found = api.get(&format!("/v1/apps?selector={selector}")).await.json();
        assert_eq!(names(&found), apps, "{selector}");
        let pods: Vec<_> = apps.iter().map(|app| format!("{app}-1")).collect();
        for path in ["pods", "stats"] {
            let found = api.get(&format!("/v1/{path}?selector={selector}")).await.json();
            assert_eq!(names(&found), pods, "{path} {selector}");
        }
    }
    for path in ["apps", "pods", "stats"] {
        let bad = api.get(&format!("/v1/{path}?selector=a+in+(b)")).await;
        assert_eq!(bad.error(), "400 invalid-query", "{path}");
        assert!(bad.problem().detail.contains("`key=value`"), "{bad:?}");
    }
}
