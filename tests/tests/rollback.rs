//! A bad version never takes over, and going back is one command.

#![expect(clippy::unwrap_used, reason = "an unwrap that fails is a test that fails")]

use dubernetes_tests::checks::{SOON, expect};
use dubernetes_tests::load::Load;
use dubernetes_tests::manifest::{Manifest, WHOAMI};
use dubernetes_tests::program::docker;
use dubernetes_tests::{Scenario, app, eventually, here, whoami};

const BRIEF: &str = "rollout: { min_ready: 1ms, progress_deadline: 10s }";
const LOOP: &str = "env: { WHOAMI_EXIT: '9' }";

fn web() -> Manifest {
    whoami("web", 2).host("web.test").with(BRIEF)
}

/// Number, cause and outcome of each revision that is kept.
async fn history(s: &Scenario) -> Vec<String> {
    let list = s.run(&["rollout", "history", "web", "-o", "json"]).await.succeeds().json();
    let line = |r: &serde_json::Value| {
        let text = |key: &str| r[key].as_str().unwrap().to_owned();
        format!("{} {} {}", r["revision"], text("cause"), text("outcome"))
    };
    list["items"].as_array().unwrap().iter().map(line).collect()
}

#[test]
fn bad_versions_of_all_kinds_give_way_to_what_ran() {
    here!().run(async |s| {
        s.serve().await;
        s.apply(&web()).await;
        let ids = s.ids("web").await;
        let load = Load::start(s, "web.test", "web", 50);
        let missing = app("web", "dubernetes-no-such-image:1", 2).host("web.test").with(BRIEF);
        for (bad, reason, output) in [
            (web().with(LOOP), "exit code 9", "ending with code 9"),
            (web().with("env: { WHOAMI_START_DELAY: 100s }"), "no progress within 10s", ""),
            (missing.with("pull: never"), "dubernetes-no-such-image:1", ""),
        ] {
            let failed = s.try_apply(&bad).await.fails(1);
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
            assert_eq!(s.ids("web").await, ids, "{reason}: the old replicas are untouched");
            assert_eq!(s.app("web").await["status"]["phase"], "Ready");
            let again = s.try_apply(&bad).await.fails(1);
            assert!(again.stderr.contains("--retry"), "{}", again.stderr);
        }
        load.goes_on(20).await;
        load.stop().await.is_flawless(100);
        let told = s.run(&["rollout", "history", "web", "--revision", "2"]).await.succeeds().stdout;
        assert!(told.contains("failed: ") && told.contains("ending with code 9"), "{told}");
        let _ = s.run(&["rollout", "status", "web"]).await.fails(1);

        let file = s.file("web.yaml", &web().with(LOOP).to_string());
        let retried = s.run(&["apply", "--retry", &file]).await.fails(1);
        assert!(retried.stderr.contains("exit code 9"), "{}", retried.stderr);
        let history = history(s).await;
        assert_eq!(history[1], "2 apply failed", "{history:?}");
        assert_eq!(history[7], "8 retry of 2 failed", "{history:?}");
        assert_eq!(s.ids("web").await, ids);
    });
}

#[test]
fn alone_a_command_ends_only_when_the_bad_replica_is_gone() {
    here!().run(async |s| {
        s.apply(&web()).await;
        let ids = s.ids("web").await;
        let failed = s.try_apply(&web().with(LOOP)).await.fails(1);
        assert!(failed.stderr.contains("back to revision 1"), "{}", failed.stderr);
        assert_eq!(s.ids("web").await, ids);
    });
}

#[test]
fn on_failure_pause_leaves_all_as_it_is() {
    here!().run(async |s| {
        s.serve().await;
        let web = whoami("web", 2).host("web.test");
        let web = web.with("rollout: { min_ready: 1ms, on_failure: pause }");
        s.apply(&web).await;
        let ids = s.ids("web").await;
        let failed = s.try_apply(&web.clone().with(LOOP)).await.fails(1);
        assert!(failed.stderr.contains("still serving: revision 1"), "{}", failed.stderr);
        assert!(failed.stderr.contains("dubernetes rollback web"), "{}", failed.stderr);
        let status = s.app("web").await["status"].clone();
        assert_eq!((&status["revision"], &status["rollout"]), (&2.into(), &"failed".into()));
        assert!(s.ids("web").await.is_superset(&ids));
        s.answers("web.test", "web").await;
        let _ = s.run(&["rollback", "web"]).await.succeeds();
        assert_eq!(s.ids("web").await, ids);
    });
}

