//! Secrets over HTTP: values go in, and no answer shows one.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

#[path = "support/api.rs"]
mod api;

use api::{Api, Reply};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use dubernetes_core::app::{MAX_CONTENT_BYTES, Secret};
use serde_json::json;

const CANARY: &str = "canary-4711";
/// The canary in base64, without its last characters.
const CODED: &str = "Y2FuYXJ5LTQ3MT";
const WEB: &str = r#"{"name":"web","image":"web:1","env":{"DB":{"secret":"db"}},
    "files":{"/run/db":{"secret":"db","mode":"0400"}}}"#;

async fn set(api: &Api, name: &str, value: impl Into<Body>) -> Reply {
    let request = Request::put(format!("/v1/secrets/{name}"));
    let request = request.header("content-type", "application/octet-stream");
    api.send(request.body(value.into()).unwrap()).await
}

fn hidden(reply: &Reply) {
    let text = String::from_utf8_lossy(&reply.body);
    for secret in [CANARY, CODED] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn changed_secret_rolls_its_apps_and_appears_nowhere() {
    let api = Api::start();
    let created = set(&api, "db", "first").await;
    assert_eq!((created.status, created.json()["apps"].clone()), (StatusCode::CREATED, json!([])));
    api.ready(WEB).await;
    let changed = set(&api, "db", CANARY).await;
    assert_eq!(changed.status, StatusCode::OK, "{changed:?}");
    assert_eq!(changed.json()["change"], "configured");
    assert_eq!(changed.json()["apps"][0]["status"]["revision"], 2);
    api.orchestrator.until_ready("web").await;
    let id = api.orchestrator.runtime.named("dubernetes.default.web-2.r2").id;
    let request = api.orchestrator.runtime.request(&id).unwrap();
    assert_eq!(request.secret_env["DB"].reveal(), CANARY.as_bytes());
    assert_eq!(request.files[0].content.reveal(), CANARY.as_bytes());

    let hash = Secret::new(CANARY).hash().to_string();
    let listed = api.get("/v1/secrets").await;
    let secret = &listed.json()["items"][0];
    assert_eq!((&secret["name"], &secret["sha256"]), (&json!("db"), &json!(hash)));
    assert_eq!(secret["used_by"], json!(["web"]));
    let revisions = api.get("/v1/apps/web/revisions").await;
    assert_eq!(revisions.json()["items"][1]["cause"], "secret db changed");
    let events = api.get("/v1/events").await;
    let text = String::from_utf8_lossy(&events.body).into_owned();
    assert!(text.contains("SecretChanged") && text.contains("secret db changed: revision 2"));
    let shown = api.get("/v1/apps/web").await;
    assert_eq!(shown.json()["spec"]["env"]["DB"], json!({"secret": "db", "sha256": hash}));
    let plan = json!({"apps": [shown.json()["spec"]]}).to_string();
    let plan = api.post("/v1/plan", &plan).await;
    assert_eq!(plan.json()["apps"][0]["change"], "unchanged", "{plan:?}");
    let back = api.put("/v1/apps/web", &shown.json()["spec"].to_string()).await;
    assert_eq!(back.json()["change"], "unchanged", "an app can be written back as read");
    let why = api.get("/v1/apps/web/why").await;
    let decisions = api.get("/v1/apps/web/decisions?limit=100").await;
    let text = String::from_utf8_lossy(&decisions.body).into_owned();
    assert!(text.contains("app web rev=2") && text.contains("create   web-"), "{text}");
    let history = api.get("/v1/apps/web/history").await;
    assert_eq!(history.json()["measured"], true);
    for reply in
        [&changed, &listed, &revisions, &events, &shown, &plan, &back, &why, &decisions, &history]
    {
        hidden(reply);
    }
}

#[tokio::test(start_paused = true)]
async fn app_with_an_earlier_value_can_be_written_back() {
    let api = Api::start();
    set(&api, "db", "first").await;
    api.ready(WEB).await;
    set(&api, "db", "second").await;
    api.orchestrator.until_ready("web").await;
    let undo = api.post("/v1/apps/web/rollout", r#"{"action":"undo"}"#).await;
    let old = undo.json()["app"]["spec"].clone();
    assert_eq!(old["env"]["DB"]["sha256"], Secret::new("first").hash().to_string());
    let back = api.put("/v1/apps/web", &old.to_string()).await;
    assert_eq!(back.json()["change"], "unchanged");
    let scaled = api.post("/v1/apps/web/scale", r#"{"replicas":2}"#).await;
    assert_eq!(scaled.json()["app"]["spec"]["env"], old["env"]);
    let applied = api.put("/v1/apps/web", WEB).await;
    let hash = Secret::new("second").hash().to_string();
    assert_eq!(applied.json()["app"]["spec"]["env"]["DB"]["sha256"], hash);
}

#[tokio::test(start_paused = true)]
async fn missing_secret_is_a_located_problem() {
    let api = Api::start();
    let refused = api.put("/v1/apps/web", WEB).await;
    assert_eq!(refused.error(), "422 invalid-spec");
    let errors = refused.problem().errors;
    let paths: Vec<_> = errors.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(paths, ["env.DB", "files./run/db"]);
    assert_eq!(errors[0].message, "there is no secret `db`");
    assert!(errors[0].hint.as_ref().unwrap().contains("`dubernetes secret set db`"));
    let plan = api.post("/v1/plan", &format!(r#"{{"apps":[{WEB}]}}"#)).await;
    assert_eq!(plan.problem().errors[0].path, "apps.0.env.DB");
    assert_eq!(api.get("/v1/apps/web").await.error(), "404 not-found");
}

#[tokio::test(start_paused = true)]
async fn value_that_an_app_cannot_use_changes_nothing() {
    let api = Api::start();
    set(&api, "db", "first").await;
    api.ready(WEB).await;
    let refused = set(&api, "db", "canary-4711\0").await;
    assert_eq!(refused.error(), "422 invalid-spec");
    assert_eq!(refused.problem().detail, "app `web` cannot use this value of secret `db`");
    hidden(&refused);
    assert_eq!(api.get("/v1/apps/web").await.json()["generation"], 1, "nothing changed");
}

#[tokio::test(start_paused = true)]
async fn used_secret_is_not_deleted() {
    let api = Api::start();
    assert_eq!(api.delete("/v1/secrets/db").await.error(), "404 not-found");
    set(&api, "db", "first").await;
    api.ready(WEB).await;
    let refused = api.delete("/v1/secrets/db").await;
    assert_eq!(refused.error(), "409 in-use");
    assert_eq!(refused.problem().extra["apps"], json!(["web"]));
    assert_eq!(refused.problem().detail, "secret `db` is used by app/web");
    api.delete("/v1/apps/web").await;
    assert_eq!(api.delete("/v1/secrets/db").await.status, StatusCode::NO_CONTENT);
    assert_eq!(api.get("/v1/secrets").await.json()["items"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn bad_requests_are_refused() {
    let api = Api::start();
    assert_eq!(set(&api, "DB", "x").await.error(), "422 invalid-spec");
    assert_eq!(set(&api, "db", "").await.error(), "400 invalid-request");
    let large = vec![b'x'; MAX_CONTENT_BYTES + 1];
    assert_eq!(set(&api, "db", large).await.error(), "413 too-large");
    let json = api.put("/v1/secrets/db", r#""canary-4711""#).await;
    assert_eq!(json.error(), "415 unsupported-type");
    hidden(&json);
    let with_content = r#"{"name":"web","image":"web:1",
        "env":{"DB":{"secret":"db","content":"Y2FuYXJ5LTQ3MTE="}}}"#;
    let refused = api.put("/v1/apps/web", with_content).await;
    assert_eq!(refused.error(), "422 invalid-spec");
    hidden(&refused);
    assert_eq!(api.get("/v1/secrets").await.json()["items"], json!([]));
    let rotated = api.post("/v1/secret-key/rotation", "").await;
    assert_eq!(rotated.json(), json!({"values": 0}));
}
