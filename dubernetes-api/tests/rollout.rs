//! Rollouts over HTTP: undo, restart, pause, failures, and kept revisions.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/api.rs"]
mod api;

use dubernetes_core::app::RevisionId;
use std::time::Duration;

use api::Api;
use dubernetes_testkit::build::app_name;
use serde_json::{Value, json};

const WEB: &str = r#"{"name":"web","image":"web:1","replicas":2,"access":{"host":"web.local"}}"#;
const WEB2: &str = r#"{"name":"web","image":"web:2","replicas":2,"access":{"host":"web.local"}}"#;
const CRASH: &str =
    r#"{"name":"web","image":"crash:1","replicas":2,"access":{"host":"web.local"}}"#;

/// Waits until the desired revision has this outcome.
async fn becomes(api: &Api, outcome: &str) {
    let what = format!("the desired revision is {outcome}");
    let reached = api.orchestrator.until(&what, Duration::from_secs(600), |seen| {
        let app = &seen.desired.apps[&app_name("web")];
        app.rollout.outcome.as_str() == outcome
    });
    reached.await;
}

async fn post(api: &Api, body: &str) -> Value {
    api.post("/v1/apps/web/rollout", body).await.json()
}

async fn revisions(api: &Api) -> Vec<Value> {
    let list = api.get("/v1/apps/web/revisions").await.json();
    list["items"].as_array().unwrap().clone()
}

/// Returns number, cause and outcome of each revision.
fn summaries(revisions: &[Value]) -> Vec<String> {
    let text = |revision: &Value, key: &str| revision[key].as_str().unwrap().to_owned();
    let rollout =
        |r: &Value| format!("{}: {}, {}", r["revision"], text(r, "cause"), text(r, "outcome"));
    revisions.iter().map(rollout).collect()
}

#[tokio::test(start_paused = true)]
async fn failed_revision_reports_reason_and_rollback() {
    let api = Api::start();
    api.ready(WEB).await;
    becomes(&api, "complete").await;
    assert_eq!(api.put("/v1/apps/web", CRASH).await.json()["app"]["status"]["revision"], 2);
    let back = api.orchestrator.until("revision 3 is there", Duration::from_secs(600), |seen| {
        seen.desired.apps[&app_name("web")].revision == RevisionId(3)
    });
    back.await;
    becomes(&api, "complete").await;
    let status = api.get("/v1/apps/web").await.json()["status"].clone();
    let failure = &status["failure"];
    assert_eq!((&failure["revision"], &failure["back_to"]), (&json!(2), &json!(1)), "{status}");
    let reason = failure["reason"].as_str().unwrap();
    assert!(reason.contains("keeps failing: exit code 1"), "{reason}");
    let message = format!("revision 2 failed: {reason}; rolled back to revision 1 as revision 3");
    assert_eq!((&status["phase"], &status["message"]), (&json!("Ready"), &json!(message)));

    let kept = revisions(&api).await;
    let expected = ["1: apply, complete", "2: apply, failed", "3: rollback from 2 to 1, complete"];
    assert_eq!(summaries(&kept), expected);
    assert_eq!(kept[1]["failure"]["reason"], failure["reason"]);
    assert_eq!(kept[1]["failure"]["back_to"], Value::Null);
    assert_eq!((&kept[0]["failure"], &kept[2]["current"]), (&Value::Null, &json!(true)));
}

#[tokio::test(start_paused = true)]
async fn failed_spec_is_retried_only_on_request() {
    let api = Api::start();
    api.ready(WEB).await;
    becomes(&api, "complete").await;
    api.put("/v1/apps/web", CRASH).await.json();
    let back = api.orchestrator.until("revision 3 is there", Duration::from_secs(600), |seen| {
        seen.desired.apps[&app_name("web")].revision == RevisionId(3)
    });
    back.await;
    let refused = api.put("/v1/apps/web", CRASH).await;
    assert_eq!(refused.error(), "409 failed-before");
    let problem = refused.problem();
    assert_eq!(problem.extra["revision"], 2);
    assert!(problem.detail.contains("exit code 1"), "{}", problem.detail);
    assert_eq!(api.put("/v1/apps/web?retry=false", CRASH).await.error(), "409 failed-before");
    assert_eq!(api.put("/v1/apps/web?retry=maybe", CRASH).await.error(), "400 invalid-query");
    let again = api.put("/v1/apps/web?retry=true", CRASH).await.json();
    assert_eq!(
        (&again["change"], &again["app"]["status"]["revision"]),
        (&json!("configured"), &json!(4))
    );
    assert_eq!(revisions(&api).await[3]["cause"], "retry of 2");
}

