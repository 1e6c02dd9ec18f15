//! `run`: a command in a one-off container of an app.

use dubernetes_core::runtime::{Container, ContainerState};
use dubernetes_tests::checks::{SOON, ensure};
use dubernetes_tests::scenario::interrupt;
use dubernetes_tests::{Scenario, busybox, e2e, eventually};
use tokio::io::{AsyncBufReadExt as _, BufReader};

const SERVE: &str = "mkdir -p /www; echo well > /www/index.html; exec httpd -f -p 80 -h /www";

/// Two apps; the second one has an environment, a file and a volume.
async fn apply_apps(s: &Scenario) {
    s.apply(&busybox("api", 1, SERVE).host("api.test")).await;
    s.write_file("motd", "from a file");
    let more = "env: { GREETING: hello }\nfiles: { /etc/motd: ./motd }\n\
                volumes: ['data:/data']\nrollout: { min_ready: 1ms }";
    s.apply(&busybox("web", 1, "echo kept > /data/kept; exec sleep 1000").with(more)).await;
}

async fn one_offs(s: &Scenario) -> Vec<Container> {
    let all = s.containers().await;
    all.into_iter().filter(|container| container.name.contains(".run-")).collect()
}

async fn wait_until_running(s: &Scenario) {
    eventually("a one-off container runs", SOON, async || {
        let all = one_offs(s).await;
        let runs = |c: &Container| matches!(c.state, ContainerState::Running { .. });
        ensure(all.iter().any(runs), all)
    })
    .await;
}

async fn wait_until_gone(s: &Scenario) {
    eventually("no one-off container is left", SOON, async || {
        let all = one_offs(s).await;
        ensure(all.is_empty(), all)
    })
    .await;
}

#[test]
fn one_off_container_is_one_of_its_app_and_is_removed() {
    e2e!().run(async |s| {
        s.serve().await;
        apply_apps(s).await;
        let before = s.container_ids("web").await;
        let script = "echo $GREETING $DUBERNETES_APP; cat /etc/motd /data/kept; \
                      wget -q -O - http://api; echo to stderr >&2; exit 42";
        let ran = s.run(&["run", "web", "--", "/bin/sh", "-c", script]).await.assert_code(42);
        assert_eq!(ran.stdout, "hello web\nfrom a filekept\nwell\n", "{}", ran.stderr);
        assert_eq!(ran.stderr, "to stderr\n");
        assert_eq!(one_offs(s).await, [], "it is removed before the command ends");
        assert_eq!(s.container_ids("web").await, before);

        let typed = ["run", "-i", "web", "--", "/bin/sh", "-c", "cat; exit 3"];
        let typed = s.run_with(&typed, "typed").await.assert_code(3);
        assert_eq!(typed.stdout, "typed");
        let killed = ["run", "web", "--", "/bin/sh", "-c", "kill -9 $$"];
        let _ = s.run(&killed).await.assert_code(137);
        let missing = s.run(&["run", "web", "--", "/no/such/command"]).await.assert_code(127);
        assert!(missing.stderr.contains("/no/such/command"), "{}", missing.stderr);
        let unknown = s.run(&["run", "nosuch", "--", "true"]).await.assert_code(1);
        assert!(unknown.stderr.contains("app `nosuch` not found"), "{}", unknown.stderr);
        assert_eq!(one_offs(s).await, []);
    });
}

#[test]
fn one_off_container_ends_with_its_client_and_is_no_replica() {
    e2e!().run(async |s| {
        s.serve().await;
        apply_apps(s).await;
        let script = "trap 'echo got INT; exit 7' INT; echo ready; while true; do sleep 0.1; done";
        let mut client = s.spawn(&["run", "web", "--", "/bin/sh", "-c", script]);
        wait_until_running(s).await;
        let pods = s.get_pods(Some("web")).await;
        let names: Vec<_> = pods.iter().filter_map(|pod| pod["name"].as_str()).collect();
        assert_eq!(names.len(), 2, "{names:?}");
        assert!(names.iter().any(|name| name.starts_with("web-run-")), "{names:?}");
        assert_eq!(s.get_app("web").await["status"]["ready"], 1);
        let mut output = BufReader::new(client.stdout.take().unwrap()).lines();
        assert_eq!(output.next_line().await.unwrap().as_deref(), Some("ready"));
        interrupt(&client);
        assert_eq!(output.next_line().await.unwrap().as_deref(), Some("got INT"));
        let ended = client.wait_with_output().await.unwrap();
        assert_eq!(ended.status.code(), Some(7), "{ended:?}");
        assert_eq!(one_offs(s).await, []);

        let mut client = s.spawn(&["run", "web", "--", "sleep", "1000"]);
        wait_until_running(s).await;
        client.kill().await.unwrap();
        wait_until_gone(s).await;
        s.wait_for_phase("web", "Ready", SOON).await;
    });
}

#[test]
fn one_off_container_is_removed_after_the_orchestrator_was_killed() {
    e2e!().run(async |s| {
        s.serve().await;
        apply_apps(s).await;
        let before = s.container_ids("web").await;
        let client = s.spawn(&["run", "web", "--", "sleep", "1000"]);
        wait_until_running(s).await;
        s.kill().await;
        let ended = client.wait_with_output().await.unwrap();
        assert_eq!(ended.status.code(), Some(3), "{ended:?}");
        assert_eq!(one_offs(s).await.len(), 1);
        s.serve().await;
        wait_until_gone(s).await;
        s.wait_for_phase("web", "Ready", SOON).await;
        assert_eq!(s.container_ids("web").await, before);
    });
}

#[test]
fn run_works_without_an_orchestrator_and_for_an_app_without_replicas() {
    e2e!().run(async |s| {
        s.apply(&busybox("job", 0, "echo own command; exit 5")).await;
        let ran = s.run(&["run", "job"]).await.assert_code(5);
        assert_eq!(ran.stdout, "own command\n", "{}", ran.stderr);
        assert_eq!(one_offs(s).await, []);
        let client = s.spawn(&["run", "job", "--", "/bin/sh", "-c", "trap '' INT; sleep 1000"]);
        wait_until_running(s).await;
        interrupt(&client);
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        interrupt(&client);
        let ended = client.wait_with_output().await.unwrap();
        assert_eq!(ended.status.code(), Some(130), "{ended:?}");
        assert_eq!(one_offs(s).await, [], "{ended:?}");
    });
}
