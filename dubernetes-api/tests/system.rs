//! Pods, revisions, plans, routes and the orchestrator itself over HTTP.

#[path = "support/api.rs"]
mod api;

use std::collections::BTreeSet;
use std::time::Duration;

use api::Api;
use axum::http::StatusCode;
use dubernetes_api::path;
use dubernetes_core::error::SharedError;
use dubernetes_core::runtime::{RuntimeError, RuntimeInfo};
use dubernetes_manifest::reference::{self, Form};
use dubernetes_testkit::build::app_name;
use dubernetes_testkit::{Behaviour, FOREVER, MockContainerRuntime, Operation};
use serde_json::{Value, json};

const WEB: &str = r#"{"name":"web","image":"web:1","replicas":2,"access":{"host":"web.local"}}"#;
const WEB2: &str = r#"{"name":"web","image":"web:2","replicas":2,"access":{"host":"web.local"}}"#;
const LIMIT: Duration = Duration::from_secs(120);

#[tokio::test(start_paused = true)]
async fn pods_are_listed_with_image() {
    let api = Api::start();
    api.ready(WEB).await;
    let other = r#"{"name":"api","image":"web:2"}"#;
    api.ready(other).await;
    let list = api.get("/v1/pods").await.json();
    assert_eq!(list["kind"], "List");
    let names = |list: &Value| -> Vec<String> {
        let items = list["items"].as_array().unwrap().iter();
        items.map(|pod| format!("{} {}", pod["name"], pod["image"]).replace('"', "")).collect()
    };
    assert_eq!(names(&list), ["api-1 web:2", "web-1 web:1", "web-2 web:1"]);
    assert_eq!(names(&api.get("/v1/pods?app=api").await.json()), ["api-1 web:2"]);
    assert_eq!(names(&api.get("/v1/pods?app=nope").await.json()), [""; 0]);

    let pod = api.get("/v1/pods/web-2").await;
    let text = std::str::from_utf8(&pod.body).unwrap();
    let order = r#"{"name":"web-2","app":"web","revision":1,"state":"Running","ready":true,"restarts":0,"address":"#;
    assert!(text.starts_with(order), "{text}");
    for name in ["web-3", "web", "WEB-1", "%2e%2e"] {
        assert_eq!(api.get(&format!("/v1/pods/{name}")).await.error(), "404 not-found");
        assert_eq!(api.delete(&format!("/v1/pods/{name}")).await.error(), "404 not-found");
    }
}

#[tokio::test(start_paused = true)]
async fn pod_of_older_revision_shows_its_own_image() {
    let api = Api::start();
    api.ready(WEB).await;
    api.orchestrator.runtime.add_image("web:2", Behaviour::never_ready());
    api.put("/v1/apps/web", WEB2).await.json();
    let mixed = api.orchestrator.until("both revisions run", LIMIT, |seen| {
        let pods = seen.plan.statuses.get(&app_name("web")).map(|status| &status.pods);
        let revisions: Option<BTreeSet<_>> = pods.map(|p| p.iter().map(|p| p.revision).collect());
        revisions.is_some_and(|revisions| revisions.len() == 2)
    });
    mixed.await;
    let pods = api.get("/v1/pods").await.json();
    for pod in pods["items"].as_array().unwrap() {
        assert_eq!(pod["image"], format!("web:{}", pod["revision"]));
    }
}

#[tokio::test(start_paused = true)]
async fn deleted_pod_is_replaced() {
    let api = Api::start();
    api.ready(WEB).await;
    let old = api.get("/v1/pods/web-1").await.json()["container_id"].as_str().unwrap().to_owned();
    assert_eq!(api.delete("/v1/pods/web-1").await.status, StatusCode::ACCEPTED);
    let replaced = api.orchestrator.until("web-1 is another container", LIMIT, |seen| {
        let status = seen.plan.statuses.get(&app_name("web"));
        status.is_some_and(|status| {
            let others = status
                .pods
                .iter()
                .all(|pod| pod.container_id.as_ref().is_some_and(|id| id.0 != old));
            others && status.ready == 2
        })
    });
    replaced.await;
}

