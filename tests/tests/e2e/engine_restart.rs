//! The engine itself dies and comes back, with and without its containers.

use dubernetes_tests::checks::{SOON, ensure};
use dubernetes_tests::manifest::WHOAMI;
use dubernetes_tests::own_engine::OwnEngine;
use dubernetes_tests::{Scenario, e2e, eventually, whoami};

/// Returns id, state and number of restarts of each pod of the app.
async fn pods(s: &Scenario) -> Vec<(String, String, u64)> {
    let pods = s.get_pods(Some("web")).await;
    let text =
        |pod: &serde_json::Value, key: &str| pod[key].as_str().unwrap_or_default().to_owned();
    let pod = |pod| {
        (text(pod, "container_id"), text(pod, "state"), pod["restarts"].as_u64().unwrap_or(0))
    };
    pods.iter().map(pod).collect()
}

/// Waits until two replicas run after this many restarts, and the engine counts as reachable.
async fn wait_until_ready(s: &Scenario, restarts: u64) {
    eventually("the replicas run again", 2 * SOON, async || {
        let pods = pods(s).await;
        let is_running =
            |(_, state, count): &(_, String, u64)| state == "Running" && *count == restarts;
        ensure(pods.len() == 2 && pods.iter().all(is_running), pods)
    })
    .await;
}

#[test]
fn replicas_that_end_with_a_killed_engine_are_restarted_at_once() {
    e2e!().run(async |s| {
        let Some(mut engine) = OwnEngine::start(s, false, &[WHOAMI]).await else { return };
        s.serve().await;
        s.apply(&whoami("web", 2)).await;
        for restarts in 1..=4 {
            engine.kill();
            s.wait_for_phase("web", "Degraded", SOON).await;
            engine.run();
            wait_until_ready(s, restarts).await;
        }
        let messages = s.event_messages().await;
        let lost = "it ended while the engine was away";
        assert!(messages.iter().any(|(_, message)| message.contains(lost)), "{messages:#?}");
        s.terminate().await;
    });
}

#[test]
fn replicas_that_outlive_a_killed_engine_are_left_alone() {
    e2e!().run(async |s| {
        let Some(mut engine) = OwnEngine::start(s, true, &[WHOAMI]).await else { return };
        s.serve().await;
        s.apply(&whoami("web", 2)).await;
        let before = pods(s).await;
        engine.kill();
        s.wait_for_phase("web", "Degraded", SOON).await;
        engine.run();
        wait_until_ready(s, 0).await;
        assert!(!before[0].0.is_empty(), "{before:?}");
        assert_eq!(pods(s).await, before);
        s.terminate().await;
    });
}
