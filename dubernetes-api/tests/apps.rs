//! Apps over HTTP: applies, deletes, scales, and rejected requests.

#[path = "support/api.rs"]
mod api;

use api::{Api, json};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use bytes::Bytes;
use dubernetes_core::app::Generation;
use dubernetes_core::error::SharedError;
use dubernetes_core::store::{StoreError, StoredState};
use dubernetes_testkit::MockStore;
use dubernetes_testkit::build::app_name;

const WEB: &str = r#"{"name":"web","image":"web:1","replicas":2,"access":{"host":"web.local"}}"#;
const WEB2: &str = r#"{"name":"web","image":"web:2","replicas":2,"access":{"host":"web.local"}}"#;

#[tokio::test(start_paused = true)]
async fn apply_reports_what_changed() {
    let api = Api::start();
    for (body, status, change, generation, revision) in [
        (WEB, StatusCode::CREATED, "created", 1, 1),
        (WEB, StatusCode::OK, "unchanged", 1, 1),
        (WEB2, StatusCode::OK, "configured", 2, 2),
    ] {
        let reply = api.put("/v1/apps/web", body).await;
        let applied = reply.json();
        assert_eq!(reply.status, status);
        assert_eq!(applied["change"], change);
        assert_eq!(applied["app"]["generation"], generation);
        assert_eq!(applied["app"]["status"]["revision"], revision);
    }
}

#[tokio::test(start_paused = true)]
async fn app_json_has_documented_field_order() {
    let api = Api::start();
    api.ready(WEB).await;
    let reply = api.get("/v1/apps/web").await;
    let text = std::str::from_utf8(&reply.body).unwrap();
    let order = [
        r#"{"name":"web""#,
        r#""generation":1"#,
        r#""spec":{"name":"web","image":"web:1""#,
        r#""status":{"phase":"Ready","desired":2,"ready":2,"updated":2,"revision":1,"message":"""#,
        r#""created_at":"2026-01-01T00:00:"#,
        r#""image_id":"sha256:web:1""#,
        r#""urls":["http://web.local:8080"]"#,
    ];
    let places: Vec<_> = order.iter().map(|part| text.find(part)).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?} in {text}");
}

#[tokio::test(start_paused = true)]
async fn stale_status_reports_observed_generation() {
    let api = Api::start();
    api.ready(WEB).await;
    let app = &api.put("/v1/apps/web", WEB2).await.json()["app"];
    let status = &app["status"];
    assert_eq!((&status["phase"], &status["ready"]), (&"Progressing".into(), &2.into()));
    assert_eq!((&status["updated"], &status["observed_generation"]), (&0.into(), &1.into()));
    assert_eq!(status["message"], "the new spec is not observed yet");
}

#[tokio::test(start_paused = true)]
async fn deleted_app_is_not_found_and_loses_its_pods() {
    let api = Api::start();
    api.ready(WEB).await;
    assert_eq!(api.delete("/v1/apps/web").await.status, StatusCode::ACCEPTED);
    assert_eq!(api.get("/v1/apps/web").await.error(), "404 not-found");
    assert_eq!(api.delete("/v1/apps/web").await.error(), "404 not-found");
    assert_eq!(api.get("/v1/apps").await.json()["items"], serde_json::json!([]));
    let limit = std::time::Duration::from_secs(60);
    let gone = api.orchestrator.until("nothing is left", limit, |seen| {
        let status = seen.plan.statuses.get(&app_name("web"));
        seen.desired.apps.is_empty() && status.is_none_or(|status| status.pods.is_empty())
    });
    gone.await;
    assert_eq!(api.get("/v1/pods").await.json()["items"], serde_json::json!([]));
}

