//! File contents over HTTP: accepted in requests, never sent in responses.

#[path = "support/api.rs"]
mod api;

use api::Api;
use axum::http::StatusCode;
use dubernetes_api::wire::Problem;
use dubernetes_core::app::{MAX_CONTENT_BYTES, Secret};
use serde_json::{Value, json};

const CANARY: &str = "canary-4711";
/// The canary in base64, alone and prefixed with `KEY=`.
const CODED: [&str; 2] = ["Y2FuYXJ5LTQ3MTE=", "S0VZPWNhbmFyeS00NzEx"];

fn app(image: &str) -> Value {
    let file = json!({"file": "./x", "content": CODED[0]});
    json!({
        "name": "web", "image": image, "env": {"PASSWORD": file, "PLAIN": "seen"},
        "env_file": [{"file": ".env", "content": CODED[1]}], "files": {"/etc/web.conf": file},
    })
}

fn hidden(shown: &[u8]) {
    let text = String::from_utf8_lossy(shown);
    for secret in [CANARY, CODED[0].trim_end_matches('='), CODED[1]] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn file_content_reaches_container_but_no_response() {
    let api = Api::start();
    api.ready(&app("web:1").to_string()).await;
    let id = api.orchestrator.runtime.named("dubernetes.default.web-1.r1").id;
    let request = api.orchestrator.runtime.request(&id).unwrap();
    assert_eq!(request.env["PLAIN"], "seen");
    for name in ["PASSWORD", "KEY"] {
        assert_eq!(request.secret_env[name].reveal(), CANARY.as_bytes(), "{name}");
    }
    assert_eq!(request.files[0].target.as_str(), "/etc/web.conf");
    assert_eq!(request.files[0].content.reveal(), CANARY.as_bytes());
    hidden(format!("{request:?}").as_bytes());

    let changed = api.put("/v1/apps/web", &app("web:2").to_string()).await;
    let plan = json!({"apps": [app("web:1")]}).to_string();
    let plan = api.post("/v1/plan", &plan).await;
    assert_eq!(plan.json()["apps"][0]["change"], "configured");
    let hash = Secret::new(CANARY).hash().to_string();
    let shown = api.get("/v1/apps/web").await;
    assert_eq!(shown.json()["spec"]["env"]["PASSWORD"], json!({"file": "./x", "sha256": hash}));
    for reply in [
        changed,
        plan,
        shown,
        api.get("/v1/apps").await,
        api.get("/v1/pods").await,
        api.get("/v1/events").await,
        api.get("/v1/apps/web/revisions").await,
        api.post("/v1/apps/web/scale", r#"{"replicas": 2}"#).await,
    ] {
        assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
        hidden(&reply.body);
    }
}

#[tokio::test(start_paused = true)]
async fn app_can_be_written_back_as_read() {
    let api = Api::start();
    api.put("/v1/apps/web", &app("web:1").to_string()).await;
    let mut spec = api.get("/v1/apps/web").await.json()["spec"].clone();
    let same = api.put("/v1/apps/web", &spec.to_string()).await;
    assert_eq!(same.json()["change"], "unchanged");
    spec["image"] = "web:2".into();
    let other = api.put("/v1/apps/web", &spec.to_string()).await;
    assert_eq!(other.json()["app"]["status"]["revision"], 2);
    api.orchestrator.until_ready("web").await;
    let id = api.orchestrator.runtime.named("dubernetes.default.web-1.r2").id;
    let request = api.orchestrator.runtime.request(&id).unwrap();
    assert_eq!(request.secret_env["PASSWORD"].reveal(), CANARY.as_bytes());
    spec["name"] = "other".into();
    let elsewhere = api.put("/v1/apps/other", &spec.to_string()).await;
    assert_eq!(elsewhere.error(), "422 invalid-spec", "contents stay with their app");
}

#[tokio::test(start_paused = true)]
async fn app_without_file_contents_is_rejected() {
    let api = Api::start();
    let body = json!({
        "name": "web", "image": "web:1", "env_file": ".env",
        "files": {"/etc/web.conf": {"file": "x", "sha256": "0123456789abcdef"}},
    });
    let reply = api.put("/v1/apps/web", &body.to_string()).await;
    assert_eq!(reply.error(), "422 invalid-spec");
    let problem: Problem = serde_json::from_slice(&reply.body).unwrap();
    let paths: Vec<_> = problem.errors.into_iter().map(|error| error.path).collect();
    assert_eq!(paths, ["env_file.0", "files./etc/web.conf"]);
    assert_eq!(api.get("/v1/apps/web").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(start_paused = true)]
async fn content_change_is_a_new_revision() {
    let api = Api::start();
    api.ready(&app("web:1").to_string()).await;
    // Hashes are sufficient for a plan.
    let hash = |content: &str| Secret::new(content.to_owned()).hash().to_string();
    let mut spec = api.get("/v1/apps/web").await.json()["spec"].clone();
    let plan = api.post("/v1/plan", &json!({"apps": [spec]}).to_string()).await.json();
    assert_eq!(plan["apps"][0]["change"], "unchanged");
    spec["env"]["PASSWORD"]["sha256"] = hash("new").into();
    let plan = api.post("/v1/plan", &json!({"apps": [spec]}).to_string()).await.json();
    let change = json!({
        "path": "env.PASSWORD",
        "old": format!("sha256:{}", hash(CANARY)),
        "new": format!("sha256:{}", hash("new")),
    });
    assert_eq!(plan["apps"][0]["changes"], json!([change]));
    assert_eq!(plan["apps"][0]["revision_to"], 2);
    let mut changed = app("web:1");
    changed["env"]["PASSWORD"]["content"] = "bmV3".into();
    for change in ["configured", "unchanged"] {
        let applied = api.put("/v1/apps/web", &changed.to_string()).await.json();
        assert_eq!(applied["change"], change);
        assert_eq!(applied["app"]["status"]["revision"], 2);
    }
}

#[tokio::test(start_paused = true)]
async fn errors_never_contain_file_contents() {
    let api = Api::start();
    for (path, value) in [
        ("/env/PASSWORD/content", json!(CANARY)),
        ("/env/PASSWORD/content", json!([CANARY])),
        ("/env/PASSWORD/content", json!("Y2FuYXJ5LTQ3MTEA")),
        ("/env/PASSWORD/file", json!(5)),
        ("/env_file/0/content", json!(CODED[0])),
        ("/files/~1etc~1web.conf/file", json!("")),
        ("/name", json!("UPPER")),
        ("/image", json!("web:9 ")),
    ] {
        let mut body = app("web:1");
        *body.pointer_mut(path).unwrap() = value;
        for reply in [
            api.put("/v1/apps/web", &body.to_string()).await,
            api.post("/v1/plan", &json!({"apps": [body]}).to_string()).await,
        ] {
            assert!(reply.status.is_client_error(), "{path}: {reply:?}");
            hidden(&reply.body);
        }
    }
    let cut = app("web:1").to_string();
    let reply = api.put("/v1/apps/web", &cut[..cut.len() - 1]).await;
    assert_eq!(reply.error(), "400 invalid-json");
    hidden(&reply.body);
}

#[tokio::test(start_paused = true)]
async fn contents_up_to_the_limit_are_accepted() {
    let api = Api::start();
    // Three bytes are four characters of base64; half a MiB leaves two over.
    let half = "AAAA".repeat(MAX_CONTENT_BYTES / 3) + "AAA=";
    let file = json!({"file": "a", "content": half});
    let mut body =
        json!({"name": "web", "image": "web:1", "files": {"/a": file, "/b": file, "/c": "c"}});
    body["files"]["/c"] = json!({"file": "c", "content": ""});
    assert_eq!(api.put("/v1/apps/web", &body.to_string()).await.status, StatusCode::CREATED);
    body["files"]["/c"]["content"] = "YQ==".into();
    assert_eq!(api.put("/v1/apps/web", &body.to_string()).await.error(), "422 invalid-spec");
}
