//! Automatic rollback of bad versions, and `rollback`, `rollout` commands and `apply --verify`.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use dubernetes_tests::checks::{SOON, ensure};
use dubernetes_tests::load::Load;
use dubernetes_tests::manifest::{Manifest, WHOAMI};
use dubernetes_tests::program::docker;
use dubernetes_tests::{Scenario, app, e2e, eventually, whoami};

const SHORT_ROLLOUT: &str = "rollout: { min_ready: 1ms, progress_deadline: 10s }";
const CRASHES: &str = "env: { WHOAMI_EXIT: '9' }";

fn web() -> Manifest {
    whoami("web", 2).host("web.test").with(SHORT_ROLLOUT)
}

/// Returns number, cause and outcome of each kept revision.
async fn history(s: &Scenario) -> Vec<String> {
    let list = s.run(&["rollout", "history", "web", "-o", "json"]).await.assert_success().json();
    let line = |r: &serde_json::Value| {
        let text = |key: &str| r[key].as_str().unwrap().to_owned();
        format!("{} {} {}", r["revision"], text("cause"), text("outcome"))
    };
    list["items"].as_array().unwrap().iter().map(line).collect()
}

#[test]
fn bad_versions_roll_back_to_running_revision() {
    e2e!().run(async |s| {
        s.serve().await;
        s.apply(&web()).await;
        let ids = s.container_ids("web").await;
        let load = Load::start(s.port, "web.test", "web", 50);
        let missing =
            app("web", "dubernetes-no-such-image:1", 2).host("web.test").with(SHORT_ROLLOUT);
        for (bad, reason, output) in [
            (web().with(CRASHES), "exit code 9", "ending with code 9"),
            (web().with("env: { WHOAMI_START_DELAY: 100s }"), "no progress within 10s", ""),
            (missing.with("pull: never"), "dubernetes-no-such-image:1", ""),
        ] {
            let failed = s.try_apply(&bad).await.assert_code(1);
            for part in
                ["the rollout of app/web failed", reason, output, "back to revision", "--retry"]
            {
                assert!(failed.stderr.contains(part), "{part}: {}", failed.stderr);
            }
            assert!(
                failed.stderr.contains("still serving: revision 1, 2 of 2 ready"),
                "{}",
                failed.stderr
            );
            assert_eq!(s.container_ids("web").await, ids, "{reason}: the old replicas changed");
            assert_eq!(s.get_app("web").await["status"]["phase"], "Ready");
            let again = s.try_apply(&bad).await.assert_code(1);
            assert!(again.stderr.contains("--retry"), "{}", again.stderr);
        }
        load.wait_for_requests(20).await;
        load.stop().await.assert_no_failures(100);
        let show_second = ["rollout", "history", "web", "--revision", "2"];
        let second = s.run(&show_second).await.assert_success().stdout;
        assert!(second.contains("failed: ") && second.contains("ending with code 9"), "{second}");
        let _ = s.run(&["rollout", "status", "web"]).await.assert_code(1);

        let file = s.write_file("web.yaml", &web().with(CRASHES).to_string());
        let retried = s.run(&["apply", "--retry", &file]).await.assert_code(1);
        assert!(retried.stderr.contains("exit code 9"), "{}", retried.stderr);
        let history = history(s).await;
        assert_eq!(history[1], "2 apply failed", "{history:?}");
        assert_eq!(history[7], "8 retry of 2 failed", "{history:?}");
        assert_eq!(s.container_ids("web").await, ids);
    });
}

#[test]
fn apply_without_orchestrator_returns_after_bad_replica_is_removed() {
    e2e!().run(async |s| {
        s.apply(&web()).await;
        let ids = s.container_ids("web").await;
        let failed = s.try_apply(&web().with(CRASHES)).await.assert_code(1);
        assert!(failed.stderr.contains("back to revision 1"), "{}", failed.stderr);
        assert_eq!(s.container_ids("web").await, ids);
    });
}

#[test]
fn on_failure_pause_keeps_old_and_new_replicas() {
    e2e!().run(async |s| {
        s.serve().await;
        let web = whoami("web", 2).host("web.test");
        let web = web.with("rollout: { min_ready: 1ms, on_failure: pause }");
        s.apply(&web).await;
        let ids = s.container_ids("web").await;
        let failed = s.try_apply(&web.clone().with(CRASHES)).await.assert_code(1);
        assert!(failed.stderr.contains("still serving: revision 1"), "{}", failed.stderr);
        assert!(failed.stderr.contains("dubernetes rollback web"), "{}", failed.stderr);
        let status = s.get_app("web").await["status"].clone();
        assert_eq!((&status["revision"], &status["rollout"]), (&2.into(), &"failed".into()));
        assert!(s.container_ids("web").await.is_superset(&ids));
        s.assert_served_by("web.test", "web").await;
        let _ = s.run(&["rollback", "web"]).await.assert_success();
        assert_eq!(s.container_ids("web").await, ids);
    });
}