#[test]
fn going_back_needs_no_registry_and_unknown_revisions_are_refused() {
    here!().run(async |s| {
        s.serve().await;
        let tag = s.tag(WHOAMI).await;
        let web = |n: u32| {
            app("web", &tag, 2).host("web.test").with(BRIEF).with(&format!("env: {{ N: '{n}' }}"))
        };
        for n in 1..=3 {
            s.apply(&web(n)).await;
        }
        docker(&["rmi", &tag]).await;
        let _ = s.run(&["rollout", "undo", "web"]).await.succeeds();
        assert_eq!(s.app("web").await["spec"]["env"]["N"], "2");
        let _ = s.run(&["rollback", "web", "--to", "1"]).await.succeeds();
        s.settles("web", 2, SOON).await;
        assert_eq!(s.app("web").await["spec"]["env"]["N"], "1");
        let unknown = s.run(&["rollback", "web", "--to", "77"]).await.fails(1);
        assert!(unknown.stderr.contains("there are: 1, 2, 3, 4, 5"), "{}", unknown.stderr);
        s.answers("web.test", "web").await;
    });
}

#[test]
fn a_restart_takes_the_image_that_was_built_again() {
    here!().run(async |s| {
        s.serve().await;
        let tag = s.tag(WHOAMI).await;
        s.apply(&app("web", &tag, 2).host("web.test").with(BRIEF)).await;
        let old = s.ids("web").await;
        let container = s.foreign(&[WHOAMI]).await;
        let built = docker(&["commit", "--change", "LABEL built=again", &container, &tag]).await;
        let load = Load::start(s, "web.test", "web", 50);
        let _ = s.run(&["rollout", "restart", "web"]).await.succeeds();
        s.settles("web", 2, SOON).await;
        load.stop().await.is_flawless(20);
        assert!(s.ids("web").await.is_disjoint(&old));
        for id in s.ids("web").await {
            assert_eq!(docker(&["inspect", "--format", "{{.Image}}", &id]).await, built);
        }
    });
}

#[test]
fn an_image_that_was_cleaned_away_is_not_replaced_by_the_one_that_has_its_tag_now() {
    here!().run(async |s| {
        s.serve().await;
        let tag = s.tag(WHOAMI).await;
        let container = s.foreign(&[WHOAMI]).await;
        let build = async |label| docker(&["commit", "--change", label, &container, &tag]).await;
        let first = build("LABEL built=first").await;
        s.apply(&app("web", &tag, 2).host("web.test").with(BRIEF)).await;
        let second = build("LABEL built=second").await;
        let _ = s.run(&["rollout", "restart", "web"]).await.succeeds();
        // Nothing has its name any more, and soon no container is of it.
        eventually("it can be cleaned away", SOON, async || {
            let left = docker(&["ps", "-aq", "--filter", &format!("ancestor={first}")]).await;
            expect(left.is_empty(), left)
        })
        .await;
        docker(&["rmi", &first]).await;
        let back = s.run(&["rollback", "web", "--to", "1"]).await.fails(1);
        for text in ["the image of that time", "is gone", "still serving: revision 2, 2 of 2 ready"]
        {
            assert!(back.stderr.contains(text), "{text}: {}", back.stderr);
        }
        s.settles("web", 2, SOON).await;
        for id in s.ids("web").await {
            assert_eq!(docker(&["inspect", "--format", "{{.Image}}", &id]).await, second);
        }
    });
}

#[test]
fn a_paused_rollout_waits_until_it_is_resumed() {
    here!().run(async |s| {
        s.serve().await;
        s.apply(&web()).await;
        let old = s.ids("web").await;
        let _ = s.run(&["rollout", "pause", "web"]).await.succeeds();
        let paused = s.apply(&web().with("env: { A: b }")).await;
        assert!(paused.stderr.contains("dubernetes rollout resume web"), "{}", paused.stderr);
        // A script must not take it for done.
        let status = s.run(&["rollout", "status", "web"]).await.fails(1);
        assert!(status.stderr.contains("dubernetes rollout resume web"), "{}", status.stderr);
        assert_eq!(s.ids("web").await, old);
        assert_eq!(s.app("web").await["status"]["paused"], true);
        let _ = s.run(&["rollout", "resume", "web"]).await.succeeds();
        s.settles("web", 2, SOON).await;
        assert!(s.ids("web").await.is_disjoint(&old));
    });
}

