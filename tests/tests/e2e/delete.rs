//! `delete` and `down` remove everything they should, and nothing else.

use std::time::Duration;

use dubernetes_tests::checks::{SOON, ensure};
use dubernetes_tests::load::Load;
use dubernetes_tests::{e2e, eventually, whoami};

#[test]
fn deleted_app_leaves_only_its_volume() {
    e2e!().run(async |s| {
        s.serve().await;
        let volume = "env: { WHOAMI_COUNT_FILE: /data/count }\nvolumes: ['data:/data']";
        s.apply(&whoami("web", 2).host("web.test").with(volume)).await;
        s.apply(&whoami("other", 2).host("other.test")).await;
        let other = s.container_ids("other").await;
        let volumes = s.volumes().await;
        assert_eq!(volumes.len(), 1);
        let load = Load::start(s.port, "other.test", "other", 50);

        let deleted = s.run(&["delete", "web"]).await.assert_success();
        assert_eq!(deleted.stdout, "app/web deleting\n");
        assert!(s.containers_of("web").await.is_empty());
        assert_eq!(s.status_code("web.test").await, 404);
        let missing = s.run(&["get", "app", "web"]).await.assert_code(1);
        assert!(missing.stderr.contains("`web` not found"), "{}", missing.stderr);
        assert_eq!(s.container_ids("other").await, other);
        assert_eq!(s.networks().await.len(), 1);
        assert_eq!(s.volumes().await, volumes);
        load.wait_for_requests(25).await;
        load.stop().await.assert_no_failures(25);

        let file = s.write_file("other.yaml", &whoami("other", 2).to_string());
        let _ = s.run(&["delete", "-f", &file]).await.assert_success();
        assert!(s.containers_of("other").await.is_empty());
    });
}

#[test]
fn delete_during_create_leaves_nothing() {
    e2e!().run(async |s| {
        s.serve().await;
        let names = ["one", "two", "three", "four"];
        for name in names {
            s.apply_detached(&whoami(name, 4).host("web.test")).await;
            eventually("the first container exists", SOON, async || {
                ensure(!s.containers_of(name).await.is_empty(), "no container yet")
            })
            .await;
            let _ = s.run(&["delete", name]).await.assert_success();
            assert!(s.containers_of(name).await.is_empty());
        }
        let events = s.get_events().await;
        let complete = events.iter().filter(|event| event.reason == "Complete").count();
        assert!(complete < names.len(), "no delete hit a rollout in progress: {events:#?}");
        // Nor does a late create leave anything.
        s.apply(&whoami("later", 2).host("web.test")).await;
        for name in names {
            assert!(s.containers_of(name).await.is_empty());
        }
        s.assert_served_by("web.test", "later").await;
    });
}

#[test]
fn app_recreated_right_after_delete_starts_from_scratch() {
    e2e!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("web", 3).host("web.test")).await;
        let mut before = s.container_ids("web").await;
        for round in 0..3 {
            let _ = s.run(&["delete", "--detach", "web"]).await.assert_success();
            let env = format!("env: {{ WHOAMI_NAME: round-{round} }}");
            let again = s.apply(&whoami("web", 2).host("web.test").with(&env)).await;
            assert_eq!(again.stdout, "app/web created\n");
            s.wait_for_replicas("web", 2, SOON).await;
            let now = s.container_ids("web").await;
            assert!(now.is_disjoint(&before), "{before:?} {now:?}");
            let answer = s.assert_served_by("web.test", "web").await;
            assert_eq!(answer.field("Name"), Some(format!("round-{round}")));
            before = now;
        }
    });
}

#[test]
fn address_reuse_routes_no_request_to_another_app() {
    e2e!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("steady", 2).host("steady.test")).await;
        let load = Load::start(s.port, "steady.test", "steady", 50);
        let churn = async {
            for name in ["first", "second", "third"] {
                s.apply(&whoami(name, 3).host("churn.test")).await;
                assert_eq!(s.assert_served_by("churn.test", name).await.status, 200);
                let _ = s.run(&["delete", name]).await.assert_success();
            }
        };
        let watch = async {
            loop {
                let answer = s.get("churn.test", "/").await.unwrap();
                let app = answer.field("App");
                assert_ne!(app.as_deref(), Some("steady"), "{}", answer.text());
                assert!([200, 404, 503].contains(&answer.status), "{}", answer.text());
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            () = churn => {}
            () = watch => unreachable!("the loop never ends"),
        }
        load.stop().await.assert_no_failures(100);
    });
}

#[test]
fn deleted_pod_is_replaced_without_failed_requests() {
    e2e!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("web", 2).host("web.test")).await;
        let before = s.running_pods("web").await;
        let load = Load::start(s.port, "web.test", "web", 100);
        let deleted = s.dubectl(&["delete", "pods", "web-2"]).await.assert_success();
        assert_eq!(deleted.stdout, "pod/web-2 deleting\n");
        s.wait_for_replicas("web", 2, SOON).await;
        let after = s.running_pods("web").await;
        assert_eq!(after.get("web-1"), before.get("web-1"));
        assert!(!after.values().any(|id| *id == before["web-2"]), "{after:?}");
        load.wait_for_requests(50).await;
        load.stop().await.assert_no_failures(50);
    });
}

#[test]
fn down_removes_everything_but_volumes() {
    e2e!().run(async |s| {
        s.serve().await;
        let counter = "env: { WHOAMI_COUNT_FILE: /data/count }\nvolumes: ['data:/data']";
        let web = whoami("web", 2).host("web.test").with(counter);
        s.apply(&web).await;
        assert_eq!(
            s.assert_served_by("web.test", "web").await.field("Count").as_deref(),
            Some("1")
        );
        let asked = s.run(&["down"]).await.assert_code(2);
        assert!(asked.stderr.contains("--yes"), "{}", asked.stderr);
        assert_eq!(s.containers().await.len(), 3, "nothing is removed without `--yes`");

        let _ = s.run(&["down", "--yes"]).await.assert_success();
        assert!(s.containers().await.is_empty());
        assert!(s.networks().await.is_empty());
        assert_eq!(s.volumes().await.len(), 1);

        // The app can be applied again at once, and finds its data on the volume.
        s.apply(&web).await;
        assert_eq!(
            s.assert_served_by("web.test", "web").await.field("Count").as_deref(),
            Some("2")
        );

        // `down` also works without an orchestrator.
        s.terminate().await;
        let _ = s.run(&["down", "--yes"]).await.assert_success();
        assert!(s.containers().await.is_empty());
        assert!(s.networks().await.is_empty());
        assert_eq!(s.volumes().await.len(), 1);
    });
}
