//! A rollout continues after the orchestrator is killed in any state, and ends with the same
//! result.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use dubernetes_core::runtime::{Container, ContainerState};
use dubernetes_tests::checks::{SOON, ensure};
use dubernetes_tests::load::Load;
use dubernetes_tests::manifest::Manifest;
use dubernetes_tests::{Scenario, busybox, e2e, eventually, whoami};

/// Maximum number of kills, enough for every state of a rollout of two replicas.
const MAX_KILLS: usize = 20;
/// Minimum number of kills. A slow machine may miss states between two observations.
const MIN_KILLS: usize = 3;
/// Time limit for the rollout. Each kill adds one start, which takes less than a second on an idle
/// machine.
const LIMIT: Duration = Duration::from_secs(300);

fn web() -> Manifest {
    let times = "rollout: { min_ready: 500ms }\nstop: { grace: 2s }";
    whoami("web", 2).host("web.test").with(times)
}

/// Describes the observable state of the rollout: revision and result, replicas and their states,
/// and routed endpoints. Leaves out what changes with every start of the orchestrator.
async fn describe_state(s: &Scenario) -> String {
    let app = s.get_app("web").await;
    let status = &app["status"];
    let mut text =
        format!("revision {} {} {}", status["revision"], status["rollout"], app["image_id"]);
    for replica in s.containers_of("web").await {
        let state = format!("{:?}", replica.state);
        let kind = state.split([' ', '{', '(']).next().unwrap_or_default().to_owned();
        text.push_str(&format!("; {} {kind}", replica.name));
    }
    let routes = s.run(&["get", "routes", "-o", "json"]).await.assert_success().json();
    for endpoint in routes["items"][0]["endpoints"].as_array().into_iter().flatten() {
        text.push_str(&format!("; {} {}", endpoint["pod"], endpoint["state"]));
    }
    text
}

/// Kills and restarts the orchestrator in each new state of the rollout, until revision `last` is
/// complete.
async fn kill_in_every_state(s: &Scenario, last: u64) {
    let mut seen = BTreeSet::from([describe_state(s).await]);
    let mut kills = 0;
    let start = Instant::now();
    loop {
        let status = s.get_app("web").await["status"].clone();
        if status["revision"] == last && status["rollout"] == "complete" {
            assert!(kills >= MIN_KILLS, "only {kills} kills: {seen:#?}");
            return;
        }
        assert!(start.elapsed() < LIMIT, "{status} after {seen:#?}");
        if seen.insert(describe_state(s).await) && kills < MAX_KILLS {
            kills += 1;
            s.kill().await;
            s.serve().await;
        }
    }
}

#[test]
fn rollout_completes_after_kill_in_every_state() {
    e2e!().run(async |s| {
        s.serve().await;
        s.apply(&web()).await;
        let old = s.container_ids("web").await;
        let load = Load::start(s.port, "web.test", "web", 50);
        s.apply_detached(&web().with("env: { A: b }")).await;
        kill_in_every_state(s, 2).await;
        s.wait_for_replicas("web", 2, SOON).await;
        assert!(s.container_ids("web").await.is_disjoint(&old));
        load.wait_for_requests(20).await;
        load.stop().await.assert_no_failures(50);
        s.wait_for_balance("web.test", 2).await;
    });
}

#[test]
fn rollback_keeps_old_replicas_after_kill_in_every_state() {
    e2e!().run(async |s| {
        s.serve().await;
        s.apply(&web()).await;
        let old = s.container_ids("web").await;
        s.apply_detached(&web().with("env: { WHOAMI_EXIT: '9' }")).await;
        kill_in_every_state(s, 3).await;
        s.wait_for_replicas("web", 2, SOON).await;
        assert_eq!(s.container_ids("web").await, old);
        s.assert_served_by("web.test", "web").await;
        let status = s.get_app("web").await["status"].clone();
        assert_eq!(status["failure"]["revision"], 2, "{status}");
    });
}

#[test]
fn pre_deploy_hook_runs_once_when_orchestrator_is_killed() {
    e2e!().run(async |s| {
        s.serve().await;
        let script = "echo run >> /data/runs; sleep 2; cat /data/runs";
        let web = busybox("web", 1, "exec sleep 1000").with(&format!(
            "volumes: ['data:/data']\nrollout: {{ min_ready: 1ms }}\n\
             pre_deploy: {{ command: [/bin/sh, -c, '{script}'] }}"
        ));
        s.apply_detached(&web).await;
        eventually("the pre-deploy hook runs", SOON, async || {
            let all = s.containers().await;
            let runs = |c: &Container| {
                matches!(c.state, ContainerState::Running { .. }) && c.name.contains("pre-deploy")
            };
            ensure(all.iter().any(runs), all)
        })
        .await;
        s.kill().await;
        s.serve().await;
        s.wait_for_phase("web", "Ready", SOON).await;
        let show_history = ["rollout", "history", "web", "-o", "json"];
        let list = s.run(&show_history).await.assert_success().json();
        assert_eq!(list["items"][0]["pre_deploy_log"], serde_json::json!(["run"]), "{list}");
        s.wait_for_replicas("web", 1, SOON).await;
    });
}