#[test]
fn rollback_needs_no_registry_and_refuses_unknown_revision() {
    e2e!().run(async |s| {
        s.serve().await;
        let tag = s.tag(WHOAMI).await;
        let web = |n: u32| {
            app("web", &tag, 2)
                .host("web.test")
                .with(SHORT_ROLLOUT)
                .with(&format!("env: {{ N: '{n}' }}"))
        };
        for n in 1..=3 {
            s.apply(&web(n)).await;
        }
        docker(&["rmi", &tag]).await;
        let _ = s.run(&["rollout", "undo", "web"]).await.assert_success();
        assert_eq!(s.get_app("web").await["spec"]["env"]["N"], "2");
        let _ = s.run(&["rollback", "web", "--to", "1"]).await.assert_success();
        s.wait_for_replicas("web", 2, SOON).await;
        assert_eq!(s.get_app("web").await["spec"]["env"]["N"], "1");
        let unknown = s.run(&["rollback", "web", "--to", "77"]).await.assert_code(1);
        assert!(unknown.stderr.contains("existing revisions: 1, 2, 3, 4, 5"), "{}", unknown.stderr);
        s.assert_served_by("web.test", "web").await;
    });
}

#[test]
fn rollout_restart_uses_rebuilt_image() {
    e2e!().run(async |s| {
        s.serve().await;
        let tag = s.tag(WHOAMI).await;
        s.apply(&app("web", &tag, 2).host("web.test").with(SHORT_ROLLOUT)).await;
        let old = s.container_ids("web").await;
        let container = s.create_container(&[WHOAMI]).await;
        let built = docker(&["commit", "--change", "LABEL built=again", &container, &tag]).await;
        let load = Load::start(s.port, "web.test", "web", 50);
        let _ = s.run(&["rollout", "restart", "web"]).await.assert_success();
        s.wait_for_replicas("web", 2, SOON).await;
        load.stop().await.assert_no_failures(20);
        assert!(s.container_ids("web").await.is_disjoint(&old));
        for id in s.container_ids("web").await {
            assert_eq!(docker(&["inspect", "--format", "{{.Image}}", &id]).await, built);
        }
    });
}

#[test]
fn rollback_refuses_other_image_under_same_tag() {
    e2e!().run(async |s| {
        s.serve().await;
        let tag = s.tag(WHOAMI).await;
        let container = s.create_container(&[WHOAMI]).await;
        let build = async |label| docker(&["commit", "--change", label, &container, &tag]).await;
        let first = build("LABEL built=first").await;
        s.apply(&app("web", &tag, 2).host("web.test").with(SHORT_ROLLOUT)).await;
        let second = build("LABEL built=second").await;
        let _ = s.run(&["rollout", "restart", "web"]).await.assert_success();
        // The first image has lost its tag. Wait until no container uses the image.
        eventually("no container uses the first image", SOON, async || {
            let left = docker(&["ps", "-aq", "--filter", &format!("ancestor={first}")]).await;
            ensure(left.is_empty(), left)
        })
        .await;
        docker(&["rmi", &first]).await;
        let back = s.run(&["rollback", "web", "--to", "1"]).await.assert_code(1);
        for text in ["the original image", "is gone", "still serving: revision 2, 2 of 2 ready"] {
            assert!(back.stderr.contains(text), "{text}: {}", back.stderr);
        }
        s.wait_for_replicas("web", 2, SOON).await;
        for id in s.container_ids("web").await {
            assert_eq!(docker(&["inspect", "--format", "{{.Image}}", &id]).await, second);
        }
    });
}

#[test]
fn paused_rollout_waits_for_resume() {
    e2e!().run(async |s| {
        s.serve().await;
        s.apply(&web()).await;
        let old = s.container_ids("web").await;
        let _ = s.run(&["rollout", "pause", "web"]).await.assert_success();
        let paused = s.apply(&web().with("env: { A: b }")).await;
        assert!(paused.stderr.contains("dubernetes rollout resume web"), "{}", paused.stderr);
        // A script must not mistake a paused rollout for a completed one.
        let status = s.run(&["rollout", "status", "web"]).await.assert_code(1);
        assert!(status.stderr.contains("dubernetes rollout resume web"), "{}", status.stderr);
        assert_eq!(s.container_ids("web").await, old);
        assert_eq!(s.get_app("web").await["status"]["paused"], true);
        let _ = s.run(&["rollout", "resume", "web"]).await.assert_success();
        s.wait_for_replicas("web", 2, SOON).await;
        assert!(s.container_ids("web").await.is_disjoint(&old));
    });
}

