//! What others have on the engine is never touched, whatever it looks like; what lost its app is
//! left to a person.

use dubernetes_core::labels;
use dubernetes_tests::checks::{SOON, expect};
use dubernetes_tests::manifest::{BUSYBOX, WHOAMI};
use dubernetes_tests::program::docker;
use dubernetes_tests::{Scenario, eventually, here, whoami};

/// Everything about containers that nobody but their owner may change.
async fn inspect(ids: &[String]) -> String {
    let format = "{{.Id}} {{.Name}} {{json .State}} {{json .Config.Labels}} \
                  {{json .NetworkSettings.Networks}}";
    let ids: Vec<_> = ids.iter().map(String::as_str).collect();
    docker(&[&["inspect", "--format", format], &ids[..]].concat()).await
}

/// The labels of a replica.
fn replica(instance: &str, app: &str) -> Vec<String> {
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

async fn created(s: &Scenario, options: &[String], image: &str) -> String {
    let mut words: Vec<_> = options.iter().map(String::as_str).collect();
    words.push(image);
    if image == BUSYBOX {
        words.extend(["sleep", "600"]);
    }
    s.foreign(&words).await
}

#[test]
fn containers_of_others_stay_as_they_are_all_along() {
    here!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("web", 2).host("web.test")).await;
        let instance = s.instance.as_str();
        let option = |key: &str, value: String| vec![key.to_owned(), value];
        let named = option("--name", format!("dubernetes.{instance}.web-9.r1"));
        let network = option("--network", s.networks().await.remove(0));
        let decoys = [
            created(s, &named, BUSYBOX).await,
            created(s, &[], WHOAMI).await,
            created(s, &replica(&format!("{instance}x"), "web"), BUSYBOX).await,
            created(s, &[], BUSYBOX).await,
            created(s, &network, BUSYBOX).await,
        ];
        docker(&["start", &decoys[0], &decoys[1], &decoys[2], &decoys[4]]).await;
        docker(&["pause", &decoys[4]]).await;
        let before = inspect(&decoys).await;

        let _ = s.run(&["scale", "web", "4"]).await.succeeds();
        s.apply(&whoami("web", 2).host("web.test").with("env: { A: b }")).await;
        docker(&["kill", &s.running("web").await.into_values().next().unwrap()]).await;
        s.is_in("Ready", "web", SOON).await;
        s.kill().await;
        s.serve().await;
        let _ = s.run(&["delete", "web"]).await.succeeds();
        s.apply(&whoami("web", 1).host("web.test")).await;
        assert_eq!(inspect(&decoys).await, before);

        // The network has a guest, so it cannot go, and that is said; all else does.
        let down = s.run(&["down", "--yes"]).await.fails(1);
        assert!(down.stderr.contains("network"), "{}", down.stderr);
        assert!(s.containers().await.is_empty());
        assert_eq!(inspect(&decoys).await, before);
        docker(&["rm", "-f", &decoys[4]]).await;
        let _ = s.run(&["down", "--yes"]).await.succeeds();
        assert!(s.networks().await.is_empty());
    });
}

#[test]
fn a_name_that_a_stranger_has_is_said_and_left_to_him() {
    here!().run(async |s| {
        s.serve().await;
        let name = format!("dubernetes.{}.web-1.r1", s.instance);
        let stranger = created(s, &["--name".to_owned(), name.clone()], BUSYBOX).await;
        let before = inspect(std::slice::from_ref(&stranger)).await;
        let failed = s.try_apply(&whoami("web", 1).host("web.test")).await.fails(1);
        assert!(failed.stderr.contains(&name), "{}", failed.stderr);
        s.apply(&whoami("other", 1).host("other.test")).await;
        s.answers("other.test", "other").await;
        assert_eq!(inspect(std::slice::from_ref(&stranger)).await, before);

        docker(&["rm", &stranger]).await;
        s.is_in("Ready", "web", 3 * SOON).await;
        s.answers("web.test", "web").await;
    });
}

#[test]
fn replicas_that_the_store_has_lost_run_on_and_are_taken_over() {
    here!().run(async |s| {
        s.serve().await;
        let web = whoami("web", 2).host("web.test");
        s.apply(&web).await;
        let ids = s.ids("web").await;
        s.terminate().await;
        std::fs::remove_dir_all(s.state_dir()).unwrap();
        s.serve().await;
        let blocked = eventually("the orphans are reported", SOON, async || {
            let status = s.run(&["status", "-o", "json"]).await.succeeds().json();
            let blocked = status["blocked"].to_string();
            expect(blocked.contains("web-1") && blocked.contains("web-2"), &status)?;
            Ok(blocked)
        })
        .await;
        assert!(blocked.contains("apply its file"), "{blocked}");
        assert_eq!(s.ids("web").await, ids, "an empty store removes nothing");

        s.apply(&web).await;
        s.settles("web", 2, SOON).await;
        s.answers("web.test", "web").await;
        let status = s.run(&["status", "-o", "json"]).await.succeeds().json();
        assert_eq!(status["blocked"].as_array().unwrap().len(), 0, "{status}");
    });
}

#[test]
fn two_states_do_not_fight_over_one_instance() {
    here!().run(async |s| {
        s.serve().await;
        let web = whoami("web", 1).host("web.test");
        s.apply(&web).await;
        let (ids, nginx) = (s.ids("web").await, s.nginx().await);
        let state = s.state_dir();
        let other = state.with_file_name("other");
        let other = other.to_str().unwrap();
        let path = s.file("web.yaml", &web.to_string());
        for command in [&["serve"][..], &["apply", &path], &["down", "--yes"]] {
            let refused = s.run(&[&["--state-dir", other], command].concat()).await.fails(1);
            for text in ["belongs to the orchestrator whose state is in", "/state`", "--instance"] {
                assert!(refused.stderr.contains(text), "`{text}` is missing: {}", refused.stderr);
            }
        }
        assert_eq!((s.ids("web").await, s.nginx().await), (ids, nginx), "nothing was touched");

        // A state that was moved goes on.
        s.terminate().await;
        std::fs::remove_dir_all(other).unwrap();
        std::fs::rename(&state, other).unwrap();
        let applied = s.run(&["--state-dir", other, "apply", &path]).await.succeeds();
        assert_eq!(applied.stdout, "app/web unchanged\n");
        std::fs::rename(other, &state).unwrap();
    });
}

#[test]
fn an_orphan_is_left_alone_until_everything_goes() {
    here!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("web", 1).host("web.test")).await;
        let orphan = created(s, &replica(s.instance.as_str(), "ghost"), BUSYBOX).await;
        docker(&["start", &orphan]).await;
        let before = inspect(std::slice::from_ref(&orphan)).await;
        eventually("the orphan is reported", SOON, async || {
            let status = s.run(&["status"]).await.succeeds().stdout;
            expect(status.contains("Blocked:") && status.contains("ghost"), status)
        })
        .await;
        s.apply(&whoami("web", 2).host("web.test")).await;
        assert_eq!(inspect(&[orphan]).await, before);
        let _ = s.run(&["down", "--yes"]).await.succeeds();
        assert!(s.containers().await.is_empty());
    });
}
