//! Containers keep running while the orchestrator restarts, and the next one adopts them.

use std::time::Duration;

use dubernetes_tests::checks::{SOON, ensure};
use dubernetes_tests::load::Load;
use dubernetes_tests::program::docker;
use dubernetes_tests::{e2e, eventually, scenario, whoami};

#[test]
fn orchestrator_kill_fails_no_request() {
    e2e!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("web", 3).host("web.test")).await;
        let ids = s.container_ids("web").await;
        let nginx = s.nginx_state().await;
        let load = Load::start(s.port, "web.test", "web", 200);
        load.wait_for_requests(200).await;
        s.kill().await;
        load.wait_for_requests(400).await;
        s.serve().await;
        s.wait_for_phase("web", "Ready", SOON).await;
        load.wait_for_requests(400).await;
        load.stop().await.assert_no_failures(1000);
        assert_eq!(s.container_ids("web").await, ids, "the replicas were not adopted");
        assert_eq!(s.nginx_state().await, nginx, "nginx was restarted or reloaded");
    });
}

#[test]
fn sigterm_stops_orchestrator_and_keeps_containers() {
    e2e!().run(async |s| {
        s.serve().await;
        let one = s.apply(&whoami("one", 2).host("one.test")).await;
        assert_eq!(one.stdout, "app/one created\n");
        s.apply(&whoami("two", 1).host("two.test").with("env: { A: b }")).await;
        let _ = s.run(&["scale", "one", "3"]).await.assert_success();
        let containers = s.containers().await;
        let nginx = s.nginx_state().await;
        let took = s.terminate().await;
        assert!(took < Duration::from_secs(10), "{took:?}");
        assert!(!s.state_dir().join("dubernetes.sock").exists());
        assert_eq!(s.containers().await, containers);
        s.wait_for_balance_over("one.test", "one", 3).await;
        s.assert_served_by("two.test", "two").await;

        // The next orchestrator has the same state and changes nothing.
        s.serve().await;
        for (app, generation) in [("one", 2), ("two", 1)] {
            let app = s.wait_for_phase(app, "Ready", SOON).await;
            assert_eq!(app["generation"], generation);
        }
        assert_eq!(s.get_app("one").await["spec"]["replicas"], 3);
        assert_eq!(s.get_app("two").await["spec"]["env"]["A"], "b");
        assert_eq!(s.containers().await, containers);
        assert_eq!(s.nginx_state().await, nginx);
    });
}

#[test]
fn rollout_resumes_after_orchestrator_restart() {
    e2e!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("web", 3).host("web.test")).await;
        let old = s.container_ids("web").await;
        let load = Load::start(s.port, "web.test", "web", 100);
        s.apply_detached(&whoami("web", 3).host("web.test").with("env: { A: b }")).await;
        eventually("the rollout is in progress", SOON, async || {
            let now = s.container_ids("web").await;
            ensure(now != old, now)
        })
        .await;
        s.terminate().await;
        load.wait_for_requests(100).await;
        s.serve().await;
        eventually("all replicas are new", 2 * SOON, async || {
            let now = s.container_ids("web").await;
            ensure(now.len() == 3 && now.is_disjoint(&old), now)
        })
        .await;
        s.wait_for_phase("web", "Ready", SOON).await;
        load.stop().await.assert_no_failures(100);
    });
}

#[test]
fn replica_killed_while_orchestrator_is_down_is_replaced() {
    e2e!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("web", 2).host("web.test")).await;
        let before = s.running_pods("web").await;
        s.kill().await;
        docker(&["kill", &before["web-1"]]).await;
        s.serve().await;
        s.wait_for_phase("web", "Ready", SOON).await;
        s.wait_for_replicas("web", 2, SOON).await;
        let after = s.running_pods("web").await;
        assert_ne!(after["web-1"], before["web-1"]);
        assert_eq!(after["web-2"], before["web-2"]);
    });
}

#[test]
fn second_orchestrator_on_same_state_is_refused() {
    e2e!().run(async |s| {
        s.serve().await;
        let second = s.run(&["serve"]).await.assert_code(1);
        assert!(second.took < Duration::from_secs(10), "{:?}", second.took);
        let pid = s.pid().to_string();
        assert!(second.stderr.contains(&pid), "{pid} is not named: {}", second.stderr);
        // The first orchestrator is not affected.
        let status = s.run(&["status", "-o", "json"]).await.assert_success().json();
        assert_eq!(status["orchestrator"]["pid"], s.pid());
        // The kernel releases the lock of a killed orchestrator.
        s.kill().await;
        s.serve().await;
    });
}

#[test]
fn interrupted_apply_warns_and_releases_its_lock() {
    e2e!().run(async |s| {
        let slow =
            whoami("web", 1).with("env: { WHOAMI_START_DELAY: 3s }\naccess: { host: a.test }");
        let file = s.write_file("web.yaml", &slow.to_string());
        let is_created =
            async || ensure(s.containers_of("web").await.len() == 1, "no container yet");

        let mut apply = s.spawn(&["apply", &file]);
        eventually("the replica exists", SOON, is_created).await;
        scenario::interrupt(&apply);
        let mut output = String::new();
        let mut stderr = apply.stderr.take().unwrap();
        tokio::io::AsyncReadExt::read_to_string(&mut stderr, &mut output).await.unwrap();
        assert_eq!(apply.wait().await.unwrap().code(), Some(130), "{output}");
        assert!(output.contains("stays applied, but no orchestrator is running"), "{output}");

        // A killed apply leaves no lock either, and the next apply completes the rollout.
        let changed = slow.with("labels: { a: b }");
        let file = s.write_file("web.yaml", &changed.to_string());
        let old = s.container_ids("web").await;
        let mut killed = s.spawn(&["apply", &file]);
        eventually("the new replica exists", SOON, async || {
            let now = s.container_ids("web").await;
            ensure(now != old, now)
        })
        .await;
        killed.kill().await.unwrap();
        let again = s.apply(&changed).await;
        assert_eq!(again.stdout, "app/web unchanged\n");
        s.assert_served_by("a.test", "web").await;
        s.wait_for_replicas("web", 1, SOON).await;
        assert!(s.container_ids("web").await.is_disjoint(&old));
    });
}
