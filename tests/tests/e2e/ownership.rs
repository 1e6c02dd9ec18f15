//! Containers of others are never changed, however similar they look, and orphans are left to the
//! user.

use dubernetes_core::labels;
use dubernetes_tests::checks::{SOON, ensure};
use dubernetes_tests::manifest::{BUSYBOX, WHOAMI};
use dubernetes_tests::program::docker;
use dubernetes_tests::{Scenario, e2e, eventually, whoami};

/// Returns everything about containers that only their owner may change.
async fn inspect(ids: &[String]) -> String {
    let format = "{{.Id}} {{.Name}} {{json .State}} {{json .Config.Labels}} \
                  {{json .NetworkSettings.Networks}}";
    let ids: Vec<_> = ids.iter().map(String::as_str).collect();
    docker(&[&["inspect", "--format", format], &ids[..]].concat()).await
}

/// Returns `docker create` options with the labels of a replica.
fn replica_labels(instance: &str, app: &str) -> Vec<String> {
    [
        (labels::INSTANCE, instance),
        (labels::APP, app),
        (labels::REVISION, "1"),
        (labels::REPLICA, "1"),
        (labels::SPEC, "0123456789abcdef"),
        (labels::ADDRESS, "10.201.0.99"),
        (labels::PORT, "80"),
        (labels::RESTARTS, "0"),
        (labels::STREAK, "0"),
    ]
    .iter()
    .flat_map(|(key, value)| ["--label".to_owned(), format!("{key}={value}")])
    .collect()
}

async fn create(s: &Scenario, options: &[String], image: &str) -> String {
    let mut words: Vec<_> = options.iter().map(String::as_str).collect();
    words.push(image);
    if image == BUSYBOX {
        words.extend(["sleep", "600"]);
    }
    s.create_container(&words).await
}

#[test]
fn foreign_containers_are_never_changed() {
    e2e!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("web", 2).host("web.test")).await;
        let instance = s.instance.as_str();
        let option = |key: &str, value: String| vec![key.to_owned(), value];
        let named = option("--name", format!("dubernetes.{instance}.web-9.r1"));
        let network = option("--network", s.networks().await.remove(0));
        let decoys = [
            create(s, &named, BUSYBOX).await,
            create(s, &[], WHOAMI).await,
            create(s, &replica_labels(&format!("{instance}x"), "web"), BUSYBOX).await,
            create(s, &[], BUSYBOX).await,
            create(s, &network, BUSYBOX).await,
        ];
        docker(&["start", &decoys[0], &decoys[1], &decoys[2], &decoys[4]]).await;
        docker(&["pause", &decoys[4]]).await;
        let before = inspect(&decoys).await;

        let _ = s.run(&["scale", "web", "4"]).await.assert_success();
        s.apply(&whoami("web", 2).host("web.test").with("env: { A: b }")).await;
        docker(&["kill", &s.running_pods("web").await.into_values().next().unwrap()]).await;
        s.wait_for_phase("web", "Ready", SOON).await;
        s.kill().await;
        s.serve().await;
        let _ = s.run(&["delete", "web"]).await.assert_success();
        s.apply(&whoami("web", 1).host("web.test")).await;
        assert_eq!(inspect(&decoys).await, before);

        // A foreign container uses the network, so `down` reports the network and removes the rest.
        let down = s.run(&["down", "--yes"]).await.assert_code(1);
        assert!(down.stderr.contains("network"), "{}", down.stderr);
        assert!(s.containers().await.is_empty());
        assert_eq!(inspect(&decoys).await, before);
        docker(&["rm", "-f", &decoys[4]]).await;
        let _ = s.run(&["down", "--yes"]).await.assert_success();
        assert!(s.networks().await.is_empty());
    });
}

#[test]
fn name_taken_by_foreign_container_is_reported_and_left_alone() {
    e2e!().run(async |s| {
        s.serve().await;
        let name = format!("dubernetes.{}.web-1.r1", s.instance);
        let foreign = create(s, &["--name".to_owned(), name.clone()], BUSYBOX).await;
        let before = inspect(std::slice::from_ref(&foreign)).await;
        let failed = s.try_apply(&whoami("web", 1).host("web.test")).await.assert_code(1);
        assert!(failed.stderr.contains(&name), "{}", failed.stderr);
        s.apply(&whoami("other", 1).host("other.test")).await;
        s.assert_served_by("other.test", "other").await;
        assert_eq!(inspect(std::slice::from_ref(&foreign)).await, before);

        docker(&["rm", &foreign]).await;
        s.wait_for_phase("web", "Ready", 3 * SOON).await;
        s.assert_served_by("web.test", "web").await;
    });
}

