//! Whatever a rollout has come to when the orchestrator is killed, the next one goes on with it,
//! and it ends as it would have ended.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use dubernetes_core::runtime::{Container, ContainerState};
use dubernetes_tests::checks::{SOON, expect};
use dubernetes_tests::load::Load;
use dubernetes_tests::manifest::Manifest;
use dubernetes_tests::{Scenario, busybox, eventually, here, whoami};

/// Enough for every state of a rollout of two replicas.
const MOST_KILLS: usize = 20;
/// So many there are also where a look takes long, and states pass unseen.
const FEWEST_KILLS: usize = 3;
/// A start takes less than a second on a machine that does nothing else.
const LIMIT: Duration = Duration::from_secs(300);

fn web() -> Manifest {
    let times = "rollout: { min_ready: 500ms }\nstop: { grace: 2s }";
    whoami("web", 2).host("web.test").with(times)
}

/// What can be seen of the rollout, apart from what every start passes through: the replicas
/// with their states, whether requests go to them, and what is remembered.
async fn state(s: &Scenario) -> String {
    let app = s.app("web").await;
    let status = &app["status"];
    let mut seen =
        format!("revision {} {} {}", status["revision"], status["rollout"], app["image_id"]);
    for replica in s.replicas("web").await {
        let state = format!("{:?}", replica.state);
        let kind = state.split([' ', '{', '(']).next().unwrap_or_default().to_owned();
        seen.push_str(&format!("; {} {kind}", replica.name));
    }
    let routes = s.run(&["get", "routes", "-o", "json"]).await.succeeds().json();
    for endpoint in routes["items"][0]["endpoints"].as_array().into_iter().flatten() {
        seen.push_str(&format!("; {} {}", endpoint["pod"], endpoint["state"]));
    }
    seen
}

/// Kills the orchestrator in each state that is seen for the first time, until the revision
/// `last` is complete.
async fn killed_everywhere(s: &Scenario, last: u64) {
    let mut seen = BTreeSet::from([state(s).await]);
    let mut kills = 0;
    let start = Instant::now();
    loop {
        let status = s.app("web").await["status"].clone();
        if status["revision"] == last && status["rollout"] == "complete" {
            assert!(kills >= FEWEST_KILLS, "killed {kills} times only: {seen:#?}");
            return;
        }
        assert!(start.elapsed() < LIMIT, "{status} after {seen:#?}");
        if seen.insert(state(s).await) && kills < MOST_KILLS {
            kills += 1;
            s.kill().await;
            s.serve().await;
        }
    }
}

#[test]
fn a_rollout_that_is_killed_in_every_state_ends_as_wanted() {
    here!().run(async |s| {
        s.serve().await;
        s.apply(&web()).await;
        let old = s.ids("web").await;
        let load = Load::start(s, "web.test", "web", 50);
        s.apply_detached(&web().with("env: { A: b }")).await;
        killed_everywhere(s, 2).await;
        s.settles("web", 2, SOON).await;
        assert!(s.ids("web").await.is_disjoint(&old));
        load.goes_on(20).await;
        load.stop().await.is_flawless(50);
        s.share_evenly("web.test", 2).await;
    });
}

#[test]
fn a_rollback_that_is_killed_in_every_state_ends_with_the_old_replicas() {
    here!().run(async |s| {
        s.serve().await;
        s.apply(&web()).await;
        let old = s.ids("web").await;
        s.apply_detached(&web().with("env: { WHOAMI_EXIT: '9' }")).await;
        killed_everywhere(s, 3).await;
        s.settles("web", 2, SOON).await;
        assert_eq!(s.ids("web").await, old);
        s.answers("web.test", "web").await;
        let status = s.app("web").await["status"].clone();
        assert_eq!(status["failure"]["revision"], 2, "{status}");
    });
}

#[test]
fn a_pre_deploy_that_runs_while_the_orchestrator_is_killed_runs_once() {
    here!().run(async |s| {
        s.serve().await;
        let script = "echo run >> /data/runs; sleep 2; cat /data/runs";
        let web = busybox("web", 1, "exec sleep 1000").with(&format!(
            "volumes: ['data:/data']\nrollout: {{ min_ready: 1ms }}\npre_deploy: {{ command: [/bin/sh, -c, '{script}'] }}"
        ));
        s.apply_detached(&web).await;
        eventually("the command runs", SOON, async || {
            let all = s.containers().await;
            let runs = |c: &Container| {
                matches!(c.state, ContainerState::Running { .. }) && c.name.contains("pre-deploy")
            };
            expect(all.iter().any(runs), all)
        })
        .await;
        s.kill().await;
        s.serve().await;
        s.is_in("Ready", "web", SOON).await;
        let list = s.run(&["rollout", "history", "web", "-o", "json"]).await.succeeds().json();
        assert_eq!(list["items"][0]["pre_deploy_log"], serde_json::json!(["run"]), "{list}");
        s.settles("web", 1, SOON).await;
    });
}