#[tokio::test(start_paused = true)]
async fn rollout_actions_undo_restart_pause_and_resume() {
    let api = Api::start();
    api.ready(WEB).await;
    becomes(&api, "complete").await;
    api.ready(WEB2).await;
    becomes(&api, "complete").await;
    let undone = post(&api, r#"{"action":"undo"}"#).await;
    assert_eq!(undone["app"]["spec"]["image"], "web:1");
    let restarted = post(&api, r#"{"action":"restart"}"#).await;
    assert_eq!(restarted["app"]["status"]["revision"], 4);
    let undone = post(&api, r#"{"action":"undo","to":2}"#).await;
    assert_eq!(undone["app"]["spec"]["image"], "web:2");
    for (action, change, paused) in [
        ("pause", "configured", true),
        ("pause", "unchanged", true),
        ("resume", "configured", false),
    ] {
        let answer = post(&api, &format!(r#"{{"action":"{action}"}}"#)).await;
        assert_eq!(
            (&answer["change"], &answer["app"]["status"]["paused"]),
            (&json!(change), &json!(paused))
        );
    }
    let kept = revisions(&api).await;
    let causes: Vec<_> = kept.iter().map(|kept| kept["cause"].as_str().unwrap()).collect();
    assert_eq!(causes, ["apply", "apply", "undo to 1", "restart", "undo to 2"]);
    assert_eq!(kept[0]["digest"], "sha256:web:1");
    assert_eq!(kept[2]["outcome"], "superseded");
}

#[tokio::test(start_paused = true)]
async fn invalid_rollout_requests_are_rejected() {
    let api = Api::start();
    api.ready(WEB).await;
    for (uri, body, error) in [
        ("/v1/apps/none/rollout", r#"{"action":"undo"}"#, "404 not-found"),
        ("/v1/apps/web/rollout", r#"{"action":"undo"}"#, "404 not-found"),
        ("/v1/apps/web/rollout", r#"{"action":"undo","to":9}"#, "404 not-found"),
        ("/v1/apps/web/rollout", r#"{"action":"pause","to":1}"#, "422 invalid-spec"),
        ("/v1/apps/web/rollout", r#"{"action":"explode"}"#, "422 invalid-spec"),
        ("/v1/apps/web/rollout", r#"{"action":"undo","from":1}"#, "422 invalid-spec"),
        ("/v1/apps/web/rollout", r#"{}"#, "422 invalid-spec"),
    ] {
        assert_eq!(api.post(uri, body).await.error(), error, "{body}");
    }
    let unknown = api.post("/v1/apps/web/rollout", r#"{"action":"undo","to":9}"#).await.problem();
    assert_eq!(unknown.extra["revisions"], json!([1]));
    assert_eq!(api.get("/v1/apps/web").await.json()["generation"], 1);
}

#[tokio::test(start_paused = true)]
async fn request_of_user_is_an_event() {
    let api = Api::start();
    api.ready(WEB).await;
    post(&api, r#"{"action":"pause"}"#).await;
    post(&api, r#"{"action":"pause"}"#).await;
    post(&api, r#"{"action":"resume"}"#).await;
    post(&api, r#"{"action":"restart"}"#).await;
    api.post("/v1/apps/web/scale", r#"{"replicas":3}"#).await.json();
    api.post("/v1/apps/web/scale", r#"{"replicas":3}"#).await.json();
    let _ = api.delete("/v1/pods/web-1").await;
    let events = api.get("/v1/events?app=web").await.json();
    let events = events["items"].as_array().unwrap().iter();
    let requests = events.filter(|event| event["reason"] == "Requested");
    let messages: Vec<_> = requests.map(|event| event["message"].as_str().unwrap()).collect();
    let expected = [
        "pause of the rollout requested by a user",
        "resumption of the rollout requested by a user",
        "restart of all replicas requested by a user",
        "change from 2 to 3 replicas requested by a user",
        "replacement requested by a user",
    ];
    assert_eq!(messages, expected);
}

#[tokio::test(start_paused = true)]
async fn plan_names_setting_that_leaves_no_replica_ready() {
    let api = Api::start();
    let app = |image: &str, rollout: &str| {
        format!(r#"{{"name":"web","image":"{image}","rollout":{rollout}}}"#)
    };
    api.ready(&app("web:1", "{}")).await;
    for (rollout, setting) in [
        (r#"{"max_surge":0,"max_unavailable":1}"#, "`rollout.max_surge: 0`"),
        (r#"{"max_surge":"0%","max_unavailable":"50%"}"#, "`rollout.max_surge: 0%`"),
    ] {
        let body = format!(r#"{{"apps":[{}]}}"#, app("web:2", rollout));
        let plan = api.post("/v1/plan", &body).await.json();
        let downtime = plan["apps"][0]["downtime"].as_str().unwrap();
        assert!(downtime.contains(setting), "{downtime}");
    }
}

#[tokio::test(start_paused = true)]
async fn planned_rollout_change_predicts_steps_and_changes_nothing() {
    let api = Api::start();
    api.ready(WEB).await;
    becomes(&api, "complete").await;
    api.ready(WEB2).await;
    becomes(&api, "complete").await;
    let plan = async |body| api.post("/v1/apps/web/rollout/plan", body).await;
    let restart = plan(r#"{"action":"restart"}"#).await.json();
    assert_eq!((&restart["revision_from"], &restart["revision_to"]), (&json!(2), &json!(3)));
    assert_eq!((&restart["downtime"], &restart["changes"]), (&json!("none"), &json!([])));
    let steps = restart["forecast"]["steps"].as_array().unwrap();
    assert!(steps.iter().any(|step| step["action"] == "create"), "{restart}");
    let undo = plan(r#"{"action":"undo","to":1}"#).await.json();
    let changes = json!([{"path":"image","old":"web:2","new":"web:1"}]);
    assert_eq!(undo["changes"], changes, "{undo}");
    let pause = plan(r#"{"action":"pause"}"#).await.json();
    assert_eq!(pause["forecast"]["steps"], json!([]), "{pause}");
    for (body, error) in [
        (r#"{"action":"undo","to":9}"#, "404 not-found"),
        (r#"{"action":"restart","to":1}"#, "422 invalid-spec"),
        (r#"{"action":"explode"}"#, "422 invalid-spec"),
    ] {
        assert_eq!(plan(body).await.error(), error, "{body}");
    }
    let now = api.get("/v1/apps/web/forecast").await.json();
    assert_eq!((&now["change"], &now["forecast"]["steps"]), (&json!("unchanged"), &json!([])));
    assert_eq!(api.get("/v1/apps/none/forecast").await.error(), "404 not-found");
    let missing = api.post("/v1/apps/none/rollout/plan", r#"{"action":"restart"}"#).await;
    assert_eq!(missing.error(), "404 not-found");
    assert_eq!(revisions(&api).await.len(), 2, "nothing was changed");
}