#[tokio::test(start_paused = true)]
async fn scale_changes_replicas_and_keeps_revision() {
    let api = Api::start();
    api.ready(WEB).await;
    let applied = api.post("/v1/apps/web/scale", r#"{"replicas":3}"#).await.json();
    assert_eq!(applied["change"], "configured");
    assert_eq!(applied["app"]["spec"]["replicas"], 3);
    assert_eq!(applied["app"]["status"]["revision"], 1);
    let same = api.post("/v1/apps/web/scale", r#"{"replicas":3}"#).await.json();
    assert_eq!(same["change"], "unchanged");
    for (uri, body, error) in [
        ("/v1/apps/nope/scale", r#"{"replicas":3}"#, "404 not-found"),
        ("/v1/apps/web/scale", r#"{"replicas":251}"#, "422 invalid-spec"),
        ("/v1/apps/web/scale", r#"{"replicas":-1}"#, "422 invalid-spec"),
        ("/v1/apps/web/scale", r#"{"replicas":"3"}"#, "422 invalid-spec"),
        ("/v1/apps/web/scale", r#"{"replica":3}"#, "422 invalid-spec"),
        ("/v1/apps/web/scale", "three", "400 invalid-json"),
    ] {
        assert_eq!(api.post(uri, body).await.error(), error, "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn if_match_must_equal_stored_generation() {
    let api = Api::start();
    let put = |expected: &str, body: &str| {
        api.send(json(Request::put("/v1/apps/web").header("if-match", expected), body))
    };
    let missing = put("\"1\"", WEB).await;
    assert_eq!(
        (missing.error(), missing.problem().generation()),
        ("409 stale-generation".into(), Some(Generation::NONE))
    );
    assert_eq!(put("\"0\"", WEB).await.status, StatusCode::CREATED);
    let stale = put("\"0\"", WEB2).await;
    assert_eq!(
        (stale.error(), stale.problem().generation()),
        ("409 stale-generation".into(), Some(Generation(1)))
    );
    assert_eq!(put("\"1\"", WEB2).await.status, StatusCode::OK);
    for malformed in ["1", "\"\"", "\"+1\"", "*", "W/\"1\"", "\"99999999999999999999\""] {
        assert_eq!(put(malformed, WEB).await.error(), "400 invalid-request", "{malformed}");
    }
    let twice =
        Request::put("/v1/apps/web").header("if-match", "\"2\"").header("if-match", "\"2\"");
    assert_eq!(api.send(json(twice, WEB)).await.error(), "400 invalid-request");
}

#[tokio::test(start_paused = true)]
async fn invalid_body_is_rejected_with_position() {
    let api = Api::start();
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    for (body, error) in [
        ("{", "400 invalid-json"),
        ("", "400 invalid-json"),
        (&format!("{WEB} x"), "400 invalid-json"),
        ("{\"name\":1e400,\"image\":\"web:1\"}", "400 invalid-json"),
        (&deep, "400 invalid-json"),
        ("[]", "422 invalid-spec"),
        (r#"{"name":"web","name":"web","image":"web:1"}"#, "422 invalid-spec"),
        (r#"{"name":"web","image":"web:1","replicas":4294967299}"#, "422 invalid-spec"),
        (r#"{"name":"web","image":"web:1","replicas":3.0}"#, "422 invalid-spec"),
        (r#"{"name":"web","image":"web:1","replicas":"3"}"#, "422 invalid-spec"),
        (r#"{"name":"web","image":"web:1","replicas":null}"#, "422 invalid-spec"),
        (r#"{"name":"web","image":"web:1","replicas":251}"#, "422 invalid-spec"),
        (r#"{"name":"web","image":"web:1","hots":"x"}"#, "422 invalid-spec"),
        (r#"{"name":"other","image":"web:1"}"#, "422 invalid-spec"),
    ] {
        let reply = api.put("/v1/apps/web", body).await;
        let shown = &body[..body.len().min(60)];
        assert!(["400 invalid-json", "422 invalid-spec"].contains(&&*reply.error()), "{shown}");
        assert_eq!(reply.error(), error, "{shown}: {}", reply.problem());
        assert!(!reply.problem().errors.is_empty(), "{shown}");
    }
    let invalid_utf8 = Request::put("/v1/apps/web").header("content-type", "application/json");
    let invalid_utf8 = invalid_utf8.body(Body::from(&b"{\"name\":\"\xff\"}"[..])).unwrap();
    assert_eq!(api.send(invalid_utf8).await.error(), "400 invalid-json");
    assert_eq!(api.get("/v1/apps/web").await.error(), "404 not-found");
}

#[tokio::test(start_paused = true)]
async fn all_problems_of_a_spec_are_reported_with_pointers() {
    let api = Api::start();
    let body = r#"{"name":"web","image":"web:1","replicas":251,"access":{"hots":"x"}}"#;
    let problem = api.put("/v1/apps/web", body).await.problem();
    let paths: Vec<_> = problem.errors.iter().map(|error| error.path.as_str()).collect();
    assert!(paths.contains(&"replicas") && paths.contains(&"access.hots"), "{paths:?}");
    let pointers: Vec<_> = problem.errors.iter().map(|error| error.pointer.as_deref()).collect();
    let both = [Some("/replicas"), Some("/access/hots")];
    assert!(both.iter().all(|pointer| pointers.contains(pointer)), "{pointers:?}");
}

#[tokio::test(start_paused = true)]
async fn invalid_app_name_is_422_on_put_and_404_elsewhere() {
    let api = Api::start();
    for name in ["Web", "we%20b", "%2e%2e%2fetc", "ingress", "%FF", "a".repeat(64).as_str()] {
        let uri = format!("/v1/apps/{name}");
        assert_eq!(api.get(&uri).await.error(), "404 not-found", "{name}");
        assert_eq!(api.delete(&uri).await.error(), "404 not-found", "{name}");
        if name != "%FF" {
            assert_eq!(api.put(&uri, WEB).await.error(), "422 invalid-spec", "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn body_must_be_json_without_encoding() {
    let api = Api::start();
    for headers in [
        &[][..],
        &[("content-type", "text/plain")],
        &[("content-type", "application/x-www-form-urlencoded")],
        &[("content-type", "application/json; charset=latin1")],
        &[("content-type", "application/json"), ("content-encoding", "gzip")],
    ] {
        let mut request = Request::put("/v1/apps/web");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let reply = api.send(request.body(Body::from(WEB)).unwrap()).await;
        assert_eq!(reply.error(), "415 unsupported-type", "{headers:?}");
    }
    let utf8 =
        Request::put("/v1/apps/web").header("content-type", "application/json; charset=UTF-8");
    assert_eq!(api.send(utf8.body(Body::from(WEB)).unwrap()).await.status, StatusCode::CREATED);
}

#[tokio::test(start_paused = true)]
async fn oversized_requests_are_rejected() {
    let api = Api::start();
    let large = format!("{{\"name\":\"{}\"}}", "a".repeat(3 << 20));
    assert_eq!(api.put("/v1/apps/web", &large).await.error(), "413 too-large");

    let endless =
        futures_util::stream::repeat(Ok::<_, std::convert::Infallible>(Bytes::from_static(b"  ")));
    let endless = Request::put("/v1/apps/web")
        .header("content-type", "application/json")
        .body(Body::from_stream(endless))
        .unwrap();
    assert_eq!(api.send(endless).await.error(), "413 too-large");

    let long = format!("/v1/apps/{}", "a".repeat(9000));
    let reply = api.get(&long).await;
    assert_eq!(reply.status, StatusCode::URI_TOO_LONG);

    let many = Request::get("/v1/apps").header("x-many", "a".repeat(40_000));
    assert_eq!(api.send(many.body(Body::empty()).unwrap()).await.error(), "431 headers-too-large");
}

#[tokio::test(start_paused = true)]
async fn unknown_and_invalid_query_parameters_are_rejected() {
    let api = Api::start();
    for uri in [
        "/v1/apps?x=1",
        "/v1/apps/web?x=1",
        "/v1/pods?app=web&app=web",
        "/v1/pods?app=Web",
        "/v1/events?limit=0",
        "/v1/events?limit=10001",
        "/v1/events?limit=-1",
        "/v1/events?after=18446744073709551616",
        "/v1/events?after=x",
        "/v1/watch?names=web",
        "/v1/apps/web/logs?tail=x",
        "/v1/apps/web/logs?follow=maybe",
        "/v1/apps/web/logs?since=yesterday",
        "/v1/routes?x",
        "/v1/status?verbose=1",
        "/healthz?x=1",
    ] {
        assert_eq!(api.get(uri).await.error(), "400 invalid-query", "{uri}");
    }
}

#[tokio::test(start_paused = true)]
async fn taken_route_names_its_owner() {
    let api = Api::start();
    api.put("/v1/apps/web", WEB).await.json();
    let other = r#"{"name":"other","image":"web:1","access":{"host":"web.local"}}"#;
    let problem = api.put("/v1/apps/other", other).await.problem();
    assert_eq!((problem.status, &problem.extra["owner"]), (409, &"web".into()));
    assert!(problem.detail.contains("`web.local`"), "{problem}");
}

#[tokio::test(start_paused = true)]
async fn unknown_path_is_404_and_unknown_method_is_405() {
    let api = Api::start();
    for uri in ["/", "/v1", "/v1/", "/v1/app", "/v1/apps/", "/v1/apps/web/x", "/v2/apps", "//"] {
        assert_eq!(api.get(uri).await.error(), "404 not-found", "{uri}");
    }
    let reply = api.post("/v1/apps/web", WEB).await;
    assert_eq!(reply.error(), "405 method-not-allowed");
    let mut allowed: Vec<_> = reply.headers["allow"].to_str().unwrap().split(',').collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["DELETE", "GET", "HEAD", "PUT"]);
    assert_eq!(api.delete("/v1/status").await.error(), "405 method-not-allowed");
}

#[tokio::test(start_paused = true)]
async fn store_errors_map_to_distinct_problems() {
    let cause = || SharedError::text("disk");
    type Failure = fn(SharedError) -> StoreError;
    let failures: [(Failure, &str, bool); 3] = [
        (StoreError::Busy, "503 store-busy", true),
        (StoreError::Full, "507 store-full", false),
        (StoreError::Failed, "500 internal", false),
    ];
    for (failure, error, retry) in failures {
        let mut store = MockStore::new();
        store.expect_put().returning(move |_| Err(failure(cause())));
        let reply = Api::with_store(store).put("/v1/apps/web", WEB).await;
        assert_eq!(reply.error(), error);
        assert_eq!(reply.headers.contains_key("retry-after"), retry, "{error}");
        assert!(reply.problem().detail.ends_with("disk"), "{reply:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn invalid_field_of_small_body_has_pointer() {
    let api = Api::start();
    api.ready(WEB).await;
    for (uri, body, pointer) in [
        ("/v1/apps/web/scale", r#"{"replicas":251}"#, "/replicas"),
        ("/v1/apps/web/scale", r#"{"replicas":-1}"#, "/replicas"),
        ("/v1/apps/web/scale", "{}", ""),
        ("/v1/apps/web/scale", "3", ""),
        ("/v1/apps/web/rollout", r#"{"action":"undo","to":"x"}"#, "/to"),
        ("/v1/plan", r#"{"apps":[{"name":"a","image":"b","replicas":-1}]}"#, "/apps/0/replicas"),
        ("/v1/plan", r#"{"apps":7}"#, "/apps"),
    ] {
        let problem = api.post(uri, body).await.problem();
        assert_eq!(problem.errors[0].pointer.as_deref(), Some(pointer), "{body}: {problem:?}");
        assert_eq!(problem.status, 422, "{problem:?}");
    }
    for body in ["three", r#"{"replicas":3"#, r#"{"replicas":3} 4"#] {
        let problem = api.post("/v1/apps/web/scale", body).await.problem();
        assert_eq!((problem.status, &problem.errors[0].pointer), (400, &None), "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn scale_retries_after_stale_generation() {
    let api = Api::start();
    api.put("/v1/apps/web", WEB).await.json();
    let stored = dubernetes_core::store::Store::get(&*api.orchestrator.store, &app_name("web"))
        .await
        .unwrap();
    let mut store = MockStore::new();
    let mut calls = newer_generations(stored);
    store.expect_get().returning(move |_| Ok(calls()));
    store.expect_put().times(2).returning(|put| match put.expected_generation {
        Some(Generation(2)) => {
            let mut app = stored_with(2);
            app.spec = put.spec.into();
            Ok(dubernetes_core::store::Put {
                app,
                change: dubernetes_core::store::Change::Configured,
            })
        }
        expected => Err(StoreError::StaleGeneration {
            name: app_name("web"),
            expected: expected.unwrap(),
            present: Generation(2),
        }),
    });
    store.expect_list().returning(|| Ok(StoredState::default()));
    store.expect_append().times(1).returning(|_| Ok(()));
    let reply = Api::with_store(store).post("/v1/apps/web/scale", r#"{"replicas":5}"#).await;
    assert_eq!(reply.json()["app"]["spec"]["replicas"], 5);
}

/// Returns the app for successive reads, one generation newer each time.
fn newer_generations(
    first: dubernetes_core::store::StoredApp,
) -> impl FnMut() -> dubernetes_core::store::StoredApp + Send {
    let mut next = first;
    move || {
        let newer = dubernetes_core::store::StoredApp {
            generation: next.generation.next(),
            ..next.clone()
        };
        std::mem::replace(&mut next, newer)
    }
}

#[expect(clippy::unwrap_used, reason = "what goes wrong here fails the test")]
fn stored_with(generation: u64) -> dubernetes_core::store::StoredApp {
    let spec: dubernetes_core::app::AppSpec = serde_json::from_str(WEB).unwrap();
    let first = dubernetes_core::store::StoredApp::first(spec, jiff::Timestamp::UNIX_EPOCH);
    dubernetes_core::store::StoredApp { generation: Generation(generation), ..first }
}
