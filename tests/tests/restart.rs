//! The orchestrator comes and goes; what runs, runs on.

use std::time::Duration;

use dubernetes_tests::checks::{SOON, expect};
use dubernetes_tests::load::Load;
use dubernetes_tests::program::docker;
use dubernetes_tests::{eventually, here, scenario, whoami};

#[test]
fn no_request_notices_that_the_orchestrator_is_killed() {
    here!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("web", 3).host("web.test")).await;
        let (ids, nginx) = (s.ids("web").await, s.nginx().await);
        let load = Load::start(s, "web.test", "web", 200);
        load.goes_on(200).await;
        s.kill().await;
        load.goes_on(400).await;
        s.serve().await;
        s.is_in("Ready", "web", SOON).await;
        load.goes_on(400).await;
        load.stop().await.is_flawless(1000);
        assert_eq!(s.ids("web").await, ids, "replicas were taken over");
        assert_eq!(s.nginx().await, nginx, "nginx was neither restarted nor reloaded");
    });
}

#[test]
fn sigterm_ends_it_soon_and_leaves_everything() {
    here!().run(async |s| {
        s.serve().await;
        let one = s.apply(&whoami("one", 2).host("one.test")).await;
        assert_eq!(one.stdout, "app/one created\n");
        s.apply(&whoami("two", 1).host("two.test").with("env: { A: b }")).await;
        let _ = s.run(&["scale", "one", "3"]).await.succeeds();
        let (containers, nginx) = (s.containers().await, s.nginx().await);
        let took = s.terminate().await;
        assert!(took < Duration::from_secs(10), "{took:?}");
        assert!(!s.state_dir().join("dubernetes.sock").exists());
        assert_eq!(s.containers().await, containers);
        s.answers_evenly("one.test", "one", 3).await;
        s.answers("two.test", "two").await;

        // The next one knows what the last one knew, and does nothing.
        s.serve().await;
        for (app, generation) in [("one", 2), ("two", 1)] {
            let app = s.is_in("Ready", app, SOON).await;
            assert_eq!(app["generation"], generation);
        }
        assert_eq!(s.app("one").await["spec"]["replicas"], 3);
        assert_eq!(s.app("two").await["spec"]["env"]["A"], "b");
        assert_eq!(s.containers().await, containers);
        assert_eq!(s.nginx().await, nginx);
    });
}

#[test]
fn a_rollout_goes_on_where_the_last_orchestrator_was_ended() {
    here!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("web", 3).host("web.test")).await;
        let old = s.ids("web").await;
        let load = Load::start(s, "web.test", "web", 100);
        s.apply_detached(&whoami("web", 3).host("web.test").with("env: { A: b }")).await;
        eventually("the rollout is under way", SOON, async || {
            let now = s.ids("web").await;
            expect(now != old, now)
        })
        .await;
        s.terminate().await;
        load.goes_on(100).await;
        s.serve().await;
        eventually("all replicas are new", 2 * SOON, async || {
            let now = s.ids("web").await;
            expect(now.len() == 3 && now.is_disjoint(&old), now)
        })
        .await;
        s.is_in("Ready", "web", SOON).await;
        load.stop().await.is_flawless(100);
    });
}

#[test]
fn what_died_while_nobody_looked_is_replaced() {
    here!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("web", 2).host("web.test")).await;
        let before = s.running("web").await;
        s.kill().await;
        docker(&["kill", &before["web-1"]]).await;
        s.serve().await;
        s.is_in("Ready", "web", SOON).await;
        s.settles("web", 2, SOON).await;
        let after = s.running("web").await;
        assert_ne!(after["web-1"], before["web-1"]);
        assert_eq!(after["web-2"], before["web-2"]);
    });
}

#[test]
fn a_second_orchestrator_on_the_same_state_is_refused() {
    here!().run(async |s| {
        s.serve().await;
        let second = s.run(&["serve"]).await.fails(1);
        assert!(second.took < Duration::from_secs(10), "{:?}", second.took);
        let pid = s.pid().to_string();
        assert!(second.stderr.contains(&pid), "{pid} is not named: {}", second.stderr);
        // The first one has not even noticed.
        let status = s.run(&["status", "-o", "json"]).await.succeeds().json();
        assert_eq!(status["orchestrator"]["pid"], s.pid());
        // The lock ends with its holder.
        s.kill().await;
        s.serve().await;
    });
}

#[test]
fn an_interrupted_apply_says_that_nothing_goes_on_and_locks_nobody_out() {
    here!().run(async |s| {
        let slow =
            whoami("web", 1).with("env: { WHOAMI_START_DELAY: 3s }\naccess: { host: a.test }");
        let file = s.file("web.yaml", &slow.to_string());
        let created = async || expect(s.replicas("web").await.len() == 1, "no container yet");

        let mut apply = s.spawn(&["apply", &file]);
        eventually("the replica is there", SOON, created).await;
        scenario::interrupt(&apply);
        let mut said = String::new();
        let mut stderr = apply.stderr.take().unwrap();
        tokio::io::AsyncReadExt::read_to_string(&mut stderr, &mut said).await.unwrap();
        assert_eq!(apply.wait().await.unwrap().code(), Some(130), "{said}");
        assert!(said.contains("no orchestrator is running, so nothing goes on"), "{said}");

        // One that is killed leaves no lock, either, and the next one finishes the work.
        let changed = slow.with("labels: { a: b }");
        let file = s.file("web.yaml", &changed.to_string());
        let old = s.ids("web").await;
        let mut killed = s.spawn(&["apply", &file]);
        eventually("its replica is there", SOON, async || {
            let now = s.ids("web").await;
            expect(now != old, now)
        })
        .await;
        killed.kill().await.unwrap();
        let again = s.apply(&changed).await;
        assert_eq!(again.stdout, "app/web unchanged\n");
        s.answers("a.test", "web").await;
        s.settles("web", 1, SOON).await;
        assert!(s.ids("web").await.is_disjoint(&old));
    });
}