#[test]
fn replicas_missing_from_store_keep_running_and_are_adopted() {
    e2e!().run(async |s| {
        s.serve().await;
        let web = whoami("web", 2).host("web.test");
        s.apply(&web).await;
        let ids = s.container_ids("web").await;
        s.terminate().await;
        std::fs::remove_dir_all(s.state_dir()).unwrap();
        // No empty state takes the place of a lost one unasked.
        let refused = s.run(&["serve"]).await.assert_code(1);
        assert!(refused.stderr.contains("serve --adopt"), "{}", refused.stderr);
        assert!(!s.state_dir().join("dubernetes.db").exists());
        s.serve_adopting().await;
        let blocked = eventually("the orphans are reported", SOON, async || {
            let status = s.run(&["status", "-o", "json"]).await.assert_success().json();
            let blocked = status["blocked"].to_string();
            ensure(blocked.contains("web-1") && blocked.contains("web-2"), &status)?;
            Ok(blocked)
        })
        .await;
        assert!(blocked.contains("apply its file"), "{blocked}");
        assert_eq!(s.container_ids("web").await, ids, "an empty store removed a container");

        s.apply(&web).await;
        s.wait_for_replicas("web", 2, SOON).await;
        s.assert_served_by("web.test", "web").await;
        let status = s.run(&["status", "-o", "json"]).await.assert_success().json();
        assert_eq!(status["blocked"].as_array().unwrap().len(), 0, "{status}");
    });
}

#[test]
fn second_state_dir_is_refused_for_same_instance() {
    e2e!().run(async |s| {
        s.serve().await;
        let web = whoami("web", 1).host("web.test");
        s.apply(&web).await;
        let ids = s.container_ids("web").await;
        let nginx = s.nginx_state().await;
        let state = s.state_dir();
        let other = state.with_file_name("other");
        let other = other.to_str().unwrap();
        let path = s.write_file("web.yaml", &web.to_string());
        for command in [&["serve"][..], &["apply", &path], &["down", "--yes"]] {
            let refused = s.run(&[&["--state-dir", other], command].concat()).await.assert_code(1);
            for text in ["exists on this engine", "no state in", "/other`", "--instance"] {
                assert!(refused.stderr.contains(text), "`{text}` is missing: {}", refused.stderr);
            }
        }
        assert_eq!(
            (s.container_ids("web").await, s.nginx_state().await),
            (ids, nginx),
            "something changed"
        );

        // Neither is a state of another instance, or of none, that was put there.
        s.terminate().await;
        let elsewhere = s.state_dir().with_file_name("elsewhere");
        let elsewhere = elsewhere.to_str().unwrap();
        drop(dubernetes_sqlite::SqliteStore::open(elsewhere.as_ref()).unwrap());
        let refused = s.run(&["--state-dir", elsewhere, "apply", &path]).await.assert_code(1);
        assert!(refused.stderr.contains("belongs to another state"), "{}", refused.stderr);

        // A state directory that was moved is accepted.
        std::fs::rename(&state, other).unwrap();
        let applied = s.run(&["--state-dir", other, "apply", &path]).await.assert_success();
        assert_eq!(applied.stdout, "app/web unchanged\n");
        std::fs::rename(other, &state).unwrap();
    });
}

#[test]
fn orphan_is_kept_until_down() {
    e2e!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("web", 1).host("web.test")).await;
        let mut options = replica_labels(s.instance.as_str(), "ghost");
        options.extend(["--name".to_owned(), format!("dubernetes.{}.ghost-1.r1", s.instance)]);
        let orphan = create(s, &options, BUSYBOX).await;
        docker(&["start", &orphan]).await;
        let before = inspect(std::slice::from_ref(&orphan)).await;
        eventually("the orphan is reported", SOON, async || {
            let status = s.run(&["status"]).await.assert_success().stdout;
            ensure(status.contains("Blocked:") && status.contains("ghost"), status)
        })
        .await;
        s.apply(&whoami("web", 2).host("web.test")).await;
        assert_eq!(inspect(&[orphan]).await, before);
        let _ = s.run(&["down", "--yes"]).await.assert_success();
        assert!(s.containers().await.is_empty());
    });
}

/// An image that is removed when dropped.
struct Image(String);

impl Drop for Image {
    fn drop(&mut self) {
        // After a failed test a container may still use it.
        let _ = std::process::Command::new("docker").args(["rmi", "-f", &self.0]).output();
    }
}

#[test]
fn copy_of_a_replica_is_reported_and_left_alone() {
    e2e!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("web", 2).host("web.test")).await;
        let replicas: Vec<_> = s.running_pods("web").await.into_values().collect();
        let untouched = inspect(&replicas).await;
        let committed = docker(&["commit", "--pause=false", &replicas[0]]).await;
        let image = Image(committed.trim().to_owned());
        let on_network = format!("--network=dubernetes.{}", s.instance);
        let copies = [
            s.create_container(&[&image.0]).await,
            s.create_container(&[&on_network, &image.0]).await,
        ];
        docker(&["start", &copies[0], &copies[1]]).await;
        let before = inspect(&copies).await;
        eventually("the copies are reported", SOON, async || {
            let status = s.run(&["status"]).await.assert_success().stdout;
            ensure(copies.iter().all(|id| status.contains(&id[..12])), status)
        })
        .await;
        s.wait_for_phase("web", "Ready", SOON).await;
        assert_eq!(s.wait_for_balance("web.test", 2).await.len(), 2);
        assert_eq!(inspect(&replicas).await, untouched, "a replica was replaced");
        s.apply(&whoami("web", 2).host("web.test").with("env: { A: b }")).await;
        assert_eq!(inspect(&copies).await, before);

        docker(&["rm", "-f", &copies[1]]).await;
        let _ = s.run(&["down", "--yes"]).await.assert_success();
        let left: Vec<_> = s.containers().await.into_iter().map(|c| c.id.to_string()).collect();
        assert_eq!(left, copies[..1]);
        docker(&["rm", "-f", &copies[0]]).await;
    });
}
