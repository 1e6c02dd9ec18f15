//! Health probes decide about readiness, routing and replacement of replicas.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::time::Duration;

use dubernetes_tests::checks::{SOON, ensure};
use dubernetes_tests::{Scenario, busybox, e2e, eventually, whoami};
use serde_json::Value;

const HEALTH: &str = "health: { http: /health, interval: 1s, timeout: 1s, replace_after: 500 }";

async fn get_pod(s: &Scenario, name: &str) -> Value {
    s.get_pods(None).await.into_iter().find(|pod| pod["name"] == name).unwrap()
}

/// Sets the status that a replica's `/health` answers.
async fn set_health(s: &Scenario, name: &str, status: u16) {
    let address = get_pod(s, name).await["address"].as_str().unwrap().to_owned();
    let url = format!("http://{address}/health");
    let set = reqwest::Client::new().post(url).body(status.to_string()).send().await.unwrap();
    assert!(set.status().is_success(), "{set:?}");
}

async fn wait_for_readiness(s: &Scenario, name: &str, ready: bool, limit: Duration) {
    eventually(&format!("{name} is ready: {ready}"), limit, async || {
        let pod = get_pod(s, name).await;
        ensure(pod["ready"] == ready, pod)
    })
    .await;
}

#[test]
fn unhealthy_replica_is_unrouted_and_routed_again_on_recovery() {
    e2e!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("web", 2).host("web.test").with(HEALTH)).await;
        let ids = s.running_pods("web").await;
        set_health(s, "web-1", 503).await;
        wait_for_readiness(s, "web-1", false, SOON).await;
        let bad = get_pod(s, "web-1").await;
        let probes = bad["probes"].as_array().unwrap().clone();
        // A probe from before the program listened may have failed, too.
        let texts = probes.iter().filter(|probe| probe["good"] == false);
        let mut texts = texts.map(|probe| probe["text"].as_str().unwrap());
        let text = texts.find(|text| text.contains("503") && text.contains("/health"));
        let text = text.unwrap_or_else(|| panic!("no failed probe with the status: {probes:?}"));
        let described = s.run(&["describe", "web"]).await.assert_success().stdout;
        assert!(described.contains("Health:      GET :80/health every 1s"), "{described}");
        assert!(described.contains("Probes:") && described.contains(text), "{described}");
        eventually("only web-2 answers", SOON, async || {
            let by = s.count_answers("web.test", 6).await;
            ensure(by.len() == 1 && by.contains_key("web-2"), by)
        })
        .await;

        set_health(s, "web-1", 204).await;
        wait_for_readiness(s, "web-1", true, SOON).await;
        eventually("both answer", SOON, async || {
            let by = s.count_answers("web.test", 6).await;
            ensure(by.len() == 2, by)
        })
        .await;
        assert_eq!(s.running_pods("web").await, ids, "a replica was replaced");
    });
}

#[test]
fn replica_that_stays_unhealthy_is_replaced_alone() {
    e2e!().run(async |s| {
        s.serve().await;
        let health = "health: { http: /health, interval: 1s, timeout: 500ms, replace_after: 3 }";
        s.apply(&whoami("web", 2).host("web.test").with(health)).await;
        let before = s.running_pods("web").await;
        set_health(s, "web-1", 500).await;
        eventually("web-1 has a new container", 2 * SOON, async || {
            let now = s.running_pods("web").await;
            ensure(now.get("web-1").is_some_and(|id| *id != before["web-1"]), now)
        })
        .await;
        wait_for_readiness(s, "web-1", true, SOON).await;
        assert_eq!(s.running_pods("web").await["web-2"], before["web-2"]);
        assert_eq!(get_pod(s, "web-1").await["restarts"], 1);
        let events = s.event_messages().await;
        assert!(events.iter().any(|(_, message)| message.contains("500")), "{events:?}");
    });
}

#[test]
fn exec_and_tcp_probes_set_readiness() {
    e2e!().run(async |s| {
        s.serve().await;
        let script = "touch /tmp/well; sleep 1000";
        let health = "health: { exec: [/bin/sh, -c, 'echo looked; test -f /tmp/well'], \
                      interval: 1s, timeout: 1s }";
        s.apply(&busybox("job", 1, script).with(health)).await;
        let id = s.running_pods("job").await["job-1"].clone();
        dubernetes_tests::program::docker(&["exec", &id, "rm", "/tmp/well"]).await;
        wait_for_readiness(s, "job-1", false, SOON).await;
        let bad = get_pod(s, "job-1").await;
        let text = bad["message"].as_str().unwrap();
        assert!(text.contains("looked") && text.contains('1'), "{text}");

        // The probe may use another port than the app.
        let listening =
            whoami("tcp", 1).with("health: { tcp: true, port: 8080 }\nargs: [--port, '8080']");
        s.apply(&listening).await;
        let closed = whoami("deaf", 1)
            .with("health: { tcp: true, port: 81 }\nrollout: { progress_deadline: 3s }");
        let failed = s.try_apply(&closed).await.assert_code(1);
        assert!(failed.stderr.contains("no progress within 3s"), "{}", failed.stderr);
    });
}