#[test]
fn the_limits_of_a_rollout_are_kept() {
    here!().run(async |s| {
        s.serve().await;
        for (name, replicas, rollout, floor, ceiling) in [
            ("two", 4, "max_surge: 2", 4, 6),
            ("part", 4, "max_surge: 50%, max_unavailable: 25%", 3, 6),
            ("first", 2, "order: stop-first", 1, 2),
        ] {
            let rollout = format!("rollout: {{ min_ready: 1ms, {rollout} }}");
            let app = whoami(name, replicas).host(&format!("{name}.test")).with(&rollout);
            s.apply(&app).await;
            let old = s.ids(name).await;
            let changed = app.with("env: { A: b }");
            let ran = tokio::select! {
                ran = s.apply(&changed) => ran,
                never = s.stays_between(name, floor, ceiling) => never,
            };
            assert_eq!(ran.stdout, format!("app/{name} configured\n"));
            assert!(s.ids(name).await.is_disjoint(&old));
        }
    });
}

#[test]
fn a_new_replica_counts_once_it_was_ready_for_a_while() {
    here!().run(async |s| {
        s.serve().await;
        let web = whoami("web", 1).host("web.test").with("rollout: { min_ready: 6s }");
        s.apply(&web).await;
        let old = s.ids("web").await;
        s.apply_detached(&web.with("env: { A: b }")).await;
        eventually("the new replica is ready", SOON, async || {
            let pods = s.pods(Some("web")).await;
            expect(pods.iter().filter(|pod| pod["ready"] == true).count() == 2, pods)
        })
        .await;
        eventually("the old replica is gone", SOON, async || {
            let now = s.ids("web").await;
            expect(now.is_disjoint(&old), now)
        })
        .await;
        let events = s.recorded().await;
        let last = |reason: &str| events.iter().rfind(|e| e.reason == reason).unwrap().time;
        // By the times of the orchestrator itself: when this test notices says little.
        let waited = last("Stopped").duration_since(last("Ready"));
        assert!(waited.as_secs() >= 5, "{waited:#}: {events:#?}");
    });
}

#[test]
fn verify_counts_what_users_would_have_seen() {
    here!().run(async |s| {
        s.serve().await;
        let file = |more: &str| s.file("web.yaml", &web().with(more).to_string());
        let verify = async |more: &str, flags: &[&str]| {
            let file = file(more);
            s.run(&[&["apply", &file, "--verify"], flags].concat()).await
        };
        let first = verify("", &[]).await.succeeds();
        assert!(first.stderr.contains(" requests, 0 failed, slowest "), "{}", first.stderr);
        let second = verify("env: { A: b }", &[]).await.succeeds();
        assert!(second.stderr.contains(" requests, 0 failed, slowest "), "{}", second.stderr);
        let json = verify("env: { A: c }", &["--progress", "json"]).await.succeeds();
        let line: serde_json::Value =
            serde_json::from_str(json.stderr.lines().last().unwrap()).unwrap();
        assert_eq!((&line["verify"], &line["failed"]), (&"web".into(), &0.into()), "{line}");

        // It looks well to whoever asks for a connection only, and answers with 500.
        let bad = "env: { WHOAMI_COUNT_FILE: /nowhere/count }\nrollout: { min_ready: 3s }";
        let file = s.file("web.yaml", &whoami("web", 2).host("web.test").with(bad).to_string());
        let failed = s.run(&["apply", &file, "--verify", "--verify-budget", "3"]).await.fails(1);
        assert!(failed.stderr.contains("failed, more than 3"), "{}", failed.stderr);
        assert!(failed.stderr.contains("status 500"), "{}", failed.stderr);
        assert!(failed.stderr.contains("back to what revision 3 was"), "{}", failed.stderr);
        s.settles("web", 2, SOON).await;
        assert_eq!(s.app("web").await["spec"]["env"]["A"], "c");
        s.answers("web.test", "web").await;

        let closed = s.file("closed.yaml", &whoami("closed", 1).to_string());
        let refused = s.run(&["apply", &closed, "--verify"]).await.fails(2);
        assert!(refused.stderr.contains("access"), "{}", refused.stderr);
    });
}
