//! Options of containers: the engine has what the file says, and power over the host needs a
//! setting of the orchestrator.

use dubernetes_tests::checks::{SOON, ensure};
use dubernetes_tests::program::docker;
use dubernetes_tests::{busybox, e2e, eventually, whoami};
use serde_json::{Value, json};

const SCRIPT: &str = "trap 'exit 0' TERM; while :; do sleep 0.1; done";

#[test]
fn options_reach_the_engine_and_power_over_the_host_needs_a_setting() {
    e2e!().run(async |s| {
        s.write_file("key", "secret\n");
        s.write_file("data/seen", "beside the manifest\n");
        let web = busybox("web", 1, SCRIPT).with(
            "user: \"1000:1000\"\n\
             working_dir: /tmp\n\
             init: false\n\
             no_new_privileges: false\n\
             shm_size: 128Mi\n\
             tmpfs: /scratch:size=8m\n\
             ulimits: { nofile: { soft: 100, hard: 200 } }\n\
             cap_add: [NET_ADMIN]\n\
             cap_drop: [NET_RAW]\n\
             devices: [\"/dev/null:/dev/nothing:r\"]\n\
             extra_hosts: [\"host.docker.internal:host-gateway\"]\n\
             volumes: [\"./data:/data:ro\", \"media:/media:shared\", \"/etc/hostname:/h:ro\"]\n\
             files: { /run/key: { file: ./key, mode: \"0400\" } }",
        );
        s.serve().await;
        let refused = s.try_apply(&web).await.assert_code(1);
        for setting in ["--allow cap_add", "--allow devices", "--allow host-paths"] {
            assert!(refused.stderr.contains(setting), "{}", refused.stderr);
        }
        assert_eq!(s.containers_of("web").await.len(), 0);
        s.terminate().await;

        s.serve_with(&[("DUBERNETES_ALLOW", "cap_add,devices,host-paths")]).await;
        s.apply(&web).await;
        s.wait_for_replicas("web", 1, SOON).await;
        let id = s.running_pods("web").await.into_values().next().unwrap();
        let inspected: Value = serde_json::from_str(&docker(&["inspect", &id]).await).unwrap();
        for (pointer, expected) in [
            ("/0/Config/User", json!("1000:1000")),
            ("/0/Config/WorkingDir", json!("/tmp")),
            ("/0/HostConfig/Init", json!(false)),
            ("/0/HostConfig/SecurityOpt", json!([])),
            ("/0/HostConfig/ShmSize", json!(128 << 20)),
            ("/0/HostConfig/Tmpfs", json!({"/scratch": "size=8m"})),
            ("/0/HostConfig/CapAdd", json!(["NET_ADMIN"])),
            ("/0/HostConfig/CapDrop", json!(["NET_RAW"])),
        ] {
            let found = inspected.pointer(pointer).unwrap_or(&Value::Null);
            assert_eq!(*found, expected, "{pointer}: {found}");
        }
        let script = "id -u; ulimit -n; cat /run/key /data/seen; touch /scratch/x /dev/shm/x; \
            grep -c host.docker.internal /etc/hosts; ls /dev/nothing; test -s /h && pwd";
        let seen = docker(&["exec", &id, "sh", "-c", script]).await;
        let expected =
            ["1000", "100", "secret", "beside the manifest", "1", "/dev/nothing", "/tmp"];
        assert_eq!(seen.lines().collect::<Vec<_>>(), expected);

        // Another app sees the shared volume, and a missing external one is not made.
        let other = busybox("other", 1, SCRIPT).with("volumes: [\"media:/m:shared\"]");
        s.apply(&other).await;
        let other = s.running_pods("other").await.into_values().next().unwrap();
        docker(&["exec", &other, "touch", "/m/from-other"]).await;
        assert_eq!(docker(&["exec", &id, "ls", "/media"]).await.trim(), "from-other");
        let absent = busybox("absent", 1, SCRIPT).with("volumes: [\"nowhere-4711:/a:external\"]");
        s.apply_detached(&absent).await;
        let app = s.wait_for_phase("absent", "Failed", SOON).await;
        assert!(app.to_string().contains("docker volume create nowhere-4711"), "{app}");
    });
}

#[test]
fn read_only_replica_writes_to_its_tmpfs_only() {
    e2e!().run(async |s| {
        let web = busybox("web", 1, SCRIPT).with("read_only: true\ntmpfs: [/run]");
        s.apply(&web).await;
        let id = s.running_pods("web").await.into_values().next().unwrap();
        let script = "touch /run/x && echo yes; touch /x 2>/dev/null || echo no";
        assert_eq!(docker(&["exec", &id, "sh", "-c", script]).await.trim(), "yes\nno");
    });
}

#[test]
fn limits_changed_outside_are_reported_and_the_replica_stays() {
    e2e!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("web", 2).with("resources: { memory: 128Mi, cpu: 500m }")).await;
        let ids = s.container_ids("web").await;
        let id = s.running_pods("web").await.remove("web-2").unwrap();
        docker(&["update", "--memory", "64m", &id]).await;
        let expected = "memory limit 64Mi, not 128Mi as its revision says: changed outside";
        let app = eventually("the app names the limit", SOON, async || {
            let app = s.get_app("web").await;
            ensure(app["status"]["message"].to_string().contains(expected), &app["status"])?;
            Ok(app)
        })
        .await;
        assert_eq!(app["status"]["phase"], "Ready", "{app}");
        for pod in s.get_pods(Some("web")).await {
            let is_changed = pod["name"] == "web-2";
            assert_eq!(pod["message"].to_string().contains(expected), is_changed, "{pod}");
        }
        let why = s.run(&["why", "web-2"]).await.assert_success().stdout;
        assert!(why.contains(expected) && why.contains("delete pods web-2"), "{why}");
        let is_change = |(reason, _): &&(String, String)| reason == "LimitsChanged";
        assert_eq!(s.event_messages().await.iter().filter(is_change).count(), 1);
        assert_eq!(s.container_ids("web").await, ids, "a replica was replaced");

        let _ = s.run(&["delete", "pods", "web-2"]).await.assert_success();
        eventually("the app is as its revision says", SOON, async || {
            let app = s.get_app("web").await;
            ensure(app["status"]["message"] == "", &app["status"])
        })
        .await;
    });
}
