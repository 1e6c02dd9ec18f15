//! Replicas are asked how they are, all the time, and what they answer has consequences.

#![expect(clippy::unwrap_used, reason = "an unwrap that fails is a test that fails")]

use std::time::Duration;

use dubernetes_tests::checks::{SOON, expect};
use dubernetes_tests::{Scenario, busybox, eventually, here, whoami};
use serde_json::Value;

const ASKED: &str = "health: { http: /health, interval: 1s, timeout: 1s, replace_after: 500 }";

async fn pod(s: &Scenario, name: &str) -> Value {
    s.pods(None).await.into_iter().find(|pod| pod["name"] == name).unwrap()
}

/// Sets what a replica says of itself.
async fn says(s: &Scenario, name: &str, status: u16) {
    let address = pod(s, name).await["address"].as_str().unwrap().to_owned();
    let url = format!("http://{address}/health");
    let set = reqwest::Client::new().post(url).body(status.to_string()).send().await.unwrap();
    assert!(set.status().is_success(), "{set:?}");
}

async fn is_ready(s: &Scenario, name: &str, ready: bool, limit: Duration) {
    eventually(&format!("{name} is ready: {ready}"), limit, async || {
        let pod = pod(s, name).await;
        expect(pod["ready"] == ready, pod)
    })
    .await;
}

#[test]
fn a_replica_that_answers_badly_leaves_the_route_and_comes_back() {
    here!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("web", 2).host("web.test").with(ASKED)).await;
        let ids = s.running("web").await;
        says(s, "web-1", 503).await;
        is_ready(s, "web-1", false, SOON).await;
        let bad = pod(s, "web-1").await;
        let probes = bad["probes"].as_array().unwrap().clone();
        let turned = probes.iter().position(|probe| probe["good"] == false).unwrap();
        let text = probes[turned]["text"].as_str().unwrap();
        assert!(text.contains("503") && text.contains("/health"), "{text}");
        let told = s.run(&["describe", "web"]).await.succeeds().stdout;
        assert!(told.contains("Health:      GET :80/health every 1s"), "{told}");
        assert!(told.contains("Probes:") && told.contains(text), "{told}");
        eventually("web-2 alone answers", SOON, async || {
            let by = s.answered_by("web.test", 6).await;
            expect(by.len() == 1 && by.contains_key("web-2"), by)
        })
        .await;

        says(s, "web-1", 204).await;
        is_ready(s, "web-1", true, SOON).await;
        eventually("both answer", SOON, async || {
            let by = s.answered_by("web.test", 6).await;
            expect(by.len() == 2, by)
        })
        .await;
        assert_eq!(s.running("web").await, ids, "nothing was replaced");
    });
}

#[test]
fn a_replica_that_stays_bad_is_replaced_and_the_others_are_not() {
    here!().run(async |s| {
        s.serve().await;
        let health = "health: { http: /health, interval: 1s, timeout: 500ms, replace_after: 3 }";
        s.apply(&whoami("web", 2).host("web.test").with(health)).await;
        let before = s.running("web").await;
        says(s, "web-1", 500).await;
        eventually("web-1 is another container", 2 * SOON, async || {
            let now = s.running("web").await;
            expect(now.get("web-1").is_some_and(|id| *id != before["web-1"]), now)
        })
        .await;
        is_ready(s, "web-1", true, SOON).await;
        assert_eq!(s.running("web").await["web-2"], before["web-2"]);
        assert_eq!(pod(s, "web-1").await["restarts"], 1);
        let events = s.events().await;
        assert!(events.iter().any(|(_, message)| message.contains("500")), "{events:?}");
    });
}

#[test]
fn a_command_and_a_connection_are_questions_as_well() {
    here!().run(async |s| {
        s.serve().await;
        let script = "touch /tmp/well; sleep 1000";
        let ask = "health: { exec: [/bin/sh, -c, 'echo looked; test -f /tmp/well'], interval: 1s, timeout: 1s }";
        s.apply(&busybox("job", 1, script).with(ask)).await;
        let id = s.running("job").await["job-1"].clone();
        dubernetes_tests::program::docker(&["exec", &id, "rm", "/tmp/well"]).await;
        is_ready(s, "job-1", false, SOON).await;
        let bad = pod(s, "job-1").await;
        let text = bad["message"].as_str().unwrap();
        assert!(text.contains("looked") && text.contains('1'), "{text}");

        // The port of the question is not that of the app.
        let listens =
            whoami("tcp", 1).with("health: { tcp: true, port: 8080 }\nargs: [--port, '8080']");
        s.apply(&listens).await;
        let deaf = whoami("deaf", 1)
            .with("health: { tcp: true, port: 81 }\nrollout: { progress_deadline: 3s }");
        let failed = s.try_apply(&deaf).await.fails(1);
        assert!(failed.stderr.contains("no progress within 3s"), "{}", failed.stderr);
    });
}