#[tokio::test(start_paused = true)]
async fn revisions_are_listed_oldest_first() {
    let api = Api::start();
    api.ready(WEB).await;
    api.ready(WEB2).await;
    let list = api.get("/v1/apps/web/revisions").await.json();
    let shown = list["items"].as_array().unwrap().iter().map(|r| {
        json!([r["app"], r["revision"], r["image"], r["digest"], r["current"], r["spec"]["image"]])
    });
    let shown: Vec<_> = shown.collect();
    assert_eq!(
        shown,
        [
            json!(["web", 1, "web:1", "sha256:web:1", false, "web:1"]),
            json!(["web", 2, "web:2", "sha256:web:2", true, "web:2"]),
        ]
    );
    assert_eq!(api.get("/v1/apps/nope/revisions").await.error(), "404 not-found");
}

#[tokio::test(start_paused = true)]
async fn plan_reports_changes_without_applying() {
    let api = Api::start();
    api.ready(WEB).await;
    let journal = api.orchestrator.runtime.take_journal();
    assert!(!journal.is_empty());
    let new = r#"{"name":"new","image":"web:1"}"#;
    let body = format!(r#"{{"apps":[{WEB2},{new},{WEB}]}}"#);
    assert_eq!(api.post("/v1/plan", &body).await.error(), "422 invalid-spec");
    let report = api.post("/v1/plan", &format!(r#"{{"apps":[{WEB2},{new}]}}"#)).await.json();
    let apps = report["apps"].as_array().unwrap();
    let shown = |app: &Value| {
        json!([app["app"], app["change"], app["changes"], app["revision_from"], app["revision_to"]])
    };
    let change = json!({"path": "image", "old": "web:1", "new": "web:2"});
    assert_eq!(shown(&apps[0]), json!(["web", "configured", [change], 1, 2]));
    assert_eq!(shown(&apps[1]), json!(["new", "created", [], null, 1]));
    assert_eq!(apps[1]["downtime"], "none");
    let steps = apps[0]["forecast"]["steps"].as_array().unwrap();
    assert!(steps.iter().any(|step| step["action"] == "create"), "{steps:?}");
    assert_eq!(
        json!([apps[0]["downtime"], apps[0]["forecast"]["fewest_ready"]]),
        json!(["none", 2])
    );

    let none = r#"{"apps":[{"name":"web","image":"web:1","replicas":0}]}"#;
    let none = api.post("/v1/plan", none).await.json();
    assert_eq!(none["apps"][0]["downtime"], "the app is scaled to zero");

    let same = api.post("/v1/plan", &format!(r#"{{"apps":[{WEB}]}}"#)).await.json();
    assert_eq!(shown(&same["apps"][0]), json!(["web", "unchanged", [], 1, 1]));
    assert_eq!(api.get("/v1/apps/web").await.json()["generation"], 1);
    assert_eq!(api.get("/v1/apps/new").await.error(), "404 not-found");
    assert_eq!(api.orchestrator.runtime.take_journal(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn plan_rejects_what_apply_rejects() {
    let api = Api::start();
    api.put("/v1/apps/web", WEB).await.json();
    let taken = r#"{"name":"other","image":"web:1","access":{"host":"web.local"}}"#;
    for (body, error) in [
        ("", "400 invalid-json"),
        ("{\"apps\":[", "400 invalid-json"),
        ("[]", "422 invalid-spec"),
        ("{}", "422 invalid-spec"),
        (r#"{"apps":[],"x":1}"#, "422 invalid-spec"),
        (r#"{"apps":[{"name":"a"}]}"#, "422 invalid-spec"),
        (r#"{"apps":[{"name":"a","name":"a","image":"web:1"}]}"#, "422 invalid-spec"),
        (&format!(r#"{{"apps":[{taken}]}}"#), "409 route-taken"),
    ] {
        assert_eq!(api.post("/v1/plan", body).await.error(), error, "{body}");
    }
    let both = r#"{"apps":[{"name":"a","image":"web:1","replicas":999},{"name":"b","imge":"x"}]}"#;
    let problem = api.post("/v1/plan", both).await.problem();
    let paths: Vec<_> = problem.errors.iter().map(|error| error.path.as_str()).collect();
    assert!(paths.contains(&"apps.0.replicas") && paths.contains(&"apps.1.imge"), "{paths:?}");
    let pointers: Vec<_> = problem.errors.iter().filter_map(|e| e.pointer.as_deref()).collect();
    let both = ["/apps/0/replicas", "/apps/1/imge"];
    assert!(both.iter().all(|pointer| pointers.contains(pointer)), "{pointers:?}");
}

#[tokio::test(start_paused = true)]
async fn routes_list_endpoints_with_state() {
    let api = Api::start();
    api.ready(WEB).await;
    let served = api.orchestrator.until("both are routed", LIMIT, |seen| {
        let table = seen.observed.ingress.table();
        table.is_some_and(|table| table.routes.iter().any(|route| route.endpoints.len() == 2))
    });
    served.await;
    let routes = api.get("/v1/routes").await.json();
    let route = &routes["items"][0];
    assert_eq!(
        json!([route["host"], route["path"], route["app"], route["port"]]),
        json!(["web.local", "/", "web", 80])
    );
    let endpoints = route["endpoints"].as_array().unwrap();
    let shown: Vec<_> =
        endpoints.iter().map(|e| json!([e["pod"], e["port"], e["state"]])).collect();
    assert_eq!(shown, [json!(["web-1", 80, "active"]), json!(["web-2", 80, "active"])]);
}

#[tokio::test(start_paused = true)]
async fn status_reports_orchestrator_engine_and_ingress() {
    let api = Api::start();
    api.ready(WEB).await;
    let status = api.get("/v1/status").await.json();
    assert_eq!(status["instance"], "default");
    assert_eq!(
        status["orchestrator"],
        json!({"version": "1.2.3", "pid": 7, "mode": "serve", "state_dir": "/var/lib/dubernetes"})
    );
    assert_eq!(status["engine"]["state"], "answering");
    assert_eq!(status["engine"]["version"]["name"], "fake");
    assert_eq!(status["ingress"]["state"], "serving");
    assert_eq!(status["ingress"]["listens"], json!(["127.0.0.1:8080"]));
    assert_eq!(status["apps"], json!({"Ready": 1}));
    assert_eq!(status["store_problem"], Value::Null);

    away(&api).await;
    let status = api.get("/v1/status").await.json();
    assert_eq!(status["engine"]["state"], "away");
    assert_eq!(status["engine"]["version"], Value::Null);
    assert!(status["engine"]["reason"].is_string());
    assert_eq!(status["ingress"]["state"], "unknown");
    let reason = "the engine does not answer; 1 route was served before";
    assert_eq!(status["ingress"]["reason"], reason);
}

/// Makes the engine unreachable, and waits until a pass has seen it.
async fn away(api: &Api) {
    api.orchestrator.runtime.set_away(true);
    let away = api.orchestrator.until("the engine is away", LIMIT, |seen| {
        matches!(seen.observed.engine, dubernetes_core::state::EngineStatus::Unreachable { .. })
    });
    away.await;
}

#[tokio::test(start_paused = true)]
async fn status_requests_do_not_call_the_engine() {
    // Any call fails the test.
    let api = Api::with_runtime(MockContainerRuntime::new());
    api.ready(WEB).await;
    for uri in ["/v1/version", "/v1/status", "/readyz", "/v1/apps/web", "/v1/apps/web/why"] {
        assert_eq!(api.get(uri).await.status, StatusCode::OK, "{uri}");
    }
    assert_eq!(api.get("/v1/version").await.json()["engine"]["name"], "fake");
    assert_eq!(api.get("/v1/status").await.json()["engine"]["version"]["name"], "fake");
}

#[tokio::test(start_paused = true)]
async fn liveness_differs_from_readiness() {
    let api = Api::start();
    api.ready(WEB).await;
    let ready = api.get("/readyz").await.json();
    assert_eq!(ready["status"], "ok");
    assert_eq!(ready["checks"], json!({"engine": "ok", "ingress": "ok", "store": "ok"}));

    away(&api).await;
    let reply = api.get("/readyz").await;
    assert_eq!(reply.error(), "503 not-ready");
    assert_eq!(reply.problem().errors[0].path, "engine");
    assert_eq!(api.get("/healthz").await.json(), json!({"status": "ok"}));
    let version = api.get("/v1/version").await.json();
    assert_eq!(
        version,
        json!({"version": "1.2.3", "api": "v1", "engine": null, "instance": "default"})
    );
}

#[tokio::test(start_paused = true)]
async fn down_removes_everything() {
    let api = Api::start();
    api.ready(WEB).await;
    assert_eq!(api.send(post("/v1/down")).await.status, StatusCode::NO_CONTENT);
    assert_eq!(api.orchestrator.runtime.containers(), []);
    assert_eq!(api.get("/v1/apps").await.json()["items"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn failed_down_is_reported_and_refuses_applies() {
    let api = Api::start();
    api.ready(WEB).await;
    api.orchestrator.runtime.fail(Operation::Remove, FOREVER);
    let failed = api.send(post("/v1/down")).await;
    assert_eq!(failed.error(), "500 internal");
    let detail = failed.problem().detail;
    assert!(detail.starts_with("web-") && detail.contains("injected fault"), "{detail}");
    let status = api.get("/v1/status").await.json();
    assert!(status["teardown"].as_str().is_some_and(|text| text.starts_with("web-")), "{status}");
    assert_eq!(api.put("/v1/apps/web", WEB).await.error(), "409 tearing-down");
    let plan = format!(r#"{{"apps":[{WEB}]}}"#);
    assert_eq!(api.post("/v1/plan", &plan).await.error(), "409 tearing-down");
    api.orchestrator.runtime.faults().clear();
    assert_eq!(api.send(post("/v1/down")).await.status, StatusCode::NO_CONTENT);
    assert_eq!(api.get("/v1/status").await.json().get("teardown"), None);
}

#[expect(clippy::unwrap_used, reason = "what goes wrong here fails the test")]
fn post(uri: &str) -> axum::http::Request<axum::body::Body> {
    axum::http::Request::post(uri).body(axum::body::Body::empty()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn down_fails_after_orchestrator_stopped() {
    let api = Api::start();
    api.ready(WEB).await;
    api.orchestrator.stop();
    let mut snapshots = api.orchestrator.handle.snapshots();
    while snapshots.changed().await.is_ok() {}
    assert_eq!(api.send(post("/v1/down")).await.error(), "500 internal");
}

#[tokio::test(start_paused = true)]
async fn engine_errors_map_to_problem_or_note() {
    type Failure = fn() -> RuntimeError;
    let failures: [(Failure, &str); 4] = [
        (
            || RuntimeError::Unreachable {
                endpoint: "unix:///run/x.sock".to_owned(),
                cause: SharedError::text("no such file"),
            },
            "503 engine-unreachable",
        ),
        (|| RuntimeError::Timeout { operation: "read the output".to_owned() }, "200"),
        (
            || RuntimeError::Failed { operation: "read".to_owned(), cause: SharedError::text("x") },
            "200",
        ),
        (
            || RuntimeError::Rejected { operation: "read".to_owned(), message: "x".to_owned() },
            "200",
        ),
    ];
    for (failure, expected) in failures {
        let mut runtime = MockContainerRuntime::new();
        runtime.expect_read_logs().returning(move |_, _| Err(failure()));
        let api = Api::with_runtime(runtime);
        api.ready(WEB).await;
        let reply = api.get("/v1/apps/web/logs").await;
        if expected == "200" {
            let text = std::str::from_utf8(&reply.body).unwrap();
            assert!(text.starts_with(r#"{"note":"cannot read the logs of web-1: "#), "{text}");
        } else {
            assert_eq!(reply.error(), expected);
            assert!(reply.headers.contains_key("retry-after"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn openapi_lists_every_endpoint() {
    let api = Api::start();
    let document = api.get("/openapi.json").await.json();
    assert_eq!(document["info"]["title"], "Dubernetes");
    let described: BTreeSet<_> =
        document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    let served = BTreeSet::from([
        path::APPS,
        path::APP,
        path::APP_SCALE,
        path::APP_ROLLOUT,
        path::APP_ROLLOUT_PLAN,
        path::APP_FORECAST,
        path::APP_REVISIONS,
        path::APP_DECISIONS,
        path::APP_HISTORY,
        path::APP_WHY,
        path::APP_LOGS,
        path::APP_ACCESS_LOG,
        path::SECRETS,
        path::SECRET,
        path::SECRET_KEY_ROTATION,
        path::APP_RUN,
        path::PODS,
        path::POD,
        path::POD_WHY,
        path::POD_LOGS,
        path::POD_EXEC,
        path::POD_FORWARD,
        path::IMAGES,
        path::STATS,
        path::EVENTS,
        path::WATCH,
        path::PLAN,
        path::ROUTES,
        path::CERTIFICATES,
        path::CERTIFICATE_ROOT,
        path::CERTIFICATE_RENEWAL,
        path::NODES,
        path::STATUS,
        path::VERSION,
        path::DOWN,
        path::HEALTHZ,
        path::READYZ,
        path::SCHEMA,
        path::OPENAPI,
    ]);
    assert_eq!(described, served);
    let mut operation_ids = BTreeSet::new();
    for (template, item) in document["paths"].as_object().unwrap() {
        let uri = path::named(template, "x");
        let methods = item.as_object().unwrap();
        // No path has this method; the response lists those that it has.
        let request = axum::http::Request::patch(&uri).body(axum::body::Body::empty()).unwrap();
        let reply = api.send(request).await;
        assert_eq!(reply.error(), "405 method-not-allowed", "{uri}");
        let allowed: BTreeSet<_> = reply.headers["allow"]
            .to_str()
            .unwrap()
            .split(',')
            .map(str::to_ascii_lowercase)
            .filter(|method| method != "head")
            .collect();
        let described: BTreeSet<_> = methods.keys().cloned().collect();
        assert_eq!(allowed, described, "{uri}");
        for operation in methods.values() {
            let id = operation["operationId"].as_str().unwrap().to_owned();
            assert!(operation_ids.insert(id), "{operation}");
        }
    }
}

/// The schemas mirror types of the core.
#[test]
fn openapi_schemas_match_core_types() {
    let document: Value = serde_json::from_str(&dubernetes_api::server::openapi_json()).unwrap();
    let schemas = &document["components"]["schemas"];
    let fields = |schema: &str| -> BTreeSet<String> {
        let properties = schemas[schema]["properties"].as_object();
        properties.unwrap_or_else(|| panic!("{schema}")).keys().cloned().collect()
    };
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let engine = RuntimeInfo {
        name: String::new(),
        version: String::new(),
        api_version: String::new(),
        platform: String::new(),
    };
    assert_eq!(fields("RuntimeInfo"), keys(&serde_json::to_value(engine).unwrap()));
    let event = dubernetes_core::event::Event {
        id: 1,
        time: jiff::Timestamp::UNIX_EPOCH,
        first_at: jiff::Timestamp::UNIX_EPOCH,
        kind: dubernetes_core::event::EventKind::Normal,
        app: None,
        pod: None,
        revision: None,
        reason: String::new(),
        message: String::new(),
        count: 1,
    };
    assert_eq!(fields("Event"), keys(&serde_json::to_value(event).unwrap()));
    let why = dubernetes_core::why::Why {
        kind: dubernetes_core::why::TargetKind::App,
        name: String::new(),
        state: String::new(),
        cause: String::new(),
        chain: vec![dubernetes_core::why::ChainLink {
            step: dubernetes_core::why::ChainStep::Rule,
            text: String::new(),
            detail: String::new(),
            at: None,
        }],
        output: Some(dubernetes_core::why::Output {
            pod: "web-1".parse().unwrap(),
            lines: Vec::new(),
        }),
        help: Vec::new(),
    };
    let why = serde_json::to_value(why).unwrap();
    assert_eq!(fields("Why"), keys(&why));
    assert_eq!(fields("WhyLink"), keys(&why["chain"][0]));
    assert_eq!(fields("WhyOutput"), keys(&why["output"]));
    let step = dubernetes_core::forecast::Step {
        action: String::new(),
        pod: None,
        reason: String::new(),
        ready: 0,
    };
    assert_eq!(fields("Step"), keys(&serde_json::to_value(step).unwrap()));
    let forecast = dubernetes_core::forecast::Forecast::default();
    assert_eq!(fields("Forecast"), keys(&serde_json::to_value(forecast).unwrap()));
}

#[tokio::test(start_paused = true)]
async fn manifest_schema_is_served_and_body_schema_is_in_openapi() {
    let api = Api::start();
    let reply = api.get("/v1/schema.json").await;
    assert_eq!(reply.headers["content-type"], "application/schema+json");
    assert_eq!(reply.json(), reference::schema(Form::File));
    let document = api.get("/openapi.json").await.json();
    let mut body = reference::schema(Form::Json);
    body.as_object_mut().unwrap().remove("$schema");
    assert_eq!(document["components"]["schemas"]["AppSpec"], body);
    let put = &document["paths"]["/v1/apps/{name}"]["put"]["requestBody"]["content"];
    assert_eq!(put["application/json"]["schema"]["$ref"], "#/components/schemas/AppSpec");
}

#[tokio::test(start_paused = true)]
async fn status_names_failed_app_with_its_cause() {
    let api = Api::start();
    api.put("/v1/apps/web", r#"{"name":"web","image":"crash:1"}"#).await.json();
    let failed = api.orchestrator.until("web has failed", LIMIT, |seen| {
        let web = seen.desired.apps.get(&app_name("web"));
        web.is_some_and(|web| web.rollout.outcome.failure().is_some())
    });
    failed.await;
    let status = api.get(path::STATUS).await.json();
    let web = &status["failed"][0];
    assert_eq!(web["name"], "web", "{status}");
    assert!(web["status"]["message"].as_str().unwrap().contains("exit code 1"), "{status}");
    assert!(web["status"]["since"].is_string(), "{status}");
}