#[test]
fn rollout_respects_surge_and_unavailable_limits() {
    e2e!().run(async |s| {
        s.serve().await;
        for (name, replicas, rollout, min_running, max_live) in [
            ("two", 4, "max_surge: 2, max_terminating: 0", 4, 6),
            ("leaving", 4, "max_surge: 1", 4, 6),
            ("part", 4, "max_surge: 50%, max_unavailable: 25%, max_terminating: 25%", 3, 7),
            ("first", 2, "order: stop-first", 1, 2),
        ] {
            let rollout = format!("rollout: {{ min_ready: 1ms, {rollout} }}");
            let app = whoami(name, replicas).host(&format!("{name}.test")).with(&rollout);
            s.apply(&app).await;
            let old = s.container_ids(name).await;
            let changed = app.with("env: { A: b }");
            let applied = tokio::select! {
                applied = s.apply(&changed) => applied,
                never = s.assert_always_between(name, min_running, max_live) => never,
            };
            assert_eq!(applied.stdout, format!("app/{name} configured\n"));
            assert!(s.container_ids(name).await.is_disjoint(&old));
        }
    });
}

#[test]
fn new_replica_counts_after_min_ready() {
    e2e!().run(async |s| {
        s.serve().await;
        let web = whoami("web", 1).host("web.test").with("rollout: { min_ready: 6s }");
        s.apply(&web).await;
        let old = s.container_ids("web").await;
        s.apply_detached(&web.with("env: { A: b }")).await;
        eventually("the new replica is ready", SOON, async || {
            let pods = s.get_pods(Some("web")).await;
            ensure(pods.iter().filter(|pod| pod["ready"] == true).count() == 2, pods)
        })
        .await;
        eventually("the old replica is gone", SOON, async || {
            let now = s.container_ids("web").await;
            ensure(now.is_disjoint(&old), now)
        })
        .await;
        let events = s.get_events().await;
        let last = |reason: &str| events.iter().rfind(|e| e.reason == reason).unwrap().time;
        // Use the orchestrator's own times: this test may observe the events late.
        let waited = last("Stopped").duration_since(last("Ready"));
        assert!(waited.as_secs() >= 5, "{waited:#}: {events:#?}");
    });
}

#[test]
fn verify_counts_failed_requests_and_rolls_back() {
    e2e!().run(async |s| {
        s.serve().await;
        let file = |more: &str| s.write_file("web.yaml", &web().with(more).to_string());
        let verify = async |more: &str, flags: &[&str]| {
            let file = file(more);
            s.run(&[&["apply", &file, "--verify"], flags].concat()).await
        };
        let first = verify("", &[]).await.assert_success();
        assert!(first.stderr.contains(" requests, 0 failed, slowest "), "{}", first.stderr);
        let second = verify("env: { A: b }", &[]).await.assert_success();
        assert!(second.stderr.contains(" requests, 0 failed, slowest "), "{}", second.stderr);
        let json = verify("env: { A: c }", &["--progress", "json"]).await.assert_success();
        let line: serde_json::Value =
            serde_json::from_str(json.stderr.lines().last().unwrap()).unwrap();
        assert_eq!((&line["verify"], &line["failed"]), (&"web".into(), &0.into()), "{line}");

        // The TCP probe succeeds, but every request is answered with 500.
        let bad = "env: { WHOAMI_COUNT_FILE: /nowhere/count }\nrollout: { min_ready: 3s }";
        let file =
            s.write_file("web.yaml", &whoami("web", 2).host("web.test").with(bad).to_string());
        let failed =
            s.run(&["apply", &file, "--verify", "--verify-budget", "3"]).await.assert_code(1);
        assert!(failed.stderr.contains("failed; the budget is 3"), "{}", failed.stderr);
        assert!(failed.stderr.contains("status 500"), "{}", failed.stderr);
        assert!(failed.stderr.contains("rolling back to revision 3"), "{}", failed.stderr);
        s.wait_for_replicas("web", 2, SOON).await;
        assert_eq!(s.get_app("web").await["spec"]["env"]["A"], "c");
        s.assert_served_by("web.test", "web").await;

        let closed = s.write_file("closed.yaml", &whoami("closed", 1).to_string());
        let refused = s.run(&["apply", &closed, "--verify"]).await.assert_code(2);
        assert!(refused.stderr.contains("access"), "{}", refused.stderr);
    });
}
