//! Explanations of the state of apps and pods over HTTP.

#[path = "support/api.rs"]
mod api;

use std::time::Duration;

use api::Api;
use axum::http::StatusCode;
use dubernetes_core::ingress::AnswerProblem;
use dubernetes_core::plan::Phase;
use dubernetes_core::runtime::ContainerId;
use dubernetes_testkit::Behaviour;
use dubernetes_testkit::build::app_name;

const LIMIT: Duration = Duration::from_secs(120);

#[tokio::test(start_paused = true)]
async fn why_explains_crash_loop_with_last_lines() {
    let api = Api::start();
    api.put("/v1/apps/loop", r#"{"name":"loop","image":"crash:1"}"#).await.json();
    let failed = api.orchestrator.until("it has failed and waits", LIMIT, |seen| {
        let status = seen.plan.statuses.get(&app_name("loop"));
        status.is_some_and(|status| status.phase == Phase::Failed && status.next_try.is_some())
    });
    let seen = failed.await;
    let pod = &seen.plan.statuses[&app_name("loop")].pods[0];
    let id: ContainerId = pod.container_id.clone().unwrap();
    let containers = api.orchestrator.runtime.containers();
    let name = &containers.iter().find(|container| container.id == id).unwrap().name;
    (0..30).for_each(|n| api.orchestrator.runtime.write_log(name, &format!("line {n}")));

    let why = api.get("/v1/apps/loop/why").await.json();
    let text = |key: &str| why[key].as_str().unwrap().to_owned();
    assert_eq!(
        (text("kind"), text("name"), text("state")),
        ("app".into(), "loop".into(), "Failed".into())
    );
    let cause = "revision 1 failed: loop-1 keeps failing: exit code 1 after";
    assert!(text("cause").starts_with(cause), "{why}");
    let steps: Vec<_> = why["chain"]
        .as_array()
        .unwrap()
        .iter()
        .map(|link| link["step"].as_str().unwrap())
        .collect();
    assert_eq!(steps, ["desired", "observed", "rule", "decision", "result", "next"]);
    let lines = why["output"]["lines"].as_array().unwrap();
    assert_eq!((lines.len(), &lines[19]), (20, &"line 29".into()), "the last twenty");

    let pod = api.get("/v1/pods/loop-1/why").await.json();
    assert_eq!((&pod["kind"], &pod["state"]), (&"pod".into(), &"BackOff".into()));
    assert_eq!(pod["output"], why["output"]);
}

#[tokio::test(start_paused = true)]
async fn why_of_ready_app_has_no_cause_and_no_output() {
    let api = Api::start();
    api.ready(r#"{"name":"web","image":"web:1","replicas":2}"#).await;
    for path in ["/v1/apps/web/why", "/v1/pods/web-2/why"] {
        let why = api.get(path).await.json();
        assert_eq!((&why["cause"], &why["output"]), (&"".into(), &serde_json::Value::Null));
    }
}

#[tokio::test(start_paused = true)]
async fn why_shows_answers_that_the_ingress_could_not_pass_on() {
    let api = Api::start();
    let web = r#"{"name":"web","image":"web:1","access":{"host":"web.local"}}"#;
    api.ready(web).await;
    let seen = api.orchestrator.handle.snapshot();
    let problem = AnswerProblem {
        endpoint: seen.observed.replicas[0].endpoint.unwrap(),
        what: "its headers are too long".to_owned(),
        remedy: "send fewer headers".to_owned(),
        count: 1,
        first: seen.at.unwrap(),
        last: seen.at.unwrap(),
    };
    api.orchestrator.ingress.set_answer_problems(vec![problem]);
    for path in ["/v1/apps/web/why", "/v1/pods/web-1/why"] {
        let why = api.get(path).await.json();
        let text = "the ingress answered in place of web-1: its headers are too long";
        assert_eq!(why["chain"][2]["text"], text, "{why}");
        assert_eq!(why["help"], serde_json::json!(["send fewer headers"]), "{why}");
    }
}

#[tokio::test(start_paused = true)]
async fn why_covers_spec_that_was_just_applied() {
    let api = Api::start();
    api.ready(r#"{"name":"web","image":"web:1"}"#).await;
    api.orchestrator.runtime.add_image("web:2", Behaviour::default());
    api.put("/v1/apps/web", r#"{"name":"web","image":"web:2"}"#).await.json();
    let why = api.get("/v1/apps/web/why").await.json();
    assert!(why["chain"][0]["text"].as_str().unwrap().contains("web:2"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn why_of_unknown_object_is_404_and_refusal_is_an_event() {
    let api = Api::start();
    for path in ["/v1/apps/nope/why", "/v1/pods/nope-1/why", "/v1/apps/N%2F/why"] {
        assert_eq!(api.get(path).await.error(), "404 not-found");
    }
    api.ready(r#"{"name":"web","image":"web:1","access":{"host":"web.local"}}"#).await;
    let other = r#"{"name":"other","image":"web:1","access":{"host":"web.local"}}"#;
    assert_eq!(api.put("/v1/apps/other", other).await.status, StatusCode::CONFLICT);
    assert_eq!(api.get("/v1/apps/other/why").await.error(), "404 not-found");
    let events = api.get("/v1/events?app=other").await.json();
    let event = &events["items"][0];
    assert_eq!((&event["reason"], &event["type"]), (&"Refused".into(), &"Warning".into()));
    assert_eq!(event["message"], "the host `web.local` is taken by app `web`");
}
