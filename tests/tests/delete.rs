//! What is deleted goes, wholly, and nothing else does.

use std::time::Duration;

use dubernetes_tests::checks::{SOON, expect};
use dubernetes_tests::load::Load;
use dubernetes_tests::{eventually, here, whoami};

#[test]
fn a_deleted_app_leaves_nothing_but_its_volume() {
    here!().run(async |s| {
        s.serve().await;
        let volume = "env: { WHOAMI_COUNT_FILE: /data/count }\nvolumes: ['data:/data']";
        s.apply(&whoami("web", 2).host("web.test").with(volume)).await;
        s.apply(&whoami("other", 2).host("other.test")).await;
        let (other, volumes) = (s.ids("other").await, s.volumes().await);
        assert_eq!(volumes.len(), 1);
        let load = Load::start(s, "other.test", "other", 50);

        let deleted = s.run(&["delete", "web"]).await.succeeds();
        assert_eq!(deleted.stdout, "app/web deleted\n");
        assert!(s.replicas("web").await.is_empty());
        assert_eq!(s.status("web.test").await, 404);
        let missing = s.run(&["get", "app", "web"]).await.fails(1);
        assert!(missing.stderr.contains("`web` not found"), "{}", missing.stderr);
        assert_eq!(s.ids("other").await, other);
        assert_eq!(s.networks().await.len(), 1);
        assert_eq!(s.volumes().await, volumes);
        load.goes_on(25).await;
        load.stop().await.is_flawless(25);

        let file = s.file("other.yaml", &whoami("other", 2).to_string());
        let _ = s.run(&["delete", "-f", &file]).await.succeeds();
        assert!(s.replicas("other").await.is_empty());
    });
}

#[test]
fn a_delete_in_the_middle_of_a_create_leaves_nothing() {
    here!().run(async |s| {
        s.serve().await;
        let names = ["one", "two", "three", "four"];
        for name in names {
            s.apply_detached(&whoami(name, 4).host("web.test")).await;
            eventually("the first replica is there", SOON, async || {
                expect(!s.replicas(name).await.is_empty(), "no container yet")
            })
            .await;
            let _ = s.run(&["delete", name]).await.succeeds();
            assert!(s.replicas(name).await.is_empty());
        }
        let events = s.recorded().await;
        let complete = events.iter().filter(|event| event.reason == "Complete").count();
        assert!(complete < names.len(), "no delete came in the middle: {events:#?}");
        // Nothing comes late, either.
        s.apply(&whoami("later", 2).host("web.test")).await;
        for name in names {
            assert!(s.replicas(name).await.is_empty());
        }
        s.answers("web.test", "later").await;
    });
}

#[test]
fn an_app_that_is_applied_again_at_once_inherits_nothing() {
    here!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("web", 3).host("web.test")).await;
        let mut before = s.ids("web").await;
        for round in 0..3 {
            let _ = s.run(&["delete", "--detach", "web"]).await.succeeds();
            let env = format!("env: {{ WHOAMI_NAME: round-{round} }}");
            let again = s.apply(&whoami("web", 2).host("web.test").with(&env)).await;
            assert_eq!(again.stdout, "app/web created\n");
            s.settles("web", 2, SOON).await;
            let now = s.ids("web").await;
            assert!(now.is_disjoint(&before), "{before:?} {now:?}");
            let answer = s.answers("web.test", "web").await;
            assert_eq!(answer.says("Name"), Some(format!("round-{round}")));
            before = now;
        }
    });
}

#[test]
fn no_request_is_answered_by_another_app_while_addresses_come_and_go() {
    here!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("steady", 2).host("steady.test")).await;
        let load = Load::start(s, "steady.test", "steady", 50);
        let churn = async {
            for name in ["first", "second", "third"] {
                s.apply(&whoami(name, 3).host("churn.test")).await;
                assert_eq!(s.answers("churn.test", name).await.status, 200);
                let _ = s.run(&["delete", name]).await.succeeds();
            }
        };
        let watch = async {
            loop {
                let answer = s.ask("churn.test", "/").await.unwrap();
                let app = answer.says("App");
                assert_ne!(app.as_deref(), Some("steady"), "{}", answer.text());
                assert!([200, 404, 503].contains(&answer.status), "{}", answer.text());
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            () = churn => {}
            () = watch => unreachable!("it never ends"),
        }
        load.stop().await.is_flawless(100);
    });
}

#[test]
fn a_deleted_pod_is_replaced_and_nobody_notices() {
    here!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("web", 2).host("web.test")).await;
        let before = s.running("web").await;
        let load = Load::start(s, "web.test", "web", 100);
        let deleted = s.dubectl(&["delete", "pods", "web-2"]).await.succeeds();
        assert_eq!(deleted.stdout, "pod/web-2 deleted\n");
        s.settles("web", 2, SOON).await;
        let after = s.running("web").await;
        assert_eq!(after.get("web-1"), before.get("web-1"));
        assert!(!after.values().any(|id| *id == before["web-2"]), "{after:?}");
        load.goes_on(50).await;
        load.stop().await.is_flawless(50);
    });
}

#[test]
fn down_removes_everything_but_volumes() {
    here!().run(async |s| {
        s.serve().await;
        let counter = "env: { WHOAMI_COUNT_FILE: /data/count }\nvolumes: ['data:/data']";
        let web = whoami("web", 2).host("web.test").with(counter);
        s.apply(&web).await;
        assert_eq!(s.answers("web.test", "web").await.says("Count").as_deref(), Some("1"));
        let asked = s.run(&["down"]).await.fails(2);
        assert!(asked.stderr.contains("--yes"), "{}", asked.stderr);
        assert_eq!(s.containers().await.len(), 3, "without a yes nothing goes");

        let _ = s.run(&["down", "--yes"]).await.succeeds();
        assert!(s.containers().await.is_empty());
        assert!(s.networks().await.is_empty());
        assert_eq!(s.volumes().await.len(), 1);

        // It can begin anew at once, with what the volume holds.
        s.apply(&web).await;
        assert_eq!(s.answers("web.test", "web").await.says("Count").as_deref(), Some("2"));

        // Without an orchestrator it works as well.
        s.terminate().await;
        let _ = s.run(&["down", "--yes"]).await.succeeds();
        assert!(s.containers().await.is_empty());
        assert!(s.networks().await.is_empty());
        assert_eq!(s.volumes().await.len(), 1);
    });
}
